"""The chain client against a real node: once and only once, in order, and clear about trouble."""

from __future__ import annotations

import signal
import socket
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from skerry.base.errors import ChainError
from skerry.chain.abi import contract
from skerry.chain.anvil import Anvil, find_anvil, keep_whole, settle_state
from skerry.chain.deploy import Manifest, connect, deploy, made_address, money
from skerry.chain.errors import (
    AnvilFailed,
    AnvilMissing,
    ChainDiffers,
    ChainReorganised,
    ChainTorn,
    ChainUnreachable,
    ClockSkew,
    ContractDiffers,
    DeployerUsed,
    FundsShort,
    KeyfileUnsafe,
    ManifestUnreadable,
    MoveReverted,
    OutboxBusy,
    PassphraseWrong,
    TransactionReplaced,
)
from skerry.chain.events import EventCursor
from skerry.chain.keyfiles import read_key, write_key
from skerry.chain.outbox import Outbox
from skerry.chain.rpc import Json, Rpc, hexed
from tests.chain.local import (
    CHAIN,
    LIMITS,
    TO,
    HandClock,
    balance,
    chain_key,
    mine,
    outbox,
    placed,
    until_mined,
)
from tests.contracts.evm import COURT, address, key

# -- the outbox


def test_a_key_is_one_transaction_for_good(rpc: Rpc, tmp_path: Path) -> None:
    box = outbox(rpc, 1, tmp_path)
    first = box.send("pay", TO, b"", value=5)
    assert box.send("pay", TO, b"", value=5) == first
    assert until_mined(box, "pay")[0].state == "final"
    assert box.send("pay", TO, b"", value=7).name == first.name
    assert balance(rpc) == 5


def test_an_outbox_that_died_before_sending_sends_the_same_bytes(rpc: Rpc, tmp_path: Path) -> None:
    rpc.ask("evm_setAutomine", False)
    box = outbox(rpc, 1, tmp_path)
    sent = box.send("pay", TO, b"", value=5)
    rpc.ask("anvil_dropTransaction", hexed(sent.name))
    box.close()
    again = outbox(rpc, 1, tmp_path)
    assert again.send("pay", TO, b"", value=5) == sent
    again.look_after()
    mine(rpc)
    assert [it.name for it in until_mined(again, "pay")] == [sent.name]
    assert balance(rpc) == 5


def test_many_threads_get_nonces_without_gaps(rpc: Rpc, tmp_path: Path) -> None:
    box = outbox(rpc, 1, tmp_path)
    with ThreadPoolExecutor(4) as pool:
        sent = list(pool.map(lambda it: box.send(f"pay {it % 12}", TO, b"", value=1), range(24)))
    assert {it.nonce for it in sent} == set(range(12))
    until_mined(box, *{it.key for it in sent})
    assert balance(rpc) == 12


def test_a_nonce_that_somebody_else_used_is_told(rpc: Rpc, tmp_path: Path) -> None:
    rpc.ask("evm_setAutomine", False)
    box = outbox(rpc, 1, tmp_path)
    sent = box.send("pay", TO, b"", value=5)
    rpc.ask("anvil_dropTransaction", hexed(sent.name))
    other = Outbox(tmp_path / "copy", rpc, chain_key(1), HandClock(), chain=CHAIN)
    other.send("theft", TO, b"", value=1)
    mine(rpc)
    with pytest.raises(TransactionReplaced) as error:
        box.look_after()
    assert "under a new name" in error.value.next_step
    lost = box.find("pay")
    assert lost is not None
    assert lost.state == "replaced"
    assert box.look_after() == []
    with pytest.raises(TransactionReplaced):
        box.check(lost)
    assert box.send("pay again", TO, b"", value=5).nonce == sent.nonce + 1


class LateRpc(Rpc):
    """A way to a node that counts a transaction before it tells the receipt."""

    late = 4

    def receipt(self, name: bytes) -> Json | None:
        self.late -= 1
        return None if self.late >= 0 else super().receipt(name)


def test_a_receipt_that_comes_late_is_no_theft(rpc: Rpc, tmp_path: Path) -> None:
    late = LateRpc(rpc.url)
    box = outbox(late, 1, tmp_path)
    sent = box.send("pay", TO, b"", value=5)
    assert [it.name for it in until_mined(box, "pay")] == [sent.name]
    assert late.late < 0
    late.close()


def test_a_mined_transaction_is_followed_through_a_reorganisation(rpc: Rpc, tmp_path: Path) -> None:
    box = outbox(rpc, 1, tmp_path, depth=3)
    before = rpc.ask("evm_snapshot")
    sent = box.send("pay", TO, b"", value=5)
    assert [it.state for it in until_mined(box, "pay")] == ["mined"]
    rpc.ask("evm_revert", before)
    assert balance(rpc) == 0
    box.look_after()
    again = until_mined(box, "pay")[0]
    assert (again.name, again.state) == (sent.name, "mined")
    mine(rpc, 3)
    assert [it.state for it in box.look_after()] == ["final"]
    assert balance(rpc) == 5


def test_two_processes_do_not_share_an_outbox(rpc: Rpc, tmp_path: Path) -> None:
    box = outbox(rpc, 1, tmp_path)
    with pytest.raises(OutboxBusy):
        outbox(rpc, 1, tmp_path)
    box.close()
    outbox(rpc, 1, tmp_path).close()


def test_who_has_too_little_or_is_refused_sends_nothing(rpc: Rpc, tmp_path: Path) -> None:
    box = outbox(rpc, 1, tmp_path)
    with pytest.raises(FundsShort):
        box.send("pay", TO, b"", value=10**25, gas=21_000)
    manifest = placed(rpc, tmp_path)
    move = contract("vault").call("request_withdraw", 5)
    with pytest.raises(MoveReverted) as error:
        box.send("exit", manifest.at("vault"), move, move="request_withdraw")
    assert error.value.reason == "funds"
    assert box.find("pay") is box.find("exit") is None
    sent = box.send("overtaken", manifest.at("vault"), move, gas=100_000)
    mined = until_mined(box, sent.key)[0]
    with pytest.raises(MoveReverted):
        box.check(mined)


# -- contracts


def test_contracts_stand_where_they_were_computed_to_stand(rpc: Rpc, tmp_path: Path) -> None:
    manifest = placed(rpc, tmp_path)
    assert manifest.at("market") == made_address(address(14), 2)
    vault = contract("vault")
    found = vault.result("MARKET", rpc.call(manifest.at("vault"), vault.call("MARKET")))
    assert found == (hexed(manifest.at("market")),)
    path = tmp_path / "manifest.json"
    manifest.write(path)
    assert Manifest.read(path) == manifest
    connect(rpc, manifest)


def test_made_addresses_follow_the_rule_for_every_nonce() -> None:
    sender = bytes.fromhex("6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0")
    known = {
        0: "cd234a471b72ba2f1ccf0a70fcaba648a5eecd8d",
        1: "343c43a37d37dff08ae8c4a11544c718abb4fcf8",
        2: "f778b86fa74e846c4f0a1fbd1335fe81c00a0c91",
    }
    assert {at: made_address(sender, at).hex() for at in known} == known
    assert len({made_address(sender, at) for at in (127, 128, 255, 256, 65_536)}) == 5


def test_another_chain_other_code_and_another_time_are_refused(rpc: Rpc, tmp_path: Path) -> None:
    manifest = placed(rpc, tmp_path)
    with pytest.raises(ChainDiffers):
        connect(rpc, replace(manifest, chain=1))
    token = replace(manifest.contracts["token"], code_hash=bytes(32))
    with pytest.raises(ContractDiffers):
        connect(rpc, replace(manifest, contracts={"token": token}))
    nowhere = replace(token, address=TO)
    with pytest.raises(ContractDiffers, match="no code"):
        connect(rpc, replace(manifest, contracts={"token": nowhere}))
    head = rpc.block()
    assert head is not None
    there = int(head["timestamp"], 16)
    connect(rpc, manifest, now=there + 120)
    with pytest.raises(ClockSkew):
        connect(rpc, manifest, now=there + 121)
    (tmp_path / "bad").write_text("{}")
    with pytest.raises(ManifestUnreadable):
        Manifest.read(tmp_path / "bad")


def test_a_deployment_needs_an_account_of_its_own(rpc: Rpc, tmp_path: Path) -> None:
    box = outbox(rpc, 1, tmp_path)
    box.send("pay", TO, b"", value=5)
    until_mined(box, "pay")
    with pytest.raises(DeployerUsed):
        deploy(box, money(LIMITS, court=COURT), mine=lambda: None)


# -- events


def minted(rpc: Rpc, box: Outbox, token: bytes, count: int, first: int = 0) -> None:
    for at in range(first, first + count):
        box.send(f"mint {at}", token, contract("token").call("mint", TO, at + 1))
        until_mined(box, f"mint {at}")


def amounts(cursor: EventCursor, after: int = 0) -> list[tuple[int, bool]]:
    return [
        (int.from_bytes(it.data, "big"), it.takes_back is not None) for it in cursor.after(after)
    ]


def test_events_are_told_once_in_order_over_restarts(rpc: Rpc, tmp_path: Path) -> None:
    token = placed(rpc, tmp_path).at("token")
    box = outbox(rpc, 1, tmp_path)
    cursor = EventCursor(tmp_path / "events", rpc, [token], span=2)
    minted(rpc, box, token, 5)
    assert cursor.read() == 5
    assert cursor.read() == 0
    cursor.close()
    again = EventCursor(tmp_path / "events", rpc, [token])
    minted(rpc, box, token, 2, first=5)
    assert again.read() == 2
    assert amounts(again) == [(at + 1, False) for at in range(7)]
    assert [it.id for it in again.after(5)] == [6, 7]


def test_events_are_told_only_when_they_are_deep_enough(rpc: Rpc, tmp_path: Path) -> None:
    token = placed(rpc, tmp_path).at("token")
    box = outbox(rpc, 1, tmp_path)
    cursor = EventCursor(tmp_path / "events", rpc, [token], depth=3)
    minted(rpc, box, token, 1)
    assert cursor.read() == 0
    mine(rpc)
    assert cursor.read() == 0
    mine(rpc)
    assert cursor.read() == 1


def test_what_a_reorganisation_takes_back_is_told_and_told_anew(rpc: Rpc, tmp_path: Path) -> None:
    token = placed(rpc, tmp_path).at("token")
    box = outbox(rpc, 1, tmp_path)
    cursor = EventCursor(tmp_path / "events", rpc, [token])
    minted(rpc, box, token, 1)
    cursor.read()
    before = rpc.ask("evm_snapshot")
    minted(rpc, box, token, 2, first=1)
    assert cursor.read() == 2
    rpc.ask("evm_revert", before)
    other = outbox(rpc, 2, tmp_path)
    minted(rpc, other, token, 1, first=7)
    assert cursor.read() == 3
    assert amounts(cursor, 3) == [(3, True), (2, True), (8, False)]
    taken = [it.takes_back for it in cursor.after(3)]
    assert taken == [3, 2, None]


def test_a_chain_that_forgot_everything_remembered_is_an_error(rpc: Rpc, tmp_path: Path) -> None:
    cursor = EventCursor(tmp_path / "events", rpc, [TO])
    with sqlite3.connect(tmp_path / "events") as base:
        base.executemany("INSERT INTO blocks VALUES (?,?)", [(at, bytes(32)) for at in range(256)])
    with pytest.raises(ChainReorganised):
        cursor.read()


# -- keys


def test_a_key_file_is_sealed_private_and_opened_by_its_passphrase_only(tmp_path: Path) -> None:
    path = tmp_path / "chain.key"
    made = write_key(path, bytes(31) + b"\x07", "right", work=2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_key(path, "right").address == made.address
    with pytest.raises(PassphraseWrong):
        read_key(path, "wrong")
    with pytest.raises(KeyfileUnsafe, match="already"):
        write_key(path, b"\x07" * 32, "right", work=2)
    path.chmod(0o640)
    with pytest.raises(KeyfileUnsafe, match="by others"):
        read_key(path, "right")
    path.chmod(0o600)
    path.write_text("{}")
    with pytest.raises(KeyfileUnsafe, match="damaged"):
        read_key(path, "right")
    path.write_text("no json")
    with pytest.raises(KeyfileUnsafe, match="damaged"):
        read_key(path, "right")
    with pytest.raises(KeyfileUnsafe, match="cannot be read"):
        read_key(tmp_path / "none", "right")


# -- the node


def test_nobody_there_and_somebody_else_there_are_told_apart_from_no() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = free.getsockname()[1]
    for url in (f"http://127.0.0.1:{closed}", "ftp://127.0.0.1", "nonsense"):
        with pytest.raises(ChainUnreachable) as error:
            Rpc(url, timeout=1).chain_id()
        assert error.value.retryable


def test_every_trouble_says_what_to_do_next(rpc: Rpc) -> None:
    with pytest.raises(ChainError) as error:
        rpc.ask("no_such_method")
    assert error.value.next_step
    assert error.value.exit_code == 7


def test_a_missing_anvil_is_told_with_the_command_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(AnvilMissing) as error:
        find_anvil(tmp_path)
    assert error.value.next_step == "make chain"


def test_an_anvil_that_cannot_start_says_why(node: Anvil) -> None:
    port = int(node.url.rpartition(":")[2])
    with pytest.raises(AnvilFailed):
        Anvil(port=port)


def test_a_state_file_that_was_torn_gives_way_to_the_last_whole_one(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    settle_state(state)
    state.write_text('{"block": 1}')
    settle_state(state)
    state.write_text('{"block": 2')
    settle_state(state)
    assert state.read_text() == '{"block": 1}'
    assert (tmp_path / "state.torn").read_text() == '{"block": 2'


def test_a_torn_state_without_a_whole_copy_begins_no_new_chain(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text("")
    with pytest.raises(ChainTorn, match="no whole copy") as torn:
        Anvil(state=state)
    assert f"mv {state} {state}.bad" in torn.value.next_step
    assert state.read_text() == ""
    state.write_text('{"block": 1}')
    keep_whole(state)
    state.write_text('{"blo')
    keep_whole(state)
    settle_state(state)
    assert state.read_text() == '{"block": 1}'


@pytest.mark.slow
def test_neither_a_killed_node_nor_a_killed_outbox_loses_or_doubles_money(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    with Anvil(state=state) as anvil:
        rpc = Rpc(anvil.url)
        box = outbox(rpc, 1, tmp_path)
        for at in range(3):
            box.send(f"pay {at}", TO, b"", value=1)
        until_mined(box, "pay 0", "pay 1", "pay 2")
        until_saved(state, rpc.number("eth_blockNumber"))
        rpc.ask("evm_setAutomine", False)
        box.send("pay 3", TO, b"", value=1)
        anvil.close(how=signal.SIGKILL)
        box.close()
        rpc.close()
    with Anvil(state=state) as anvil:
        rpc = Rpc(anvil.url)
        assert balance(rpc) == 3
        box = Outbox(tmp_path / "1.outbox", rpc, chain_key(1), HandClock(), chain=CHAIN)
        box.look_after()
        for at in range(5):
            box.send(f"pay {at}", TO, b"", value=1)
        until_mined(box, *(f"pay {at}" for at in range(5)))
        assert balance(rpc) == 5
        rpc.close()


CHILD = """
import sys
from pathlib import Path
from skerry.chain.keyfiles import ChainKey
from skerry.chain.outbox import Outbox
from skerry.chain.rpc import Rpc

class Still:
    def now(self): return 0.0

key = ChainKey(bytes.fromhex(sys.argv[3]))
box = Outbox(Path(sys.argv[2]), Rpc(sys.argv[1]), key, Still(), chain=31337)
box.look_after()
for at in range(40):
    box.send(f"pay {at}", b"\x42" * 20, b"", value=1)
    print(at, flush=True)
"""


@pytest.mark.slow
def test_a_sender_that_is_killed_again_and_again_pays_everything_once(
    node: Anvil, rpc: Rpc, tmp_path: Path
) -> None:
    outbox(rpc, 1, tmp_path).close()
    path = tmp_path / "1.outbox"
    command = [sys.executable, "-c", CHILD, node.url, str(path), key(1).to_bytes().hex()]
    for kill_after in (3, 11, 17, 24, 38, None):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for line in child.stdout:
                if kill_after is not None and int(line) >= kill_after:
                    child.kill()
                    break
    box = Outbox(path, rpc, chain_key(1), HandClock(), chain=CHAIN)
    until_mined(box, *(f"pay {at}" for at in range(40)))
    assert balance(rpc) == 40
    assert rpc.number("eth_getTransactionCount", hexed(box.address), "latest") == 40


def until_saved(state: Path, block: int) -> None:
    """Wait until the node's state file, which it writes every second, holds a block."""
    tick = Event()
    for _ in range(200):
        tick.wait(0.05)
        if state.exists() and f'"number":"{hex(block)}"' in state.read_text().replace(" ", ""):
            return
    raise AssertionError("the node did not write its state within ten seconds")
