"""A message has one spelling, and whatever else arrives is refused by name."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry.messages.boards import BoardNews, BoardWant, ManifestTold, ManifestWant
from skerry.messages.disputes import Open, Pick, RevealLeaf, RevealRoots, RevealTrace
from skerry.messages.market import MarketClaim, MarketOffer, MarketWord
from skerry.messages.receipts import Cost, DataSlice, Receipt, Unit, UnitId
from skerry.messages.wire import (
    MESSAGE_BYTES_MAX,
    Message,
    MessageError,
    MessageMalformed,
    MessageNotCanonical,
    MessageTooLong,
    MessageUnexpected,
    decode,
    decode_as,
    encode,
)

A, B, C = (bytes([at] * 32) for at in (1, 2, 3))
UNIT = Unit(
    id=UnitId(A, 3, 1),
    program=B,
    state=C,
    step_from=64,
    steps=8,
    segments=2,
    seed=-7,
    data=DataSlice(A, B, (0, 2)),
    given=(("grads", A), ("params", B)),
)
RECEIPT = Receipt(
    unit=UNIT, segments=(A, B), outputs=(("loss", C),), cost=Cost(1 << 40, 1 << 33), signer=A
)
MESSAGES: list[Message] = [
    UNIT,
    RECEIPT,
    Open(A, segment=1),
    Open(A, output="loss"),
    Pick(A, 2, 5),
    RevealRoots(A, 1, (A, B, C)),
    RevealTrace(A, 1, B, (), (A, B)),
    RevealLeaf(A, 1, b"1234"),
    MarketOffer(
        node=A[:20], role=1, capability=2, lanes=0, price=A[:12], stake=B[:12], expires=9,
        seconds=8, nonce=7, secret=C, signature=A + B,
    ),
    MarketClaim(job=A, round=3, lane=1, receipt=B, signature=B + C),
    MarketWord(job=A, epoch=0, round=3, record=B, signature=B + C),
    BoardWant(A[:8], 7),
    BoardNews(A[:8], 9, (MarketWord(job=A, epoch=0, round=3, record=B, signature=B + C),)),
    ManifestWant(),
    ManifestTold(b"{}"),
]  # fmt: skip
each_message = pytest.mark.parametrize("message", MESSAGES, ids=lambda it: type(it).__name__)


def spelled(tag: str, **fields: object) -> bytes:
    """Return a map in any spelling that one likes."""
    return msgspec.msgpack.encode({"type": tag, **fields})


@each_message
def test_a_message_comes_back_as_it_went(message: Message) -> None:
    assert decode(encode(message)) == message
    assert decode(memoryview(encode(message))) == message


@each_message
def test_every_cut_of_a_message_is_refused(message: Message) -> None:
    data = encode(message)
    for length in range(len(data)):
        with pytest.raises(MessageMalformed):
            decode(data[:length])
    with pytest.raises(MessageMalformed):
        decode(data + b"\x00")


@settings(max_examples=400)
@given(st.binary(max_size=200))
def test_noise_only_raises_the_declared_error(data: bytes) -> None:
    with pytest.raises(MessageError):
        decode(data)


@settings(max_examples=400)
@given(
    st.sampled_from(MESSAGES),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(0, 10_000),
    st.binary(max_size=6),
)
def test_a_mutated_message_is_refused_or_means_what_it_spells(
    message: Message, changes: list[tuple[int, int]], at: int, inserted: bytes
) -> None:
    data = bytearray(encode(message))
    for place, byte in changes:
        data[place % len(data)] = byte
    data[at % len(data) : at % len(data)] = inserted
    with contextlib.suppress(MessageError):
        assert encode(decode(bytes(data))) == data


def test_a_message_that_is_too_long_is_refused_unread() -> None:
    with pytest.raises(MessageTooLong):
        decode(bytes(MESSAGE_BYTES_MAX + 1))
    with pytest.raises(MessageTooLong):
        decode(encode(UNIT), bytes_max=10)


@pytest.mark.parametrize(
    "data",
    [
        encode(MESSAGES[4]).replace(b"\x02", b"\xcc\x02"),  # a longer form of the same integer
        spelled("pick/1", game=A, choice=5, turn=2),  # another order
        spelled("open/1", game=A, output="loss"),  # a default left out
        encode(MESSAGES[4]).replace(b"\x84", b"\x85") + b"\xa6choice\x05",  # a key twice
    ],
    ids=["longer", "reordered", "shorter", "twice"],
)
def test_a_second_spelling_is_refused(data: bytes) -> None:
    with pytest.raises(MessageNotCanonical):
        decode(data)


@pytest.mark.parametrize(
    "data",
    [
        spelled("pick/2", game=A, turn=2, choice=5),
        spelled("pick/1", game=A, turn=2, choice=5, more=1),
        spelled("pick/1", game=A[1:], turn=2, choice=5),
        spelled("pick/1", game=A, turn=-1, choice=5),
        spelled("pick/1", game=A, turn=1 << 63, choice=5),
        spelled("pick/1", game=A, turn=2.0, choice=5),
        spelled("pick/1", game=A, turn=True, choice=5),
        spelled("pick/1", game="x" * 32, turn=2, choice=5),
        spelled("open/1", game=A, segment=1, output="loss"),
        spelled("open/1", game=A, segment=None, output=None),
        spelled("reveal-roots/1", game=A, turn=1, roots=[A] * 65),
        spelled("reveal-leaf/1", game=A, turn=1, data=bytes(4097)),
        b"\x82\xa4\xff\xff\xff\xff",
        b"\xa4pick",
        b"\xdd\xff\xff\xff\xff",
        b"\x85\xa4type\xaereveal-roots/1\xa5roots\xdd\xff\xff\xff\xff",
        b"\x82\xa1y" + b"\x91" * 100_000 + b"\x01\xa4type\xa6pick/1",
    ],
)
def test_what_breaks_a_rule_is_refused(data: bytes) -> None:
    with pytest.raises(MessageMalformed):
        decode(data)


def test_a_sound_message_of_another_kind_is_refused() -> None:
    assert decode_as(Unit, encode(UNIT)) == UNIT
    with pytest.raises(MessageUnexpected, match="it is a Unit, not a Receipt"):
        decode_as(Receipt, encode(UNIT))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"segments": 9}, "more segments than steps"),
        ({"given": (("b", A), ("a", A))}, "given must ascend"),
        ({"given": (("a", A), ("a", A))}, "given must ascend"),
    ],
)
def test_a_unit_that_contradicts_itself_is_refused(change: dict[str, object], reason: str) -> None:
    fields = {**msgspec.structs.asdict(UNIT), **change}
    with pytest.raises(ValueError, match=reason):
        Unit(**fields)
    with pytest.raises(MessageMalformed, match=reason):
        decode(spelled("unit/1", **fields))


def test_a_data_slice_names_each_shard_once() -> None:
    with pytest.raises(ValueError, match="shards must ascend"):
        DataSlice(A, B, (1, 1))


def test_a_receipt_answers_its_unit() -> None:
    assert (RECEIPT.state_before, RECEIPT.state_after) == (C, B)
    with pytest.raises(ValueError, match="one state root for each segment"):
        msgspec.structs.replace(RECEIPT, segments=(A,))
    with pytest.raises(ValueError, match="outputs must ascend"):
        msgspec.structs.replace(RECEIPT, outputs=(("b", A), ("a", A)))
