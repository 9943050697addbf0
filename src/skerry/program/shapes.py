"""Shape rules: the type of an op's value from the types of its inputs and its attributes.

What    One function an op family; each returns the TensorType or raises InvalidProgram with the
        sentence that says what does not fit.
Why     A Program from a stranger is checked by recomputing every type, so no backend ever meets an
        impossible node.
Pure    Integers only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from skerry.program.graph import (
    BOOL,
    DTYPES,
    F32,
    I64,
    Attr,
    DType,
    InvalidProgram,
    TensorType,
)

Types: TypeAlias = Sequence[TensorType]
Values: TypeAlias = Mapping[str, Attr]
Rule: TypeAlias = Callable[[Types, Values], TensorType]

RANK_MAX = 8
BITS_MAX = 41


def need(condition: bool, reason: str) -> None:
    """Raise InvalidProgram with `reason` unless `condition` holds."""
    if not condition:
        raise InvalidProgram(reason)


def _int(attrs: Values, name: str) -> int:
    value = attrs[name]
    need(isinstance(value, int), f"attribute {name} must be an integer")
    assert isinstance(value, int)
    return value


def _ints(attrs: Values, name: str) -> tuple[int, ...]:
    value = attrs[name]
    need(isinstance(value, tuple), f"attribute {name} must be a tuple of integers")
    assert isinstance(value, tuple)
    return value


def _axis(attrs: Values, rank: int, name: str = "axis") -> int:
    axis = _int(attrs, name)
    need(0 <= axis < rank, f"axis {axis} is outside rank {rank}")
    return axis


def _axes(attrs: Values, rank: int) -> tuple[int, ...]:
    axes = _ints(attrs, "axes")
    need(
        len(axes) > 0
        and all(0 <= axis < rank for axis in axes)
        and sorted(set(axes)) == list(axes),
        f"axes {axes} must be ascending, distinct and inside rank {rank}",
    )
    return axes


def check_shape(shape: Sequence[int], elements_max: int = 1 << 40) -> tuple[int, ...]:
    """Return `shape` as a tuple, or refuse it."""
    need(len(shape) <= RANK_MAX, f"rank {len(shape)} exceeds {RANK_MAX}")
    need(all(1 <= size <= elements_max for size in shape), f"shape {tuple(shape)} is out of range")
    need(math.prod(shape) <= elements_max, f"shape {tuple(shape)} has too many elements")
    return tuple(shape)


def elementwise(*allowed: DType) -> Rule:
    """Return the rule of an op whose inputs and value share one type out of `allowed`."""

    def rule(types: Types, attrs: Values) -> TensorType:
        first = types[0]
        need(first.dtype in allowed, f"{first} is not one of {', '.join(allowed)}")
        need(all(other == first for other in types), f"operands differ: {_list(types)}")
        return first

    return rule


def comparison(*allowed: DType) -> Rule:
    """Return the rule of an op from two equal types to bool."""
    same = elementwise(*allowed)

    def rule(types: Types, attrs: Values) -> TensorType:
        return TensorType(BOOL, same(types, attrs).shape)

    return rule


def select(types: Types, attrs: Values) -> TensorType:
    """Type the value of `select` with condition, a, b."""
    need(types[0].dtype == BOOL, "the condition of a select must be bool")
    need(types[1] == types[2], f"the branches of a select differ: {_list(types[1:])}")
    need(types[0].shape == types[1].shape, f"shapes differ: {_list(types)}")
    return types[1]


def cast(types: Types, attrs: Values) -> TensorType:
    """Type the value of `cast` with to."""
    return TensorType(dtype_of(attrs, "to"), types[0].shape)


def dtype_of(attrs: Values, name: str) -> DType:
    """Return the element type whose number in DTYPES an attribute holds."""
    code = _int(attrs, name)
    need(0 <= code < len(DTYPES), f"{code} is not an element type")
    return DTYPES[code]


def _list(types: Types) -> str:
    return ", ".join(map(str, types))


def filled(types: Types, attrs: Values) -> TensorType:
    """Type the value of `full` with value, dtype, shape."""
    dtype = dtype_of(attrs, "dtype")
    check_scalar(dtype, _int(attrs, "value"))
    return TensorType(dtype, check_shape(_ints(attrs, "shape")))


def check_scalar(dtype: DType, value: int) -> None:
    """Refuse an integer that is not the encoding of an element of `dtype`."""
    low, high = {F32: (0, (1 << 32) - 1), I64: (-(1 << 63), (1 << 63) - 1), BOOL: (0, 1)}[dtype]
    need(low <= value <= high, f"{value} does not encode a {dtype}")


def const(types: Types, attrs: Values) -> TensorType:
    """Type the value of `const` with data, dtype, shape."""
    result = TensorType(dtype_of(attrs, "dtype"), check_shape(_ints(attrs, "shape")))
    data = attrs["data"]
    need(isinstance(data, bytes), "attribute data must be bytes")
    assert isinstance(data, bytes)
    need(len(data) == result.size_bytes, f"{len(data)} bytes do not make a {result}")
    if result.dtype == BOOL:
        need(data.translate(None, b"\x00\x01") == b"", "a bool byte must be 0 or 1")
    return result


def iota(types: Types, attrs: Values) -> TensorType:
    """Type the value of `iota` with axis, shape."""
    shape = check_shape(_ints(attrs, "shape"))
    _axis(attrs, len(shape))
    return TensorType(I64, shape)


def uniform(types: Types, attrs: Values) -> TensorType:
    """Type the value of `uniform` with seed; stream, shape."""
    need(types[0] == TensorType(I64, ()), "the seed of uniform must be i64[]")
    need(0 <= _int(attrs, "stream") < 1 << 32, "a stream is a 32-bit number")
    return TensorType(F32, check_shape(_ints(attrs, "shape")))


def reshape(types: Types, attrs: Values) -> TensorType:
    """Type the value of `reshape` with shape."""
    shape = check_shape(_ints(attrs, "shape"))
    need(math.prod(shape) == types[0].elements, f"{types[0]} does not reshape to {shape}")
    return TensorType(types[0].dtype, shape)


def permute(types: Types, attrs: Values) -> TensorType:
    """Type the value of `permute` with axes; value axis i is input axis axes[i]."""
    axes = _ints(attrs, "axes")
    need(sorted(axes) == list(range(len(types[0].shape))), f"{axes} is no permutation")
    return TensorType(types[0].dtype, tuple(types[0].shape[axis] for axis in axes))


def expand(types: Types, attrs: Values) -> TensorType:
    """Type the value of `expand` with shape; dimensions of 1 are repeated."""
    shape, old = check_shape(_ints(attrs, "shape")), types[0].shape
    need(
        len(shape) == len(old) and all(a in (1, b) for a, b in zip(old, shape, strict=True)),
        f"{types[0]} does not expand to {shape}",
    )
    return TensorType(types[0].dtype, shape)


def slice_(types: Types, attrs: Values) -> TensorType:
    """Type the value of `slice` with starts, limits, strides."""
    starts, limits, strides = (_ints(attrs, name) for name in ("starts", "limits", "strides"))
    old = types[0].shape
    need(len(starts) == len(limits) == len(strides) == len(old), "slice needs one entry an axis")
    shape = []
    for start, limit, stride, size in zip(starts, limits, strides, old, strict=True):
        need(
            0 <= start < limit <= size and stride >= 1, f"slice {start}:{limit}:{stride} of {size}"
        )
        shape.append(-(-(limit - start) // stride))
    return TensorType(types[0].dtype, tuple(shape))


def window(types: Types, attrs: Values) -> TensorType:
    """Type the value of `window`; a new last axis runs inside each window."""
    old = types[0].shape
    axis = _axis(attrs, len(old))
    size, stride, dilation = (_int(attrs, name) for name in ("size", "stride", "dilation"))
    need(min(size, stride, dilation) >= 1, "size, stride and dilation must be at least 1")
    span = (size - 1) * dilation + 1
    need(span <= old[axis], f"a window of {span} does not fit {old[axis]}")
    count = (old[axis] - span) // stride + 1
    return TensorType(types[0].dtype, check_shape((*old[:axis], count, *old[axis + 1 :], size)))


def concat(types: Types, attrs: Values) -> TensorType:
    """Type the value of `concat` with axis."""
    first = types[0]
    axis = _axis(attrs, len(first.shape))
    for other in types:
        need(
            other.dtype == first.dtype
            and len(other.shape) == len(first.shape)
            and all(
                at == axis or a == b
                for at, (a, b) in enumerate(zip(other.shape, first.shape, strict=True))
            ),
            f"cannot join {_list(types)} along axis {axis}",
        )
    total = sum(other.shape[axis] for other in types)
    return TensorType(
        first.dtype, check_shape((*first.shape[:axis], total, *first.shape[axis + 1 :]))
    )


def pad(types: Types, attrs: Values) -> TensorType:
    """Type the value of `pad` with low, high, interior, value; negative low and high crop."""
    low, high, interior = (_ints(attrs, name) for name in ("low", "high", "interior"))
    old = types[0].shape
    need(len(low) == len(high) == len(interior) == len(old), "pad needs one entry an axis")
    need(all(gap >= 0 for gap in interior), "interior padding cannot be negative")
    bound = 1 << 40
    need(all(abs(edge) <= bound for edge in (*low, *high, *interior)), "padding is out of range")
    check_scalar(types[0].dtype, _int(attrs, "value"))
    shape = [
        a + size + b + (size - 1) * gap
        for a, b, gap, size in zip(low, high, interior, old, strict=True)
    ]
    return TensorType(types[0].dtype, check_shape(shape))


def exponent(types: Types, attrs: Values) -> TensorType:
    """Type the value of `exponent` with axes; the axes stay, of size 1."""
    need(types[0].dtype == F32, "exponent reads f32")
    axes = _axes(attrs, len(types[0].shape))
    shape = tuple(1 if at in axes else size for at, size in enumerate(types[0].shape))
    return TensorType(I64, shape)


def quantise(types: Types, attrs: Values) -> TensorType:
    """Type the value of `quantise` with x, e; bits."""
    need(types[0].dtype == F32 and types[1].dtype == I64, "quantise reads f32 and i64")
    need(types[0].shape == types[1].shape, f"shapes differ: {_list(types)}")
    need(2 <= _int(attrs, "bits") <= BITS_MAX, f"bits must be in 2..{BITS_MAX}")
    return TensorType(I64, types[0].shape)


def dot(types: Types, attrs: Values) -> TensorType:
    """Type the value of `dot` with a, b; contracts both last axes; leading axes are batches."""
    a, b = types
    need(a.dtype == b.dtype == I64, "dot reads i64")
    need(len(a.shape) == len(b.shape) >= 2, f"dot needs equal ranks of 2 or more: {_list(types)}")
    need(
        a.shape[:-2] == b.shape[:-2] and a.shape[-1] == b.shape[-1],
        f"batches or contracted axes differ: {_list(types)}",
    )
    return TensorType(I64, check_shape((*a.shape[:-1], b.shape[-2])))


def rescale(types: Types, attrs: Values) -> TensorType:
    """Type the value of `rescale` with d, e1[, e2]; shift."""
    need(all(other.dtype == I64 for other in types), "rescale reads i64")
    need(all(other.shape == types[0].shape for other in types), f"shapes differ: {_list(types)}")
    need(0 <= _int(attrs, "shift") <= 2 * BITS_MAX, "shift is out of range")
    return TensorType(F32, types[0].shape)


def reduction(dtype: DType) -> Rule:
    """Return the rule of a reduction over axes that are dropped."""

    def rule(types: Types, attrs: Values) -> TensorType:
        need(types[0].dtype == dtype, f"{types[0]} is not {dtype}")
        axes = _axes(attrs, len(types[0].shape))
        return TensorType(
            dtype, tuple(size for at, size in enumerate(types[0].shape) if at not in axes)
        )

    return rule


def argmax(types: Types, attrs: Values) -> TensorType:
    """Type the value of `argmax` with axis; the axis is dropped."""
    need(types[0].dtype == F32, "argmax reads f32")
    axis = _axis(attrs, len(types[0].shape))
    return TensorType(I64, types[0].shape[:axis] + types[0].shape[axis + 1 :])


def cumsum(types: Types, attrs: Values) -> TensorType:
    """Type the value of `cumsum` with axis."""
    need(types[0].dtype == I64, "cumsum reads i64")
    _axis(attrs, len(types[0].shape))
    return types[0]


def take(types: Types, attrs: Values) -> TensorType:
    """Type the value of `take` with x, index; rows of x."""
    need(types[1].dtype == I64, "an index must be i64")
    need(len(types[0].shape) >= 1, "take needs an axis to index")
    return TensorType(types[0].dtype, check_shape((*types[1].shape, *types[0].shape[1:])))


def scatter_add(types: Types, attrs: Values) -> TensorType:
    """Type the value of `scatter_add` with index, v; size."""
    need(types[0].dtype == I64 and types[1].dtype == I64, "scatter_add reads i64")
    need(
        len(types[0].shape) == 1 and types[1].shape[:1] == types[0].shape,
        f"one row of v for each index is needed: {_list(types)}",
    )
    return TensorType(I64, check_shape((_int(attrs, "size"), *types[1].shape[1:])))


def topk(types: Types, attrs: Values) -> TensorType:
    """Type the value of `topk` with k over the last axis."""
    need(types[0].dtype == F32 and len(types[0].shape) >= 1, "topk reads f32 with an axis")
    need(1 <= _int(attrs, "k") <= types[0].shape[-1], "k must be in 1..the last axis")
    return TensorType(I64, (*types[0].shape[:-1], _int(attrs, "k")))


def input_(types: Types, attrs: Values) -> TensorType:
    """Type the value of `input` with port; the type is the port's, which the caller checks."""
    raise InvalidProgram("the type of an input comes from its port")
