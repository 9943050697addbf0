"""What a node said is there after any kill, and a damaged memory is refused."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from skerry.membership.leases import Holding
from skerry.messages.membership import Announcement, Lease
from skerry.messages.signing import sign, signer
from skerry.node.daemon.home import NodeAbsent, NodeBusy, NodeHome, Presence
from skerry.node.daemon.memory import MemoryDamaged, MemoryUnwritable, NodeMemory
from skerry.node.keys import KeyUnsafe

KEY, BY = signer(bytes([1] * 32))
JOB = bytes([7] * 32)
LEASE = sign(Lease(signer=KEY, job=JOB, node=KEY, order=(KEY,), fence=2, issued=5, expires=9), BY)
PEER = sign(Announcement(signer=KEY, sequence=1, issued=5, expires=9, roles=("seed",)), BY)


def test_everything_comes_back(tmp_path: Path) -> None:
    memory = NodeMemory(tmp_path / "memory.sqlite")
    memory.keep_lease(Holding(LEASE, 4))
    memory.keep_peers((PEER,))
    memory.add_computed(20_000, 30)
    memory.add_computed(20_000, 12)
    assert [memory.next_sequence(10), memory.next_sequence(10)] == [10, 11]
    memory.close()
    again = NodeMemory(tmp_path / "memory.sqlite")
    assert again.leases(KEY).holdings == {JOB: Holding(LEASE, 4)}
    assert again.peers() == [PEER]
    assert (again.computed_seconds(20_000), again.computed_seconds(20_001)) == (42, 0)
    assert again.next_sequence(0) == 12
    again.drop_lease(JOB)
    assert again.leases(KEY).holdings == {}
    assert (tmp_path / "memory.sqlite").stat().st_mode & 0o077 == 0


KILLED = """
import os, signal, sys
from pathlib import Path
from skerry.node.daemon.memory import NodeMemory
memory = NodeMemory(Path(sys.argv[1]))
for at in range(1, 10**6):
    memory.keep_fact("said", at)
    print(at, flush=True)
"""


def test_a_fact_that_was_said_is_there_after_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    said = 0
    while said < 20:
        said = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    rest = [int(it) for it in process.stdout.read().split()]
    process.stdout.close()
    process.wait()
    assert NodeMemory(path).fact("said") >= max([said, *rest])


def test_a_damaged_memory_is_refused_with_a_way_on(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(MemoryDamaged, match="not a database") as refused:
        NodeMemory(path)
    assert f"mv {path} {path}.bad" in refused.value.next_step


def test_a_page_that_was_overwritten_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    memory = NodeMemory(path)
    memory.keep_lease(Holding(LEASE, 4))
    memory.close()
    data = bytearray(path.read_bytes())
    assert len(data) > 4096 * 2
    data[4096 : 4096 * 6] = b"\xff" * (4096 * 5)
    path.write_bytes(data)
    with pytest.raises(MemoryDamaged):
        NodeMemory(path)


def test_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    with sqlite3.connect(path) as base:
        base.execute("PRAGMA user_version=9")
    base.close()
    with pytest.raises(MemoryDamaged, match="of version 9"):
        NodeMemory(path)


def test_a_lease_that_does_not_decode_is_not_guessed(tmp_path: Path) -> None:
    memory = NodeMemory(tmp_path / "memory.sqlite")
    memory._write("INSERT INTO leases VALUES (?, ?, 1)", (JOB, b"\x00"))
    with pytest.raises(MemoryDamaged):
        memory.leases(KEY)


def test_a_folder_that_is_not_there_is_no_place_to_remember(tmp_path: Path) -> None:
    with pytest.raises(MemoryUnwritable):
        NodeMemory(tmp_path / "absent" / "memory.sqlite")


def test_a_full_disk_is_said_and_what_was_kept_stays(tmp_path: Path) -> None:
    memory = NodeMemory(tmp_path / "memory.sqlite")
    memory.keep_fact("said", 1)
    (pages,) = memory._base.execute("PRAGMA page_count").fetchone()
    memory._base.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(MemoryUnwritable, match="full"):
        memory.keep_peers(
            tuple(msgspec.structs.replace(PEER, signer=bytes([at] * 32)) for at in range(99))
        )
    assert memory.fact("said") == 1


def test_a_folder_is_one_node_at_a_time(tmp_path: Path) -> None:
    home, other = NodeHome(tmp_path / "node"), NodeHome(tmp_path / "node")
    home.lock()
    home.appear(Presence("127.0.0.1:1", "", "", os.getpid()))
    with pytest.raises(NodeBusy, match=f"process {os.getpid()} runs the node"):
        other.lock()
    home.unlock()
    other.lock()
    other.unlock()
    assert home.presence() is not None
    home.vanish()
    assert home.presence() is None


def test_a_key_is_made_silently_kept_to_oneself_and_exported(tmp_path: Path) -> None:
    home, copy = NodeHome(tmp_path / "node"), NodeHome(tmp_path / "copy")
    with pytest.raises(NodeAbsent):
        home.export_key()
    key, _ = home.key()
    assert home.key_mode == 0o600
    assert copy.import_key(home.export_key()) == key
    assert copy.key_mode == 0o600
    with pytest.raises(KeyUnsafe, match="is there already"):
        copy.import_key(home.export_key())
    with pytest.raises(KeyUnsafe, match="no exported key"):
        NodeHome(tmp_path / "third").import_key("abc")
    home.key_file.chmod(0o644)
    with pytest.raises(KeyUnsafe, match="mode 644"):
        home.export_key()
