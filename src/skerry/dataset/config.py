"""The `[data]` section of a job: which data, and what to do to them.

What    `DatasetConfig` with Hugging Face names where they exist; `DatasetConfig.read(mapping)`.
Why     One place that knows every key, its default and its limit, so that a misspelt key is an
        error with a name and not a silent default.
Pure    No IO.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from skerry.dataset.manifest import DatasetError, Int64, Word

Ratio = Annotated[float, Meta(ge=0, le=1)]
Text = Annotated[str, Meta(min_length=1, max_length=4096)]
Columns = Annotated[tuple[Text, ...], Meta(max_length=4096)]
ImageShape = Annotated[tuple[Annotated[int, Meta(ge=1, le=1 << 24)], ...], Meta(max_length=4)]


class DatasetConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person writes under `[data]`; docs/reference/dataset.md explains every key."""

    dataset_name: Text
    text_column: Text = "text"
    group_columns: Columns = ()
    sample_by: Literal["document", "paragraph", "line"] = "document"
    feature_columns: Columns = ()
    label_column: Annotated[str, Meta(max_length=4096)] = ""
    image_shape: ImageShape = ()
    standardise: Literal["none", "column", "all"] = "none"
    sequence_length: Annotated[int, Meta(ge=1, le=1 << 20)] = 128
    tokenizer: Text = "byte"
    vocab_size: Annotated[int, Meta(ge=257, le=1 << 20)] = 1024
    eos_token: Annotated[str, Meta(max_length=256)] = ""
    validation_split_percentage: Annotated[float, Meta(ge=0, le=50)] = 5.0
    split_by: Literal["auto", "hash", "share"] = "auto"
    deduplicate: Literal["auto", "none", "exact", "near"] = "auto"
    near_duplicate_threshold: Annotated[float, Meta(ge=0.2, le=1)] = 0.8
    min_characters: Annotated[int, Meta(ge=1, le=1 << 40)] = 1
    max_characters: Annotated[int, Meta(ge=1, le=1 << 40)] = 50_000_000
    max_symbol_ratio: Ratio = 0.5
    max_repetition_ratio: Ratio = 0.6
    samples_per_file: Annotated[int, Meta(ge=1, le=1 << 24)] = 4096
    seed: Int64 = 0
    licence: Annotated[str, Meta(max_length=1024)] = ""

    @classmethod
    def read(cls, section: Mapping[str, object]) -> DatasetConfig:
        """Return the config in `section`, as a TOML reader gives it.

        Raises:
            DatasetError: naming the key that is unknown, missing or out of range.
        """
        try:
            config = msgspec.convert(dict(section), cls)
        except msgspec.ValidationError as error:
            raise DatasetError(
                f"the [data] section cannot be used: {error}",
                next_step="see docs/reference/dataset.md for the keys of [data]",
            ) from error
        config.check()
        return config

    def check(self) -> None:
        """Raise DatasetError when two keys contradict each other."""
        if self.samples_per_file & (self.samples_per_file - 1):
            raise DatasetError(
                f"samples_per_file is {self.samples_per_file}, not a power of two",
                next_step=f"set it to {1 << self.samples_per_file.bit_length()}",
            )
        if self.min_characters > self.max_characters:
            raise DatasetError(
                "min_characters is above max_characters", next_step="swap the two in [data]"
            )
        if self.image_shape and len(self.feature_columns) > 1:
            raise DatasetError(
                "image_shape needs one column of images, feature_columns names several",
                next_step="leave out image_shape, or name one column",
            )


class BadRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One example of what a rule dropped, cut short."""

    rule: Word
    where: str
    excerpt: str
