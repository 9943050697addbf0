"""The bytes of one lane's quantised update: lossless, canonical, close to the entropy.

What    `pack_levels` turns the levels and scales that an encode Program gave into bytes;
        `unpack_levels` turns bytes from a stranger back, or refuses them.
Why     Four of five levels are 0, and of the others nearly all are 1 or -1. Said one by one they
        would take two bits; their places alone, and the few larger ones among them, take one.
Rule    One bit string, as in `bitstring`: the scales, then the flat levels in chunks of `CHUNK`,
        the last one shorter:
          the places of all levels but 0 among the chunk's; 1 bit for the sign of each, 1 is
          negative; the places among these of all magnitudes above 1; among those of all above 2;
          and so on up to `LEVEL_MAX`, or until there are none.
        Places k of W are told by k, in as many bits as W has, and by the gaps between them, in the
        Golomb code that is best for k of W; where k = W there are no gaps to tell.
        Every bit string has at most one reading, so equal updates have equal bytes.
Source  Shapiro 1993, "Embedded image coding using zerotrees", for magnitudes told as places of the
        larger ones among the smaller.
Legend  P = parameters, S = tensors, W = width of a list, k = places in it.
Pure    Bytes in, bytes out. Tensors stand as canonical little-endian bytes: i64, f32.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Final

import msgspec

from skerry.program import F32, I64, TensorType
from skerry.train.bitstring import (
    HEADER_BITS,
    SCALE_BITS,
    Golomb,
    UpdateError,
    array_of,
    bytes_of,
    check_end,
    read_scales,
    scale_words,
    to_bits,
    to_bytes,
)

#: The greatest magnitude of a level.
LEVEL_MAX: Final = 7
#: Levels whose places are told together: short enough that rare words' rows have gaps of their own.
CHUNK: Final = 2048


class LevelShape(msgspec.Struct, frozen=True):
    """How many values an update holds.

    Attributes:
        levels: P, one for each parameter.
        scales: S, one for each tensor of the parameters.
    """

    levels: int
    scales: int

    @property
    def bytes_max(self) -> int:
        """The most bytes that any update of this shape takes.

        A list of W costs a bit for each place that is not in it, and for each that is one and what
        tells its rest, together never more than two bits for each of W.
        """
        lists = LEVEL_MAX * (2 * self.levels + self._chunks * CHUNK.bit_length())
        return -(-(self._scale_bits + self.levels + lists) // 8)

    @property
    def types(self) -> dict[str, TensorType]:
        """The two tensors, in the order in which they are packed and unpacked."""
        return {
            "levels": TensorType(I64, (self.levels,)),
            "scales": TensorType(F32, (self.scales,)),
        }

    def bytes_expected(self, smallest: float) -> int:
        """Return about how many bytes an update takes that is a normal draw.

        Args:
            smallest: the least magnitude that is sent, in roots of the mean square.
        """
        sent = math.erfc(smallest / math.sqrt(2))
        places = -(sent * math.log2(sent) + (1 - sent) * math.log2(1 - sent)) if sent < 1 else 0.0
        bits = self._scale_bits + self._chunks * 2 * CHUNK.bit_length()
        return min(self.bytes_max, -(-(bits + math.ceil(self.levels * (sent + places))) // 8))

    @property
    def _chunks(self) -> int:
        return -(-self.levels // CHUNK)

    @property
    def _scale_bits(self) -> int:
        return HEADER_BITS + SCALE_BITS * self.scales


def pack_levels(shape: LevelShape, levels: bytes, scales: bytes) -> bytes:
    """Return the bytes of an update that our own encode Program gave.

    Args:
        shape: the shape that both sides know from the job.
        levels: i64 [P], each from -LEVEL_MAX to LEVEL_MAX.
        scales: f32 [S], with at most three bits of significand below the first.
    """
    flat = array_of("q", levels)
    assert len(flat) == shape.levels, "one level a parameter"
    assert max(flat) <= LEVEL_MAX and min(flat) >= -LEVEL_MAX, "levels are bounded"  # noqa: PT018
    parts = [scale_words(shape.scales, scales)]
    for start in range(0, len(flat), CHUNK):
        _write_chunk(parts, flat[start : start + CHUNK])
    return to_bytes("".join(parts))


def unpack_levels(shape: LevelShape, data: bytes) -> tuple[bytes, bytes]:
    """Return the levels and scales that `pack_levels` was given.

    Raises:
        UpdateError: the bytes are too many or too few, or not what `pack_levels` writes.
    """
    text = to_bits(data, shape.bytes_max)
    scales, at = read_scales(shape.scales, text)
    levels = array("q", bytes(8 * shape.levels))
    for start in range(0, shape.levels, CHUNK):
        at = _read_chunk(text, at, levels, start, min(CHUNK, shape.levels - start))
    check_end(text, at)
    return bytes_of(levels), bytes_of(scales)


def _write_chunk(parts: list[str], levels: Sequence[int]) -> None:
    places = [at for at, level in enumerate(levels) if level]
    _write_places(parts, places, len(levels))
    parts += ["1" if levels[at] < 0 else "0" for at in places]
    sizes = [abs(levels[at]) for at in places]
    for level in range(1, LEVEL_MAX):
        if not sizes:
            break
        places = [at for at, size in enumerate(sizes) if size > level]
        _write_places(parts, places, len(sizes))
        sizes = [sizes[at] for at in places]


def _read_chunk(text: str, at: int, levels: array[int], start: int, width: int) -> int:
    """Fill in the levels of one chunk and return where in `text` they end."""
    places, at = _read_places(text, at, width)
    signs = text[at : at + len(places)]
    if len(signs) < len(places):
        raise UpdateError("the signs are cut off")
    at += len(places)
    places = [start + place for place in places]
    for place, sign in zip(places, signs, strict=True):
        levels[place] = -1 if sign == "1" else 1
    for _ in range(1, LEVEL_MAX):
        if not places:
            break
        larger, at = _read_places(text, at, len(places))
        places = [places[it] for it in larger]
        for place in places:
            levels[place] += 1 if levels[place] > 0 else -1
    return at


def _write_places(parts: list[str], places: Sequence[int], width: int) -> None:
    """Tell ascending places below `width`."""
    count = len(places)
    parts.append(format(count, f"0{width.bit_length()}b"))
    if not 0 < count < width:
        return
    golomb, before = Golomb.of(width, count), -1
    for place in places:
        parts.append(golomb.word(place - before - 1))
        before = place


def _read_places(text: str, at: int, width: int) -> tuple[list[int], int]:
    """Return ascending places below `width` and where in `text` they end.

    Raises:
        UpdateError: the bits are not what `_write_places` writes.
    """
    start, at = at, at + width.bit_length()
    count = int("0" + text[start:at], 2)
    if at > len(text) or count > width:
        raise UpdateError("a number of places is cut off, or more than there are")
    if count in (0, width):
        return list(range(count)), at
    golomb, places, place = Golomb.of(width, count), [], -1
    try:
        for _ in range(count):
            gap, at = golomb.read(text, at)
            place += 1 + gap
            places.append(place)
    except (IndexError, ValueError):
        at = len(text) + 1
    if at > len(text):
        raise UpdateError("the places are cut off")
    if place >= width:
        raise UpdateError(f"a place lies beyond the {width} that there are")
    return places, at
