"""Floats as integers, for messages that hold none."""

from __future__ import annotations

import struct


def float_bits(number: float) -> int:
    """Return the bits of a float64 as a signed integer."""
    bits: int = struct.unpack("<q", struct.pack("<d", number))[0]
    return bits


def bits_float(bits: int) -> float:
    """Return the float64 of `float_bits`."""
    number: float = struct.unpack("<d", struct.pack("<q", bits))[0]
    return number
