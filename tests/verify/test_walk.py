"""The walk finds the planted lie, whatever the run's shape, and no move of a liar escapes it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.base.digests import merkle_levels, merkle_root
from skerry.commit.tensors import leaf_count, leaf_digest, seal_tensor
from skerry.commit.transcript import segment_bounds, segment_of
from skerry.commit.trees import climb
from skerry.messages.disputes import (
    Ask,
    Open,
    Pick,
    Reveal,
    RevealLeaf,
    RevealRoots,
    RevealStep,
    RevealTrace,
)
from skerry.program import Node, Output, Port, Program
from skerry.verify import (
    CannotAnswer,
    Challenger,
    Finding,
    Forfeit,
    MoveRefused,
    NothingToDispute,
    Respondent,
    Terms,
    Wrong,
)
from skerry.verify.positions import Carried, Point
from tests.verify.toy import VECTOR, Lie, Played, Run, Toy, lies, play, small, toys

ROW = bytes([9] * 32)


def picks_max(toy: Toy, played: Played) -> int:
    """Return the most picks that the walk may take: ceil(log_k) per level, and one per reveal."""

    def levels(count: int) -> int:
        return next(turns for turns in range(99) if toy.arity**turns >= count)

    kinds = [node.type for node in toy.program.nodes]
    bounds = segment_bounds(toy.steps, toy.segments)
    stretch = max(stop - start for start, stop in pairwise(bounds))
    opening = played.asks[0]
    assert isinstance(opening, Open)
    entry = levels(len(toy.names)) if opening.output is None else levels(toy.steps) + 1
    inside = max(1, levels(len(kinds))) + levels(max(leaf_count(kind.shape) for kind in kinds)) + 1
    return levels(stretch) + entry + inside


@given(toys(), st.data())
def test_a_planted_lie_is_found_at_its_step_node_and_element(toy: Toy, data: st.DataObject) -> None:
    lie = data.draw(lies(toy))
    honest, liar = Run(toy), Run(toy, (lie,))
    played = play(liar.terms(), honest, liar)
    node = toy.program.nodes[lie.node]
    port = toy.program.inputs[node.integer("port")].name if node.op == "input" else None
    expected = Finding(
        segment=segment_of(toy.steps, toy.segments, lie.step),
        step=lie.step,
        node=lie.node,
        element=lie.element,
        op=node.op,
        name=port,
        claimed=liar.element(lie),
        own=honest.element(lie),
    )
    assert played.challenger.outcome == expected
    assert expected.wiring == (port is not None)
    assert len(played.asks) - 1 <= picks_max(toy, played)


@given(toys(), st.data())
def test_a_judge_without_a_run_ends_at_the_same_place(toy: Toy, data: st.DataObject) -> None:
    lie = data.draw(lies(toy))
    liar = Run(toy, (lie,))
    judge = play(liar.terms(), Run(toy), liar).judge
    assert judge.over
    at = judge.position
    assert isinstance(at, Point)
    assert (at.step, at.node, at.element) == (lie.step, lie.node, lie.element)
    assert at.claimed == liar.element(lie)


@given(toys(), st.data())
def test_of_two_lies_the_first_step_is_found(toy: Toy, data: st.DataObject) -> None:
    two = sorted((data.draw(lies(toy)), data.draw(lies(toy))), key=lambda it: it.step)
    liar = Run(toy, tuple(two) if two[0] != two[1] else (two[0],))
    outcome = play(liar.terms(), Run(toy), liar).challenger.outcome
    assert isinstance(outcome, Finding)
    assert (outcome.step, outcome.node, outcome.element) in {
        (lie.step, lie.node, lie.element) for lie in two
    }


@given(toys(), st.data())
def test_a_false_challenge_ends_where_the_respondent_is_right(
    toy: Toy, data: st.DataObject
) -> None:
    lie = data.draw(lies(toy))
    honest, false = Run(toy), Run(toy, (lie,))
    outcome = play(honest.terms(), false, honest).challenger.outcome
    assert isinstance(outcome, Finding)
    assert outcome.claimed == honest.element(lie)


@given(toys())
def test_there_is_nothing_to_dispute_in_a_true_receipt(toy: Toy) -> None:
    with pytest.raises(NothingToDispute):
        Challenger.open(Run(toy).terms(), Run(toy))


@pytest.mark.parametrize("arity", [2, 8, 64])
@pytest.mark.parametrize("step", range(1, 5))
def test_a_step_that_starts_from_an_older_state_is_found_at_its_input(
    step: int, arity: int
) -> None:
    toy = small(arity=arity)
    liar = Run(toy, stale=step)
    outcome = play(liar.terms(), Run(toy), liar).challenger.outcome
    assert isinstance(outcome, Finding)
    assert (outcome.step, outcome.op, outcome.name) == (step, "input", "params")
    assert outcome.wiring


@pytest.mark.parametrize("port", ["batch", "frozen", "params"])
def test_a_step_that_is_fed_something_else_is_found_at_its_input(port: str) -> None:
    toy = small()
    liar = Run(toy, slips={3: port})
    outcome = play(liar.terms(), Run(toy), liar).challenger.outcome
    assert isinstance(outcome, Finding)
    assert (outcome.step, outcome.op, outcome.name) == (3, "input", port)


@pytest.mark.parametrize("steps", [1, 5])
def test_an_entry_that_no_step_may_touch_is_found_by_its_name(steps: int) -> None:
    toy = small(steps, 1)
    liar, honest = Run(toy, repaints={steps - 1: "frozen"}), Run(toy)
    played = play(liar.terms(), honest, liar)
    outcome = played.challenger.outcome
    assert isinstance(outcome, Finding)
    assert (outcome.step, outcome.op, outcome.name) == (steps - 1, "carry", "frozen")
    assert (outcome.node, outcome.element, outcome.wiring) == (None, None, True)
    assert outcome.claimed != outcome.own
    assert isinstance(played.judge.position, Carried)


def lone(writes: bool) -> Toy:
    """Return a unit whose state is one tensor, which the Program may or may not write."""
    nodes = (Node("input", (), (("port", 0),), VECTOR),)
    outputs = (Output("only", "state", 0) if writes else Output("copy", "value", 0),)
    program = Program("lone", (Port("only", "state", VECTOR),), nodes, outputs)
    return Toy(program, 1, 1, carried=() if writes else ("only",))


def test_a_state_and_a_trace_of_one_entry_are_walked_too() -> None:
    toy, lie = lone(writes=True), Lie(0, 0, 599)
    liar = Run(toy, (lie,))
    outcome = play(liar.terms(), Run(toy), liar).challenger.outcome
    assert isinstance(outcome, Finding)
    assert (outcome.node, outcome.element) == (0, 599)


def test_a_lone_entry_that_was_repainted_is_decided_by_the_opening() -> None:
    toy = lone(writes=False)
    liar, honest = Run(toy, repaints={0: "only"}), Run(toy)
    challenger = Challenger.open(liar.terms(), honest)
    outcome = challenger.outcome
    assert isinstance(outcome, Finding)
    assert (outcome.op, outcome.name) == ("carry", "only")
    assert outcome.claimed == liar.transcript().segments[0]
    assert outcome.own == honest.transcript().segments[0]
    assert Respondent(liar.terms(), liar).tell(challenger.ask or Open(ROW, 0)).answer is None


def stateless(steps: int) -> Toy:
    """Return a unit that has no state at all."""
    nodes = (Node("input", (), (("port", 0),), VECTOR),)
    inputs = (Port("x", "given", VECTOR),)
    return Toy(Program("pure", inputs, nodes, (Output("y", "value", 0),)), steps, 1, carried=())


def with_segment(terms: Terms, at: int, root: bytes) -> Terms:
    """Return terms in which one segment's root is made up."""
    roots = list(terms.receipt.segments)
    roots[at] = root
    return replace(terms, receipt=msgspec.structs.replace(terms.receipt, segments=tuple(roots)))


def test_a_state_without_entries_has_one_root() -> None:
    toy = stateless(1)
    challenger = Challenger.open(with_segment(Run(toy).terms(), 0, ROW), Run(toy))
    assert isinstance(challenger.outcome, Forfeit)
    assert (challenger.outcome.wrong, challenger.ask) == (Wrong.STATE, None)


def test_a_state_without_entries_has_one_root_inside_a_segment_too() -> None:
    toy = stateless(4)
    terms = with_segment(Run(toy).terms(), 0, ROW)
    challenger = Challenger.open(terms, Run(toy))
    challenger = challenger.tell(RevealRoots(terms.game, 0, (ROW, ROW, ROW)))
    assert challenger.outcome == Forfeit(Wrong.STATE, "a state without entries has only one root")


def test_a_unit_without_state_is_walked_by_its_output() -> None:
    toy, lie = stateless(4), Lie(2, 0, 17)
    liar = Run(toy, (lie,))
    outcome = play(liar.terms(), Run(toy), liar).challenger.outcome
    assert isinstance(outcome, Finding)
    assert (outcome.step, outcome.element) == (2, 17)


@pytest.mark.parametrize("arity", [2, 8])
def test_a_lie_in_the_state_that_was_mended_in_the_receipt_is_found_by_its_output(
    arity: int,
) -> None:
    """The liar signs honest segments, so only an output shows what its steps really did."""
    toy, lie = small(9, 1, arity), Lie(3, 3, 44)
    honest, liar = Run(toy), Run(toy, (lie,))
    terms = liar.terms()
    mended = msgspec.structs.replace(terms.receipt, segments=honest.receipt().segments)
    played = play(replace(terms, receipt=mended), honest, liar)
    outcome = played.challenger.outcome
    assert isinstance(outcome, Finding)
    assert (outcome.step, outcome.node, outcome.element) == (3, 3, 44)
    assert played.asks[0] == Open(played.judge.terms.game, output="loss")


def test_outputs_that_are_not_the_programs_lose() -> None:
    toy = small()
    terms = Run(toy).terms()
    receipt = msgspec.structs.replace(terms.receipt, outputs=(("gain", ROW), ("loss", ROW)))
    outcome = Challenger.open(replace(terms, receipt=receipt), Run(toy)).outcome
    assert isinstance(outcome, Forfeit)
    assert outcome.wrong is Wrong.OUTPUT


@pytest.mark.parametrize("lie", [Lie(2, 4, 1), Lie(2, 3, 1)])
def test_silence_is_the_callers_to_judge(lie: Lie) -> None:
    toy = small()
    liar = Run(toy, (lie,))
    challenger = Challenger.open(liar.terms(), Run(toy)).forfeit("no reveal within 30 s")
    assert challenger.outcome == Forfeit(Wrong.SILENT, "no reveal within 30 s")
    assert challenger.ask is None
    respondent = Respondent(liar.terms(), liar).forfeit("no pick within 30 s")
    assert respondent.outcome == Forfeit(Wrong.SILENT, "no pick within 30 s")


def flipped(digest: bytes) -> bytes:
    return bytes([digest[0] ^ 1]) + digest[1:]


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"value": ROW}, Wrong.STATE),
        ({"path": ()}, Wrong.TRACE),
        ({"path": (ROW, ROW, ROW)}, Wrong.TRACE),
        ({"roots": (ROW,)}, Wrong.COUNT),
        ({"roots": (ROW, ROW, ROW, ROW, ROW)}, Wrong.TRACE),
    ],
)
def test_a_trace_is_held_to_the_state_that_was_claimed(
    change: dict[str, object], wrong: Wrong
) -> None:
    toy = small(1, 1)
    liar = Run(toy, (Lie(0, 3, 5),))
    terms = liar.terms()
    played = play(terms, Run(toy), liar)
    (shown,) = (it for it in played.reveals if isinstance(it, RevealTrace))
    challenger = answered(terms, Run(toy), liar, RevealTrace)
    assert lost(challenger, msgspec.structs.replace(shown, **change)) is wrong


def answered(terms: Terms, doubting: Run, answering: Run, kind: type[Reveal]) -> Challenger:
    """Return the challenger at the moment at which a reveal of `kind` is due."""
    challenger, respondent = Challenger.open(terms, doubting), Respondent(terms, answering)
    while True:
        assert challenger.ask is not None
        respondent = respondent.tell(challenger.ask)
        if isinstance(respondent.answer, kind):
            return challenger
        assert respondent.answer is not None
        challenger = challenger.tell(respondent.answer)


def lost(challenger: Challenger, reveal: Reveal) -> Wrong:
    """Return why `reveal` loses."""
    outcome = challenger.tell(reveal).outcome
    assert isinstance(outcome, Forfeit)
    return outcome.wrong


def test_a_leaf_is_held_to_the_value_that_was_claimed() -> None:
    toy, lie = small(), Lie(3, 3, 590)
    honest, liar = Run(toy), Run(toy, (lie,))
    challenger = answered(liar.terms(), honest, liar, RevealLeaf)
    game, data = challenger.terms.game, liar.leaf(3, 3, 1)
    turn = play(liar.terms(), honest, liar).reveals[-1].turn
    assert lost(challenger, RevealLeaf(game, turn, flipped(data))) is Wrong.LEAF
    assert lost(challenger, RevealLeaf(game, turn, honest.leaf(3, 3, 1))) is Wrong.LEAF
    assert lost(challenger, RevealLeaf(game, turn, data[:-4])) is Wrong.LEAF
    assert lost(challenger, RevealLeaf(game, turn + 1, data)) is Wrong.TURN
    assert lost(challenger, RevealLeaf(game, turn - 1, data)) is Wrong.TURN
    assert lost(challenger, RevealLeaf(ROW, turn, data)) is Wrong.GAME
    assert lost(challenger, RevealRoots(game, turn, (ROW,))) is Wrong.KIND
    assert isinstance(challenger.tell(RevealLeaf(game, turn, data)).outcome, Finding)


def test_a_leaf_of_another_length_loses_even_where_it_was_claimed() -> None:
    """The liar commits to a value with a leaf that no tensor of the type can have."""
    toy = stateless(1)
    leaves = [leaf_digest(bytes(2044)), leaf_digest(bytes(352))]
    claimed = seal_tensor("f32", VECTOR.shape, merkle_root(leaves))
    terms = Run(toy).terms()
    receipt = msgspec.structs.replace(terms.receipt, outputs=(("y", claimed),))
    challenger = Challenger.open(replace(terms, receipt=receipt), Run(toy))
    game = challenger.terms.game
    challenger = challenger.tell(RevealTrace(game, 0, claimed, (), (claimed,)))
    challenger = challenger.tell(RevealRoots(game, 1, tuple(leaves)))
    assert lost(challenger, RevealLeaf(game, 2, bytes(2044))) is Wrong.LEAF


def test_an_inner_node_of_the_trace_cannot_pose_as_a_value() -> None:
    """The liar claims as an output what is a root inside its trace, one level too high."""
    toy = small(1, 1)
    values = Run(toy).values(0)
    levels = merkle_levels(values)
    claimed = levels[1][0]  # above nodes 0 and 1, yet a path of two leads up from it as from 4
    terms = Run(toy).terms()
    receipt = msgspec.structs.replace(terms.receipt, outputs=(("loss", claimed),))
    challenger = Challenger.open(replace(terms, receipt=receipt), Run(toy))
    path = (levels[1][1], levels[2][1])
    assert climb(claimed, 4, path) == merkle_root(values)
    shown = RevealTrace(challenger.terms.game, 0, claimed, path, tuple(values))
    assert lost(challenger, shown) is Wrong.TRACE


@st.composite
def garbled(draw: st.DrawFn, reveal: Reveal) -> Reveal:
    """Draw something that is not what an honest respondent would have revealed."""
    game, turn = reveal.game, reveal.turn
    change = draw(st.sampled_from(["kind", "game", "turn", "longer", "shorter", "content"]))
    if change == "game":
        return msgspec.structs.replace(reveal, game=flipped(game))
    if change == "turn":
        return msgspec.structs.replace(reveal, turn=turn + draw(st.sampled_from([-1, 1])))
    if change == "kind":
        others: list[Reveal] = [
            RevealRoots(game, turn, (ROW,)),
            RevealTrace(game, turn, ROW, (), (ROW,)),
            RevealLeaf(game, turn, b"data"),
        ]
        return draw(st.sampled_from([it for it in others if type(it) is not type(reveal)]))
    if isinstance(reveal, RevealLeaf):
        data = reveal.data
        other = {"longer": data + b"\0", "shorter": data[:-1], "content": flipped(data)}
        return RevealLeaf(game, turn, other[change])
    roots = reveal.roots
    at = draw(st.integers(0, len(roots) - 1))
    changed = (*roots[:at], flipped(roots[at]), *roots[at + 1 :])
    row = {"longer": (*roots, ROW), "shorter": roots[:-1], "content": changed}[change]
    if isinstance(reveal, RevealRoots):
        return RevealRoots(game, turn, row)
    if isinstance(reveal, RevealStep):
        before = reveal.before and flipped(reveal.before)
        others = [
            RevealStep(game, turn, reveal.before, row),
            RevealStep(game, turn, before, roots),
            RevealStep(game, turn, None if reveal.before else ROW, roots),
        ]
        return draw(st.sampled_from(others))
    path = reveal.path
    others = [
        RevealTrace(game, turn, reveal.value, path, row),
        RevealTrace(game, turn, flipped(reveal.value), path, roots),
        RevealTrace(game, turn, reveal.value, (*path, ROW), roots),
        RevealTrace(game, turn, reveal.value, path[:-1], roots),
        RevealTrace(game, turn, reveal.value, tuple(map(flipped, path)), roots),
    ]
    return draw(st.sampled_from(others))


@given(toys(), st.data())
def test_garbage_loses_or_changes_nothing(toy: Toy, data: st.DataObject) -> None:
    lie = data.draw(lies(toy))
    liar = Run(toy, (lie,))
    terms = liar.terms()
    turns = len(play(terms, Run(toy), liar).reveals)
    garbage_turn = data.draw(st.integers(0, turns - 1))
    challenger, respondent = Challenger.open(terms, Run(toy)), Respondent(terms, liar)
    while challenger.outcome is None:
        assert challenger.ask is not None
        respondent = respondent.tell(challenger.ask)
        if respondent.outcome or respondent.answer is None:
            # The two no longer hold the same game, and the liar has no reveal that fits.
            challenger = challenger.forfeit("no reveal that fits")
            break
        reveal = respondent.answer
        if reveal.turn == garbage_turn:
            reveal = data.draw(garbled(reveal))
        challenger = challenger.tell(reveal)
    outcome = challenger.outcome
    if isinstance(outcome, Finding):
        assert (outcome.step, outcome.node, outcome.element) == (lie.step, lie.node, lie.element)
        assert outcome.claimed == liar.element(lie)
    else:
        assert isinstance(outcome, Forfeit)


@given(toys(), st.data())
def test_a_hostile_challenger_meets_a_refusal_or_an_answer(toy: Toy, data: st.DataObject) -> None:
    honest = Run(toy)
    terms = honest.terms()
    opens: st.SearchStrategy[Ask] = st.one_of(
        st.builds(Open, st.just(terms.game), segment=st.integers(0, toy.segments)),
        st.builds(Open, st.just(terms.game), output=st.sampled_from(["loss", "copy", "no"])),
        st.builds(Open, st.just(ROW), segment=st.just(0)),
    )
    respondent = Respondent(terms, honest).tell(data.draw(opens))
    while respondent.outcome is None and respondent.answer is not None:
        turn = respondent.answer.turn + data.draw(st.sampled_from([1, 1, 1, 0, 2]))
        pick = Pick(terms.game, turn, data.draw(st.integers(0, 3)))
        respondent = respondent.tell(pick)
    assert respondent.answer is None


@pytest.mark.parametrize(
    ("asks", "wrong"),
    [
        ([Pick(ROW, 1, 0)], Wrong.TURN),
        ([Open(ROW, segment=0)], Wrong.GAME),
        ([Open(b"", segment=2)], Wrong.CHOICE),
        ([Open(b"", output="gain")], Wrong.OUTPUT),
        ([Open(b"", segment=0), Open(b"", segment=0)], Wrong.TURN),
        ([Open(b"", segment=0), Pick(ROW, 1, 0)], Wrong.GAME),
        ([Open(b"", segment=0), Pick(b"", 2, 0)], Wrong.TURN),
        ([Open(b"", segment=0), Pick(b"", 1, 2)], Wrong.CHOICE),
    ],
)
def test_a_challenger_that_breaks_a_rule_loses(asks: list[Ask], wrong: Wrong) -> None:
    respondent = Respondent(Run(small()).terms(), Run(small()))
    for ask in asks:
        due = ask if ask.game else msgspec.structs.replace(ask, game=respondent.terms.game)
        respondent = respondent.tell(due)
    assert isinstance(respondent.outcome, Forfeit)
    assert respondent.outcome.wrong is wrong


def test_a_respondent_whose_run_does_not_back_its_receipt_says_so() -> None:
    toy = small(1, 1)
    terms = Run(toy, (Lie(0, 3, 5),)).terms()
    with pytest.raises(CannotAnswer, match="do not join"):
        Respondent(terms, Run(toy)).tell(Open(terms.game, segment=0))


def test_only_the_respondent_reveals_and_only_once() -> None:
    toy = small()
    liar = Run(toy, (Lie(1, 3, 5),))
    played = play(liar.terms(), Run(toy), liar)
    with pytest.raises(MoveRefused, match="not due"):
        played.judge.reveal(played.reveals[-1])


@pytest.mark.parametrize("arity", [0, 1, 3, 12, 128])
def test_an_arity_must_be_a_power_of_two(arity: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        replace(Run(small()).terms(), arity=arity)


def test_a_challenger_whose_own_run_contradicts_itself_blames_itself() -> None:
    toy = small(1, 1)
    liar, torn = Run(toy, (Lie(0, 3, 5),)), Run(toy)
    challenger, respondent = Challenger.open(liar.terms(), torn), Respondent(liar.terms(), liar)
    torn.history[1]["params"] = liar.history[1]["params"]
    assert challenger.ask is not None
    answer = respondent.tell(challenger.ask).answer
    assert answer is not None
    with pytest.raises(AssertionError, match="disagrees with itself"):
        challenger.tell(answer)
