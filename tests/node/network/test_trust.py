"""Whose signed records count after a job went back."""

from __future__ import annotations

import msgspec
import pytest

from skerry.messages.leased import FENCES, Assignment, NodeAddress, SignedRecord
from skerry.messages.rounds import RoundRecord
from skerry.node.network.trust import Trust, stays
from tests.node.small import local_job

OLD, NEW, STRANGER = (bytes([it]) * 32 for it in (1, 2, 3))
CONFIG = local_job(rounds=20).config


def said(signer: bytes, turn: int, number: int) -> SignedRecord:
    record = RoundRecord(job=CONFIG.job, round=number, state_before=OLD, lanes=(), state_after=OLD)
    return SignedRecord(signer=signer, fence=turn * FENCES + 3, record=record)


def test_a_round_counts_in_the_latest_turn_that_did_it() -> None:
    trust = Trust([NEW], (9, 4, 7), [OLD])
    assert [stays(trust.kept, turn) for turn in range(3)] == [4, 4, 7]
    good = [(OLD, 0, 3), (OLD, 1, 3), (OLD, 2, 6), (NEW, 3, 0), (NEW, 3, 19)]
    assert [trust.doubt(said(*it)) for it in good] == [None] * len(good)
    spoiled = [(OLD, 0, 4), (OLD, 1, 8), (OLD, 2, 7)]
    assert {trust.doubt(said(*it)) for it in spoiled} == {"it is of a round that is done again"}
    foreign = [(OLD, 3, 8), (NEW, 0, 3), (STRANGER, 0, 3), (STRANGER, 3, 8)]
    assert {trust.doubt(said(*it)) for it in foreign} == {"it is of another signer"}
    assert trust.doubt(said(NEW, 4, 0)) == "it is of a later turn of the job"


def test_a_job_that_never_went_back_knows_one_turn() -> None:
    trust = Trust([NEW])
    assert trust.stays == 0
    assert trust.doubt(said(NEW, 0, 5)) is None
    assert trust.doubt(said(OLD, 0, 5)) is not None
    assert trust.doubt(said(NEW, 1, 5)) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"kept": (20,)},
        {"kept": (3, 21)},
        {"earlier": (OLD,)},
        {"kept": (3,), "earlier": (NEW, OLD)},
    ],
)
def test_an_assignment_of_no_such_past_is_refused(changes: dict[str, object]) -> None:
    nodes = (NodeAddress(NEW, "new@"),)
    fine = Assignment(signer=NEW, config=CONFIG, programs=(), nodes=nodes)
    assert (fine.revision, Trust.of(fine).fences.start) == (0, 1)
    with pytest.raises(ValueError, match=r"ascend|round to do again|no earlier nodes"):
        msgspec.structs.replace(fine, **changes).__post_init__()
