"""A receipt is compared with a replay, and the first difference is named."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.commit.transcript import segment_bounds, segment_of
from skerry.verify import Reason, Verdict, verify
from skerry.verify.replay import compare
from tests.verify.toy import Lie, Run, Toy, lies, small, toys

A, B = bytes([1] * 32), bytes([2] * 32)


@given(toys(), st.data())
def test_a_receipt_is_equal_to_its_replay_and_to_no_other(toy: Toy, data: st.DataObject) -> None:
    honest = Run(toy).transcript()
    assert verify(Run(toy).receipt(), lambda unit: honest).equal
    lie = data.draw(lies(toy))
    verdict = verify(Run(toy, (lie,)).receipt(), lambda unit: honest)
    assert not verdict.equal
    if lie.node == len(toy.program.nodes) - 1:
        assert (verdict.reason, verdict.output) == (Reason.OUTPUT, "loss")
    else:
        assert verdict.reason is Reason.SEGMENT
        assert verdict.segment == segment_of(toy.steps, toy.segments, lie.step)
        assert verdict.replayed == honest.segments[verdict.segment]


def test_a_receipt_that_nobody_signed_is_not_replayed() -> None:
    receipt = msgspec.structs.replace(Run(small()).receipt(), segments=(A, B))
    verdict = verify(receipt, lambda unit: pytest.fail("replayed an unsigned receipt"))
    assert verdict == Verdict(Reason.SIGNATURE)


def test_each_reason_comes_with_what_both_sides_say() -> None:
    run = Run(small())
    receipt, replayed = run.receipt(), run.transcript()
    start, (loss,) = replayed.state_before, replayed.outputs
    sentences = {
        compare(receipt, replayed): "equal: every segment and every output has the same bits",
        compare(receipt, replace(replayed, state_before=A)): (
            f"the replay started from another state: the receipt says {start.hex()[:8]}, "
            "the replay 01010101"
        ),
        compare(receipt, replace(replayed, segments=(replayed.segments[0], A))): (
            f"the state after segment 1 differs: the receipt says "
            f"{replayed.segments[1].hex()[:8]}, the replay 01010101"
        ),
        compare(receipt, replace(replayed, outputs=(("loss", A),))): (
            f"output 'loss' differs: the receipt says {loss[1].hex()[:8]}, the replay 01010101"
        ),
        compare(receipt, replace(replayed, outputs=())): "only one side has an output 'loss'",
        compare(receipt, replace(replayed, outputs=(loss, ("more", A)))): (
            "only one side has an output 'more'"
        ),
        Verdict(Reason.SIGNATURE): "the receipt is not signed by its signer",
    }
    assert [str(verdict) for verdict in sentences] == list(sentences.values())
    assert {verdict.reason for verdict in sentences} == set(Reason)


def test_a_segment_before_the_lie_is_equal() -> None:
    toy = small(steps=7, segments=3)
    for step in range(7):
        verdict = verify(Run(toy, (Lie(step, 3, 0),)).receipt(), lambda unit: Run(toy).transcript())
        bounds = segment_bounds(7, 3)
        assert verdict.segment is not None
        assert bounds[verdict.segment] <= step < bounds[verdict.segment + 1]
