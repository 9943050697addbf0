"""Commitments, receipts and signatures as published: another implementation must give these.

`python tests/commit/test_golden.py` writes the file anew; do so only when the rules change.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from skerry.base.digests import merkle_root
from skerry.commit import (
    check_leaf,
    open_leaf,
    open_state,
    segment_bounds,
    state_root,
    tensor_digest,
    trace_root,
    write_transcript,
)
from skerry.commit.reading import FieldPlace, Reading
from skerry.commit.state import state_leaf
from skerry.commit.tensors import ITEM_BYTES, leaf_digest, tensor_root
from skerry.messages.disputes import Open, Pick, RevealLeaf, RevealRoots, RevealTrace
from skerry.messages.receipts import Cost, DataSlice, Receipt, Unit, UnitId
from skerry.messages.signing import check_signature, sign, signed_digest, signer
from skerry.messages.wire import Message, decode_as, encode

GOLDEN = Path(__file__).parents[1] / "golden" / "commit.json"
TENSORS: list[tuple[str, tuple[int, ...], bytes]] = [
    ("f32", (), bytes.fromhex("0000803f")),
    ("f32", (3,), bytes.fromhex("0000803f00000080 0000c07f")),
    ("bool", (2, 2), bytes([1, 0, 0, 1])),
    ("i64", (2, 1), (-1).to_bytes(8, "little", signed=True) + (1 << 40).to_bytes(8, "little")),
    ("f32", (2, 513), bytes(at * 7 % 256 for at in range(2 * 513 * 4))),
    ("bool", (1300,), bytes(at % 3 == 0 for at in range(1300))),
]
KEY, SIGN = signer(bytes(range(32)))


def tensors() -> list[dict[str, Any]]:
    return [
        {
            "dtype": dtype,
            "shape": list(shape),
            "data": data.hex(),
            "leaf_0": leaf_digest(data[: min(512, shape[-1] if shape else 1) * ITEM_BYTES[dtype]]),
            "root": tensor_root(dtype, shape, data),
            "digest": tensor_digest(dtype, shape, data),
        }
        for dtype, shape, data in TENSORS
    ]


READING = Reading(
    shards=8,
    batch=16,
    shuffled=True,
    root=bytes(range(32)),
    count=1437,
    record_bytes=264,
    fields=(FieldPlace("features", 0, "f32"), FieldPlace("labels", 256, "i64")),
)


def receipt(names: list[bytes]) -> Receipt:
    written = write_transcript(
        state_root({}), [names[0], names[1]], {"loss": names[:3], "gain": names[1:4]}
    )
    unit = Unit(
        id=UnitId(names[5], 2, 1),
        program=names[4],
        state=written.state_before,
        step_from=96,
        steps=3,
        segments=2,
        seed=-5,
        data=DataSlice(names[3], READING.digest, (1, 3)),
        given=(("frozen", names[2]),),
    )
    unsigned = Receipt(
        unit=unit,
        segments=written.segments,
        outputs=written.outputs,
        cost=Cost(operations=1_000_000_007, bytes_moved=65_536),
        signer=KEY,
    )
    return sign(unsigned, SIGN)


def moves(names: list[bytes]) -> list[Message]:
    return [
        Open(names[0], segment=1),
        Open(names[0], output="loss"),
        Pick(names[0], 1, 3),
        RevealRoots(names[0], 0, (names[1], names[2])),
        RevealTrace(names[0], 2, names[1], (names[2],), (names[3], names[4])),
        RevealLeaf(names[0], 4, b"\x00\x00\x80\x3f"),
    ]


def vectors() -> dict[str, Any]:
    """Return everything that is published, from the code as it is."""
    names = [tensor_digest(*tensor) for tensor in TENSORS]
    state = {"params": names[0], "m": names[1], "step": names[2]}
    signed = receipt(names)
    return {
        "tensors": tensors(),
        "leaf_opening": {"tensor": 4, **asdict(open_leaf(*TENSORS[4], 2))},
        "merkle": [
            {"leaves": names[:count], "root": merkle_root(names[:count])} for count in range(7)
        ],
        "state": {
            "entries": state,
            "leaf_params": state_leaf("params", names[0]),
            "root": state_root(state),
            "empty_root": state_root({}),
            "opening": asdict(open_state(state, "params")),
        },
        "trace": {"values": names, "root": trace_root(names)},
        "segments": [
            {"steps": steps, "segments": count, "bounds": list(segment_bounds(steps, count))}
            for steps, count in [(1, 1), (8, 2), (7, 3), (10, 4)]
        ],
        "reading": {
            "digest": READING.digest,
            "fields": [asdict(READING.open_field(it.name)) for it in READING.fields],
            **{it: getattr(READING, it) for it in ("shards", "batch", "shuffled", "root", "count")},
            "record_bytes": READING.record_bytes,
        },
        "unit": encode(signed.unit),
        "receipt": {
            "seed": bytes(range(32)),
            "signer": KEY,
            "signed_digest": signed_digest(signed),
            "signature": signed.signature,
            "bytes": encode(signed),
        },
        "moves": [encode(move) for move in moves(names)],
    }


def written() -> str:
    return json.dumps(vectors(), indent=1, default=bytes.hex) + "\n"


def test_the_published_vectors_are_what_the_code_gives() -> None:
    assert GOLDEN.read_text() == written()


def test_the_published_receipt_is_read_and_its_signature_holds() -> None:
    published = json.loads(GOLDEN.read_text())["receipt"]
    read = decode_as(Receipt, bytes.fromhex(published["bytes"]))
    check_signature(read)
    assert signed_digest(read).hex() == published["signed_digest"]


def test_the_published_opening_shows_its_leaf() -> None:
    dtype, shape, data = TENSORS[4]
    opening = open_leaf(dtype, shape, data, 2)
    published = json.loads(GOLDEN.read_text())["leaf_opening"]
    assert published["path"] == [sibling.hex() for sibling in opening.path]
    assert check_leaf(tensor_digest(dtype, shape, data), dtype, shape, opening)


if __name__ == "__main__":
    GOLDEN.write_text(written())
