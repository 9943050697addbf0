"""Hostile and mutated Programs, job files, messages, receipts, updates, manifests and data files.

`cases` inputs are tried; a `crash` is any exception that is not one of Skerry's own refusals. Every
accepted Program is also priced, printed and (where small) run; every data file is prepared from
beginning to end, which takes long, so these come up once in `FILES_EVERY` turns.
"""

from __future__ import annotations

import itertools
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks.fuzz_files import file_seeds
from benchmarks.measure import Note
from skerry.base.chance import Chance
from skerry.base.errors import SkerryError
from skerry.dataset import manifest
from skerry.exact import Backend, compile_program
from skerry.job import parse_job
from skerry.messages.disputes import Open, Pick, RevealRoots
from skerry.messages.receipts import Cost, DataSlice, Receipt, Unit, UnitId
from skerry.messages.wire import decode, encode
from skerry.program import F32, Builder, Limits, Program, check, cost, from_bytes, to_bytes, to_text
from skerry.train import (
    LevelShape,
    UpdateShape,
    pack_levels,
    pack_update,
    unpack_levels,
    unpack_update,
)

RUN_LIMITS = Limits(nodes_max=4096, elements_max=1 << 16, bytes_peak_max=1 << 22,
                    operations_max=1 << 24)  # fmt: skip
FILES_EVERY = 8
JOB = """
name = "fuzz"
output_dir = "runs/fuzz"
[model]
example = "gpt"
arguments = { width = 32, layers = 2 }
[data]
dataset_name = "kjv"
sequence_length = 64
[train]
max_steps = 120
learning_rate = 3e-3
[rounds]
lanes = 4
local_steps = 30
codec = "topk"
"""


def seed_program() -> Program:
    """Return a Program that uses every family of ops."""
    b = Builder("fuzz")
    x = b.input("x", "data", F32, (4, 6))
    w = b.input("w", "state", F32, (3, 6))
    seed = b.input("seed", "chance", "i64", ())
    y = b.matmul(x, w)
    keep = b.each("lt", b.uniform(seed, 0, (4, 3)), 0.5)
    y = b.select(keep, b.each("exp", y), b.each("tanh", y))
    top = b.node("topk", (y,), k=2)
    rows = b.take(b.reshape(y, (12,)), top)
    padded = b.pad(rows, (0, 1), (1, 0))
    windows = b.window(padded, 1, 2)
    b.output("sum", b.sum_f32(windows, (0, 2)), "metric")
    b.output("count", b.node("scatter_add", (b.reshape(top, (8,)), b.reshape(top, (8,))), size=3))
    b.output("w", b.mul(w, 0.5), "state")
    return b.build()


def mutations(seed: bytes, chance: Chance) -> Iterator[bytes]:
    """Yield `seed` with a few bytes changed, inserted, dropped, repeated or cut off."""
    turn = 0
    while True:
        draws = chance.fork(turn).seed
        turn += 1
        data = bytearray(seed)
        for at in range(1 + draws[0] % 4):
            place = int.from_bytes(draws[1 + 5 * at : 4 + 5 * at], "little") % max(len(data), 1)
            value = draws[4 + 5 * at]
            match draws[5 + 5 * at] % 5:
                case 0:
                    data[place : place + 1] = bytes([value])
                case 1:
                    data[place:place] = bytes([value] * (1 + value % 9))
                case 2:
                    del data[place : place + 1 + value % 9]
                case 3:
                    data[place:place] = data[place : place + 1 + value % 31]
                case _:
                    data[place : place + 1] = bytes([data[place] ^ 1 << value % 8] if data else [])
        yield bytes(data[: len(data) - draws[31] % 3] if draws[30] % 4 == 0 else data)


def try_program(data: bytes) -> None:
    """Read, check, price, print and run a Program from outside."""
    program = from_bytes(data)
    check(program, RUN_LIMITS)
    cost(program)
    to_text(program)
    kinds = {"f32": torch.float32, "i64": torch.int64, "bool": torch.bool}
    inputs = {
        port.name: torch.ones(port.type.shape, dtype=kinds[port.type.dtype])
        for port in program.inputs
    }
    backends: tuple[Backend, ...] = ("torch", "native")
    for backend in backends:
        compile_program(program, backend).run(inputs)


def try_job(data: bytes) -> None:
    """Parse a job file from outside."""
    parse_job(data.decode("utf-8", "replace"))


def seeds() -> dict[str, tuple[bytes, Callable[[bytes], object]]]:
    """Return for each kind a good input and what reads it."""
    a, b = bytes([1] * 32), bytes([2] * 32)
    unit = Unit(
        id=UnitId(a, 3, 1), program=b, state=a, step_from=64, steps=8, segments=2, seed=-7,
        data=DataSlice(a, b, (0, 2)), given=(("grads", a), ("params", b)),
    )  # fmt: skip
    receipt = Receipt(
        unit=unit, segments=(a, b), outputs=(("loss", a),), cost=Cost(1 << 40, 1 << 33), signer=a
    )
    shape = UpdateShape(chunks=2, width=4096, kept=3)
    update = pack_update(
        shape,
        struct.pack("<6q", 1, 5, 9, 0, 2, 4095),
        struct.pack("<6q", 1, -1, 1, 1, 1, -1),
        struct.pack("<2f", 1.0, 0.5),
    )
    flat = LevelShape(levels=40, scales=2)
    levels = pack_levels(
        flat,
        struct.pack("<40q", *[0, 0, 1, 0, -2, 0, 0, 7] * 5),
        struct.pack("<2f", 1.0, 0.5),
    )
    return {
        "program": (to_bytes(seed_program()), try_program),
        "job": (JOB.encode(), try_job),
        "receipt": (encode(receipt), decode),
        "message": (encode(RevealRoots(a, 1, (a, b))), decode),
        "open": (encode(Open(a, segment=1)), decode),
        "pick": (encode(Pick(a, 2, 5)), decode),
        "update": (update, lambda data: unpack_update(shape, data)),
        "levels": (levels, lambda data: unpack_levels(flat, data)),
        "manifest": (example_manifest(), manifest.decode),
    }


def example_manifest() -> bytes:
    """Return the canonical bytes of a small sound manifest."""
    sample = manifest.sample_leaf(bytes(8))
    file = manifest.SampleFile(digest="0" * 64, samples_root=sample.hex())
    split = manifest.Split(
        name="train", samples=1, records=1, files=(file,),
        samples_root=manifest.samples_root([sample], 1, 4).hex(),
    )  # fmt: skip
    return manifest.encode(
        manifest.Manifest(
            kind="table", name="fuzz", licence="", seed=0, config_digest="0" * 64,
            split_by="none", fields=(manifest.Field(name="features", dtype="f32", shape=(2,)),),
            samples_per_file=4, splits=(split,), sources=(), records_read=1,
        )
    )  # fmt: skip


def run(*, quick: bool, note: Note) -> dict[str, Any]:
    """Try mutations of every kind in turn."""
    deadline = time.perf_counter() + (40 if quick else 3600)
    wanted = 20_000 if quick else 120_000
    tried, accepted, crashes = Counter[str](), Counter[str](), list[str]()
    with file_seeds() as files:
        kinds = seeds() | files
        streams = {
            name: mutations(seed, Chance.from_int(7).fork(name))
            for name, (seed, _) in kinds.items()
        }
        for turn in itertools.count():
            if tried.total() >= wanted or time.perf_counter() > deadline:
                break
            for name, (_, read) in kinds.items():
                if name in files and turn % FILES_EVERY:
                    continue
                data = next(streams[name])
                tried[name] += 1
                try:
                    read(data)
                    accepted[name] += 1
                except SkerryError:
                    continue
                except Exception as error:
                    crashes.append(f"{name}: {type(error).__name__}: {error} on {data.hex()}")
                    note(crashes[-1][:300])
    return {
        "cases": tried.total(), "crashes": len(crashes), "tried": dict(tried),
        "accepted": dict(accepted), "first_crashes": crashes[:3],
    }  # fmt: skip
