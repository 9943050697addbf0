"""Rows of numbers to samples: drop repeats, split, standardise, write.

What    `build_table(work)` leaves the files in the work folder and returns the manifest.
Why     The split comes before the scaling, so that no held-out number touches the mean.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from skerry.base.digests import digest
from skerry.dataset.manifest import DatasetError, Field, Manifest
from skerry.dataset.sample_files import STORED, Bytes, SampleWriter
from skerry.dataset.splitting import Rule, Side, by_hash, kept_count, rule_for
from skerry.dataset.tables import Singles, Table, apply_scaling, read_table, scaling_of
from skerry.dataset.work import Work, manifest_of

Rows = npt.NDArray[np.int64]

_WRITE_ROWS = 4096


def build_table(work: Work) -> Manifest:
    """Write the files of a table and return their manifest."""
    config = work.config

    def advance(done: int) -> None:
        work.progress("clean", min(done, work.total_bytes), work.total_bytes)

    table = read_table(work.sources, work.tally, advance)
    split_by, rows = _split_rows(work, table)
    width = table.features.shape[1]
    columns = iter(range(1, width + 1))
    scaling = scaling_of(
        table, rows["train"], config, lambda: work.progress("scale", next(columns), width)
    )
    fields = [Field(name="features", dtype="f32", shape=table.shape)]
    if table.labels is not None:
        whole = table.labels.values.dtype == np.int64
        label = Field(
            name="label", dtype="i64" if whole else "f32", shape=(), limit=table.labels.limit
        )
        fields.append(label)
    splits, done = [], 0
    total = sum(len(chosen) for chosen in rows.values())
    for side, chosen in rows.items():
        with SampleWriter(work.folder, side, config.samples_per_file) as writer:
            for start in range(0, len(chosen), _WRITE_ROWS):
                block = chosen[start : start + _WRITE_ROWS]
                features = apply_scaling(table.block(block), scaling)
                writer.write(_table_records(features, table, block))
                done += len(block)
                work.progress("write", done, total)
            splits.append(writer.finish(len(chosen)))
    names = table.labels.class_names if table.labels is not None else ()
    return manifest_of(
        work, split_by, tuple(fields), tuple(splits), scaling=scaling, class_names=names
    )


def _table_records(features: Singles, table: Table, rows: Rows) -> Bytes:
    parts = [np.ascontiguousarray(features.astype(STORED["f32"])).view(np.uint8)]
    if table.labels is not None:
        values = table.labels.values[rows]
        stored = values.astype(STORED["i64" if values.dtype == np.int64 else "f32"])
        parts.append(stored.reshape(-1, 1).view(np.uint8))
    return np.concatenate(parts, axis=1)


def _split_rows(work: Work, table: Table) -> tuple[Rule, dict[Side, Rows]]:
    """Return the rows of each split; exact repeats are dropped first where asked for."""
    config, count = work.config, len(table.features)
    names: set[bytes] = set()
    kept: list[int] = []
    held: list[bool] = []
    for start in range(0, count, _WRITE_ROWS):
        block = np.arange(start, min(start + _WRITE_ROWS, count))
        for row, values in zip(block.tolist(), table.block(block), strict=True):
            label = b"" if table.labels is None else table.labels.values[row].tobytes()
            name = digest("row", values.tobytes(), label)
            if config.deduplicate == "exact" and name in names:
                work.tally.drop("exact_duplicate", f"row {row + 1}", values.tolist()[:8])
                continue
            names.add(name)
            kept.append(row)
            held.append(by_hash(name, config) == "heldout")
        work.progress("split", min(start + _WRITE_ROWS, count), count)
    rule = rule_for(config, len(kept), sum(held))
    if rule == "share":
        border = kept_count(config, len(kept))
        held = [place >= border for place in range(len(kept))]
    rows, mask = np.array(kept, np.int64), np.array(held, np.bool_)
    if rule == "none":
        return rule, {"train": rows}
    if not mask.any() or mask.all():
        raise DatasetError(
            f"{len(kept)} rows leave one of the splits empty",
            next_step="raise validation_split_percentage, or set it to 0",
        )
    return rule, {"train": rows[~mask], "heldout": rows[mask]}
