"""Carriers: number formats in which a stock matrix product computes an exact integer product.

What    `product(a, b, ..)` contracts the last axes of two tensors of integers held in float64 and
        returns the exact integers, by one of three carriers.
            float64  one GEMM; the Program's bound K * max|a| * max|b| <= 2^53 makes it exact
            float32  balanced digits of 8 bits, K cut into runs of 1024: every partial sum of a
                     GEMM is an integer of at most 2^24; the parts are shifted and added in int64.
                     A digit has at most 8 significant bits, so a TF32 or bfloat16 product that
                     accumulates in float32 is exact too
            int64    integer products, where the device has them (CPU)
Why     The specification is the integer, not the order of float operations: any library, thread
        count, tiling or device that returns it conforms.
Source  Ozaki et al. 2012, "Error-free transformations of matrix multiplication".
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import torch
from torch import Tensor

Carrier: TypeAlias = Literal["float64", "float32", "int64"]
CARRIERS: Final[tuple[Carrier, ...]] = ("float64", "float32", "int64")

DIGIT_BITS: Final = 8
#: 1024 products of two digits of at most 2^7 sum to at most 2^24, which float32 holds exactly.
TERMS_MAX: Final = 1 << (24 - 2 * (DIGIT_BITS - 1))


def product(a: Tensor, b: Tensor, bound_a: int, bound_b: int, carrier: Carrier) -> Tensor:
    """Return a[.., M, K] times b[.., N, K] over K, integers held in float64, exactly.

    Args:
        a: integers in float64, no larger than `bound_a`.
        b: integers in float64, no larger than `bound_b`.
        bound_a: see a.
        bound_b: see b; K * bound_a * bound_b <= 2^53.
        carrier: the number format of the products.
    """
    if carrier == "float64":
        return torch.matmul(a, b.mT)
    if carrier == "int64":
        return torch.matmul(a.long(), b.long().mT).double()
    return _sliced_product(a, b, bound_a, bound_b).double()


def _sliced_product(a: Tensor, b: Tensor, bound_a: int, bound_b: int) -> Tensor:
    digits_a, digits_b = digits(a, bound_a), digits(b, bound_b)
    total = torch.zeros((*a.shape[:-1], b.shape[-2]), dtype=torch.int64, device=a.device)
    for start in range(0, a.shape[-1], TERMS_MAX):
        run = slice(start, start + TERMS_MAX)
        for i, digit_a in enumerate(digits_a):
            for j, digit_b in enumerate(digits_b):
                part = torch.matmul(digit_a[..., run], digit_b[..., run].mT)
                total += part.long() << (DIGIT_BITS * (i + j))
    return total


def digits(x: Tensor, bound: int) -> list[Tensor]:
    """Return float32 digits d with x = sum of d[i] * 2^(8 i) and |d[i]| <= 2^7, lowest first."""
    found = []
    half = 1 << (DIGIT_BITS - 1)
    while bound > half:
        rest = (x * 2.0**-DIGIT_BITS).round()
        found.append((x - rest * 2.0**DIGIT_BITS).float())
        x, bound = rest, (bound + half) >> DIGIT_BITS
    return [*found, x.float()]


__all__ = ["CARRIERS", "Carrier", "digits", "product"]
