"""A dispute on the chain is the walk of the rules, and ends where the adjudicator says."""

from __future__ import annotations

from skerry.chain.disputes import Answerer, Doubter
from tests.chain.court_evm import BOND, CHALLENGER, SOLVER, Court
from tests.verify.toy import Lie, Run, Toy, small

SALT = bytes([5] * 32)


def played(
    court: Court, toy: Toy, doubting: Run, answering: Run
) -> tuple[Doubter, Answerer, list[str]]:
    """Play until nobody has a move; return both sides and the calls that were made."""
    terms = answering.terms()
    case = court.case(terms, answering.states([0])[0])
    doubter, answerer = Doubter(case, doubting, CHALLENGER, SALT), Answerer(case, answering)
    court.send(CHALLENGER, doubter.announce())
    court.now += 1
    court.send(CHALLENGER, doubter.open(SOLVER, bond=BOND, clock=court.clock()))
    made, cursor = ["announce", "open"], 0
    while cursor < len(court.heard):
        event = court.heard[cursor]
        cursor += 1
        for who, side in ((CHALLENGER, doubter), (SOLVER, answerer)):
            call = side.hear(event)
            if call is not None:
                court.now += 1
                if call.function in ("settle", "judge"):
                    made.append(call.function)
                    return doubter, answerer, made
                court.send(who, call)
                made.append(call.function)
    return doubter, answerer, made


def test_a_small_lie_is_walked_to_its_element() -> None:
    toy, lie = small(9, 2), Lie(3, 3, 590)
    court = Court()
    doubter, _, made = played(court, toy, Run(toy), Run(toy, (lie,)))
    print(made)
