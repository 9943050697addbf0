"""Profiles: how many bits an exact product or sum gives its operands.

What    `Profile.matmul_bits(k)` is the width b that a product over k terms gives each operand, and
        `Profile.sum_bits(k)` the width of the terms of a sum of k.
Why     If 2(b-1) + ceil(log2 k) <= 53, every partial sum in any order is an integer that a float64
        holds exactly, so any library's float64 GEMM computes it.
Source  docs/decisions/0002; Ozaki et al. 2012, "Error-free transformations of matrix
        multiplication", for the idea of exact slices.
Pure    Integers.
"""

from __future__ import annotations

from typing import Final

import msgspec

CARRIER_BITS: Final = 53
_SIGNIFICAND_BITS: Final = 24
_SUM_BITS: Final = 31


def ceil_log2(count: int) -> int:
    """Return the smallest n with 2^n >= count, for count >= 1."""
    return (count - 1).bit_length()


class Profile(msgspec.Struct, frozen=True):
    """A rule from the length of a reduction to the width of its operands.

    Attributes:
        name: what a job file calls it.
        bits_max: the widest operand of a product; a narrow profile fits a narrow carrier.
    """

    name: str
    bits_max: int

    def matmul_bits(self, terms: int) -> int:
        """Return the width of both operands of a product over `terms`."""
        return min(self.bits_max, (CARRIER_BITS - ceil_log2(terms)) // 2 + 1)

    def sum_bits(self, terms: int) -> int:
        """Return the width of the terms of a sum of `terms`."""
        return min(_SUM_BITS, CARRIER_BITS + 1 - ceil_log2(terms))


WIDE: Final = Profile(name="wide", bits_max=_SIGNIFICAND_BITS)
NARROW: Final = Profile(name="narrow", bits_max=12)
PROFILES: Final = {profile.name: profile for profile in (WIDE, NARROW)}
