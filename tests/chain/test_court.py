"""A dispute on the chain is the walk of the rules, second by second and coin by coin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry.chain.abi import contract
from skerry.chain.court_calls import Case, refute_call, reveal_call, timeout_call
from skerry.chain.court_words import CARRIED, POINT
from skerry.chain.disputes import Answerer, Doubter, Opened, Picked, Shown
from skerry.chain.moves import Call
from skerry.chain.verdict_calls import Verdict, judge_call
from skerry.messages.disputes import Reveal, RevealRoots
from skerry.verify.clock import Clock
from skerry.verify.court import CourtRefused, Docks
from skerry.verify.game import Game
from skerry.verify.judged import node_leaf
from skerry.verify.positions import Point
from skerry.verify.terms import Arities, MoveRefused, Wrong
from tests.chain.court_evm import (
    BOND,
    BUDGET,
    CHALLENGER,
    GRACE,
    MONEY,
    SOLVER,
    STAKE,
    START,
    SUBMITTER,
    THIRD,
    Court,
    Refused,
)
from tests.verify.test_walk import garbled
from tests.verify.toy import Lie, Run, Toy, lies, small, toys

few = settings(max_examples=12)


@cache
def kept_court(arity: int) -> Court:
    """Return the one court of this arity; deploying takes longer than most tests."""
    court = Court(Arities.all(arity), judge="stub_judge")
    court.snapshot = court.evm.snapshot()
    return court


def court_of(arity: int) -> Court:
    """Return a court of this arity before which nothing happened yet."""
    court = kept_court(arity)
    court.evm.revert(court.snapshot)
    court.snapshot = court.evm.snapshot()
    court.heard.clear()
    court.now = START
    return court


@dataclass
class Match:
    """Two sides before a court."""

    court: Court
    doubter: Doubter
    answerer: Answerer
    cursor: int

    def due(self) -> tuple[bytes, Call] | None:
        """Return the next move and who makes it; None where the walk has ended."""
        while self.cursor < len(self.court.heard):
            event = self.court.heard[self.cursor]
            self.cursor += 1
            if isinstance(event, Picked | Shown) and event.state.kind in (POINT, CARRIED):
                assert self.doubter.stand is not None
                self.doubter.stand = replace(self.doubter.stand, state=event.state)
                return None
            calls = [
                (who, call)
                for who, side in ((CHALLENGER, self.doubter), (SOLVER, self.answerer))
                if (call := side.hear(event)) is not None
            ]
            if calls:
                assert len(calls) == 1, "both sides would move"
                return calls[0]
        return None

    def play(self) -> int:
        """Play the walk to its end and return how many moves that took."""
        moves = 0
        while (due := self.due()) is not None:
            self.court.now += 1
            self.court.send(*due)
            moves += 1
        return moves

    def judged(self, right: int) -> None:
        """End the game by a judge who finds these bits."""
        court, stand = self.court, self.doubter.stand
        assert stand is not None
        game = self.doubter.walk.game
        assert game is not None
        case, at = self.doubter.case, game.position
        assert isinstance(at, Point)
        court.send(THIRD, Call("adjudicator", "tell", (right,)))
        node, _ = case.node(at.node)
        count = len(case.terms.program.nodes)
        rule = contract("adjudicator").selector("judge")
        found = Verdict(at.before, at.trace, node_leaf(node), count, rule, bytes(32), b"")
        court.send(THIRD, judge_call(case, stand, found))


def begun(court: Court, doubting: Run, answering: Run, who: bytes = CHALLENGER) -> Match:
    """Announce and open a game."""
    terms = answering.terms()
    terms = replace(terms, arities=court.arities)
    case = court.case(terms, answering.states([0])[0])
    salt = len(court.heard).to_bytes(32, "big")
    doubter = Doubter(case, doubting, who, salt, settles=False)
    match = Match(court, doubter, Answerer(case, answering), len(court.heard))
    court.send(who, doubter.announce())
    court.now += 1
    bond = court.bond << court.look("court", "contested", terms.game)
    court.send(who, doubter.open(SOLVER, bond=bond, clock=court.clock()))
    return match


@few
@given(toys(), st.data())
def test_a_lie_is_walked_to_its_element_with_the_words_of_the_rules(
    toy: Toy, data: st.DataObject
) -> None:
    lie = data.draw(lies(toy))
    court = court_of(toy.arity)
    match = begun(court, Run(toy), Run(toy, (lie,)))
    match.play()
    game = match.doubter.walk.game
    assert game is not None
    assert isinstance(game.position, Point)
    at = game.position
    assert (at.step, at.node, at.element) == (lie.step, lie.node, lie.element)
    assert match.doubter.stand is not None
    assert match.doubter.stand.state.kind == POINT


@few
@given(toys(), st.data())
def test_the_chain_refuses_a_reveal_exactly_where_the_rules_do(
    toy: Toy, data: st.DataObject
) -> None:
    lie = data.draw(lies(toy))
    court = court_of(toy.arity)
    match = begun(court, Run(toy), Run(toy, (lie,)))
    garbage_turn = data.draw(st.integers(0, 5))
    turn = 0
    while (due := match.due()) is not None:
        court.now += 1
        who, call = due
        if who == SOLVER:
            if turn == garbage_turn:
                held_to_the_rules(match, data)
            turn += 1
        court.send(who, call)


def held_to_the_rules(match: Match, data: st.DataObject) -> None:
    """Send garbage in place of the reveal that is due, and compare the refusals."""
    game, answer, stand = match.answerer.walk.game, match.answerer.walk.answer, match.answerer.stand
    assert game is not None
    assert answer is not None
    assert stand is not None
    before = Game(game.terms, game.position, game.turn)
    garbage = data.draw(garbled(answer))
    if type(garbage) is not type(answer) or (garbage.game, garbage.turn) != (
        answer.game,
        answer.turn,
    ):
        return  # the chain knows neither; its state says which game and turn a call is for
    wrong = rules_refuse(before, garbage)
    # a row is held to what is claimed later: it is taken, and loses when somebody refutes it
    assert chain_refuses(match, before, garbage) == (wrong not in (None, Wrong.ROOTS))
    if wrong is Wrong.ROOTS:
        assert isinstance(garbage, RevealRoots)
        refuted(match, before, garbage)


def refuted(match: Match, before: Game, garbage: RevealRoots) -> None:
    """Show that a row which does not join loses, and only such a row."""
    court, case, stand = match.court, match.answerer.case, match.answerer.stand
    answer = match.answerer.walk.answer
    assert stand is not None
    assert isinstance(answer, RevealRoots)
    snapshot, heard = court.evm.snapshot(), len(court.heard)
    for row, won in ((answer, False), (garbage, True)):
        inner = court.evm.snapshot()
        court.send(SOLVER, reveal_call(case, stand, before, row))
        shown = court.heard[-1]
        assert isinstance(shown, Shown)
        call = refute_call(case, replace(stand, state=shown.state), before, row.roots)
        if won:
            court.send(THIRD, call)
            assert court.heard[-1].challenger_won  # type: ignore[union-attr]
        else:
            with pytest.raises(Refused, match="roots"):
                court.send(THIRD, call)
        court.evm.revert(inner)
    court.evm.revert(snapshot)
    del court.heard[heard:]


def rules_refuse(game: Game, message: Reveal) -> Wrong | None:
    """Return why the rules refuse a reveal, or None."""
    try:
        game.reveal(message)
    except MoveRefused as refused:
        return refused.wrong
    return None


def chain_refuses(match: Match, game: Game, message: Reveal) -> bool:
    """Return whether the court refuses it; what it took is rolled back."""
    case, stand, court = match.answerer.case, match.answerer.stand, match.court
    assert stand is not None
    snapshot, heard = court.evm.snapshot(), len(court.heard)
    try:
        court.send(SOLVER, reveal_call(case, stand, game, message))
    except Refused:
        return True
    finally:
        court.evm.revert(snapshot)
        del court.heard[heard:]
    return False


@pytest.mark.parametrize("moves", range(0, 14, 3))
def test_at_every_second_exactly_one_of_move_and_timeout_is_possible(moves: int) -> None:
    toy = small(9, 2, arity=2)
    court = court_of(2)
    match = begun(court, Run(toy), Run(toy, (Lie(3, 3, 590),)))
    due = match.due()
    for _ in range(moves):
        assert due is not None
        court.now += 1
        court.send(*due)
        due = match.due()
    assert due is not None
    who, call = due
    stand = (match.doubter if who == CHALLENGER else match.answerer).stand
    assert stand is not None
    assert stand.state.challenger_moves == (who == CHALLENGER)
    over = timeout_call(match.doubter.case, stand)
    snapshot, heard = court.evm.snapshot(), len(court.heard)
    court.now = stand.state.deadline
    with pytest.raises(Refused, match="early"):
        court.send(THIRD, over)
    court.send(who, call)
    court.evm.revert(snapshot)
    del court.heard[heard:]
    court.now = stand.state.deadline + 1
    with pytest.raises(Refused, match="late"):
        court.send(who, call)
    court.send(THIRD, over)
    ended = court.heard[-1]
    assert (ended.challenger_won, ended.silent) == (who == SOLVER, True)  # type: ignore[union-attr]


@few
@given(st.lists(st.integers(0, GRACE + BUDGET // 3), min_size=1, max_size=12))
def test_the_clocks_of_the_chain_are_those_of_the_rules(waits: list[int]) -> None:
    toy = small(9, 2, arity=2)
    court = court_of(2)
    match = begun(court, Run(toy), Run(toy, (Lie(3, 3, 590),)))
    clock = Clock.start(court.now, budget=BUDGET, grace=GRACE)
    for wait in waits:
        due = match.due()
        if due is None or not clock.moves(court.now + wait):
            return
        who, call = due
        court.now += wait
        court.send(who, call)
        state = court.heard[-1].state  # type: ignore[union-attr]
        clock = clock.moved(
            court.now, by_challenger=who == CHALLENGER, to_challenger=state.challenger_moves
        )
        assert state.deadline == clock.deadline
        assert state.budgets() == (clock.challenger, clock.respondent)


def test_another_state_another_sender_and_a_copied_opening_are_refused() -> None:
    toy = small(9, 2)
    court = court_of(8)
    match = begun(court, Run(toy), Run(toy, (Lie(3, 3, 590),)))
    opened = court.heard[-1]
    thief = replace(match.doubter, address=THIRD)
    with pytest.raises(Refused, match="announce"):
        court.send(THIRD, thief.open(SOLVER, bond=2 * BOND, clock=court.clock()))
    due = match.due()
    assert due is not None
    with pytest.raises(Refused, match="sender"):
        court.send(THIRD, due[1])
    court.send(SOLVER, Call("court", "appoint", (THIRD, True)))
    court.send(THIRD, due[1])  # a deputy may
    stand, game = match.answerer.stand, match.answerer.walk.game
    assert stand is not None
    assert game is not None
    assert match.answerer.walk.answer is not None
    before = Game(game.terms, game.position, game.turn)
    assert isinstance(opened, Opened)
    old = replace(stand, state=opened.state)
    again = reveal_call(match.answerer.case, old, before, match.answerer.walk.answer)
    with pytest.raises(Refused, match="state"):
        court.send(SOLVER, again)


# -- money


def money(court: Court) -> dict[bytes, tuple[int, int]]:
    """Return what is free and locked of everyone."""
    parties = (SUBMITTER, SOLVER, CHALLENGER, THIRD)
    return {who: tuple(court.look("vault", "account", who)[:2]) for who in parties}


def kept(court: Court) -> int:
    """Return all that the vault owes or has burned."""
    return sum(map(sum, money(court).values())) + int(court.look("vault", "burned"))


def right_and_wrong(match: Match) -> tuple[int, int]:
    """Return the bits that the solver claimed at the end, and others."""
    game = match.doubter.walk.game
    assert game is not None
    assert isinstance(game.position, Point)
    bits = int.from_bytes(game.position.claimed, "little")
    return bits, bits ^ 1


def test_a_lie_costs_the_stake_and_every_challenger_gets_its_bond_back() -> None:
    court = court_of(8)
    toy, total = small(9, 2), 4 * MONEY
    liar = Run(toy, (Lie(3, 3, 590),))
    first = begun(court, Run(toy), liar)
    second = begun(court, Run(toy), liar)
    assert money(court)[CHALLENGER] == (MONEY - 3 * BOND, 3 * BOND)  # the second bond is doubled
    first.play()
    first.judged(right_and_wrong(first)[1])
    after = money(court)
    assert after[SOLVER] == (MONEY - STAKE, 0)
    assert after[CHALLENGER] == (MONEY - 2 * BOND + STAKE // 4, 2 * BOND)
    assert after[SUBMITTER] == (MONEY + STAKE // 4, 0)
    assert int(court.look("vault", "burned")) == STAKE // 2
    second.doubter.hear(court.heard[second.cursor])
    leave = second.doubter.timeout(court.now, fallen=True)
    assert leave is not None
    court.send(THIRD, leave)
    assert money(court)[CHALLENGER] == (MONEY + STAKE // 4, 0)
    assert kept(court) == total
    assert court.look("market", "games") == 0


def test_a_false_challenge_pays_the_honest_solver_and_costs_it_nothing() -> None:
    court = court_of(8)
    toy = small(9, 2)
    match = begun(court, Run(toy, (Lie(3, 3, 590),)), Run(toy))
    match.play()
    match.judged(right_and_wrong(match)[0])
    after = money(court)
    assert after[SOLVER] == (MONEY - STAKE + BOND // 2, STAKE)
    assert after[CHALLENGER] == (MONEY - BOND, 0)
    assert int(court.look("vault", "burned")) == BOND - BOND // 2
    assert kept(court) == 4 * MONEY


class Steps:
    """Words of a random course of games about two receipts."""

    words = st.lists(
        st.tuples(
            st.sampled_from(["announce", "open", "win", "lose", "withdraw"]),
            st.integers(0, 5),
            st.integers(0, 1),
        ),
        max_size=25,
    )


@given(Steps.words)
def test_the_docks_lose_no_bond_and_fell_a_receipt_once(
    course: list[tuple[str, int, int]],
) -> None:
    docks, locked, back, fallen = Docks(BOND), 0, 0, 0
    for now, (what, game, receipt) in enumerate(course):
        name = bytes([game])
        try:
            if what == "announce":
                docks = docks.announce(name, now)
            elif what == "open":
                due = docks.bond_due(bytes([receipt]))
                docks = docks.open(
                    name, bytes([receipt]), challenger=CHALLENGER, solver=SOLVER, now=now
                )
                locked += due
            elif name in docks.games:
                if what == "withdraw":
                    docks, paid = docks.withdraw(name)
                else:
                    docks, paid = docks.end(name, challenger_won=what == "win")
                assert paid.burned * 2 >= paid.burned + paid.to_solver
                back += paid.freed + paid.to_solver + paid.burned
                fallen += paid.convicted
        except CourtRefused:
            continue
    open_bonds = sum(game.bond for game in docks.games.values())
    assert locked == back + open_bonds
    assert fallen == sum(it.fallen for it in docks.standings.values())


def test_a_case_is_about_the_state_that_the_receipt_names() -> None:
    toy = small()
    terms = Run(toy).terms()
    with pytest.raises(AssertionError, match="another state"):
        Case(terms, Run(toy).states([1])[0], b"", {})
