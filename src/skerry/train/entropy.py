"""The bytes of one lane's sparse update: lossless, canonical, close to the entropy.

What    `pack_update` turns the indices, signs and scales that an encode Program gave into bytes;
        `unpack_update` turns bytes from a stranger back, or refuses them.
Why     An index of a 4,096-wide chunk needs 12 bits alone and 7.4 in company: sorted, only the
        gaps travel, and small gaps are frequent.
Rule    One bit string, as in `bitstring`: the C scales; for each chunk, k times: 1 bit sign (1 is
        negative), then the gap to the index before in a Golomb code of parameter
        m = max(1, 9 W // 13 k), the best one for a density k / W; where k = W there are no gaps to
        tell. Every bit string has at most one reading, so equal updates have equal bytes.
Legend  C = chunks, W = width of a chunk, k = values kept a chunk.
Pure    Bytes in, bytes out. Tensors stand as canonical little-endian bytes: i64, i64, f32.
"""

from __future__ import annotations

from array import array

import msgspec

from skerry.program import F32, I64, Program, TensorType
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
    def golomb(self) -> Golomb:
        """The code of the gaps."""
        return Golomb.of(self.width, self.kept)

    @property
    def bytes_max(self) -> int:
        """The most bytes that any update of this shape takes."""
        golomb = self.golomb
        gaps = self.width // golomb.m + self.kept * (1 + golomb.rest_bits)
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
    golomb, told = shape.golomb, shape.kept < shape.width
    for start in range(0, len(flat), shape.kept):
        before = -1
        for index, code in zip(
            flat[start : start + shape.kept], signs[start : start + shape.kept], strict=True
        ):
            assert before < index < shape.width, "indices ascend inside a chunk"
            parts.append("1" if code < 0 else "0")
            if told:
                parts.append(golomb.word(index - before - 1))
            before = index
    return to_bytes("".join(parts))


def unpack_update(shape: UpdateShape, data: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the indices, codes and scales that `pack_update` was given.

    Raises:
        UpdateError: the bytes are too many or too few, or not what `pack_update` writes.
    """
    text = to_bits(data, shape.bytes_max)
    scales, at = read_scales(shape.chunks, text)
    indices, codes, at = _read_values(shape, text, at)
    check_end(text, at)
    return bytes_of(indices), bytes_of(codes), bytes_of(scales)


def _read_values(shape: UpdateShape, text: str, at: int) -> tuple[array[int], array[int], int]:
    golomb, told = shape.golomb, shape.kept < shape.width
    indices, codes = array("q"), array("q")
    try:
        for _ in range(shape.chunks):
            index = -1
            for _ in range(shape.kept):
                codes.append(-1 if text[at] == "1" else 1)
                gap, at = golomb.read(text, at + 1) if told else (0, at + 1)
                index += 1 + gap
                indices.append(index)
            if index >= shape.width:
                raise UpdateError(f"an index lies beyond its chunk of {shape.width}")
    except (IndexError, ValueError):
        at = len(text) + 1
    if at > len(text):
        raise UpdateError("the values are cut off")
    return indices, codes, at
