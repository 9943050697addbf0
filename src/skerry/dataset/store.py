"""Reading a prepared folder: samples by index, and the proof of any one.

What    `Dataset.open(folder)` reads the manifest; `dataset.train.batch(indices)` returns arrays by
        field name; `.proof(index)` returns a record and its Merkle path.
Why     A folder may come from anybody and a disk may rot. Sizes are held against the manifest
        before anything is read, and a file's digest is checked when it is first touched, and
        again when the file was changed since.
        Files are read by position, not mapped: a file that is cut short under a mapping kills the
        process, where a short read is an error with a name.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from skerry.base.digests import merkle_levels, merkle_path
from skerry.dataset.documents import read_documents
from skerry.dataset.manifest import (
    MANIFEST_BYTES_MAX,
    MANIFEST_NAME,
    PREPARE_AGAIN,
    TOKENIZER_NAME,
    DatasetError,
    Manifest,
    Split,
    decode,
    file_depth,
    sample_leaf,
    top_leaves,
)
from skerry.dataset.sample_files import STORED
from skerry.dataset.sources import file_digest
from skerry.dataset.tokens import TextTokenizer, read_tokenizer_file

Batch = dict[str, npt.NDArray[Any]]
Progress = Callable[[str, int, int], None]

OPEN_FILES_MAX = 32
_LOADED = {"u16": np.int64, "u32": np.int64, "f32": np.float32, "i64": np.int64}


def quiet(stage: str, done: int, total: int) -> None:
    """Ignore progress."""


@dataclass(frozen=True, slots=True)
class SampleProof:
    """One sample's record and the way from its leaf to the `samples_root` of the split.

    `manifest.check_sample(split, index, record, path)` checks it without any file.
    """

    index: int
    record: bytes
    path: tuple[bytes, ...]


class SplitReader:
    """The samples of one split, in a folder."""

    def __init__(self, folder: Path, manifest: Manifest, split: Split) -> None:
        self.split = split
        self._folder = folder
        self._manifest = manifest
        self._record_bytes = manifest.record_bytes
        self._open: OrderedDict[int, int] = OrderedDict()
        self._checked: dict[int, tuple[int, int]] = {}  # how each file stood when it was checked
        self._levels: tuple[int, list[list[bytes]]] | None = None

    def __len__(self) -> int:
        return self.split.samples

    def batch(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> Batch:
        """Return the samples at `indices`: one array per field, i64 or f32, first axis a sample."""
        places = [int(index) for index in indices]
        records = bytearray(len(places) * self._record_bytes)
        for row, index in enumerate(places):
            start = row * self._record_bytes
            records[start : start + self._record_bytes] = self.record(index)
        return self._fields(records, len(places))

    def record(self, index: int) -> bytes:
        """Return the canonical bytes of sample `index`."""
        if not 0 <= index < len(self):
            raise IndexError(f"no sample {index} among the {len(self)} of {self.split.name}")
        number, place = divmod(index, self._manifest.samples_per_file)
        return self._read(number, place * self._record_bytes, self._record_bytes)

    def proof(self, index: int) -> SampleProof:
        """Return sample `index` with its Merkle path; reads the one file that holds it."""
        record = self.record(index)
        number, place = divmod(index, self._manifest.samples_per_file)
        levels = self._file_levels(number)
        roots = [bytes.fromhex(each.samples_root) for each in self.split.files]
        top = merkle_levels(top_leaves(roots, len(self), self._manifest.samples_per_file))
        return SampleProof(index, record, merkle_path(levels, place) + merkle_path(top, number))

    def documents(self) -> Iterator[str]:
        """Yield the cleaned texts of this split, after checking their file."""
        if self.split.text_file_digest is None:
            raise DatasetError(f"the {self.split.name} split of a table keeps no text")
        path = self._folder / self.split.text_name
        _check_file(path, self.split.text_file_bytes, self.split.text_file_digest)
        return read_documents(path)

    def check_file(self, number: int) -> None:
        """Raise DatasetError unless file `number` is the one that the manifest names."""
        size = self._manifest.file_samples(self.split, number) * self._record_bytes
        path = self._folder / self.split.file_name(number)
        before = _stand(path)
        _check_file(path, size, self.split.files[number].digest)
        self._checked[number] = before

    def close(self) -> None:
        """Close the files."""
        while self._open:
            os.close(self._open.popitem()[1])

    def __del__(self) -> None:
        self.close()

    def _fields(self, records: bytearray, count: int) -> Batch:
        rows = np.frombuffer(records, np.uint8).reshape(count, self._record_bytes)
        batch: Batch = {}
        start = 0
        for field in self._manifest.fields:
            part = np.ascontiguousarray(rows[:, start : start + field.size_bytes])
            start += field.size_bytes
            values = part.view(STORED[field.dtype]).reshape(count, *field.shape)
            values = values.astype(_LOADED[field.dtype])
            if field.limit and not np.all((values >= 0) & (values < field.limit)):
                raise DatasetError(
                    f"a value of `{field.name}` in {self._folder} is outside 0..{field.limit - 1}",
                    next_step=PREPARE_AGAIN,
                )
            batch[field.name] = values
        return batch

    def _read(self, number: int, offset: int, size: int) -> bytes:
        path = self._folder / self.split.file_name(number)
        try:
            handle = self._handle(number, path)
            if _stand(handle) != self._checked[number]:  # else a false sample would be signed for
                self.check_file(number)
            content = os.pread(handle, size, offset)
        except OSError as error:
            raise _unreadable(path, str(error)) from error
        if len(content) != size:
            raise _unreadable(path, "it ends too early")
        return content

    def _handle(self, number: int, path: Path) -> int:
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        if number not in self._checked:
            self.check_file(number)
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._open[number] = handle
        if len(self._open) > OPEN_FILES_MAX:
            os.close(self._open.popitem(last=False)[1])
        return handle

    def _file_levels(self, number: int) -> list[list[bytes]]:
        if self._levels is None or self._levels[0] != number:
            count = self._manifest.file_samples(self.split, number)
            content = self._read(number, 0, count * self._record_bytes)
            leaves = [
                sample_leaf(memoryview(content)[at : at + self._record_bytes])
                for at in range(0, len(content), self._record_bytes)
            ]
            depth = file_depth(len(self), self._manifest.samples_per_file)
            leaves += [bytes(32)] * ((1 << depth) - len(leaves))
            levels = merkle_levels(leaves)
            if levels[-1][0].hex() != self.split.files[number].samples_root:
                path = self._folder / self.split.file_name(number)
                raise _unreadable(path, "its samples do not lead to its samples_root")
            self._levels = number, levels
        return self._levels[1]


class Dataset:
    """A prepared folder."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self.digest = manifest.digest

    @classmethod
    def open(cls, folder: str | Path, *, expected: bytes | None = None) -> Dataset:
        """Return the data set in `folder`; refuse one whose digest is not `expected`.

        Raises:
            DatasetError: when there is none, its manifest is refused, or it is another one.
        """
        folder = Path(folder)
        path = folder / MANIFEST_NAME
        try:
            if path.stat().st_size > MANIFEST_BYTES_MAX:
                raise _unreadable(path, f"it has more than {MANIFEST_BYTES_MAX} bytes")
            content = path.read_bytes()
        except OSError as error:
            raise _unreadable(path, error.strerror or str(error)) from error
        dataset = cls(folder, decode(content))
        if expected is not None and dataset.digest != expected:
            raise DatasetError(
                f"{folder} holds the data set {dataset.digest.hex()[:16]}, "
                f"the job names {expected.hex()[:16]}",
                next_step=PREPARE_AGAIN,
            )
        return dataset

    @cached_property
    def train(self) -> SplitReader:
        """The samples to train on."""
        return SplitReader(self.folder, self.manifest, self.manifest.split("train"))

    @cached_property
    def heldout(self) -> SplitReader:
        """The samples held out."""
        return SplitReader(self.folder, self.manifest, self.manifest.split("heldout"))

    def reader(self, split: str) -> SplitReader:
        """Return the reader of the split called `split`."""
        self.manifest.split(split)
        return self.train if split == "train" else self.heldout

    def tokenizer(self) -> TextTokenizer:
        """Return the tokenizer of a text data set, after checking its file."""
        described = self.manifest.tokenizer
        if described is None:
            raise DatasetError(f"the data set {self.manifest.name!r} is a table without tokenizer")
        path = self.folder / TOKENIZER_NAME
        _check_file(path, described.size_bytes, described.digest)
        tokenizer = TextTokenizer(read_tokenizer_file(path), described.eos_id)
        if tokenizer.vocab_size != described.vocab_size:
            raise _unreadable(path, f"it has {tokenizer.vocab_size} tokens")
        return tokenizer

    def check(self, progress: Progress = quiet) -> None:
        """Raise DatasetError unless every file is the one that the manifest names."""
        readers = [self.reader(split.name) for split in self.manifest.splits]
        total = sum(len(reader.split.files) for reader in readers)
        done = 0
        for reader in readers:
            for number in range(len(reader.split.files)):
                reader.check_file(number)
                done += 1
                progress("check", done, total)
            if self.manifest.kind == "text":
                reader.documents()
        if self.manifest.kind == "text":
            self.tokenizer()

    def close(self) -> None:
        """Close the files of both splits."""
        for name in ("train", "heldout"):
            reader = self.__dict__.pop(name, None)
            if reader is not None:
                reader.close()

    def __enter__(self) -> Dataset:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _stand(file: Path | int) -> tuple[int, int]:
    """Return what changes when somebody writes to a file: its size, and when it was changed."""
    try:
        found = os.stat(file)
    except OSError as error:
        raise _unreadable(Path(str(file)), error.strerror or str(error)) from error
    return found.st_size, found.st_ctime_ns


def _check_file(path: Path, size_bytes: int, name: str) -> None:
    try:
        size = path.stat().st_size
        if size != size_bytes:
            raise _unreadable(path, f"it has {size} bytes where {size_bytes} are due")
        found = file_digest(path).hex()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    if found != name:
        raise _unreadable(path, f"its digest is {found[:16]}, not {name[:16]}")


def _unreadable(path: Path, reason: str) -> DatasetError:
    return DatasetError(f"{path} cannot be used: {reason}", next_step=PREPARE_AGAIN)
