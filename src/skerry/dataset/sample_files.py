"""Samples to files: fixed-size records, files of equal length, one Merkle leaf per sample.

What    `SampleWriter` cuts a run of records into files and returns their digests; `Packer`
        turns documents of token ids into samples for it.
Why     A fixed record size makes the place of a sample arithmetic: no index, and nothing to parse
        in a file from outside.
Rule    stream = EOS d1 EOS d2 EOS ...; sample i = stream[i*T : i*T + T + 1], T = sequence_length.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from skerry.base.digests import merkle_root
from skerry.dataset.manifest import (
    SampleFile,
    Split,
    file_depth,
    sample_leaf,
    samples_root,
    token_dtype,
)

Bytes = npt.NDArray[np.uint8]
Tokens = npt.NDArray[np.int64]

STORED = {"u16": "<u2", "u32": "<u4", "f32": "<f4", "i64": "<i8"}

_FLUSH_TOKENS = 1 << 16


class SampleWriter:
    """Writes the samples of one split, in their order."""

    def __init__(self, folder: Path, split: Literal["train", "heldout"], per_file: int) -> None:
        self._folder = folder
        self._split = split
        self._per_file = per_file
        self._file: BinaryIO | None = None
        self._hash = sha256()
        self._leaves: list[list[bytes]] = []
        self._file_digests: list[str] = []
        self.samples = 0

    def write(self, records: Bytes) -> None:
        """Append `records`, one row of bytes per sample."""
        for row in records:
            if self._file is None:
                self._begin()
            assert self._file is not None, "a file was just begun"
            content = row.tobytes()
            self._file.write(content)
            self._hash.update(content)
            self._leaves[-1].append(sample_leaf(content))
            self.samples += 1
            if len(self._leaves[-1]) == self._per_file:
                self._end()

    def _begin(self) -> None:
        name = f"{self._split}-{len(self._leaves):05d}.bin"
        self._file = (self._folder / name).open("wb")
        self._hash = sha256(b"\x00blob\x00")
        self._leaves.append([])

    def _end(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            self._file_digests.append(self._hash.hexdigest())

    def __enter__(self) -> SampleWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def finish(self, records: int, **text: Any) -> Split:
        """Close the last file and return the split that all of them make."""
        self._end()
        width = 1 << file_depth(self.samples, self._per_file)
        roots = [merkle_root(_padded(leaves, width)) for leaves in self._leaves]
        files = tuple(
            SampleFile(digest=name, samples_root=root.hex())
            for name, root in zip(self._file_digests, roots, strict=True)
        )
        whole = samples_root(roots, self.samples, self._per_file).hex()
        return Split(
            name=self._split,
            samples=self.samples,
            records=records,
            samples_root=whole,
            files=files,
            **text,
        )


def _padded(leaves: list[bytes], width: int) -> list[bytes]:
    return [*leaves, *([bytes(32)] * (width - len(leaves)))]


class Packer:
    """Packs documents into samples of `sequence_length` + 1 tokens."""

    def __init__(
        self, writer: SampleWriter, sequence_length: int, eos_id: int, vocab_size: int
    ) -> None:
        self._writer = writer
        self._length = sequence_length
        self._eos = np.array([eos_id], np.int64)
        self._dtype = STORED[token_dtype(vocab_size)]
        self._waiting: list[Tokens] = [self._eos]
        self._count = 1
        self.tokens = 0

    def add(self, ids: Tokens) -> None:
        """Append one document."""
        self._waiting += [ids, self._eos]
        self._count += len(ids) + 1
        self.tokens += len(ids) + 1
        if self._count > max(_FLUSH_TOKENS, self._length):
            self.flush()

    def flush(self) -> int:
        """Write every full sample and return how many targets are left over."""
        stream = np.concatenate(self._waiting)
        full = (len(stream) - 1) // self._length
        if full:
            self._writer.write(token_records(stream, self._length, self._dtype))
            stream = stream[full * self._length :]
        self._waiting, self._count = [stream], len(stream)
        return len(stream) - 1


def token_records(stream: Tokens, length: int, dtype: str) -> Bytes:
    """Return the records of every full sample of `stream`."""
    full = (len(stream) - 1) // length
    stored = stream.astype(dtype)
    rows = np.lib.stride_tricks.sliding_window_view(stored, length + 1)[::length][:full]
    return np.ascontiguousarray(rows).view(np.uint8)
