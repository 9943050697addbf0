"""Messages about blobs: within their limits, and of one spelling."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.messages.blobs import (
    BLOB_BYTES_MAX,
    BLOBS_ASKED_MAX,
    PART_BYTES,
    PART_MESSAGE_BYTES_MAX,
    BlobAsk,
    BlobGone,
    BlobHave,
    BlobPart,
    BlobWant,
)
from skerry.messages.wire import MessageError, MessageMalformed, decode, encode

A, B = bytes([1] * 32), bytes([2] * 32)
MESSAGES = [
    BlobAsk((A, B)),
    BlobHave((0, None, BLOB_BYTES_MAX)),
    BlobWant(A, 5),
    BlobPart(A, 5, b"bytes"),
    BlobGone(B, 0),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda it: type(it).__name__)
def test_a_message_comes_back_as_it_went_and_no_cut_of_it_does(
    message: BlobAsk | BlobHave | BlobWant | BlobPart | BlobGone,
) -> None:
    data = encode(message)
    assert decode(data) == message
    for length in range(len(data)):
        with pytest.raises(MessageMalformed):
            decode(data[:length])


def test_the_longest_part_fits_its_limit_and_no_longer_one_is_read() -> None:
    last = BLOB_BYTES_MAX // PART_BYTES - 1
    whole = encode(BlobPart(A, last, bytes(PART_BYTES)))
    assert len(whole) <= PART_MESSAGE_BYTES_MAX
    assert decode(whole, bytes_max=PART_MESSAGE_BYTES_MAX) == BlobPart(A, last, bytes(PART_BYTES))
    with pytest.raises(MessageMalformed):
        decode(encode(BlobPart(A, 0, bytes(PART_BYTES + 1))), bytes_max=PART_MESSAGE_BYTES_MAX)


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "blob-ask/1", "blobs": []},
        {"type": "blob-ask/1", "blobs": [A] * (BLOBS_ASKED_MAX + 1)},
        {"type": "blob-ask/1", "blobs": [A[1:]]},
        {"type": "blob-have/1", "sizes": [-1]},
        {"type": "blob-have/1", "sizes": [BLOB_BYTES_MAX + 1]},
        {"type": "blob-want/1", "blob": A, "part": -1},
        {"type": "blob-want/1", "blob": A, "part": BLOB_BYTES_MAX // PART_BYTES},
        {"type": "blob-part/1", "blob": A, "part": 0, "data": b""},
    ],
    ids=lambda fields: str(fields["type"]),
)
def test_what_breaks_a_limit_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(MessageMalformed):
        decode(msgspec.msgpack.encode(fields))


@given(
    st.sampled_from(MESSAGES),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_a_mutated_message_is_refused_or_means_what_it_spells(
    message: BlobAsk, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(encode(message))
    for place, byte in changes:
        data[place % len(data)] = byte
    with contextlib.suppress(MessageError):
        assert encode(decode(bytes(data))) == data
