"""Tables and images: rows of numbers with, perhaps, a label.

What    `read_table` turns CSV, TSV, JSONL, Parquet, `.npz` and `.npy` into features and labels;
        `scaling_of` and `apply_scaling` standardise.
Why     The same files, files and proofs serve a classifier as serve a language model.
        Means and deviations are exactly rounded sums (`math.fsum`), so they are the same bits on
        every machine, and they are taken from the training split alone.
Reasons not_a_number, not_finite, wrong_width, label_out_of_range
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from skerry.dataset.arrays import read_arrays, read_digits
from skerry.dataset.config import DatasetConfig
from skerry.dataset.manifest import DatasetError, Scaling
from skerry.dataset.records import column_names, read_rows
from skerry.dataset.sources import Advance, Sources
from skerry.dataset.tally import Tally

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_BLOCK_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Labels:
    """One label per row: i64 classes (or other integers), or f32 values to regress on."""

    values: npt.NDArray[np.int64] | Singles
    class_names: tuple[str, ...] = ()

    @property
    def limit(self) -> int:
        """The number of classes, or 0 where the labels are no class numbers."""
        if self.values.dtype != np.int64 or not len(self.values) or int(self.values.min()) < 0:
            return 0
        return int(self.values.max()) + 1 if not self.class_names else len(self.class_names)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows [row, element] of any real type, the shape of one row, and the labels."""

    features: npt.NDArray[np.generic]
    shape: tuple[int, ...]
    labels: Labels | None

    def block(self, rows: npt.NDArray[np.int64]) -> Floats:
        """Return some rows in f64."""
        return self.features[rows].astype(np.float64)


class _BadCellError(Exception):
    """A cell that names the rule it breaks."""


def read_table(sources: Sources, tally: Tally, advance: Advance) -> Table:
    """Return all good rows of `sources`, in their order.

    Raises:
        DatasetError: when no row is left or the shapes cannot be brought together.
    """
    config = sources.config
    if config.deduplicate == "near":
        raise DatasetError(
            "near duplicates are defined for text, not for a table",
            next_step='set deduplicate to "exact" or "none"',
        )
    if sources.files[0].format in ("array", "digits"):
        table = _from_arrays(sources, tally, advance)
    else:
        table = _from_rows(sources, tally, advance)
    if not len(table.features):
        raise DatasetError(
            f"no usable row in {sources.name}; {tally.records_read} were read",
            next_step="look at the rules and examples above, then fix the file or the columns",
        )
    if config.image_shape:
        if math.prod(config.image_shape) != table.features.shape[1]:
            raise DatasetError(
                f"image_shape {list(config.image_shape)} does not hold the "
                f"{table.features.shape[1]} numbers of a row",
                next_step="correct image_shape in [data]",
            )
        table = Table(table.features, config.image_shape, table.labels)
    return table


def _from_arrays(sources: Sources, tally: Tally, advance: Advance) -> Table:
    config = sources.config
    if sources.files[0].format == "digits":
        arrays = read_digits(sources.files[0])
    else:
        arrays = read_arrays(sources.files)
    advance(sum(file.size_bytes for file in sources.files))
    names = config.feature_columns or tuple(n for n in arrays if n != config.label_column)
    for name in (*names, *((config.label_column,) if config.label_column else ())):
        if name not in arrays:
            raise DatasetError(
                f"{sources.name} has no array {name!r}; it has {', '.join(arrays)[:500]}",
                next_step="name arrays of the file in feature_columns and label_column",
            )
    found = [arrays[name] for name in names]
    labels = arrays[config.label_column] if config.label_column else None
    counts = {len(each) for each in (*found, *(() if labels is None else (labels,)))}
    if len(counts) != 1:
        raise DatasetError(
            f"the arrays of {sources.name} have unequal lengths {sorted(counts)}",
            next_step="name arrays with one row per sample in feature_columns and label_column",
        )
    shape = found[0].shape[1:] if len(found) == 1 else ()
    flat = [each.reshape(len(each), -1) for each in found]
    features = flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1)
    good = _finite_rows(features, labels, tally, sources.name)
    features = features if good.all() else features[good]
    if labels is not None:
        labels = labels if good.all() else labels[good]
    if len(shape) > 4:
        shape = ()
    return Table(
        features,
        shape or (features.shape[1],),
        None if labels is None else _array_labels(labels, sources.name),
    )


def _finite_rows(
    features: npt.NDArray[np.generic],
    labels: npt.NDArray[np.generic] | None,
    tally: Tally,
    name: str,
) -> npt.NDArray[np.bool_]:
    if features.dtype.kind not in "biuf" or features.dtype.itemsize > 8:
        raise DatasetError(
            f"the features of {name} have the type {features.dtype}, not numbers",
            next_step="name arrays of numbers in feature_columns",
        )
    good = np.ones(len(features), np.bool_)
    if features.dtype.kind == "f":
        for start in range(0, len(features), _BLOCK_ROWS):
            block = features[start : start + _BLOCK_ROWS]
            with np.errstate(over="ignore", invalid="ignore"):
                single = block.astype(np.float32)
            good[start : start + _BLOCK_ROWS] = np.isfinite(single).all(axis=1)
    if labels is not None and labels.dtype.kind == "f":
        good &= np.isfinite(labels.reshape(len(labels), -1).astype(np.float64)).all(axis=1)
    tally.records_read += len(features)
    for row in np.flatnonzero(~good).tolist():
        tally.drop("not_finite", f"{name} row {row + 1}", features[row].tolist()[:8])
    return good


def _array_labels(labels: npt.NDArray[np.generic], name: str) -> Labels:
    if labels.ndim != 1:
        raise DatasetError(
            f"the labels of {name} have the shape {list(labels.shape)}, not one per row",
            next_step="name an array with one label per row in label_column",
        )
    if labels.dtype.kind in "biu":
        if labels.dtype.kind == "u" and len(labels) and int(labels.max()) >= 1 << 63:
            raise DatasetError(f"a label of {name} does not fit 64 bits with a sign")
        return Labels(labels.astype(np.int64))
    if labels.dtype.kind == "f":
        return Labels(labels.astype(np.float32))
    return _listed_labels([str(each) for each in labels.tolist()])


def _from_rows(sources: Sources, tally: Tally, advance: Advance) -> Table:
    config = sources.config
    names = config.feature_columns
    if not names:
        every = column_names(sources.files[0])
        names = tuple(name for name in every if name != config.label_column)
    columns = (*names, *((config.label_column,) if config.label_column else ()))
    values: array[float] = array("d")
    labels: list[int | float | str] = []
    width = before = 0
    for file in sources.files:
        offset = before

        def advance_all(done: int, offset: int = offset) -> None:
            advance(offset + done)

        for where, cells in read_rows(file, columns, tally, advance_all):
            try:
                row = _row(cells[: len(names)])
                if width and len(row) != width:
                    raise _BadCellError("wrong_width")
                if config.label_column:
                    labels.append(_label(cells[-1]))
            except _BadCellError as bad:
                tally.drop(str(bad), where, cells)
                continue
            width = len(row)
            values.extend(row)
        before += file.size_bytes
    features = np.frombuffer(values, np.float64) if values else np.zeros(0)
    features = features.reshape(-1, width) if width else features.reshape(0, 1)
    return Table(features, (max(width, 1),), _listed_labels(labels) if labels else None)


def _row(cells: Sequence[object]) -> list[float]:
    """Return the numbers of some cells; a cell may hold a list, or lists of lists."""
    row: list[float] = []
    stack = list(reversed(cells))
    while stack:
        cell = stack.pop()
        if isinstance(cell, list | tuple):
            stack.extend(reversed(cell))
        else:
            row.append(_number(cell))
    if not row:
        raise _BadCellError("wrong_width")
    return row


def _number(cell: object) -> float:
    if not isinstance(cell, int | float | str) or (isinstance(cell, str) and "_" in cell):
        raise _BadCellError("not_a_number")
    try:
        value = float(cell)
    except OverflowError:
        raise _BadCellError("not_finite") from None
    except ValueError:
        raise _BadCellError("not_a_number") from None
    # A value is stored as f32, so it must be finite there too.
    if not math.isfinite(value) or abs(value) > 3.4028234663852886e38:
        raise _BadCellError("not_finite")
    return value


def _label(cell: object) -> int | float | str:
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int):
        if not -(1 << 63) <= cell < 1 << 63:
            raise _BadCellError("label_out_of_range")
        return int(cell)
    return _number(cell)


def _listed_labels(labels: Sequence[int | float | str]) -> Labels:
    """Return integers as they are, other numbers as f32, anything else as numbered classes."""
    if all(isinstance(each, int) for each in labels):
        return Labels(np.array(labels, np.int64))
    if all(isinstance(each, str) and _WHOLE.fullmatch(each) for each in labels):
        whole = [int(each) for each in labels]
        if all(-(1 << 63) <= each < 1 << 63 for each in whole):
            return Labels(np.array(whole, np.int64))
    numbers = _numbers(labels)
    if numbers is not None:
        return Labels(np.array(numbers, np.float32))
    names = sorted({str(each) for each in labels})
    places = {name: place for place, name in enumerate(names)}
    return Labels(np.array([places[str(each)] for each in labels], np.int64), tuple(names))


def _numbers(labels: Iterable[int | float | str]) -> list[float] | None:
    try:
        return [_number(each) for each in labels]
    except _BadCellError:
        return None


def scaling_of(
    table: Table, rows: npt.NDArray[np.int64], config: DatasetConfig, advance: Callable[[], None]
) -> Scaling | None:
    """Return the mean and deviation of the features over `rows`, or None when not asked for."""
    if config.standardise == "none":
        return None
    width = table.features.shape[1]
    if config.standardise == "column":
        means, scales = [], []
        for column in range(width):
            values = table.features[rows, column].astype(np.float64)
            mean, scale = _moments([values])
            means.append(mean.hex())
            scales.append(scale.hex())
            advance()
        return Scaling(mean=tuple(means), scale=tuple(scales))
    blocks = [
        table.block(rows[start : start + _BLOCK_ROWS]).ravel()
        for start in range(0, len(rows), _BLOCK_ROWS)
    ]
    mean, scale = _moments(blocks)
    return Scaling(mean=(mean.hex(),), scale=(scale.hex(),))


def _moments(blocks: Sequence[Floats]) -> tuple[float, float]:
    """Return the mean and the deviation, 1 where all values are equal."""
    count = sum(len(block) for block in blocks)
    mean = math.fsum(chain.from_iterable(block.tolist() for block in blocks)) / count
    squares = (((block - mean) * (block - mean)).tolist() for block in blocks)
    scale = math.sqrt(math.fsum(chain.from_iterable(squares)) / count)
    return mean, scale if scale > 0 else 1.0


def apply_scaling(features: Floats, scaling: Scaling | None) -> Singles:
    """Return rows of `features` [row, element] as a data set with `scaling` stores them."""
    if scaling is None:
        return features.astype(np.float32)
    mean = np.array([float.fromhex(each) for each in scaling.mean])
    scale = np.array([float.fromhex(each) for each in scaling.scale])
    scaled: Singles = ((features - mean) / scale).astype(np.float32)
    return scaled
