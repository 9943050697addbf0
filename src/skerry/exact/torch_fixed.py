"""The fixed sequences on tensors: exp, log, tanh, erf, sin, cos and Philox.

What    The same binary64 operations as `arithmetic.scalar`, in the same order, each one torch
        operation on a whole tensor, and one rounding to float32 at the end.
Why     A library's `exp` differs between devices; correctly rounded additions and products do not.
Rule    Never a fused operation (addcmul, lerp, lerp_), never torch's own transcendentals.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from skerry.arithmetic import scalar

_WINDOW_K_MIN = -3
_WINDOW_COUNT = 108
_LIMBS = 4


def power_of_two(n: Tensor) -> Tensor:
    """Return 2^n in float64 for integers n in -1022..1023, by building the bits."""
    return ((n.long() + 1023) << 52).view(torch.float64)


def polynomial(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    """Evaluate by Horner's rule: one multiplication, one addition, each rounded."""
    value = torch.full_like(x, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        value.mul_(x).add_(c)
    return value


def _reduce_exp(y: Tensor) -> tuple[Tensor, Tensor]:
    n = (y * scalar.LOG2_E).round_()
    r = (y - n * scalar.LN2_HIGH).sub_(n * scalar.LN2_LOW)
    return power_of_two(n), r * polynomial(scalar.EXPM1, r)


def _odd(value: Tensor, x: Tensor) -> Tensor:
    """Return value with the sign of x, also where x is -0; a NaN of x stays."""
    return torch.where(x.isnan(), x, torch.copysign(value, x))


def exp(x: Tensor) -> Tensor:
    """Return e^x."""
    y = x.double().clamp_(-110.0, 90.0)
    scale, em1 = _reduce_exp(y)
    return em1.add_(1.0).mul_(scale).float()


def log(x: Tensor) -> Tensor:
    """Return the natural logarithm."""
    y = x.double()
    bits = y.view(torch.int64)
    k = (bits - 0x3FE6A09E667F3BCD) >> 52
    f = (bits - (k << 52)).view(torch.float64).sub_(1.0)
    s = f / (f + 2.0)
    z = s * s
    series = (z * polynomial(scalar.LOG, z)).add_(2.0).mul_(s)
    value = (k.double() * scalar.LN2).add_(series).float()
    value.masked_fill_(x == 0.0, -scalar.INF)
    value.masked_fill_(x == scalar.INF, scalar.INF)
    return value.masked_fill_(~(x >= 0.0), scalar.NAN)


def tanh(x: Tensor) -> Tensor:
    """Return the hyperbolic tangent."""
    y = x.double().abs_().clamp_(max=20.0)
    scale, em1 = _reduce_exp(y + y)
    t = (em1 * scale).add_(scale - 1.0)
    return _odd((t / (t + 2.0)).float(), x)


def erf(x: Tensor) -> Tensor:
    """Return the error function."""
    a = x.double().abs_().clamp_(max=3.95)
    scale, em1 = _reduce_exp(0.0 - a * polynomial(scalar.ERF, a))
    return _odd((1.0 - scale).sub_(em1 * scale).float(), x)


def sin(x: Tensor) -> Tensor:
    """Return the sine."""
    quadrant, r = _reduce_pi(x)
    value = _quadrant_value(quadrant, r)
    value = torch.where(x == 0.0, x, value)
    return value.masked_fill_(~x.isfinite(), scalar.NAN)


def cos(x: Tensor) -> Tensor:
    """Return the cosine."""
    quadrant, r = _reduce_pi(x)
    return _quadrant_value(quadrant + 1, r).masked_fill_(~x.isfinite(), scalar.NAN)


def _quadrant_value(quadrant: Tensor, r: Tensor) -> Tensor:
    z = r * r
    even = r + (r * z) * polynomial(scalar.SIN, z)
    odd = (1.0 - z * 0.5) + (z * z) * polynomial(scalar.COS, z)
    value = torch.where((quadrant & 1).bool(), odd, even)
    return torch.where((quadrant & 2).bool(), -value, value).float()


def _reduce_pi(x: Tensor) -> tuple[Tensor, Tensor]:
    y = torch.where(x.isfinite(), x, 0.0).double()
    big = y.abs() >= scalar.TWO_TO_20
    near = torch.where(big, 0.0, y)
    n = (near * scalar.TWO_OVER_PI).round_()
    r = (near - n * scalar.PI_OVER_2_A).sub_(n * scalar.PI_OVER_2_B).sub_(n * scalar.PI_OVER_2_C)
    quadrant = n.long() & 3
    if bool(big.any()):
        far_quadrant, far_r = _reduce_pi_far(torch.where(big, y, scalar.TWO_TO_20).float())
        quadrant, r = torch.where(big, far_quadrant, quadrant), torch.where(big, far_r, r)
    return quadrant, r


@cache
def _windows(device: torch.device) -> Tensor:
    """Return 128 bits of 2 / pi for each exponent, as 4 limbs of 32 bits, lowest first."""
    rows = [
        [(scalar.TWO_OVER_PI_256 >> (130 - k + 32 * limb)) & scalar.MASK_32 for limb in range(4)]
        for k in range(_WINDOW_K_MIN, _WINDOW_K_MIN + _WINDOW_COUNT)
    ]
    return torch.tensor(rows, dtype=torch.int64, device=device)


def _reduce_pi_far(x: Tensor) -> tuple[Tensor, Tensor]:
    """Reduce finite |x| >= 2^20 by Payne and Hanek, in integers."""
    bits = x.view(torch.int32).long() & 0x7FFFFFFF
    mantissa, k = (bits & 0x7FFFFF) | 0x800000, (bits >> 23) - 150
    window = _windows(x.device)[k - _WINDOW_K_MIN]
    limbs, carry = [], torch.zeros_like(mantissa)
    for limb in range(_LIMBS):
        carry = mantissa * window[..., limb] + carry
        limbs.append(carry & scalar.MASK_32)
        carry = carry >> 32
    # 64 bits below the two of the quadrant; read as signed they are the fraction in -1/2 .. 1/2
    fraction = ((limbs[3] & 0x3FFFFFFF) << 34) | (limbs[2] << 2) | (limbs[1] >> 30)
    quadrant = (limbs[3] >> 30) + (fraction < 0)
    r = fraction.double().mul_(2.0**-64).mul_(scalar.PI_OVER_2)
    positive = x > 0
    return torch.where(positive, quadrant & 3, -quadrant & 3), torch.where(positive, r, -r)


def philox_uniform(seed: Tensor, stream: int, count: int) -> Tensor:
    """Return `count` draws in [0, 1), multiples of 2^-24, of the counter-based generator."""
    block = torch.arange(-(-count // 4), dtype=torch.int64, device=seed.device)
    c0, c1 = block & scalar.MASK_32, block >> 32
    c2, c3 = torch.full_like(block, stream), torch.zeros_like(block)
    k0, k1 = seed & scalar.MASK_32, (seed >> 32) & scalar.MASK_32
    for _ in range(10):
        high0, low0 = _wide_product(c0, scalar.PHILOX_M0)
        high1, low1 = _wide_product(c2, scalar.PHILOX_M1)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0 = (k0 + scalar.PHILOX_W0) & scalar.MASK_32
        k1 = (k1 + scalar.PHILOX_W1) & scalar.MASK_32
    words = torch.stack((c0, c1, c2, c3), dim=-1).flatten()[:count]
    return (words >> 8).float().mul_(2.0**-24)


def _wide_product(c: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """Return the high and low 32 bits of c * m for 32-bit numbers, in halves below 2^63."""
    low, high = c * (m & 0xFFFF), c * (m >> 16)
    return (high + (low >> 16)) >> 16, (((high & 0xFFFF) << 16) + low) & scalar.MASK_32


__all__ = [
    "cos",
    "erf",
    "exp",
    "log",
    "philox_uniform",
    "polynomial",
    "power_of_two",
    "sin",
    "tanh",
]
