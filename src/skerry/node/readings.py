"""How a job reads its samples: the facts that its units name, made from a manifest.

What    `readings_of(manifest, ...)` gives the reading of each split; `SplitSource` proves samples
        of one to a judge.
Why     A manifest knows nothing of shards, and a judge cannot read a manifest.
Rule    The train split is read in the order of `dataset.order`, by all shards of a step. The
        held-out split is read as it stands, by one shard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skerry.commit.reading import FieldPlace, Reading
from skerry.dataset import Manifest, SplitReader
from skerry.messages.rounds import RunConfig
from skerry.node.unit import DataUnfit


def readings_of(manifest: Manifest, *, shards: int, batch: int) -> dict[str, Reading]:
    """Return the reading of each split of the data.

    Args:
        manifest: the data.
        shards: of the whole batch of a step.
        batch: samples of a shard.
    """
    fields, at = [], 0
    for field in manifest.fields:
        fields.append(FieldPlace(field.name, at, field.dtype))
        at += field.size_bytes
    return {
        split.name: Reading(
            shards=shards if split.name == "train" else 1,
            batch=batch,
            shuffled=split.name == "train",
            root=bytes.fromhex(split.samples_root),
            count=split.samples,
            record_bytes=manifest.record_bytes,
            fields=tuple(fields),
        )
        for split in manifest.splits
    }


def check_readings(config: RunConfig, manifest: Manifest) -> None:
    """Refuse a run whose terms say that it reads its data in another way than it does.

    Raises:
        DataUnfit: they do.
    """
    due = readings_of(manifest, shards=config.shards, batch=config.samples_per_shard)
    if dict(config.readings) != {name: it.digest for name, it in due.items()}:
        raise DataUnfit("the run's terms name another way to read the data")


@dataclass(frozen=True)
class SplitSource:
    """A split with its reading; a `chain.court_calls.SampleSource`."""

    reading: Reading
    reader: SplitReader

    def proof(self, index: int) -> tuple[bytes, Sequence[bytes]]:
        """Return the record of sample `index` and its path to the root of the samples."""
        found = self.reader.proof(index)
        return found.record, found.path
