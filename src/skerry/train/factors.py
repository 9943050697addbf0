"""The bytes of one lane's low-rank update: lossless and canonical, two bits a code.

What    `FactorShape` says how many terms each matrix of the parameters gets; `pack_factors` turns
        codes and scales into bytes, `unpack_factors` turns bytes from a stranger back, or refuses
        them.
Why     A term of an m x n matrix is m + n codes for m n parameters, and no code needs a place: the
        order of the matrices says where it belongs.
Rule    One bit string, as in `bitstring`: the scales, then each code in two bits, as an unsigned
        integer. A code c stands for the level 2 c - 3: -3, -1, 1 or 3. Codes stand by groups of
        matrices that have m, n and K in common, ascending by these; in a group term by term, in a
        term the rows of all its matrices, in flat order, before their columns; a vector has codes
        for its rows alone.
Source  Kolda and O'Leary 1998, "A semidiscrete matrix decomposition"; Vogels et al. 2019,
        "PowerSGD", for updates as products of narrow factors; Max 1960, for the four levels.
Legend  m, n = rows and columns of a matrix, K = its terms, N = all codes, S = all terms.
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
    UpdateError,
    array_of,
    bytes_of,
    check_end,
    read_scales,
    scale_words,
    to_bits,
    to_bytes,
)

CODE_BITS: Final = 2


class Factored(msgspec.Struct, frozen=True):
    """One matrix of the flat parameters and how it is sent.

    Attributes:
        offset: where it lies in the flat vector.
        rows: m.
        columns: n; 1 for a vector.
        terms: K, the products of a column and a row that stand for it.
    """

    offset: int
    rows: int
    columns: int
    terms: int

    @property
    def elements(self) -> int:
        """The parameters that it has."""
        return self.rows * self.columns

    @property
    def codes(self) -> int:
        """The codes that it takes."""
        return self.terms * (self.rows + (self.columns if self.columns > 1 else 0))

    @classmethod
    def of(cls, offset: int, shape: Sequence[int], rank: float) -> Factored:
        """Return how a tensor of `shape` is sent at `rank`.

        Axes after the first are columns. A square matrix gets `rank` terms, a longer one more in
        proportion, since a term of it stands for more parameters; at least one, and at most half
        as many as its shorter side.
        """
        rows, columns = (shape[0], math.prod(shape[1:])) if shape else (1, 1)
        if rows == 1 or columns == 1:
            return cls(offset, rows * columns, 1, 1)
        short, long = sorted((rows, columns))
        return cls(offset, rows, columns, max(1, min(short // 2, round(rank * long / short))))


class FactorShape(msgspec.Struct, frozen=True):
    """How many values an update holds.

    Attributes:
        codes: N, the codes of all matrices.
        terms: S, the terms of all matrices, each with one scale.
    """

    codes: int
    terms: int

    @property
    def bytes_max(self) -> int:
        """The most bytes that any update of this shape takes."""
        return -(-(HEADER_BITS + SCALE_BITS * self.terms + CODE_BITS * self.codes) // 8)

    @property
    def types(self) -> dict[str, TensorType]:
        """The two tensors, in the order in which they are packed and unpacked."""
        return {"codes": TensorType(I64, (self.codes,)), "scales": TensorType(F32, (self.terms,))}

    @classmethod
    def of(cls, matrices: Sequence[Factored]) -> FactorShape:
        """Return the shape of an update of these matrices."""
        return cls(sum(it.codes for it in matrices), sum(it.terms for it in matrices))


def pack_factors(shape: FactorShape, codes: bytes, scales: bytes) -> bytes:
    """Return the bytes of an update that our own encode Program gave.

    Args:
        shape: the shape that both sides know from the job.
        codes: i64 [N], each 0 to 3.
        scales: f32 [S], with at most three bits of significand below the first.
    """
    words = array_of("q", codes)
    assert len(words) == shape.codes, "one code a row and column of each term"
    assert not words or (min(words) >= 0 and max(words) < 1 << CODE_BITS), "a code has two bits"
    return to_bytes(scale_words(shape.terms, scales) + "".join(_WORDS[word] for word in words))


def unpack_factors(shape: FactorShape, data: bytes) -> tuple[bytes, bytes]:
    """Return the codes and scales that `pack_factors` was given.

    Raises:
        UpdateError: the bytes are too many or too few, or not what `pack_factors` writes.
    """
    text = to_bits(data, shape.bytes_max)
    scales, at = read_scales(shape.terms, text)
    end = at + CODE_BITS * shape.codes
    if end > len(text):
        raise UpdateError("the codes are cut off")
    check_end(text, end)
    codes = array("q", (_CODES[text[i : i + CODE_BITS]] for i in range(at, end, CODE_BITS)))
    return bytes_of(codes), bytes_of(scales)


_WORDS: Final = tuple(format(code, f"0{CODE_BITS}b") for code in range(1 << CODE_BITS))
_CODES: Final = {word: code for code, word in enumerate(_WORDS)}
