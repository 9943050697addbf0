"""Reading samples back, proving one, and finding out when a file is not what it should be."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.dataset import Dataset, DatasetError, check_sample
from skerry.dataset.manifest import MANIFEST_NAME, TOKENIZER_NAME, samples_root
from skerry.dataset.sources import file_digest
from skerry.dataset.store import OPEN_FILES_MAX, SplitReader

OPENED: list[Dataset] = []


@pytest.fixture(autouse=True)
def _opened(dataset: Dataset) -> None:
    OPENED[:] = [dataset]


@pytest.fixture
def copy(prepared_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared_folder, tmp_path / "copy"))


@given(st.data())
def test_any_sample_can_be_proved_and_no_other_passes_for_it(data: st.DataObject) -> None:
    reader = OPENED[0].train
    index, other = (data.draw(st.integers(0, len(reader) - 1)) for _ in range(2))
    proof = reader.proof(index)
    assert proof.record == reader.record(index)
    assert check_sample(reader.split, index, proof.record, proof.path)
    if other != index:
        assert not check_sample(reader.split, other, proof.record, proof.path)
    spoiled = bytearray(proof.record)
    spoiled[data.draw(st.integers(0, len(spoiled) - 1))] ^= 1
    assert not check_sample(reader.split, index, bytes(spoiled), proof.path)


def test_a_batch_has_the_asked_samples_in_their_order(dataset: Dataset) -> None:
    every = dataset.train.batch(range(len(dataset.train)))["tokens"]
    assert every.shape == (len(dataset.train), 17)
    assert every.dtype == np.int64
    picked = dataset.train.batch([5, 0, 5])["tokens"]
    assert np.array_equal(picked, every[[5, 0, 5]])
    assert np.array_equal(every[:-1, -1], every[1:, 0]), "the last target begins the next sample"
    assert dataset.train.batch([])["tokens"].shape == (0, 17)


def test_the_samples_spell_out_the_text(dataset: Dataset) -> None:
    tokens = dataset.heldout.batch(range(len(dataset.heldout)))["tokens"]
    text = dataset.tokenizer().decode(tokens[:, 1:].ravel())
    assert "".join(dataset.heldout.documents()).startswith(text)


@pytest.mark.parametrize("index", [-1, 10**9])
def test_an_index_outside_the_split_is_an_error(dataset: Dataset, index: int) -> None:
    with pytest.raises(IndexError, match="no sample"):
        dataset.train.batch([index])


def test_a_sound_folder_passes_every_check(dataset: Dataset) -> None:
    heard: list[tuple[str, int, int]] = []
    dataset.check(lambda *told: heard.append(told))
    assert heard[-1][0] == "check"
    assert heard[-1][1] == heard[-1][2]
    with Dataset.open(dataset.folder, expected=dataset.digest) as again:
        assert again.train.record(0) == dataset.train.record(0)


def test_another_data_set_than_the_job_names_is_refused(prepared_folder: Path) -> None:
    with pytest.raises(DatasetError, match="the job names 0000"):
        Dataset.open(prepared_folder, expected=bytes(32))


@pytest.mark.parametrize("name", ["train-00001.bin", "heldout.txt", TOKENIZER_NAME])
@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "remove"])
def test_a_damaged_file_is_named_with_the_next_command(copy: Path, name: str, damage: str) -> None:
    path = copy / name
    content = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    else:
        content[len(content) // 2] ^= damage == "flip"
        path.write_bytes(content[:-1] if damage == "cut" else content + b"x" * (damage == "grow"))
    with Dataset.open(copy) as dataset:
        reader = dataset.train
        reader.batch([0])
        with pytest.raises(DatasetError, match=name) as caught:
            dataset.check()
        assert "skerry prepare" in caught.value.next_step
        if name.endswith(".bin"):
            with pytest.raises(DatasetError, match=name):
                reader.batch([64])
            with pytest.raises(DatasetError, match=name):
                reader.proof(64)


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_file_that_changes_while_it_is_open_is_checked_again(copy: Path, damage: str) -> None:
    with Dataset.open(copy) as dataset:
        dataset.train.batch([0])
        with (copy / "train-00000.bin").open("r+b") as handle:
            handle.truncate(5) if damage == "cut" else handle.write(b"\x01")
        for index in (0, 63):  # also of a sample that is still as it was
            with pytest.raises(DatasetError, match=r"train-00000.bin cannot be used"):
                dataset.train.batch([index])
        with pytest.raises(DatasetError, match=r"train-00000.bin cannot be used"):
            dataset.train.proof(3)
        dataset.train.batch([64])


def test_a_file_that_was_only_touched_is_read_on(copy: Path) -> None:
    with Dataset.open(copy) as dataset:
        before = dataset.train.record(0)
        os.link(copy / "train-00000.bin", copy / "another name")
        assert dataset.train.record(0) == before


def other_manifest(folder: Path, old: bytes, new: bytes) -> None:
    path = folder / MANIFEST_NAME
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


def test_samples_that_do_not_lead_to_their_root_cannot_be_proved(copy: Path) -> None:
    with Dataset.open(copy) as dataset:
        split, each = dataset.train.split, dataset.manifest.samples_per_file
    roots = [bytes(32), *(bytes.fromhex(it.samples_root) for it in split.files[1:])]
    other_manifest(copy, split.files[0].samples_root.encode(), bytes(32).hex().encode())
    whole = samples_root(roots, split.samples, each).hex()
    other_manifest(copy, split.samples_root.encode(), whole.encode())
    with Dataset.open(copy) as dataset, pytest.raises(DatasetError, match="samples_root"):
        dataset.train.proof(3)


def test_a_token_outside_the_vocabulary_is_an_error(copy: Path) -> None:
    path = copy / "train-00000.bin"
    before = file_digest(path).hex().encode()
    path.write_bytes(b"\xff\xff" + path.read_bytes()[2:])
    other_manifest(copy, before, file_digest(path).hex().encode())
    with Dataset.open(copy) as dataset, pytest.raises(DatasetError, match=r"outside 0\.\.299"):
        dataset.train.batch([0])


@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_a_folder_without_a_sound_manifest_is_refused(copy: Path, content: bytes | None) -> None:
    (copy / MANIFEST_NAME).unlink()
    if content is not None:
        (copy / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(DatasetError, match="manifest") as caught:
        Dataset.open(copy)
    assert "skerry prepare" in caught.value.next_step


def test_no_more_than_a_few_files_are_open(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert OPEN_FILES_MAX < 100
    monkeypatch.setattr("skerry.dataset.store.OPEN_FILES_MAX", 1)
    reader = SplitReader(dataset.folder, dataset.manifest, dataset.manifest.split("train"))
    first = reader.batch([0, 64, 1, 65])["tokens"]
    assert np.array_equal(first, dataset.train.batch([0, 64, 1, 65])["tokens"])
    reader.close()
