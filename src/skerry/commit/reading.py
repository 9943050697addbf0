"""How a unit reads its samples: the facts behind a data slice, as one digest.

What    `Reading` says how many shards a batch has, how many samples a shard, which samples there
        are, in which order they come, and where in a record each field lies. `open_field` proves
        one field under its digest.
Why     A manifest may have megabytes, and says nothing of shards. A judge of one element needs a
        few words, and must have them from what both sides signed.
Rule    reading = H("reading", shards u32 || batch u32 || shuffled u8 || count u64 ||
                    bytes of a record u32 || root of the samples || root over the fields)
        field leaf = H("field", first byte u32 || kind u8 || name); kinds are numbered from 1 in
        the order of `FIELD_BYTES`.
Pure    Frozen values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from skerry.base.digests import digest, merkle_levels, merkle_path, merkle_root

#: The stored types of a field, and the bytes of each; an f32 fills an f32 port, the others an i64.
FIELD_BYTES: Final[Mapping[str, int]] = {"u16": 2, "u32": 4, "f32": 4, "i64": 8}
KIND_CODES: Final[Mapping[str, int]] = {kind: at + 1 for at, kind in enumerate(FIELD_BYTES)}


@dataclass(frozen=True, slots=True)
class FieldPlace:
    """Where in a record a field begins, in bytes, and how it is stored."""

    name: str
    at: int
    kind: str

    @property
    def leaf(self) -> bytes:
        """The field's leaf."""
        place = self.at.to_bytes(4, "little") + bytes([KIND_CODES[self.kind]])
        return digest("field", place + self.name.encode())


@dataclass(frozen=True, slots=True)
class FieldOpening:
    """A field, its number among the fields, and the path of its leaf."""

    field: FieldPlace
    index: int
    path: tuple[bytes, ...]


@dataclass(frozen=True)
class Reading:
    """How the steps of a job read one split.

    Attributes:
        shards: of the whole batch of a step.
        batch: samples of a shard.
        shuffled: whether the job's seed orders the samples anew in every epoch; otherwise they
            come as they stand.
        root: root over the samples.
        count: how many samples there are.
        record_bytes: the size of one.
        fields: what a record consists of.
    """

    shards: int
    batch: int
    shuffled: bool
    root: bytes
    count: int
    record_bytes: int
    fields: tuple[FieldPlace, ...]

    @cached_property
    def digest(self) -> bytes:
        """The 32 bytes that a data slice names it by."""
        numbers = (
            self.shards.to_bytes(4, "little")
            + self.batch.to_bytes(4, "little")
            + bytes([self.shuffled])
            + self.count.to_bytes(8, "little")
            + self.record_bytes.to_bytes(4, "little")
        )
        return digest("reading", numbers + self.root + self.fields_root)

    @cached_property
    def fields_root(self) -> bytes:
        """The root over the fields."""
        return merkle_root([field.leaf for field in self.fields])

    def open_field(self, name: str) -> FieldOpening:
        """Return the opening of the field `name`.

        Raises:
            KeyError: there is none.
        """
        for index, field in enumerate(self.fields):
            if field.name == name:
                levels = merkle_levels([it.leaf for it in self.fields])
                return FieldOpening(field, index, merkle_path(levels, index))
        raise KeyError(name)
