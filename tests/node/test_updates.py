"""What every codec's encode sends reaches its merge as it was, through bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skerry.base.errors import PeerError
from skerry.exact import compile_program
from skerry.node.updates import UpdateCodec
from skerry.program import Layout
from skerry.train import Codec, bytes_expected, encode_program, merge_program
from skerry.train.codec import CodecKind

LAYOUT = Layout.of({"table": (60, 8), "bias": (8,)})
KINDS: tuple[CodecKind, ...] = ("quantised", "lowrank", "topk", "none")


@pytest.mark.parametrize("kind", KINDS)
def test_updates_of_two_lanes_reach_the_merge_as_they_were_sent(kind: CodecKind) -> None:
    codec = Codec(kind=kind, chunk=64, topk=8)
    encode = encode_program(codec, LAYOUT)
    wire, run = UpdateCodec(encode), compile_program(encode, "torch").run
    draw = np.random.default_rng(1).standard_normal((4, LAYOUT.elements)).astype(np.float32)
    start_P, zero_P = torch.from_numpy(draw[0]), torch.zeros(LAYOUT.elements)
    ports = {port.name for port in encode.inputs}
    sent = []
    for row in draw[1:3]:
        given = {"start": start_P, "params": torch.from_numpy(row), "residual": zero_P}
        made = run({name: value for name, value in given.items() if name in ports})
        sent.append({name: made[name] for name in wire.types})
    updates = [wire.pack(values) for values in sent]
    assert max(map(len, updates)) <= 1.1 * bytes_expected(codec, LAYOUT)
    stacked = wire.stack(updates)
    for name, value in stacked.items():
        assert torch.equal(value, torch.stack([values[name] for values in sent]))
    merged = compile_program(merge_program(codec, LAYOUT, 2), "torch").run(
        {"params": start_P, **stacked}
    )
    assert torch.isfinite(merged["params"]).all()
    for wrong in (updates[0][:-1], updates[0] + b"\0", b""):
        with pytest.raises(PeerError):
            wire.unpack(wrong)
