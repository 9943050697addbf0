"""Every format, and what becomes of a record that cannot be read."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry.dataset import DatasetConfig, DatasetError, records
from skerry.dataset.documents import clean_documents, read_documents, write_documents
from skerry.dataset.records import column_names, read_pieces, read_rows
from skerry.dataset.sources import SourceFile, find_sources
from skerry.dataset.tally import Tally
from tests.dataset.corpora import texts, write_jsonl

TEXTS = texts(12)


def rows_of(path: Path, *columns: str) -> tuple[list[tuple[object, ...]], dict[str, int]]:
    """Return the values read from a file, and how many records each rule dropped."""
    file = find_sources(DatasetConfig(dataset_name=str(path))).files[0]
    tally = Tally()
    heard: list[int] = []
    rows = [values for _, values in read_rows(file, columns, tally, heard.append)]
    assert heard == sorted(heard)
    dropped = {rule.rule: rule.count for rule in tally.rules()}
    assert tally.records_read == len(rows) + sum(dropped.values())
    return rows, dropped


def write(path: Path, form: str) -> Path:
    """Write TEXTS with a number beside each."""
    path = path / f"some.{form}"
    if form == "jsonl":
        write_jsonl(path, [{"text": text, "n": n} for n, text in enumerate(TEXTS)])
    elif form == "parquet":
        table = pyarrow.table({"n": range(len(TEXTS)), "text": TEXTS})
        pyarrow.parquet.write_table(table, path)
    else:
        with path.open("w", encoding="utf-8-sig", newline="") as handle:
            out = csv.writer(handle, delimiter="\t" if form == "tsv" else ",")
            out.writerow(["text", "n"])
            out.writerows((text, n) for n, text in enumerate(TEXTS))
    return path


@pytest.mark.parametrize("form", ["jsonl", "csv", "tsv", "parquet"])
def test_every_format_gives_the_same_rows(form: str, tmp_path: Path) -> None:
    rows, dropped = rows_of(write(tmp_path, form), "text", "n")
    assert [(text, int(str(n))) for text, n in rows] == [(t, n) for n, t in enumerate(TEXTS)]
    assert not dropped


def test_bad_lines_of_jsonl_have_named_reasons(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"text": "good"}\n\n{"text": "\xff"}\n{"text": \n[1]\n{"other": 1}\n'
        b'{"text": null}\n' + b"[" * 5000 + b'\n{"text": "also good"}'
    )
    rows, dropped = rows_of(path, "text")
    assert rows == [("good",), ("also good",)]
    assert dropped == {"not_utf8": 1, "not_json": 2, "not_an_object": 1, "missing_column": 2}


def test_a_lone_surrogate_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "\\ud800"}\n{"text": "fine"}\n')
    rows, dropped = rows_of(path, "text")
    assert rows == [("fine",)]
    assert sum(dropped.values()) == 1


def test_bad_rows_of_csv_have_named_reasons(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(b'text,n\ngood,1\nshort\nlong,1,2\n\xff\xfe,2\n,3\n"two\nlines",4\n')
    rows, dropped = rows_of(path, "text")
    assert rows == [("good",), ("two\nlines",)]
    assert dropped == {"not_csv": 2, "not_utf8": 1, "missing_column": 1}


def test_bad_cells_of_parquet_have_named_reasons(tmp_path: Path) -> None:
    path = tmp_path / "bad.parquet"
    cells = pyarrow.array([b"good", b"\xff", None], pyarrow.binary())
    table = pyarrow.table({"text": cells.cast(pyarrow.string(), safe=False).view(pyarrow.string())})
    pyarrow.parquet.write_table(table, path)
    rows, dropped = rows_of(path, "text")
    assert rows == [("good",)]
    assert dropped == {"not_utf8": 1, "missing_column": 1}


def test_a_line_beyond_the_limit_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "LINE_BYTES_MAX", 64)
    path = tmp_path / "long.jsonl"
    path.write_text('{"text": "a"}\n' + "x" * 1000 + '\n{"text": "b"}\n')
    rows, dropped = rows_of(path, "text")
    assert rows == [("a",), ("b",)]
    assert dropped == {"line_too_long": 1}


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_missing_column_is_named_with_those_that_are_there(form: str, tmp_path: Path) -> None:
    path = write(tmp_path, form)
    with pytest.raises(DatasetError, match="no column 'body'; it has"):
        rows_of(path, "body")


@pytest.mark.parametrize("form", ["parquet", "jsonl", "csv"])
@given(st.binary(max_size=120), st.integers(0, 10_000))
@settings(max_examples=40)
def test_a_damaged_file_gives_rows_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, form: str, noise: bytes, place: int
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = write(folder, form)
    content = bytearray(path.read_bytes())
    place %= len(content)
    content[place : place + len(noise)] = noise
    path.write_bytes(content)
    try:
        for values in rows_of(path, "text")[0]:
            assert values[0] is not None
    except DatasetError:
        pass


def pieces_of(path: Path, sample_by: str) -> tuple[list[str], dict[str, int]]:
    tally = Tally()
    config = DatasetConfig.read({"dataset_name": str(path), "sample_by": sample_by})
    file = find_sources(config).files[0]
    pieces = [text for _, text in read_pieces(file, config.sample_by, tally, lambda done: None)]
    return pieces, {rule.rule: rule.count for rule in tally.rules()}


def test_a_text_file_is_read_by_document_paragraph_or_line(tmp_path: Path) -> None:
    path = tmp_path / "some.txt"
    path.write_text("one\ntwo\n\n\nthree\n")
    assert pieces_of(path, "document") == (["one\ntwo\n\n\nthree\n"], {})
    assert pieces_of(path, "paragraph") == (["one\ntwo\n", "three\n"], {})
    assert pieces_of(path, "line") == (["one\n", "two\n", "three\n"], {})


def test_a_bad_byte_spoils_its_line_paragraph_or_document(tmp_path: Path) -> None:
    path = tmp_path / "some.txt"
    path.write_bytes(b"one\nt\xffo\nthree\n\nfour\n")
    assert pieces_of(path, "document") == ([], {"not_utf8": 1})
    assert pieces_of(path, "paragraph") == (["four\n"], {"not_utf8": 1})
    assert pieces_of(path, "line") == (["one\n", "three\n", "four\n"], {"not_utf8": 1})


def test_neighbours_of_one_group_become_one_document(tmp_path: Path) -> None:
    lines = [("a", 1, "one"), ("a", 1, "[]"), ("a", 1, "two"), ("a", 2, "three"), ("b", 2, "four")]
    path = write_jsonl(
        tmp_path / "verses.jsonl", [{"book": b, "chapter": c, "text": t} for b, c, t in lines]
    )
    config = DatasetConfig(
        dataset_name=str(path), group_columns=("book", "chapter"), deduplicate="none"
    )
    tally = Tally()
    found = list(clean_documents(find_sources(config), tally, lambda done: None))
    assert [text for _, text in found] == ["one\ntwo", "three", "four"]
    assert found[1][0] == "verses.jsonl:4"
    assert [(rule.rule, rule.count) for rule in tally.rules()] == [("no_words", 1)]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\f"), min_size=1)))
def test_documents_survive_their_file(
    tmp_path_factory: pytest.TempPathFactory, documents: list[str]
) -> None:
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    assert write_documents(path, documents) == len(documents)
    assert list(read_documents(path)) == documents


def test_sources_are_named_without_this_machines_folders(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("b.txt", "deep/a.txt", ".hidden.txt", "ignored.bin"):
        (tmp_path / name).write_text("x")
    folder = find_sources(DatasetConfig(dataset_name=str(tmp_path)))
    assert [file.name for file in folder.files] == ["b.txt", "deep/a.txt"]
    matched = find_sources(DatasetConfig(dataset_name=str(tmp_path / "**" / "*.txt")))
    assert [file.name for file in matched.files] == ["b.txt", "deep/a.txt"]
    with pytest.raises(DatasetError, match=r"format of .* is unknown"):
        find_sources(DatasetConfig(dataset_name=str(tmp_path / "ignored.bin")))
    with pytest.raises(DatasetError, match="no data found") as caught:
        find_sources(DatasetConfig(dataset_name=str(tmp_path / "nothing")))
    assert "'kjv'" in caught.value.next_step


def test_a_format_without_columns_is_refused(tmp_path: Path) -> None:
    file = SourceFile(tmp_path / "a.txt", "a.txt", "text", 0)
    with pytest.raises(DatasetError, match="no columns"):
        next(read_rows(file, ("text",), Tally(), print))
    with pytest.raises(DatasetError, match="does not declare"):
        column_names(file)


@pytest.mark.parametrize("form", ["csv", "tsv", "parquet"])
def test_declared_columns_are_found(form: str, tmp_path: Path) -> None:
    path = write(tmp_path, form)
    file = find_sources(DatasetConfig(dataset_name=str(path))).files[0]
    assert sorted(column_names(file)) == ["n", "text"]


@pytest.mark.parametrize(
    ("section", "word"),
    [
        ({"dataset_nam": "x"}, "dataset_nam`"),
        ({"dataset_name": "x", "seq": 3}, "seq"),
        ({"dataset_name": "x", "sequence_length": 0}, "sequence_length"),
        ({"dataset_name": "x", "tokenizer": 5}, "tokenizer"),
        ({"dataset_name": "x", "samples_per_file": 100}, "power of two"),
        ({"dataset_name": "x", "min_characters": 9, "max_characters": 8}, "min_characters"),
        ({"dataset_name": "x", "validation_split_percentage": 51}, "validation_split"),
        ({"dataset_name": "x", "image_shape": [2], "feature_columns": ["a", "b"]}, "image_shape"),
    ],
    ids=str,
)
def test_a_wrong_key_or_value_of_the_section_is_named(
    section: dict[str, object], word: str
) -> None:
    with pytest.raises(DatasetError, match=word):
        DatasetConfig.read(section)


def test_the_section_may_hold_whole_numbers_where_ratios_are_meant() -> None:
    section = json.loads('{"dataset_name": "x", "validation_split_percentage": 20}')
    assert DatasetConfig.read(section).validation_split_percentage == 20
