"""Elementwise ops on tensors: one torch operation for one IEEE operation.

What    `MAKERS[op](site)` gives the kernel of each elementwise op of the table, and of `exponent`,
        `quantise` and `rescale`, the two ends of an exact product.
Rule    Integers of at most 2^53 may come in float64 ("carried"); then -0.0 may stand for 0, and
        `rescale` and `integers` make it 0 again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from skerry.arithmetic import scalar
from skerry.exact import torch_fixed
from skerry.exact.torch_site import Kernel, Maker, Site
from skerry.program.graph import BOOL, DTYPES, F32, I64

_ABS_I32: Final = 0x7FFFFFFF
_TABLE_SPAN: Final = 129


def order_keys(x: Tensor) -> Tensor:
    """Return int32 keys in total order: -inf < .. < -0 < +0 < .. < inf < nan."""
    bits = torch.where(x.isnan(), scalar.NAN, x).view(torch.int32)
    return bits ^ ((bits >> 31) & _ABS_I32)


def from_order_keys(keys: Tensor) -> Tensor:
    """Return the float32 values of `order_keys`."""
    return (keys ^ ((keys >> 31) & _ABS_I32)).view(torch.float32)


def integers(x: Tensor) -> Tensor:
    """Return carried integers as int64."""
    return x.long()


def carried(x: Tensor) -> Tensor:
    """Return int64 integers of at most 2^53 in float64."""
    return x.double()


def _same(kernel: Kernel) -> Maker:
    return lambda site: kernel


def _through_float64(kernel: Kernel, *, on_cpu: bool) -> Maker:
    """Divide and take roots in float64: 53 bits, even off by one, round to the same 24.

    A GPU's float32 division may be approximate, and so may a CPU's root: the vector library behind
    torch.sqrt gives a neighbour of the nearest float32 for some arguments, such as 3.7414.
    """

    def make(site: Site) -> Kernel:
        if site.device.type == "cpu" and not on_cpu:
            return kernel
        return lambda *operands: kernel(*(x.double() for x in operands)).float()

    return make


def _extreme(integer: Kernel, of_keys: Kernel, nan_wins: bool) -> Maker:
    def real(a: Tensor, b: Tensor) -> Tensor:
        value = from_order_keys(of_keys(order_keys(a), order_keys(b)))
        if nan_wins:
            value.masked_fill_(a.isnan() | b.isnan(), scalar.NAN)
        return value

    return lambda site: real if site.node.type.dtype == F32 else integer


def _floordiv(a: Tensor, b: Tensor) -> Tensor:
    # the processor traps on -2^63 / -1, so both special divisors are kept away from it
    plain = torch.where((b == 0) | (b == -1), 1, b)
    quotient = torch.div(a, plain, rounding_mode="floor")
    return torch.where(b == -1, -a, quotient).masked_fill_(b == 0, 0)


def _rem(a: Tensor, b: Tensor) -> Tensor:
    special = (b == 0) | (b == -1)
    return torch.remainder(a, torch.where(special, 1, b)).masked_fill_(special, 0)


def f32_to_i64(x: Tensor) -> Tensor:
    """Return the nearest integers, half to even, nan as 0, clamped to +-2^62."""
    limit = float(scalar.CAST_LIMIT)
    return x.double().nan_to_num_(0.0).clamp_(-limit, limit).round_().long()


def i64_to_f32(x: Tensor) -> Tensor:
    """Return the nearest float32, rounded once: 53 bits with a sticky last one, then 24."""
    odd = ((x >> 10) | (x & 1023).bool()) << 10
    exact = (x >= -(1 << 53)) & (x <= 1 << 53)
    return torch.where(exact, x, odd).double().float()


def _cast(site: Site) -> Kernel:
    pair = (site.reads[0].dtype, DTYPES[site.node.integer("to")])
    if pair == (F32, I64):
        return f32_to_i64
    if pair == (I64, F32):
        return i64_to_f32
    if pair[1] == BOOL:
        return lambda x: x != 0
    storage = site.storage
    return lambda x: x.to(storage)


def _scale_table(site: Site, power: Callable[[int], float], invalid: float) -> Tensor:
    """Return a table indexed by exponents in -129..129; a negative index counts from the end."""
    low, high = scalar.EXPONENT_MIN, scalar.EXPONENT_MAX
    order = (*range(_TABLE_SPAN + 1), *range(-_TABLE_SPAN, 0))
    entries = [power(e) if low <= e <= high else invalid for e in order]
    return torch.tensor(entries, dtype=torch.float64, device=site.device)


def _scales(site: Site, operand: int, power: Callable[[int], float], invalid: float) -> Kernel:
    """Return the kernel from exponents to exact powers of two, `invalid` out of range."""
    table = _scale_table(site, power, invalid)
    bound = site.bounds[operand]
    if bound is not None and bound <= _TABLE_SPAN:
        return lambda e: torch.take(table, e)
    return lambda e: torch.take(table, e.clamp(-_TABLE_SPAN, _TABLE_SPAN))


def _quantise(site: Site) -> Kernel:
    bits = site.node.integer("bits")
    limit = float(1 << (bits - 1))
    scales = _scales(site, 1, lambda e: math.ldexp(1.0, bits - 1 - e), 0.0)
    if site.own_exponent:
        return lambda x, e: x.double().mul_(scales(e)).nan_to_num_(0.0).round_()

    def clamped(x: Tensor, e: Tensor) -> Tensor:
        scaled = x.double().mul(scales(e)).nan_to_num_(0.0)
        return scaled.clamp_(-limit, limit).round_()

    return clamped


def _rescale(site: Site) -> Kernel:
    shift = site.node.integer("shift")
    first = _scales(site, 1, lambda e: math.ldexp(1.0, e - shift), scalar.NAN)
    if len(site.reads) == 2:
        return lambda d, e: (d * first(e)).add_(0.0).float()
    second = _scales(site, 2, lambda e: math.ldexp(1.0, e), scalar.NAN)
    return lambda d, e1, e2: (d * first(e1)).mul_(second(e2)).add_(0.0).float()


def _exponent(site: Site) -> Kernel:
    axes = site.node.integers("axes")

    def kernel(x: Tensor) -> Tensor:
        greatest = (x.view(torch.int32) & _ABS_I32).amax(axes, keepdim=True)
        return (greatest >> 23).clamp_(min=1).sub_(126).long()

    return kernel


MAKERS: Final[dict[str, Maker]] = {
    "add": _same(torch.add),
    "sub": _same(torch.sub),
    "mul": _same(torch.mul),
    "div": _through_float64(torch.div, on_cpu=False),
    "sqrt": _through_float64(torch.sqrt, on_cpu=True),
    "neg": _same(torch.neg),
    "abs": _same(torch.abs),
    "max": _extreme(torch.maximum, torch.maximum, nan_wins=False),
    "min": _extreme(torch.minimum, torch.minimum, nan_wins=True),
    "floordiv": _same(_floordiv),
    "rem": _same(_rem),
    "lt": _same(torch.lt),
    "le": _same(torch.le),
    "eq": _same(torch.eq),
    "and": _same(torch.logical_and),
    "or": _same(torch.logical_or),
    "not": _same(torch.logical_not),
    "select": _same(torch.where),
    "cast": _cast,
    "exp": _same(torch_fixed.exp),
    "log": _same(torch_fixed.log),
    "tanh": _same(torch_fixed.tanh),
    "erf": _same(torch_fixed.erf),
    "sin": _same(torch_fixed.sin),
    "cos": _same(torch_fixed.cos),
    "exponent": _exponent,
    "quantise": _quantise,
    "rescale": _rescale,
}

__all__ = [
    "MAKERS",
    "carried",
    "f32_to_i64",
    "from_order_keys",
    "i64_to_f32",
    "integers",
    "order_keys",
]
