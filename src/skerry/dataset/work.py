"""What every stage of one preparation shares, and the manifest that they lead to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skerry.dataset.config import DatasetConfig
from skerry.dataset.manifest import Field, Manifest, Source, Split
from skerry.dataset.sources import Sources
from skerry.dataset.splitting import Rule
from skerry.dataset.store import Progress
from skerry.dataset.tally import Tally
from skerry.dataset.tokens import TextTokenizer


@dataclass(frozen=True, slots=True)
class Work:
    """What every stage of one preparation shares."""

    folder: Path
    sources: Sources
    source_list: tuple[Source, ...]
    config_digest: str
    tokenizer: TextTokenizer | None
    tally: Tally
    progress: Progress

    @property
    def config(self) -> DatasetConfig:
        """The config, completed by what a shipped name knows."""
        return self.sources.config

    @property
    def total_bytes(self) -> int:
        """The bytes of all sources."""
        return sum(source.size_bytes for source in self.source_list)


def manifest_of(
    work: Work,
    split_by: Rule,
    fields: tuple[Field, ...],
    splits: tuple[Split, ...],
    **rest: Any,
) -> Manifest:
    """Return the manifest of what `work` has made."""
    return Manifest(
        kind=work.sources.kind,
        name=work.sources.name,
        licence=work.config.licence or "not stated",
        seed=work.config.seed,
        config_digest=work.config_digest,
        split_by=split_by,
        fields=fields,
        samples_per_file=work.config.samples_per_file,
        splits=splits,
        sources=work.source_list,
        records_read=work.tally.records_read,
        rules=work.tally.rules(),
        **rest,
    )
