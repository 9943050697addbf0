"""Tables and images: columns and arrays become named fields."""

from __future__ import annotations

import csv
import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry.base.chance import Chance
from skerry.dataset import Dataset, DatasetConfig, DatasetError, check_sample, prepare
from skerry.dataset.tables import Table, apply_scaling, scaling_of
from tests.dataset.corpora import write_jsonl

CHANCE = Chance.from_int(3)
ROWS = [
    [CHANCE.fork(row, column).below(1000) / 8 - 60 for column in range(3)] for row in range(140)
]
LABELS = [CHANCE.fork("label", row).below(4) for row in range(140)]
SPECIES = ["auk", "brant", "crake", "dunlin"]


def write(folder: Path, form: str) -> dict[str, object]:
    """Write ROWS and LABELS and return the section that names them."""
    path = folder / f"some.{form}"
    columns = {"a": [r[0] for r in ROWS], "b": [r[1] for r in ROWS], "c": [r[2] for r in ROWS]}
    section: dict[str, object] = {"dataset_name": str(path), "label_column": "kind"}
    if form == "csv":
        with path.open("w", newline="") as handle:
            out = csv.writer(handle)
            out.writerow(["a", "b", "c", "kind"])
            out.writerows([*row, label] for row, label in zip(ROWS, LABELS, strict=True))
    elif form == "jsonl":
        pairs = zip(ROWS, LABELS, strict=True)
        write_jsonl(path, [{"row": row, "kind": label} for row, label in pairs])
        section["feature_columns"] = ["row"]
    elif form == "parquet":
        pyarrow.parquet.write_table(pyarrow.table(columns | {"kind": LABELS}), path)
    elif form == "npz":
        np.savez(path, x=np.array(ROWS), kind=np.array(LABELS, np.uint8))
    else:
        path = folder / "arrays"
        path.mkdir()
        np.save(path / "x.npy", np.array(ROWS))
        np.save(path / "kind.npy", np.array(LABELS))
        section["dataset_name"] = str(path)
    return section


def prepared(section: Mapping[str, object], out: Path) -> Dataset:
    report = prepare(DatasetConfig.read(section), out)
    dataset = Dataset.open(report.folder)
    dataset.check()
    return dataset


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "npz", "npy"])
def test_every_format_gives_the_same_samples(form: str, tmp_path: Path) -> None:
    dataset = prepared(write(tmp_path, form) | {"validation_split_percentage": 20}, tmp_path / "o")
    found = []
    for reader in (dataset.train, dataset.heldout):
        batch = reader.batch(range(len(reader)))
        assert batch["features"].dtype == np.float32
        assert batch["label"].dtype == np.int64
        pairs = zip(batch["features"].tolist(), batch["label"].tolist(), strict=True)
        found += [(*row, label) for row, label in pairs]
    expected = [(*row, label) for row, label in zip(ROWS, LABELS, strict=True)]
    assert sorted(found) == sorted(expected)
    assert dataset.manifest.fields[1].limit == 4
    proof = dataset.heldout.proof(2)
    assert check_sample(dataset.heldout.split, 2, proof.record, proof.path)


def test_bad_rows_have_named_reasons(tmp_path: Path) -> None:
    good = [{"row": row, "kind": 1} for row in ROWS]
    bad = [
        {"row": [1, "x", 2], "kind": 1},
        {"row": [1, 2], "kind": 1},
        {"row": [1, 2, 1e300], "kind": 1},
        {"row": [1, 2, {}], "kind": 1},
        {"row": [1, 2, 3], "kind": 1 << 70},
        {"row": [1, 2, 3]},
        {"row": [], "kind": 0},
    ]
    path = write_jsonl(tmp_path / "bad.jsonl", [*good, *bad])
    section = {"dataset_name": str(path), "feature_columns": ["row"], "label_column": "kind"}
    manifest = prepared(section, tmp_path / "out").manifest
    assert {rule.rule: rule.count for rule in manifest.rules} == {
        "not_a_number": 2, "wrong_width": 2, "not_finite": 1, "label_out_of_range": 1,
        "missing_column": 1,
    }  # fmt: skip
    assert manifest.records_read == len(good) + len(bad)


def test_rows_of_arrays_that_are_not_finite_are_dropped(tmp_path: Path) -> None:
    rows = np.array(ROWS)
    rows[7, 1], rows[9, 0] = np.nan, 1e39
    np.savez(tmp_path / "some.npz", x=rows)
    dataset = prepared({"dataset_name": str(tmp_path / "some.npz")}, tmp_path / "out")
    (rule,) = dataset.manifest.rules
    assert (rule.rule, rule.count) == ("not_finite", 2)
    assert [field.name for field in dataset.manifest.fields] == ["features"]


def test_words_become_numbered_classes_and_fractions_a_value_to_regress_on(tmp_path: Path) -> None:
    words = [{"row": row, "y": SPECIES[n]} for row, n in zip(ROWS, LABELS, strict=True)]
    path = write_jsonl(tmp_path / "words.jsonl", words)
    section = {"dataset_name": str(path), "feature_columns": ["row"], "label_column": "y"}
    named = prepared(section, tmp_path / "a")
    assert named.manifest.class_names == tuple(SPECIES)
    assert set(named.train.batch(range(50))["label"].tolist()) == {0, 1, 2, 3}
    values = [{"row": row, "y": n / 4 + 0.5} for row, n in zip(ROWS, LABELS, strict=True)]
    write_jsonl(path, values)
    assert prepared(section, tmp_path / "b").train.batch([0])["label"].dtype == np.float32


def test_images_keep_their_shape_or_get_the_one_asked_for(tmp_path: Path) -> None:
    images = np.arange(120 * 12, dtype=np.uint8).reshape(120, 3, 4)
    np.savez(tmp_path / "some.npz", images=images, y=np.zeros(120, np.int32))
    section = {"dataset_name": str(tmp_path / "some.npz"), "label_column": "y"}
    assert prepared(section, tmp_path / "a").train.batch([0])["features"].shape == (1, 3, 4)
    shaped = section | {"image_shape": [1, 3, 4]}
    assert prepared(shaped, tmp_path / "b").train.batch([0])["features"].shape == (1, 1, 3, 4)
    with pytest.raises(DatasetError, match="does not hold the 12 numbers"):
        prepare(DatasetConfig.read(section | {"image_shape": [5, 5]}), tmp_path / "c")


@pytest.mark.parametrize("mode", ["column", "all"])
def test_standardised_features_have_mean_0_and_deviation_1_over_the_training_rows(
    mode: str, tmp_path: Path
) -> None:
    section = write(tmp_path, "npz") | {"standardise": mode, "validation_split_percentage": 20}
    dataset = prepared(section, tmp_path / "out")
    rows = dataset.train.batch(range(len(dataset.train)))["features"].astype(np.float64)
    axis = 0 if mode == "column" else None
    assert np.abs(rows.mean(axis=axis)).max() < 1e-6
    assert np.abs(rows.std(axis=axis) - 1).max() < 1e-6
    scaling = dataset.manifest.scaling
    assert scaling is not None
    assert len(scaling.mean) == (3 if mode == "column" else 1)
    raw = np.array(ROWS)
    assert {tuple(row) for row in rows.astype(np.float32).tolist()} <= {
        tuple(row) for row in apply_scaling(raw, scaling).tolist()
    }


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=30), st.randoms())
def test_the_scaling_does_not_depend_on_the_order_of_rows(
    values: list[float], draw: object
) -> None:
    config = DatasetConfig(dataset_name="x", standardise="column")
    both = []
    for rows in (values, sorted(values)):
        table = Table(np.array(rows).reshape(-1, 1), (1,), None)
        both.append(scaling_of(table, np.arange(len(rows)), config, lambda: None))
    assert both[0] == both[1]
    assert both[0] is not None
    assert math.isfinite(float.fromhex(both[0].mean[0]))
    assert float.fromhex(both[0].scale[0]) > 0


def test_equal_rows_are_dropped_when_asked_for(tmp_path: Path) -> None:
    np.savez(tmp_path / "some.npz", x=np.array([*ROWS, *ROWS[:10]]))
    section: dict[str, object] = {"dataset_name": str(tmp_path / "some.npz")}
    manifest = prepared(section | {"deduplicate": "exact"}, tmp_path / "a").manifest
    assert [(rule.rule, rule.count) for rule in manifest.rules] == [("exact_duplicate", 10)]
    with pytest.raises(DatasetError, match="near duplicates"):
        prepare(DatasetConfig.read(section | {"deduplicate": "near"}), tmp_path / "b")


def test_few_rows_are_split_by_share(tmp_path: Path) -> None:
    np.savez(tmp_path / "some.npz", x=np.array(ROWS[:20]))
    section = {"dataset_name": str(tmp_path / "some.npz"), "validation_split_percentage": 25}
    dataset = prepared(section, tmp_path / "out")
    assert dataset.manifest.split_by == "share"
    heldout = dataset.heldout.batch(range(5))["features"]
    assert np.array_equal(heldout, np.array(ROWS[15:20], np.float32))


def hostile_header(shape: str, descr: str = "<f8") -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(64)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"rubbish",
        hostile_header("(1000000000000, 8)"),
        hostile_header("(-1, 8)"),
        hostile_header("()"),
        hostile_header("(4,)", "|O"),
        hostile_header("(2,2"),
    ],
    ids=["empty", "rubbish", "huge", "negative", "scalar", "objects", "syntax"],
)
@pytest.mark.parametrize("form", ["npy", "npz"])
def test_a_hostile_array_file_is_refused(content: bytes, form: str, tmp_path: Path) -> None:
    path = tmp_path / f"some.{form}"
    if form == "npy":
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as bundle:
            bundle.writestr("x.npy", content)
    with pytest.raises(DatasetError, match="cannot be read as arrays"):
        prepare(DatasetConfig(dataset_name=str(path)), tmp_path / "out")


@given(st.integers(0, 1 << 20), st.binary(min_size=1, max_size=8))
@settings(max_examples=80)
def test_a_damaged_npz_gives_a_table_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, place: int, noise: bytes
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    memory = io.BytesIO()
    np.savez(memory, x=np.array(ROWS[:20]), y=np.arange(20))
    content = bytearray(memory.getvalue())
    place %= len(content)
    content[place : place + len(noise)] = noise
    (folder / "some.npz").write_bytes(content)
    config = DatasetConfig(dataset_name=str(folder / "some.npz"), label_column="y")
    try:
        prepare(config, folder / "out")
    except DatasetError:
        assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("arrays", "keys", "reason"),
    [
        ({"x": np.zeros((4, 2))}, {"label_column": "y"}, "no array 'y'; it has x"),
        ({"x": np.zeros((4, 2)), "y": np.zeros(3)}, {"label_column": "y"}, "unequal lengths"),
        ({"x": np.array(["a", "b"])}, {}, "not numbers"),
        ({"x": np.zeros((4, 2), np.complex128)}, {}, "not numbers"),
        ({"x": np.zeros((4, 2)), "y": np.zeros((4, 2))}, {"label_column": "y"}, "one per row"),
        ({"x": np.full((4, 2), np.nan)}, {}, "no usable row"),
        ({"x": np.zeros((1, 2))}, {}, "one of the splits empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_arrays_that_do_not_fit_are_refused_with_a_reason(
    arrays: dict[str, np.ndarray], keys: dict[str, str], reason: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "some.npz", allow_pickle=False, **arrays)
    with pytest.raises(DatasetError, match=reason):
        prepare(
            DatasetConfig.read({"dataset_name": str(tmp_path / "some.npz"), **keys}), tmp_path / "o"
        )


def test_arrays_and_texts_are_not_mixed(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((4, 2)))
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(DatasetError, match="mixes arrays"):
        prepare(DatasetConfig(dataset_name=str(tmp_path)), tmp_path / "out")


def test_a_table_has_no_text_and_no_tokenizer(tmp_path: Path) -> None:
    dataset = prepared(write(tmp_path, "npz"), tmp_path / "out")
    with pytest.raises(DatasetError, match="without tokenizer"):
        dataset.tokenizer()
    with pytest.raises(DatasetError, match="keeps no text"):
        dataset.train.documents()
    with pytest.raises(DatasetError, match="holds no text"):
        dataset.manifest.split("train").bits_per_character(1.0)
