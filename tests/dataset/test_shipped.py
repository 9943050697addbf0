"""The two data sets that come with packages from the public index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skerry.dataset import Dataset, DatasetConfig, DatasetError, prepare, sources, trigram_score
from skerry.dataset.sources import SHIPPED, Shipped


def test_the_digits_are_images_with_labels(tmp_path: Path) -> None:
    section = {"dataset_name": "digits", "standardise": "all", "validation_split_percentage": 20}
    report = prepare(DatasetConfig.read(section), tmp_path / "digits")
    with Dataset.open(report.folder) as dataset:
        batch = dataset.train.batch(range(len(dataset.train)))
        assert len(dataset.train) + len(dataset.heldout) == 1797
        assert 290 < len(dataset.heldout) < 430
        assert batch["features"].shape[1:] == (1, 8, 8)
        assert np.bincount(batch["label"]).min() > 100
        assert dataset.manifest.fields[1].limit == 10
    assert "CC BY" in report.manifest.licence


@pytest.mark.slow
def test_the_king_james_text_becomes_chapters(tmp_path: Path) -> None:
    section = {"dataset_name": "kjv", "tokenizer": "bpe", "vocab_size": 1024}
    report = prepare(DatasetConfig.read(section), tmp_path / "kjv")
    manifest = report.manifest
    dropped = {rule.rule: rule.count for rule in manifest.rules if rule.action == "dropped"}
    assert manifest.records_read == 31_103
    assert dropped == {"no_words": 1}, "one record is no verse: 3 John 1:15 reads []"
    assert sum(split.records for split in manifest.splits) == 1189
    heldout = manifest.split("heldout")
    assert 2.9 < heldout.characters / heldout.tokens < 3.2
    with Dataset.open(report.folder) as dataset:
        score = trigram_score(dataset.train.documents(), dataset.heldout.documents())
        assert score.characters == heldout.characters
        assert 2.4 < score.bits_per_character < 2.6


def test_a_shipped_set_that_is_not_installed_names_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    absent = Shipped("no_such_package", "no-such-package==1", "a.jsonl", "jsonl", "", {})
    monkeypatch.setattr(sources, "SHIPPED", SHIPPED | {"absent": absent})
    with pytest.raises(DatasetError, match="not on this machine") as caught:
        sources.find_sources(DatasetConfig(dataset_name="absent"))
    assert caught.value.next_step == "pip install no-such-package==1"
