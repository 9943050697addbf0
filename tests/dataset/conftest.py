"""One prepared data set that many tests read and none changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry.dataset import Dataset, DatasetConfig, prepare
from tests.dataset.corpora import texts, write_jsonl


@pytest.fixture(scope="session")
def prepared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    source = write_jsonl(folder / "small.jsonl", [{"text": text} for text in texts(150)])
    config = DatasetConfig.read(
        {
            "dataset_name": str(source),
            "tokenizer": "bpe",
            "vocab_size": 300,
            "sequence_length": 16,
            "samples_per_file": 64,
            "validation_split_percentage": 10,
            "licence": "made up",
        }
    )
    prepare(config, folder / "out")
    return folder / "out"


@pytest.fixture
def dataset(prepared_folder: Path) -> Dataset:
    return Dataset.open(prepared_folder)
