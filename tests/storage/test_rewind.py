"""A run's folder that goes back holds what it held when so many rounds were done."""

from __future__ import annotations

from pathlib import Path

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skerry.storage import Checkpoint, RunFolder, append_line, copy_rounds, cut_rounds, read_lines
from skerry.storage.rewind import BY_ROUND

LANES = 2


def made(root: Path, rounds: int, every: int) -> RunFolder:
    """Return a folder with so many rounds, and a checkpoint after each `every` of them."""
    folder = RunFolder(root)
    (root / "run.config").write_bytes(b"terms")
    (root / "programs" / "step.skp").write_bytes(b"program")
    (root / "committed").mkdir(exist_ok=True)
    state = folder.blobs.put(b"initial")
    folder.write_checkpoint(Checkpoint(b"job", 0, b"root", state, ()))
    for at in range(rounds):
        folder.blobs.put(b"update %d" % at)
        for lane in range(LANES):
            folder.receipt_path(at, lane, "step").write_bytes(b"receipt %d" % at)
            append_line(folder.log, {"type": "lane", "round": at, "lane": lane})
        folder.write_round(at, b"record %d" % at)
        (root / "committed" / f"{at:08d}.committed").write_bytes(b"said %d" % at)
        append_line(folder.log, {"type": "round", "round": at})
        if (at + 1) % every == 0:
            state = folder.blobs.put(b"state %d" % (at + 1))
            folder.write_checkpoint(Checkpoint(b"job", at + 1, b"root", state, ()))
            append_line(folder.log, {"type": "checkpoint", "round": at + 1})
    return folder


def content(root: Path) -> dict[str, object]:
    """Return what a folder says of its rounds: its files by name, and its log."""
    files: dict[str, object] = {
        f"{kind}/{path.name}": path.read_bytes()
        for kind in BY_ROUND
        for path in (root / kind).glob("*")
    }
    return files | {"log": read_lines(root / "log.jsonl")}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
@given(st.integers(0, 7), st.integers(0, 9), st.integers(1, 4))
def test_what_is_cut_or_copied_is_what_a_shorter_run_had(
    tmp_path_factory: object, rounds: int, kept: int, every: int
) -> None:
    place: Path = tmp_path_factory.mktemp("run")  # type: ignore[attr-defined]
    made(place / "long", rounds, every)
    append_line(place / "long" / "log.jsonl", {"type": "ended", "kind": "finished"})
    made(place / "short", min(rounds, kept), every)
    short = content(place / "short")
    for _ in range(2):  # as after a kill in the middle
        copy_rounds(place / "long", place / "copy", kept, blobs=True)
    assert content(place / "copy") == short
    copy = RunFolder(place / "copy")
    last = copy.last_checkpoint()
    assert last is not None
    assert last.round == min(rounds, kept) // every * every
    for _ in range(2):
        cut_rounds(place / "long", kept)
    assert content(place / "long") == short
    assert (place / "copy" / "programs" / "step.skp").read_bytes() == b"program"


def test_what_was_copied_does_not_change_with_its_source(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", 3, 2)
    copy_rounds(folder.root, tmp_path / "aside", 3, blobs=False)
    before = content(tmp_path / "aside")
    cut_rounds(folder.root, 1)
    folder.write_round(1, b"another record")
    append_line(folder.log, {"type": "round", "round": 1})
    copy_rounds(folder.root, tmp_path / "aside", 3, blobs=False)  # what is there stays
    assert content(tmp_path / "aside") == before
    assert not (tmp_path / "aside" / "blobs").exists()


def test_torn_files_and_foreign_names_belong_to_no_round(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", 2, 2)
    (folder.root / "rounds" / "notes.txt").write_bytes(b"")
    folder.log.write_bytes(folder.log.read_bytes() + msgspec.json.encode({"type": "round"})[:5])
    cut_rounds(folder.root, 2)
    assert not (folder.root / "rounds" / "notes.txt").exists()
    assert read_lines(folder.log)[-1] == {"type": "checkpoint", "round": 2}
