"""The terms of a run refuse contradictions, and every message of a run has one spelling."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.messages.rounds import (
    Evaluate,
    Evaluated,
    Farewell,
    FromCoordinator,
    FromWorker,
    Hello,
    Join,
    LaneDone,
    Merge,
    RoundRecord,
    RunConfig,
    RunLane,
    Save,
    Saved,
    Spent,
    Standing,
    Supply,
    Trouble,
    Want,
    Welcome,
)
from skerry.messages.rounds import LaneRecord as Lane
from skerry.messages.wire import Message, MessageError, decode, encode

TERMS: dict[str, Any] = {
    "exchange": "local",
    "rounds": 3,
    "local_steps": 4,
    "lanes": 2,
    "samples_per_shard": 1,
    "segments": 2,
    "programs": (("encode", bytes(32)), ("merge", bytes(32)), ("step", bytes(32))),
}
D = bytes(range(32))
SPENT = Spent(1, 2, 3)
MESSAGES: list[Message] = [
    RunConfig(**TERMS),
    RunConfig(**{**TERMS, "merge_rounds": 3}),
    Hello(1, D, 77),
    Welcome(RunConfig(**TERMS)),
    Want((D,)),
    Supply((b"deflated",)),
    Join(3, 2, D, ((D, D),)),
    Join(0, 0, None),
    Standing(3, D),
    RunLane(3, 1, D),
    LaneDone(3, 1, b"update", None, (), -5, SPENT),
    LaneDone(3, 1, b"", D, (), -5, SPENT, (("params", D),), D),
    Merge(3, (b"one", b"")),
    Evaluate(3, 0, 2),
    Evaluated(3, 0, (("loss_sum", 1 << 62),), (("count", 9),), SPENT),
    Save(3),
    Saved(3, D),
    Trouble(3, "lane", 1, "node.storage", "the disk is full", "free some space"),
    Farewell("finished"),
    RoundRecord(job=D, round=3, state_before=D, lanes=(Lane((D,), D, D),), state_after=D),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_and_none_is_forgotten_here(message: Message) -> None:
    assert decode(encode(message)) == message
    kinds = {type(it) for it in MESSAGES}
    assert kinds >= {*FromCoordinator.__args__, *FromWorker.__args__}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
@given(st.data())
def test_a_changed_byte_is_refused_or_another_message(
    message: Message, data: st.DataObject
) -> None:
    whole = bytearray(encode(message))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    try:
        other = decode(bytes(whole))
    except MessageError:
        return
    assert other != message
    assert encode(other) == whole


@pytest.mark.parametrize(
    "change",
    [
        {"exchange": "every-step"},
        {"segments": 5},
        {"local_steps": 0},
        {"lanes": 0},
        {"lanes": 1 << 13},
        {"seed": 1 << 63},
        {"programs": (("step", bytes(32)), ("merge", bytes(32)))},
        {"programs": (("step", bytes(31)),)},
        {"data": b"short"},
        {"merge_rounds": 1},
        {"merge_rounds": 2},
        {"exchange": "every-step", "local_steps": 1, "segments": 1, "merge_rounds": 3},
    ],
    ids=str,
)
def test_terms_that_contradict_themselves_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises((ValueError, msgspec.ValidationError, MessageError)):
        decode(encode(RunConfig(**{**TERMS, **change})))


def test_the_digest_of_the_terms_names_the_run() -> None:
    names = {RunConfig(**TERMS).job, RunConfig(**TERMS).job, RunConfig(**{**TERMS, "seed": 1}).job}
    assert len(names) == 2


def test_control_messages_are_small() -> None:
    """Bytes sent are what a run over a home line is judged by."""
    for message in (Standing(9, D), RunLane(9, 3, D), Save(9), Saved(9, D), Evaluate(9, 0, 4)):
        assert len(encode(message)) < 100
