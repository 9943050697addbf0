"""Scales as nodes: few significant bits, so that they cost the wire little.

What    `rounded` rounds scales to `SIGNIFICANT_BITS` significant bits; all codecs send such.
Why     A scale then costs the wire at most 11 bits, and an error of 3 % in it is small beside that
        of one magnitude for all values that share it.
Pure    Nodes only.
"""

from __future__ import annotations

from typing import Final

from skerry.program import Builder, Value

#: A scale keeps this many significant bits, the first one included.
SIGNIFICANT_BITS: Final = 4


def rounded(b: Builder, x: Value, axis: int) -> Value:
    """Return x rounded to `SIGNIFICANT_BITS` significant bits; `axis` of x has size 1."""
    e = b.exponent(x, (axis,))
    return b.rescale(b.quantise(x, e, SIGNIFICANT_BITS + 1), e, shift=SIGNIFICANT_BITS)
