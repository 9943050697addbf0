"""Arrays from `.npz` and `.npy` files, read without trusting their headers.

What    `read_arrays(files)` returns the arrays of all files by name, files of equal names end to
        end; `read_digits` reads the handwritten digits that scikit-learn carries.
Why     A header of a few bytes may claim any size: it is held against the file before anything is
        allocated, and nothing that needs pickle is opened.
"""

from __future__ import annotations

import gzip
import io
import math
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from typing import IO

import numpy as np
import numpy.typing as npt

from skerry.dataset.manifest import DatasetError
from skerry.dataset.sources import SourceFile

Array = npt.NDArray[np.generic]

ARRAY_BYTES_MAX = 64 << 30

# What numpy and zipfile raise for the content of a file that is not what it says.
_UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    SyntaxError,
    EOFError,
    OSError,
    OverflowError,
    RuntimeError,
    NotImplementedError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_arrays(files: Sequence[SourceFile]) -> dict[str, Array]:
    """Return every array by name; a `.npy` file is named by its stem."""
    found: dict[str, list[Array]] = {}
    for file in files:
        try:
            if file.path.suffix.lower() == ".npy":
                found.setdefault(file.path.stem, []).append(_read_npy(file))
            else:
                for name, values in _read_npz(file).items():
                    found.setdefault(name, []).append(values)
        except _UNREADABLE as error:
            raise DatasetError(
                f"{file.path} cannot be read as arrays: {str(error)[:300]}",
                next_step="write it again with numpy.savez, without objects in it",
            ) from error
    joined = {}
    for name, parts in found.items():
        if any(part.shape[1:] != parts[0].shape[1:] for part in parts):
            raise DatasetError(f"the arrays called {name!r} differ in shape between files")
        joined[name] = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return joined


def _read_npy(file: SourceFile) -> Array:
    with file.path.open("rb") as handle:
        _check_header(handle, file.size_bytes)
    values: Array = np.load(file.path, mmap_mode="r", allow_pickle=False)
    return values


def _read_npz(file: SourceFile) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    with zipfile.ZipFile(file.path) as bundle:
        members = [each for each in bundle.infolist() if each.filename.endswith(".npy")]
        if sum(each.file_size for each in members) > ARRAY_BYTES_MAX:
            raise ValueError(f"it unpacks to more than {ARRAY_BYTES_MAX} bytes")
        for member in members:
            with bundle.open(member) as handle:
                _check_header(handle, member.file_size)
            with bundle.open(member) as handle:
                content = handle.read(member.file_size)
            arrays[member.filename.removesuffix(".npy")] = np.load(
                io.BytesIO(content), allow_pickle=False
            )
    if not arrays:
        raise ValueError("it holds no arrays")
    return arrays


def _check_header(handle: IO[bytes], size_bytes: int) -> None:
    """Raise ValueError unless the header of a `.npy` fits the bytes that follow it."""
    version = np.lib.format.read_magic(handle)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(handle)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(handle)
    else:
        raise ValueError(f"its format version {version} is not 1.0 or 2.0")
    if dtype.hasobject or dtype.names is not None:
        raise ValueError(f"it holds {dtype}, not numbers or text")
    if not shape:
        raise ValueError("it holds a single value, not rows")
    due = handle.tell() + math.prod(shape) * dtype.itemsize
    if min(shape) < 1 or due > size_bytes:
        raise ValueError(f"its header asks for {due} bytes, it has {size_bytes}")


def read_digits(file: SourceFile) -> dict[str, Array]:
    """Return the images [n, 8, 8] with values 0 to 16 and the digit that each shows."""
    with gzip.open(file.path, "rt", encoding="ascii") as handle:
        rows = np.loadtxt(handle, delimiter=",", dtype=np.int64)
    return {"images": rows[:, :-1].reshape(-1, 8, 8), "target": rows[:, -1]}
