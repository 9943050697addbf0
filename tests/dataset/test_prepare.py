"""Preparing text from end to end: counts, cache, repair, and stops that say what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from skerry.base.errors import NodeError
from skerry.dataset import Dataset, DatasetConfig, DatasetError, Report, prepare
from skerry.dataset.manifest import MANIFEST_NAME
from skerry.dataset.tokens import byte_tokenizer
from tests.dataset.corpora import texts, write_jsonl


def config_for(source: Path, **keys: object) -> DatasetConfig:
    return DatasetConfig.read({"dataset_name": str(source), "sequence_length": 16, **keys})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "some.jsonl", [{"text": text} for text in texts(120)])


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_config_gives_the_same_bytes_wherever_it_runs(
    source: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (moved / "some.jsonl").write_bytes(source.read_bytes())
    one = prepare(config_for(source, tokenizer="bpe", vocab_size=300), tmp_path / "one")
    two = prepare(
        config_for(moved / "some.jsonl", tokenizer="bpe", vocab_size=300), tmp_path / "two"
    )
    assert content_of(tmp_path / "one") == content_of(tmp_path / "two")
    assert one.digest == two.digest


def test_a_second_run_has_nothing_to_do_and_says_so(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = prepare(config_for(source), out)
    written = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    stages: list[str] = []
    second = prepare(config_for(source), out, lambda stage, done, total: stages.append(stage))
    assert (first.reused, second.reused) == (False, True)
    assert msgspec.structs.replace(second, reused=False) == first
    assert written == {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert set(stages) == {"read", "check"}
    assert "nothing to do" in second.rows()[0][2]


def test_another_config_or_another_source_replaces_the_folder(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    digests = [prepare(config_for(source), out).digest]
    digests.append(prepare(config_for(source, seed=1), out).digest)
    source.write_bytes(source.read_bytes() + b'{"text": "one more record than before"}\n')
    digests.append(prepare(config_for(source, seed=1), out).digest)
    assert len(set(digests)) == 3
    assert Dataset.open(out).digest.hex() == digests[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "some.jsonl"]


def test_a_second_run_repairs_a_damaged_folder(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = prepare(config_for(source), out)
    (out / "train-00000.bin").write_bytes(b"rubbish")
    again = prepare(config_for(source), out)
    assert not again.reused
    assert again.digest == first.digest
    Dataset.open(out).check()


def test_what_a_killed_run_left_is_swept_away_but_not_what_is_at_work(
    source: Path, tmp_path: Path
) -> None:
    dead, alive = tmp_path / ".out.part-4194304", tmp_path / f".out.part-{os.getppid()}"
    dead.mkdir()
    alive.mkdir()
    prepare(config_for(source), tmp_path / "out")
    assert not dead.exists()
    assert alive.exists()


def test_a_folder_that_holds_something_else_is_left_alone(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "precious"
    out.mkdir()
    (out / "thesis.txt").write_text("all of it")
    with pytest.raises(DatasetError, match="not a prepared data set"):
        prepare(config_for(source), out)
    assert (out / "thesis.txt").read_text() == "all of it"


def test_an_error_leaves_nothing_behind(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="too few for one sample"):
        prepare(config_for(source, sequence_length=1 << 20), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["some.jsonl"]


def test_a_place_that_cannot_be_written_stops_with_a_next_step(
    source: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NodeError, match="stopped") as caught:
        prepare(config_for(source), tmp_path / "file" / "out")
    assert caught.value.next_step


def test_every_record_is_in_a_sample_or_in_a_count(tmp_path: Path) -> None:
    good = texts(110, lines=8)
    lines = [json.dumps({"text": text}).encode() for text in good]
    lines += [b"\xff", b"{", b"[]", b"{}", b'{"text": 5}', b'{"text": "?!"}', b'{"text": "ab"}']
    lines += [lines[0], json.dumps({"text": good[1] + "\nAnd so."}).encode()]
    source = tmp_path / "bad.jsonl"
    source.write_bytes(b"\n".join(lines))
    heard: list[tuple[str, int, int]] = []
    report = prepare(
        config_for(source, min_characters=3), tmp_path / "out", lambda *told: heard.append(told)
    )
    manifest = report.manifest
    dropped = {rule.rule: rule.count for rule in manifest.rules if rule.action == "dropped"}
    assert dropped == {
        "not_utf8": 1, "not_json": 1, "not_an_object": 1, "missing_column": 1, "not_text": 1,
        "no_words": 1, "too_short": 1, "exact_duplicate": 1, "near_duplicate": 1,
    }  # fmt: skip
    kept = sum(split.records for split in manifest.splits)
    assert manifest.records_read == len(lines) == kept + sum(dropped.values())
    assert {example.rule for example in report.examples} == set(dropped)
    assert next(e for e in report.examples if e.rule == "not_text").excerpt == "5"
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report
    assert any("near_duplicate" in figure for _, figure, _ in report.rows())
    assert all(0 <= done <= total for _, done, total in heard)
    assert list(dict.fromkeys(stage for stage, _, _ in heard)) == [
        "read", "clean", "split", "tokenise train", "tokenise heldout",
    ]  # fmt: skip


def test_the_hash_keeps_a_record_on_its_side_when_others_come(tmp_path: Path) -> None:
    sides = []
    for count in (120, 150):
        path = write_jsonl(tmp_path / f"{count}.jsonl", [{"text": t} for t in texts(count)])
        report = prepare(config_for(path, validation_split_percentage=20), tmp_path / f"o{count}")
        assert report.manifest.split_by == "hash"
        dataset = Dataset.open(report.folder)
        sides.append(dict.fromkeys(dataset.heldout.documents(), "h"))
        sides[-1] |= dict.fromkeys(dataset.train.documents(), "t")
    assert len(sides[0]) == 120
    assert sides[0].items() <= sides[1].items()
    assert 10 < list(sides[1].values()).count("h") < 50


def test_one_long_text_is_split_at_the_end_of_a_line(tmp_path: Path) -> None:
    source = tmp_path / "book.txt"
    whole = "\n".join(texts(60))
    source.write_text(whole)
    report = prepare(config_for(source, validation_split_percentage=25), tmp_path / "out")
    dataset = Dataset.open(report.folder)
    train, heldout = ("".join(reader.documents()) for reader in (dataset.train, dataset.heldout))
    assert report.manifest.split_by == "share"
    assert f"{train}\n{heldout}" == whole
    assert len(heldout) / len(whole) == pytest.approx(0.25, abs=0.02)


def test_nothing_is_held_out_when_nothing_is_asked_for(source: Path, tmp_path: Path) -> None:
    report = prepare(config_for(source, validation_split_percentage=0), tmp_path / "out")
    assert [split.name for split in report.manifest.splits] == ["train"]
    with pytest.raises(DatasetError, match="no split 'heldout'"):
        Dataset.open(report.folder).reader("heldout")


def test_a_given_tokenizer_goes_with_the_data(source: Path, tmp_path: Path) -> None:
    (tmp_path / "given.json").write_bytes(byte_tokenizer().content)
    given = prepare(config_for(source, tokenizer=str(tmp_path / "given.json")), tmp_path / "a")
    plain = prepare(config_for(source, tokenizer="byte"), tmp_path / "b")
    assert given.manifest.tokenizer is not None
    assert given.manifest.tokenizer.kind == "given"
    assert given.manifest.splits == plain.manifest.splits
    assert Dataset.open(given.folder).tokenizer().decode([72, 105, 256]) == "Hi"


def test_rules_that_leave_nothing_say_what_they_dropped(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="120 records read, dropped 120 too_short"):
        prepare(config_for(source, min_characters=1000), tmp_path / "out")


def test_the_folder_holds_what_the_manifest_names_and_no_more(source: Path, tmp_path: Path) -> None:
    report = prepare(config_for(source, samples_per_file=128), tmp_path / "out")
    named = {MANIFEST_NAME, "tokenizer.json", "examples.json"}
    for split in report.manifest.splits:
        named.add(split.text_name)
        named |= {split.file_name(at) for at in range(len(split.files))}
    assert {path.name for path in (tmp_path / "out").iterdir()} == named
    assert len(report.manifest.split("train").files) > 2


FILL_THE_DISK = """
import resource, sys
from skerry.base.errors import NodeError
from skerry.dataset import DatasetConfig, prepare
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    prepare(DatasetConfig(dataset_name=sys.argv[1]), sys.argv[2])
except NodeError as error:
    print(error)
"""


def test_a_full_disk_stops_cleanly_and_keeps_what_was_there(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = prepare(config_for(source), out).digest
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(source), str(out)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "stopped: File too large" in done.stdout
    assert "next: free disk space" in done.stdout
    assert Dataset.open(out).digest.hex() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "some.jsonl"]
