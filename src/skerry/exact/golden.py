"""Golden vectors: for every op, operands and the one value they must give.

What    `golden_cases(op)` lists cases full of special numbers; the reference gives their values.
        `program_of(case)` makes a one-op Program of a case, so that any backend can be asked.
        `to_json` and `from_json` carry a page of cases: integers only, an f32 by its 32 bits.
Why     Somebody who writes another backend, or sells exact work on a new device, needs to know
        before the first dispute. The pages stand in tests/golden/ops; they are rewritten only
        on purpose and seen in review.
Rule    A Program admits a dot or a rescale only of integers that are provably small, and a port
        proves nothing. So those two ops read their integers through a quantise by 2^0, in limbs.
Pure    Integers and strings; the draws are named.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from torch import Tensor

from skerry.base.chance import Chance
from skerry.base.digests import digest
from skerry.exact.executable import Executable
from skerry.exact.golden_cases import CASES, Case
from skerry.exact.reference import evaluate, to_array, to_tensor
from skerry.exact.reference_shapes import Array
from skerry.program import OPS, Builder, Program, TensorType, Value
from skerry.program.graph import F32, I64, Node

_LIMB_BITS: Final = 18
_LIMB: Final = 1 << _LIMB_BITS
_WHOLE_MAX: Final = 1 << 23  # an f32 holds these as they are


class Golden(NamedTuple):
    """A case and its value."""

    case: Case
    output: TensorType
    elements: tuple[int, ...]


def golden_ops() -> tuple[str, ...]:
    """Return the ops that have a value of their own: all but `input`."""
    return tuple(op for op in OPS if op != "input")


def golden_cases(op: str) -> list[Golden]:
    """Return the cases of an op with the values that the reference gives."""
    found = []
    for case in CASES[op](Chance.from_int(0).fork("golden", op)):
        output = OPS[op].rule(case.types, dict(case.attrs))
        operands = [
            Array(kind.shape, list(elements))
            for kind, elements in zip(case.types, case.elements, strict=True)
        ]
        value = evaluate(Node(op, (), case.attrs, output), case.types, operands)
        found.append(Golden(case, output, tuple(value.elements)))
    return found


# ---- a case as a Program ------------------------------------------------------------------------


def program_of(golden: Golden) -> tuple[Program, dict[str, Tensor]]:
    """Return a Program whose output "value" is the op of the case, and its inputs."""
    builder, inputs = Builder("golden"), dict[str, Tensor]()
    case = golden.case
    reads = []
    for place, (kind, elements) in enumerate(zip(case.types, case.elements, strict=True)):
        name = f"x{place}"
        if case.op == "dot" or (case.op == "rescale" and place == 0):
            largest = max(map(abs, elements))
            reads.append(_small_integers(builder, inputs, name, kind, elements, largest))
            continue
        reads.append(builder.input(name, "data", kind.dtype, kind.shape))
        inputs[name] = to_tensor(Array(kind.shape, list(elements)), kind)
    builder.output("value", builder.node(case.op, reads, **dict(case.attrs)))
    return builder.build(), inputs


def _small_integers(
    builder: Builder,
    inputs: dict[str, Tensor],
    name: str,
    kind: TensorType,
    elements: Sequence[int],
    largest: int,
) -> Value:
    """Return given integers, of at most 2^52, as a value whose bound is provable."""
    total, scale = None, 1
    left = list(elements)
    while True:
        last = largest <= _WHOLE_MAX
        limbs = left if last else [(x + _LIMB // 2) % _LIMB - _LIMB // 2 for x in left]
        bits = max(2, (largest - 1).bit_length() + 1) if last else _LIMB_BITS
        port = f"{name}.{scale.bit_length() - 1}"
        x = builder.input(port, "data", F32, kind.shape)
        floats = [int.from_bytes(struct.pack("<f", limb), "little") for limb in limbs]
        inputs[port] = to_tensor(Array(kind.shape, floats), TensorType(F32, kind.shape))
        unit = builder.full(bits - 1, kind.shape, I64)  # x * 2^(bits - 1 - e) is x itself
        limb_value = builder.node("quantise", (x, unit), bits=bits)
        if scale > 1:
            limb_value = builder.mul(limb_value, builder.full(scale, kind.shape, I64))
        total = limb_value if total is None else builder.add(total, limb_value)
        if last:
            return total
        left = [(x - limb) // _LIMB for x, limb in zip(left, limbs, strict=True)]
        largest, scale = (largest + _LIMB // 2) // _LIMB, scale * _LIMB


def wrong_elements(golden: Golden, executable: Executable, inputs: Mapping[str, Tensor]) -> int:
    """Return how many elements of the value of a case an executable gets wrong."""
    got = to_array(executable.run(inputs)["value"].cpu())
    if got.shape != golden.output.shape:
        return golden.output.elements
    return sum(a != b for a, b in zip(got.elements, golden.elements, strict=True))


# ---- pages --------------------------------------------------------------------------------------


def _tensor_json(kind: TensorType, elements: Iterable[int]) -> dict[str, Any]:
    return {"dtype": kind.dtype, "shape": list(kind.shape), "elements": list(elements)}


def to_json(goldens: Sequence[Golden]) -> bytes:
    """Return a page: one case a line."""
    lines = []
    for golden in goldens:
        case = golden.case
        attrs = {k: v.hex() if isinstance(v, bytes) else v for k, v in case.attrs}
        row = {
            "attrs": attrs,
            "inputs": [_tensor_json(*pair) for pair in zip(case.types, case.elements, strict=True)],
            "output": _tensor_json(golden.output, golden.elements),
        }
        lines.append(msgspec.json.encode(row).decode())
    body = ",\n".join(lines)
    return f'{{"op":"{goldens[0].case.op}","cases":[\n{body}\n]}}\n'.encode()


def _tensor_of(row: dict[str, Any]) -> tuple[TensorType, tuple[int, ...]]:
    return TensorType(row["dtype"], tuple(row["shape"])), tuple(row["elements"])


def from_json(page: bytes) -> list[Golden]:
    """Return the cases of a page that `to_json` wrote."""
    read = msgspec.json.decode(page)
    found = []
    for row in read["cases"]:
        attrs = []
        for name in OPS[read["op"]].attrs:
            value = row["attrs"][name]
            if isinstance(value, list):
                value = tuple(value)
            attrs.append((name, bytes.fromhex(value) if isinstance(value, str) else value))
        operands = [_tensor_of(x) for x in row["inputs"]]
        case = Case(
            op=read["op"],
            attrs=tuple(attrs),
            types=tuple(kind for kind, _ in operands),
            elements=tuple(elements for _, elements in operands),
        )
        found.append(Golden(case, *_tensor_of(row["output"])))
    return found


def golden_digest() -> str:
    """Return the digest of all pages, as the reference on this machine gives them."""
    pages = [digest("exact.golden", to_json(golden_cases(op))) for op in golden_ops()]
    return digest("exact.golden", *pages).hex()


__all__ = [
    "Case",
    "Golden",
    "from_json",
    "golden_cases",
    "golden_digest",
    "golden_ops",
    "program_of",
    "to_json",
    "wrong_elements",
]
