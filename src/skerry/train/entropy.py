"""The bytes of one lane's sparse update: lossless, canonical, close to the entropy.

What    `pack_update` turns the indices, signs and scales that an encode Program gave into bytes;
        `unpack_update` turns bytes from a stranger back, or refuses them.
Why     An index of a 4,096-wide chunk needs 12 bits alone and 7.4 in company: sorted, only the
        gaps travel, and small gaps are frequent.
Rule    One bit string, most significant bit first, zero bits up to the next byte:
          11 bits: the least scale; 4 bits: a width w; C times w bits: scale minus the least;
          for each chunk, k times: 1 bit sign (1 is negative), then the gap to the index before
          in a Golomb code of parameter m = max(1, 9 W // 13 k), the best one for a density k / W.
        A scale is the top 12 bits of its f32: sign 0, eight of exponent, three of significand.
        A Golomb code of g is g // m ones, a zero, then g mod m in truncated binary; where k = W
        there are no gaps to tell. Every bit string has at most one reading, and w is the least
        that fits, so equal updates have equal bytes.
Source  Golomb 1966, "Run-length encodings"; Gallager and van Voorhis 1975, for the best m.
Legend  C = chunks, W = width of a chunk, k = values kept a chunk.
Pure    Bytes in, bytes out. Tensors stand as canonical little-endian bytes: i64, i64, f32.
"""

from __future__ import annotations

import sys
from array import array
from typing import Final

import msgspec

from skerry.base.errors import PeerError
from skerry.program import F32, I64, Program, TensorType

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


class UpdateShape(msgspec.Struct, frozen=True):
    """How many values an update holds, and where they can lie.

    Attributes:
        chunks: C, the chunks of the flat parameters.
        width: W, the elements of a chunk.
        kept: k, the values sent of each chunk.
    """

    chunks: int
    width: int
    kept: int

    def __post_init__(self) -> None:
        assert self.chunks >= 1, "an update has a chunk"
        assert 1 <= self.kept <= self.width, "a chunk keeps 1 to all of its values"

    @property
    def golomb(self) -> int:
        """The parameter m of the code of gaps."""
        return best_golomb(self.width, self.kept)

    @property
    def bytes_max(self) -> int:
        """The most bytes that any update of this shape takes."""
        m = self.golomb
        gaps = self.width // m + self.kept * (1 + (m - 1).bit_length())
        bits = HEADER_BITS + self.chunks * (SCALE_BITS + self.kept + gaps)
        return -(-bits // 8)

    @property
    def types(self) -> dict[str, TensorType]:
        """The three tensors, in the order in which they are packed and unpacked."""
        kept = TensorType(I64, (self.chunks, self.kept))
        return {"indices": kept, "codes": kept, "scales": TensorType(F32, (self.chunks,))}

    @classmethod
    def of(cls, encode: Program) -> UpdateShape:
        """Return the shape of what an encode Program of kind "topk" sends."""
        (elements,) = encode.port("start").type.shape
        chunks, kept = encode.output_type("indices").shape
        return cls(chunks, -(-elements // chunks), kept)


def pack_update(shape: UpdateShape, indices: bytes, codes: bytes, scales: bytes) -> bytes:
    """Return the bytes of an update that our own encode Program gave.

    Args:
        shape: the shape that both sides know from the job.
        indices: i64 [C, k], ascending inside each chunk.
        codes: i64 [C, k], each 1 or -1.
        scales: f32 [C], with at most three bits of significand below the first.
    """
    parts = [scale_words(shape.chunks, scales)]
    flat, signs = array_of("q", indices), array_of("q", codes)
    assert len(flat) == len(signs) == shape.chunks * shape.kept, "one index and code a value"
    m, told = shape.golomb, shape.kept < shape.width
    words = remainder_words(m)
    for start in range(0, len(flat), shape.kept):
        before = -1
        for index, code in zip(
            flat[start : start + shape.kept], signs[start : start + shape.kept], strict=True
        ):
            assert before < index < shape.width, "indices ascend inside a chunk"
            parts.append("1" if code < 0 else "0")
            if told:
                turns, rest = divmod(index - before - 1, m)
                parts.append("1" * turns + "0" + words[rest])
            before = index
    text = "".join(parts)
    size = -(-len(text) // 8)
    return int(text.ljust(8 * size, "0"), 2).to_bytes(size, "big")


def unpack_update(shape: UpdateShape, data: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the indices, codes and scales that `pack_update` was given.

    Raises:
        UpdateError: the bytes are too many or too few, or not what `pack_update` writes.
    """
    if len(data) > shape.bytes_max:
        raise UpdateError(f"{len(data)} bytes, and no update has more than {shape.bytes_max}")
    if 8 * len(data) < HEADER_BITS:
        raise UpdateError("the header is cut off")
    text = format(int.from_bytes(data, "big"), f"0{8 * len(data)}b")
    scales, at = read_scales(shape.chunks, text)
    indices, codes, at = _read_values(shape, text, at)
    if len(text) - at >= 8 or "1" in text[at:]:
        raise UpdateError("bits are left over")
    return bytes_of(indices), bytes_of(codes), bytes_of(scales)


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


def _read_values(shape: UpdateShape, text: str, at: int) -> tuple[array[int], array[int], int]:
    m, told = shape.golomb, shape.kept < shape.width
    bits = (m - 1).bit_length()
    short = (1 << bits) - m
    indices, codes = array("q"), array("q")
    try:
        for _ in range(shape.chunks):
            index = -1
            for _ in range(shape.kept):
                codes.append(-1 if text[at] == "1" else 1)
                at += 1
                index += 1
                if told:
                    stop = text.index("0", at)
                    rest = int("0" + text[stop + 1 : stop + bits], 2)
                    index += (stop - at) * m
                    at = stop + bits if bits else stop + 1
                    if rest >= short and bits:
                        rest = 2 * rest + (text[at] == "1") - short
                        at += 1
                    index += rest
                indices.append(index)
            if index >= shape.width:
                raise UpdateError(f"an index lies beyond its chunk of {shape.width}")
    except (IndexError, ValueError):
        at = len(text) + 1
    if at > len(text):
        raise UpdateError("the values are cut off")
    return indices, codes, at


def best_golomb(width: int, kept: int) -> int:
    """Return the parameter m of the Golomb code that suits gaps between `kept` of `width`."""
    return max(1, 9 * width // (13 * kept))


def remainder_words(m: int) -> list[str]:
    """Return the truncated binary code of each remainder below m."""
    bits = (m - 1).bit_length()
    short = (1 << bits) - m
    words = []
    for rest in range(m):
        value, length = (rest, bits - 1) if rest < short else (rest + short, bits)
        words.append(format(value, f"0{length}b") if length > 0 else "")
    return words


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
