"""Where a step is doubted as a whole, the walk ends at the same places, sooner."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.messages.disputes import Open, RevealStep
from skerry.verify import Challenger, Finding, Forfeit, Terms, Wrong
from skerry.verify.positions import Mismatch, Point
from tests.verify.toy import Lie, Played, Run, Toy, lies, play, small, toys

ROW = bytes([9] * 32)


def whole(run: Run) -> Terms:
    """Return the terms of a dispute in which steps are doubted whole."""
    return replace(run.terms(), whole_steps=True)


def found(played: Played) -> Finding:
    """Return what the challenger found."""
    outcome = played.challenger.outcome
    assert isinstance(outcome, Finding)
    return outcome


@given(toys(), st.data())
def test_a_planted_lie_is_found_where_the_long_walk_finds_it(toy: Toy, data: st.DataObject) -> None:
    lie = data.draw(lies(toy))
    honest, liar = Run(toy), Run(toy, (lie,))
    short, long = play(whole(liar), honest, liar), play(liar.terms(), honest, liar)
    assert found(short) == found(long)
    assert len(short.asks) <= len(long.asks)
    assert isinstance(short.judge.position, Point)


def test_a_repainted_entry_does_not_follow_from_the_values() -> None:
    toy = small(5, 2)
    honest, liar = Run(toy), Run(toy, repaints={3: "frozen"})
    played = play(whole(liar), honest, liar)
    at = played.judge.position
    assert isinstance(at, Mismatch)
    assert (found(played).op, found(played).step, found(played).name) == ("left", 3, None)
    assert found(played).wiring
    assert (found(played).claimed, found(played).own != at.claimed) == (at.claimed, True)


def test_an_output_that_no_value_backs_does_not_follow() -> None:
    toy = small(1, 1)
    liar = Run(toy)
    terms = whole(liar)
    receipt = msgspec.structs.replace(terms.receipt, outputs=(("loss", ROW),))
    played = play(replace(terms, receipt=receipt), Run(toy), liar)
    assert isinstance(played.judge.position, Mismatch)
    assert (found(played).op, found(played).name, found(played).claimed) == ("left", "loss", ROW)


@pytest.mark.parametrize("arity", [2, 8])
def test_a_lie_before_a_doubted_output_leads_back_to_the_steps(arity: int) -> None:
    toy, lie = small(9, 1, arity), Lie(3, 3, 44)
    honest, liar = Run(toy), Run(toy, (lie,))
    terms = whole(liar)
    mended = msgspec.structs.replace(terms.receipt, segments=honest.receipt().segments)
    played = play(replace(terms, receipt=mended), honest, liar)
    assert (found(played).step, found(played).node, found(played).element) == (3, 3, 44)
    assert played.asks[0] == Open(played.judge.terms.game, output="loss")


def test_the_root_before_a_step_is_due_once_and_only_once() -> None:
    toy = small(5, 1)
    liar = Run(toy, (Lie(0, 3, 5),))
    terms = whole(liar)
    played = play(terms, Run(toy), liar)
    (shown,) = (it for it in played.reveals if isinstance(it, RevealStep))
    assert shown.before is None
    at = next(
        game
        for game in games(terms, played)
        if game.outcome is None and game.game and type(game.game.position).__name__ == "Step"
    )
    outcome = at.tell(msgspec.structs.replace(shown, before=ROW)).outcome
    assert isinstance(outcome, Forfeit)
    assert outcome.wrong is Wrong.STATE
    short = at.tell(msgspec.structs.replace(shown, roots=shown.roots[:-1])).outcome
    assert isinstance(short, Forfeit)
    assert short.wrong is Wrong.COUNT


def games(terms: Terms, played: Played) -> list[Challenger]:
    """Return the challenger before each reveal."""
    run = played.challenger.run
    found = [Challenger.open(terms, run)]
    for reveal in played.reveals[:-1]:
        found.append(found[-1].tell(reveal))
    return found
