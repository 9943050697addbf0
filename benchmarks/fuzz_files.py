"""Data files and weights from outside, for `fuzz`: a good one of each format, and what reads it."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from skerry.dataset import prepare
from skerry.dataset.config import DatasetConfig
from skerry.node.states import read_state, state_bytes, type_of

Seed = tuple[bytes, Callable[[bytes], object]]

_TEXT = "In the beginning was the word, and the word was long enough to be kept"
_TEXTS = tuple(_TEXT[at:] + " " + _TEXT[:at] for at in range(0, len(_TEXT), 5))


@contextmanager
def file_seeds() -> Iterator[dict[str, Seed]]:
    """Give a good file of each format with what prepares it, as long as its folder is there."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        text: dict[str, object] = {"tokenizer": "byte", "sequence_length": 8}
        table: dict[str, object] = {"feature_columns": ("a", "b"), "label_column": "label"}
        yield {
            "jsonl": _prepared(folder / "a.jsonl", _jsonl(), text),
            "txt": _prepared(
                folder / "a.txt", "\n".join(_TEXTS).encode(), text | {"sample_by": "line"}
            ),
            "csv": _prepared(folder / "a.csv", _csv(), table),
            "parquet": _prepared(folder / "a.parquet", _parquet(), table),
            "npz": _prepared(
                folder / "a.npz", _npz(), {"feature_columns": ("x",), "label_column": "label"}
            ),
            "state": _state(),
        }


def _prepared(path: Path, seed: bytes, section: dict[str, object]) -> Seed:
    out = path.with_suffix(".out")

    def read(data: bytes) -> None:
        path.write_bytes(data)
        try:
            prepare(DatasetConfig.read({"dataset_name": str(path), **section}), out)
        finally:
            shutil.rmtree(out, ignore_errors=True)

    return seed, read


def _jsonl() -> bytes:
    return b"".join(b'{"text": "%s"}\n' % text.encode() for text in _TEXTS)


def _rows() -> dict[str, list[float]]:
    labels = [float(at % 2) for at in range(24)]
    return {"a": [at / 7 for at in range(24)], "b": [at * 3.5 for at in range(24)], "label": labels}


def _csv() -> bytes:
    rows = _rows()
    lines = [",".join(rows), *(",".join(map(str, row)) for row in zip(*rows.values(), strict=True))]
    return "\n".join(lines).encode()


def _parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(_rows()), file)
    return file.getvalue()


def _npz() -> bytes:
    file = io.BytesIO()
    x = np.arange(48, dtype=np.float32).reshape(24, 2)
    np.savez(file, x=x, label=np.arange(24) % 2)
    return file.getvalue()


def _state() -> Seed:
    state = {"params": torch.arange(12, dtype=torch.float32), "step": torch.tensor(3)}
    types = {name: type_of(value) for name, value in state.items()}
    return bytes(state_bytes(state)), lambda data: read_state(data, types)
