"""The bytes of one small data set, so that no change of the pipeline goes unseen.

`BLESS=1 pytest tests/dataset/test_golden.py` writes the file anew; do so only when the rules
change, and raise PIPELINE_VERSION with it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from skerry.dataset import BatchPlan, Dataset, DatasetConfig, prepare
from tests.dataset.corpora import texts, write_jsonl

GOLDEN = Path(__file__).parents[1] / "golden" / "dataset.json"


def measured(folder: Path) -> dict[str, Any]:
    """Return what the pipeline makes of one text and one table."""
    source = write_jsonl(folder / "text.jsonl", [{"text": text} for text in texts(120)])
    rows = (np.arange(480, dtype=np.float64).reshape(120, 4) % 37) / 8
    np.savez(folder / "table.npz", x=rows, y=np.arange(120) % 3)
    table = {"label_column": "y", "standardise": "column", "image_shape": [2, 2]}
    sections: dict[str, dict[str, object]] = {
        "text": {"dataset_name": str(source), "tokenizer": "bpe", "vocab_size": 300}
        | {"sequence_length": 8, "samples_per_file": 256},
        "table": {"dataset_name": str(folder / "table.npz"), **table},
    }
    found: dict[str, Any] = {}
    for name, section in sections.items():
        report = prepare(DatasetConfig.read(section), folder / name)
        with Dataset.open(report.folder) as dataset:
            proof = dataset.train.proof(1)
            found[name] = {
                "manifest": (folder / name / "manifest.json").read_text(),
                "digest": report.digest,
                "sample": {
                    "index": 1,
                    "record": proof.record.hex(),
                    "path": [each.hex() for each in proof.path],
                },
            }
    plan = BatchPlan(size=11, seed=-3, shards=2, batch=4)
    found["order"] = {
        "size": 11,
        "seed": -3,
        "shards": 2,
        "batch": 4,
        "indices": [[plan.indices(step, shard) for shard in (0, 1)] for step in range(3)],
    }
    return found


def written(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def test_the_pipeline_gives_the_recorded_bytes(tmp_path: Path) -> None:
    found = written(measured(tmp_path))
    if os.environ.get("BLESS"):
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text()
