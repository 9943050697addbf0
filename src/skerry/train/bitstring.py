"""Bit strings: what the bytes of all compressed updates are made of.

What    `to_bytes` and `to_bits` turn a string of "0" and "1" into bytes and back; `scale_words` and
        `read_scales` tell a row of scales, `Golomb` one gap after the other.
Why     The codecs differ in what they send; how few bits are told and refused is the same.
Rule    Most significant bit first, zero bits up to the next byte. Scales are
          11 bits: the least scale; 4 bits: a width w; for each, w bits: scale minus the least.
        A scale is the top 12 bits of its f32: sign 0, eight of exponent, three of significand, and
        w is the least that fits.
        A Golomb code of g is g // m ones, a zero, then g mod m in truncated binary.
Source  Golomb 1966, "Run-length encodings"; Gallager and van Voorhis 1975, for the best m.
Pure    Bytes in, bytes out.
"""

from __future__ import annotations

import sys
from array import array
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from skerry.base.errors import PeerError

SCALE_BITS: Final = 11
_WIDTH_BITS: Final = 4
_SCALE_END: Final = 255 << 3  # the first pattern that is not finite
_SCALE_SHIFT: Final = 20
HEADER_BITS: Final = SCALE_BITS + _WIDTH_BITS


class UpdateError(PeerError):
    """The bytes are not the update of any lane."""

    code = "peer.update-bytes"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"an update was refused: {reason}", next_step="let another worker run the lane"
        )


def to_bytes(text: str) -> bytes:
    """Return the bytes of a bit string, with zero bits up to the next byte."""
    size = -(-len(text) // 8)
    return int(text.ljust(8 * size, "0"), 2).to_bytes(size, "big")


def to_bits(data: bytes, bytes_max: int) -> str:
    """Return the bit string of an update, which is long enough for the header of its scales.

    Raises:
        UpdateError: it is longer than `bytes_max`, or too short.
    """
    if len(data) > bytes_max:
        raise UpdateError(f"{len(data)} bytes, and no update has more than {bytes_max}")
    if 8 * len(data) < HEADER_BITS:
        raise UpdateError("the header is cut off")
    return format(int.from_bytes(data, "big"), f"0{8 * len(data)}b")


def check_end(text: str, at: int) -> None:
    """Refuse more than the zero bits up to the next byte.

    Raises:
        UpdateError: bits are left over from `at` on.
    """
    if len(text) - at >= 8 or "1" in text[at:]:
        raise UpdateError("bits are left over")


def scale_words(count: int, scales: bytes) -> str:
    """Return the bits of `count` scales f32: the least, the width, and each above the least."""
    tops = [word >> _SCALE_SHIFT for word in array_of("I", scales)]
    assert len(tops) == count, "as many scales as the shape says"
    assert max(tops) < _SCALE_END, "scales are finite and not negative"
    least = min(tops)
    width = (max(tops) - least).bit_length()
    words = [format(least, f"0{SCALE_BITS}b"), format(width, f"0{_WIDTH_BITS}b")]
    if width:
        words += [format(top - least, f"0{width}b") for top in tops]
    return "".join(words)


def read_scales(count: int, text: str) -> tuple[array[int], int]:
    """Return the bits of `count` scales f32 and where in `text` they end.

    Raises:
        UpdateError: the bits are not what `scale_words` writes.
    """
    least = int(text[:SCALE_BITS], 2)
    width = int(text[SCALE_BITS:HEADER_BITS], 2)
    end = HEADER_BITS + count * width
    if width > SCALE_BITS or end > len(text):
        raise UpdateError("the scales are cut off")
    if not width:
        above = [0] * count
    else:
        above = [int(text[at : at + width], 2) for at in range(HEADER_BITS, end, width)]
    if min(above) != 0 or max(above).bit_length() != width:
        raise UpdateError("the scales are not written in the shortest way")
    if least + max(above) >= _SCALE_END:
        raise UpdateError("a scale is not finite")
    return array("I", [(least + more) << _SCALE_SHIFT for more in above]), end


@dataclass(frozen=True)
class Golomb:
    """A Golomb code.

    Attributes:
        m: its parameter.
    """

    m: int

    @classmethod
    def of(cls, width: int, kept: int) -> Golomb:
        """Return the best code for the gaps between `kept` of `width` places."""
        return cls(max(1, 9 * width // (13 * kept)))

    @cached_property
    def rest_bits(self) -> int:
        """The most bits that tell a remainder."""
        return (self.m - 1).bit_length()

    @cached_property
    def _short(self) -> int:
        """How many remainders take one bit less."""
        return (1 << self.rest_bits) - self.m

    @cached_property
    def _words(self) -> list[str]:
        """The truncated binary code of each remainder."""
        words = []
        for rest in range(self.m):
            short = rest < self._short
            length = self.rest_bits - short
            value = rest if short else rest + self._short
            words.append(format(value, f"0{length}b") if length > 0 else "")
        return words

    def word(self, gap: int) -> str:
        """Return the bits of a gap."""
        turns, rest = divmod(gap, self.m)
        return "1" * turns + "0" + self._words[rest]

    def read(self, text: str, at: int) -> tuple[int, int]:
        """Return the gap that is told from `at` on, and where its bits end.

        Raises:
            IndexError, ValueError: the text ends before; where only the last bits are missing, the
                place that is returned lies beyond it.
        """
        stop = text.index("0", at)
        gap, bits = (stop - at) * self.m, self.rest_bits
        if not bits:
            return gap, stop + 1
        end = stop + bits
        rest = int("0" + text[stop + 1 : end], 2)
        if rest >= self._short:
            rest = 2 * rest + (text[end] == "1") - self._short
            end += 1
        return gap + rest, end


def array_of(code: str, data: bytes) -> array[int]:
    """Return the integers whose little-endian bytes are `data`."""
    values: array[int] = array(code, data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def bytes_of(values: array[int]) -> bytes:
    """Return the little-endian bytes of integers, which may be turned round in place."""
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()
