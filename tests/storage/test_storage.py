"""Nothing half-written is read, nothing damaged is believed, and a refusal says what to do."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.storage import (
    BlobMissing,
    BlobStore,
    Checkpoint,
    RunBusy,
    RunFolder,
    StorageError,
    append_line,
    blob_digest,
    read_lines,
    write_file,
)
from skerry.storage.files import UNFINISHED, sweep_unfinished

D = [bytes([n]) * 32 for n in range(8)]


def test_a_blob_comes_back_under_its_digest(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    name = store.put(b"to", memoryview(b"gether"), durable=True)
    assert name == blob_digest(b"together")
    assert store.get(name) == b"together"
    assert list(store.names()) == [name]
    assert store.put(b"together") == name
    store.drop(name)
    assert not store.has(name)
    with pytest.raises(BlobMissing, match="not there"):
        store.get(name)


@pytest.mark.parametrize("spoil", [lambda b: b[:-1], lambda b: b"", lambda b: b[:-1] + b"?"])
def test_a_damaged_blob_counts_as_absent_and_is_healed_by_writing(tmp_path: Path, spoil) -> None:  # type: ignore[no-untyped-def]
    store = BlobStore(tmp_path)
    name = store.put(b"precious")
    store.path(name).write_bytes(spoil(b"precious"))
    with pytest.raises(BlobMissing, match="damaged"):
        store.get(name)
    assert not store.holds(name)
    assert store.put(b"precious") == name
    assert store.holds(name)


def test_a_full_disk_leaves_the_old_file_and_names_the_next_step(tmp_path: Path) -> None:
    target = tmp_path / "state"
    write_file(target, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(StorageError) as caught:
            write_file(target, bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert caught.value.number == errno.EFBIG
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["state"]


def test_no_space_is_told_with_what_to_do(tmp_path: Path) -> None:
    error = StorageError(tmp_path, "writing", OSError(errno.ENOSPC, "No space left on device"), 9)
    assert "No space left" in error.message
    assert "free some space" in error.next_step


def test_a_forbidden_or_absent_path_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        write_file(tmp_path / "file" / "below", b"x")
    with pytest.raises(StorageError):
        write_file(tmp_path / "absent" / "below", b"x")


WRITER = """
import sys
from pathlib import Path
from skerry.storage import write_file
print("go", flush=True)
while True:
    for fill in (b"a", b"b"):
        write_file(Path(sys.argv[1]), fill * 300_000, durable=False)
"""


def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    target = tmp_path / "state"
    for turn in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(target)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        for _ in range(turn * 7):  # look while it writes; the kill comes at another phase each time
            if target.exists():
                assert len(set(target.read_bytes())) == 1
        writer.kill()
        writer.wait()
        writer.stdout.close()
        if target.exists():
            content = target.read_bytes()
            assert content in (b"a" * 300_000, b"b" * 300_000)
    sweep_unfinished(tmp_path)
    assert not list(tmp_path.glob(f"{UNFINISHED}*"))


@given(st.lists(st.dictionaries(st.text(), st.integers(-9, 9)), max_size=5), st.binary(max_size=9))
def test_a_torn_line_spoils_no_other(tmp_path_factory, records, torn) -> None:  # type: ignore[no-untyped-def]
    log = tmp_path_factory.mktemp("log") / "log.jsonl"
    for record in records:
        append_line(log, record)
    with log.open("ab") as file:
        file.write(b'{"torn": ' + torn.replace(b"\n", b""))
    append_line(log, {"after": 1})
    assert [line for line in read_lines(log) if "torn" not in line] == [*records, {"after": 1}]


def checkpoint(folder: RunFolder, number: int) -> Checkpoint:
    state = folder.blobs.put(b"state %d" % number)
    lanes = (folder.blobs.put(b"lane %d" % number),)
    made = Checkpoint(D[0], number, D[1], state, lanes)
    folder.write_checkpoint(made)
    return made


def test_the_last_checkpoint_is_the_last_whole_one(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert folder.last_checkpoint() is None
    first, second, third = (checkpoint(folder, number) for number in (0, 4, 8))
    assert folder.last_checkpoint() == third
    folder.blobs.path(third.lanes[0]).write_bytes(b"spoilt")
    assert folder.last_checkpoint() == second
    path = tmp_path / "run" / "checkpoints" / "00000004.checkpoint"
    path.write_bytes(path.read_bytes()[:-3])
    assert folder.last_checkpoint() == first
    folder.drop_checkpoint(0)
    assert folder.checkpoints() == [third]


def test_two_coordinators_never_share_a_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.lock()
    with pytest.raises(RunBusy):
        RunFolder(tmp_path).lock()
    folder.unlock()
    other = RunFolder(tmp_path)
    other.lock()
    other.unlock()


def test_a_round_record_comes_back(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_round(3, b"record")
    assert folder.read_round(3) == b"record"
    assert folder.read_round(4) is None
    path = tmp_path / "rounds" / "00000003.round"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert folder.read_round(3) is None
