"""The messages of a job's nodes have one spelling, and contradictions are refused."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.messages.leased import (
    Address,
    Assigned,
    Assignment,
    Chair,
    Closed,
    Committed,
    Contradiction,
    Follow,
    Holding,
    LeasedMessage,
    NodeAddress,
    Reached,
    SignedRecord,
)
from skerry.messages.rounds import LaneRecord, RoundRecord, RunConfig
from skerry.messages.signing import SignatureWrong, check_signature, sign, signer
from skerry.messages.wire import Message, MessageError, decode, encode

KEY, SIGN = signer(bytes(range(32)))
D = bytes(range(32))
CONFIG = RunConfig(
    exchange="local",
    rounds=3,
    local_steps=4,
    lanes=2,
    samples_per_shard=1,
    programs=(("encode", D), ("merge", D), ("step", D)),
)
WHERE: Address = "127.0.0.1:4433"
NODE = NodeAddress(KEY, WHERE)
RECORD = RoundRecord(job=D, round=3, state_before=D, lanes=(LaneRecord((), D, D),), state_after=D)
SIGNED = sign(SignedRecord(signer=KEY, fence=2, record=RECORD), SIGN)
HOLDING = sign(Holding(signer=KEY, job=D, round=3, blobs=(D,)), SIGN)
ASSIGNMENT = sign(
    Assignment(
        signer=KEY,
        config=CONFIG,
        programs=(("encode", D), ("merge", D), ("step", D)),
        files=(("manifest.json", D), ("train-00000.bin", D)),
        nodes=(NODE,),
        source=NODE,
    ),
    SIGN,
)
MESSAGES: list[Message] = [
    ASSIGNMENT,
    Assigned(D, 1),
    Chair(D, 2, KEY),
    Follow(D, 3),
    SIGNED,
    Contradiction(SIGNED, SIGNED),
    HOLDING,
    Committed(record=SIGNED, holders=((0, KEY),), holdings=(HOLDING,), told=(b"{}",)),
    Closed(signer=KEY, job=D, fence=2, kind="finished", rounds=3, state=D, round=3, root=D),
    Reached(D, 3),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_and_none_is_forgotten_here(message: Message) -> None:
    assert decode(encode(message)) == message
    assert {type(it) for it in MESSAGES} == set(LeasedMessage.__args__)


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


@pytest.mark.parametrize("message", [ASSIGNMENT, SIGNED, HOLDING], ids=lambda it: type(it).__name__)
def test_who_signed_is_beyond_doubt(message: Assignment | SignedRecord | Holding) -> None:
    check_signature(message)
    with pytest.raises(SignatureWrong):
        check_signature(msgspec.structs.replace(message, signer=signer(bytes(32))[0]))


@pytest.mark.parametrize(
    "change",
    [
        {"nodes": ()},
        {"nodes": (NODE, NODE)},
        {"files": (("../etc/passwd", D),)},
        {"files": (("model.py", D),)},
        {"holders": 17},
    ],
    ids=str,
)
def test_an_assignment_that_contradicts_itself_is_refused(change: dict[str, object]) -> None:
    with pytest.raises((ValueError, MessageError)):
        decode(encode(msgspec.structs.replace(ASSIGNMENT, **change)))
