"""Parts of a blob outlive the process that wrote them, and only a right whole enters the store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from skerry.messages.blobs import PART_BYTES
from skerry.storage import BlobMissing, BlobStore, StorageError, blob_digest
from skerry.storage.fetching import Held
from skerry.storage.partial import PartialBlob, forget_partials, has_partial

WHOLE = os.urandom(2 * PART_BYTES + 3)
NAME = blob_digest(WHOLE)
PARTS = [WHOLE[at : at + PART_BYTES] for at in range(0, len(WHOLE), PART_BYTES)]


def test_parts_come_back_and_the_whole_is_adopted(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    first = PartialBlob(store, NAME)
    assert first.held is None
    first.write(len(WHOLE), 2, PARTS[2])
    first.write(len(WHOLE), 0, PARTS[0])
    first.close()
    first.close()
    assert has_partial(store, NAME)
    second = PartialBlob(store, NAME)
    assert second.held == Held(len(WHOLE), frozenset({0, 2}))
    assert not second.adopt(len(WHOLE))  # a part is missing
    second.write(len(WHOLE), 1, PARTS[1])
    assert not store.has(NAME)
    assert second.adopt(len(WHOLE), durable=True)
    second.close()
    assert store.get(NAME) == WHOLE
    assert list(store.names()) == [NAME]
    assert not list((tmp_path / "partial").iterdir())


def test_a_note_that_a_kill_cut_does_not_count_and_does_not_shift_the_next(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    partial = PartialBlob(store, NAME)
    partial.write(len(WHOLE), 1, PARTS[1])
    partial.close()
    with (tmp_path / "partial" / f"{NAME.hex()}.parts").open("ab") as file:
        file.write(b"\x02\x00\x00")
    for expected in ({1}, {1, 2}):
        again = PartialBlob(store, NAME)
        assert again.held == Held(len(WHOLE), frozenset(expected))
        again.write(len(WHOLE), 2, PARTS[2])
        again.close()


def test_another_size_starts_anew_and_nothing_is_left_of_what_was_forgotten(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    partial = PartialBlob(store, NAME)
    partial.write(PART_BYTES, 0, PARTS[0])
    partial.write(len(WHOLE), 1, PARTS[1])
    assert partial.held == Held(len(WHOLE), frozenset({1}))
    partial.forget()
    assert partial.held is None
    partial.close()
    assert not list((tmp_path / "partial").iterdir())


def test_two_fetches_of_one_blob_do_not_meet(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    first, second = PartialBlob(store, NAME), PartialBlob(store, NAME)
    first.write(len(WHOLE), 0, PARTS[0])
    assert second.held is None
    for part, data in enumerate(PARTS):
        second.write(len(WHOLE), part, data)
    assert second.adopt(len(WHOLE))
    assert first.held == Held(len(WHOLE), frozenset({0}))
    assert store.get(NAME) == WHOLE
    second.close()
    assert forget_partials(store) == 0, "the first is still at work"
    first.close()
    assert forget_partials(store) == 1
    assert not list((tmp_path / "partial").iterdir())


def test_an_empty_blob_has_no_parts(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    partial = PartialBlob(store, blob_digest(b""))
    assert partial.adopt(0)
    partial.close()
    assert store.get(blob_digest(b"")) == b""
    store.drop(blob_digest(b""))
    assert store.get(store.put(b"")) == b""


def test_a_disk_that_refuses_is_named(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    (tmp_path / "partial").write_bytes(b"in the way")
    with pytest.raises(StorageError):
        PartialBlob(store, NAME)


def test_a_stretch_of_a_blob_can_be_read_alone(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    store.put(WHOLE)
    assert store.part(NAME, PART_BYTES, 5) == WHOLE[PART_BYTES:][:5]
    with pytest.raises(BlobMissing, match="shorter"):
        store.part(NAME, len(WHOLE) - 1, 2)
    with pytest.raises(BlobMissing, match="not there"):
        store.part(bytes(32), 0, 1)
