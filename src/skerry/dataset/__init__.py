"""Dataset: files of text, tables or images become samples that have a name and a proof.

In      The `[data]` section of a job, or a prepared folder from anybody.
Does    Cleans, drops repeats, splits, tokenises, packs and stores; reads samples back; says which
        sample stands at which place of a run.
Out     A folder with a manifest whose digest names the data; numpy arrays; Merkle paths.
Never   torch, a clock, a random state, pickle, or a record that vanishes without a count.
Start   reading at `manifest`, then `order`, `prepare`, `store`.
"""

from skerry.dataset.bulk_order import samples_at, step_samples
from skerry.dataset.config import BadRecord, DatasetConfig
from skerry.dataset.manifest import DatasetError, Manifest, Split, check_sample
from skerry.dataset.order import BatchPlan, sample_index
from skerry.dataset.prepare import prepare
from skerry.dataset.report import Report
from skerry.dataset.store import Dataset, SampleProof, SplitReader
from skerry.dataset.tokens import TextTokenizer
from skerry.dataset.trigram import TrigramScore, trigram_score

__all__ = [
    "BadRecord",
    "BatchPlan",
    "Dataset",
    "DatasetConfig",
    "DatasetError",
    "Manifest",
    "Report",
    "SampleProof",
    "Split",
    "SplitReader",
    "TextTokenizer",
    "TrigramScore",
    "check_sample",
    "prepare",
    "sample_index",
    "samples_at",
    "step_samples",
    "trigram_score",
]
