"""`skerry dispute` before chains that are not as they should be: what it says, and what next."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.request import Request, urlopen

import pytest

import skerry
from skerry.base.chance import Chance
from skerry.chain.abi import contract
from skerry.chain.anvil import CHAIN, Anvil
from skerry.chain.deploy import Manifest, Placed
from skerry.chain.errors import StakeShort
from skerry.chain.keyfiles import ChainKey, read_key, write_key
from skerry.chain.outbox import GWEI, Fees, Outbox
from skerry.chain.rpc import Rpc, hexed, unhexed
from skerry.node.checking import open_past
from skerry.node.clocks import RealClock
from skerry.node.court import CourtWatch, dispute_folder, play_dispute
from skerry.node.court_folder import begin, kept_in
from skerry.node.court_moves import CourtMove
from skerry.node.court_party import kept_key
from skerry.node.dispute import draw_lie, read_receipt
from skerry.node.jobs import live_job

JOB = Path(__file__).resolve().parents[2] / "jobs" / "digits.toml"
CHANGES = (
    "train.max_steps=2", "rounds.lanes=1", "rounds.local_steps=2", "rounds.codec=topk",
    "resources.workers=1", "checkpoint.save_steps=2", "checkpoint.eval_steps=2",
    "train.warmup_steps=0",
)  # fmt: skip
PARTIES = ("deployer", "submitter", "challenger")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def receipt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the receipt of a block of steps of a small real job."""
    out = tmp_path_factory.mktemp("runs") / "digits"
    live_job(skerry.load_job(JOB, [f"output_dir={str(out)!r}", *CHANGES]))
    return out / "receipts" / "00000000-0000-step.receipt"


@pytest.fixture(scope="module")
def lie(receipt: Path) -> str:
    past = open_past(receipt.parent.parent)
    return str(draw_lie(past, read_receipt(receipt), Chance.from_int(5)))


@pytest.fixture(scope="module")
def anvil() -> Iterator[Anvil]:
    with Anvil() as anvil:
        yield anvil


@pytest.fixture
def folder(receipt: Path) -> Iterator[Path]:
    """Yield the folder of a dispute about the receipt, empty before and after."""
    folder = dispute_folder(receipt, honest=False)
    folder.mkdir(mode=0o700, parents=True)
    yield folder
    subprocess.run(["rm", "-r", "--", str(folder)], check=True)


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """Return a key file that the passphrase `right` opens."""
    path = tmp_path / "challenger.json"
    write_key(path, b"\1" + os.urandom(31), "right", work=2)
    return path


def skerry_says(*words: str, passphrase: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command and return how it ended."""
    environment = {key: it for key, it in os.environ.items() if key != "SKERRY_PASSPHRASE"}
    if passphrase is not None:
        environment["SKERRY_PASSPHRASE"] = passphrase
    return subprocess.run(
        [sys.executable, "-m", "skerry", *words, "--json"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=environment,
    )


def refused(receipt: Path, *words: str, passphrase: str | None = None) -> dict[str, str]:
    """Return the error that the command ends with."""
    done = skerry_says("dispute", str(receipt), *words, passphrase=passphrase)
    assert done.returncode not in (0, 4), done.stdout
    error: dict[str, str] = json.loads(done.stdout)["error"]
    assert error["next"]
    return error


class Choosy(ThreadingHTTPServer):
    """A node that answers as another does, but for some methods, which it does not know."""

    def __init__(self, url: str, unknown: tuple[str, ...]) -> None:
        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if json.loads(body)["method"] in unknown:
                    fault = {"code": -32601, "message": "the method does not exist"}
                    told = json.dumps({"jsonrpc": "2.0", "id": 1, "error": fault}).encode()
                else:
                    asked = Request(url, body, {"Content-Type": "application/json"})
                    with urlopen(asked) as answer:
                        told = answer.read()
                self.send_response(200)
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = Thread(target=self.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


def test_a_chain_that_nobody_serves(receipt: Path, lie: str) -> None:
    error = refused(receipt, "--lie", lie, "--rpc", "http://127.0.0.1:1")
    assert error["code"] == "chain.unreachable"
    assert not dispute_folder(receipt, honest=False).exists()


def test_a_node_that_lends_no_coins(receipt: Path, lie: str, anvil: Anvil) -> None:
    node = Choosy(anvil.url, ("anvil_setBalance", "eth_accounts"))
    try:
        error = refused(receipt, "--lie", lie, "--rpc", node.url)
    finally:
        node.close()
    assert error["code"] == "chain.coins"
    assert not dispute_folder(receipt, honest=False).exists()


def test_a_party_that_cannot_pay_for_its_gas(
    receipt: Path, lie: str, anvil: Anvil, folder: Path
) -> None:
    rpc = Rpc(anvil.url)
    for who in PARTIES:
        rpc.ask("anvil_setBalance", hexed(kept_key(folder / f"{who}.key").address), "0x1")
    rpc.close()
    error = refused(receipt, "--lie", lie, "--rpc", anvil.url)
    assert error["code"] == "chain.funds"
    assert "send " in error["next"]


def test_a_key_that_others_can_read(receipt: Path, lie: str, anvil: Anvil, folder: Path) -> None:
    kept_key(folder / "challenger.key")
    (folder / "challenger.key").chmod(0o644)
    error = refused(receipt, "--lie", lie, "--rpc", anvil.url)
    assert error["code"] == "chain.key"
    assert "chmod 600" in error["next"]


@pytest.mark.parametrize(
    ("chain", "code"), [(CHAIN + 1, "chain.id"), (CHAIN, "chain.code")], ids=["chain", "code"]
)
def test_a_court_that_is_not_where_it_was(
    receipt: Path, lie: str, anvil: Anvil, folder: Path, chain: int, code: str
) -> None:
    begin(folder, lie, anvil.url, own=False, chain=CHAIN)
    Manifest(chain, 0, {"court": Placed(bytes(20), bytes(32), "")}).write(folder / "court.json")
    assert refused(receipt)["code"] == code


def test_a_node_of_another_chain_than_before(
    receipt: Path, lie: str, anvil: Anvil, folder: Path
) -> None:
    kept = begin(folder, lie, anvil.url, own=False, chain=CHAIN + 1)
    assert refused(receipt)["code"] == "chain.id"
    assert kept_in(folder) == kept


@pytest.mark.parametrize("seconds", [3_600, -3_600])
def test_a_chain_in_another_hour(receipt: Path, lie: str, seconds: int) -> None:
    at = str(int(RealClock().now()) + seconds)
    with Anvil(flags=("--timestamp", at)) as anvil:
        error = refused(receipt, "--lie", lie, "--rpc", anvil.url)
    assert error["code"] == "chain.clock"
    assert not dispute_folder(receipt, honest=False).exists()


def test_a_passphrase_that_does_not_open_the_key(
    receipt: Path, lie: str, anvil: Anvil, sealed: Path
) -> None:
    words = ("--lie", lie, "--rpc", anvil.url, "--key", str(sealed))
    assert refused(receipt, *words, passphrase="wrong")["code"] == "chain.passphrase"
    assert refused(receipt, *words)["code"] == "chain.passphrase.absent"
    assert not dispute_folder(receipt, honest=False).exists()


def test_a_key_is_made_once_and_opened_by_its_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "new.json"
    made = skerry_says("key", "new", str(path), passphrase="right")
    assert made.returncode == 0, made.stdout
    key = read_key(path, "right")
    assert json.loads(made.stdout)["address"] == hexed(key.address)
    again = skerry_says("key", "new", str(path), passphrase="right")
    assert json.loads(again.stdout)["error"]["code"] == "chain.key"


def test_a_chain_that_mines_nothing_loses_nothing(receipt: Path, lie: str, sealed: Path) -> None:
    """A fee is raised up to its bound; then the command says so, and later goes on."""
    with Anvil() as anvil:
        rpc = Rpc(anvil.url)
        rpc.ask("evm_setAutomine", False)
        words = ("--rpc", anvil.url, "--key", str(sealed), "--patience", "0")
        error = refused(receipt, "--lie", lie, *words, "--fee-max", "4", passphrase="right")
        assert error["code"] == "chain.stuck"
        rpc.ask("evm_setAutomine", True)
        rpc.ask("evm_mine")
        done = skerry_says("dispute", str(receipt), passphrase="right")
        assert done.returncode == 4, done.stdout
        assert json.loads(done.stdout)["adds_up"]
        count = rpc.number(
            "eth_getTransactionCount", hexed(read_key(sealed, "right").address), "latest"
        )
        assert count > 0
        rpc.close()


class Rival:
    """Another program with the same key, which takes the nonce of a move that is on its way."""

    def __init__(self, url: str, key: ChainKey, folder: Path) -> None:
        self.rpc, self.key, self.folder = Rpc(url), key, folder
        self.took = False
        self.thread = Thread(target=self._run)
        self.thread.start()

    def _waits(self) -> bool:
        waiting = self.rpc.ask("txpool_content")["pending"]
        return any(unhexed(sender) == self.key.address for sender in waiting)

    def _run(self) -> None:
        """Mine whatever waits, until a move of the key does; overbid that one."""
        while not self._waits():
            self.rpc.ask("evm_mine")
        fees = Fees(tip=100 * GWEI)
        box = Outbox(self.folder / "rival", self.rpc, self.key, RealClock(), chain=CHAIN, fees=fees)
        box.send("theft", bytes(19) + b"\x42", b"", value=1)
        self.rpc.ask("evm_mine")
        self.took = box.find("theft") is not None
        self.rpc.ask("evm_setAutomine", True)
        box.close()
        self.rpc.close()


def test_a_nonce_that_another_program_took(
    receipt: Path, lie: str, sealed: Path, tmp_path: Path
) -> None:
    with Anvil() as anvil:
        rpc = Rpc(anvil.url)
        rpc.ask("evm_setAutomine", False)
        rival = Rival(anvil.url, read_key(sealed, "right"), tmp_path)
        words = ("--lie", lie, "--rpc", anvil.url, "--key", str(sealed))
        error = refused(receipt, *words, passphrase="right")
        rival.thread.join()
        assert rival.took
        assert error["code"] == "chain.replaced"
        assert "again" in error["next"]
        done = skerry_says("dispute", str(receipt), passphrase="right")
        assert done.returncode == 4, done.stdout
        assert json.loads(done.stdout)["adds_up"]
        rpc.close()


def test_a_bond_that_is_not_in_the_vault(receipt: Path, lie: str, anvil: Anvil) -> None:
    """The challenger takes its money out before it doubts; with money it goes on."""
    rpc = Rpc(anvil.url)
    rpc.ask("anvil_autoImpersonateAccount", True)
    folder = dispute_folder(receipt, honest=False)

    def ask(name: str, function: str, *arguments: object) -> None:
        manifest = Manifest.read(folder / "court.json")
        sender = kept_key(folder / "challenger.key").address
        data = contract(name).call(function, *arguments)
        fields = {"from": hexed(sender), "to": hexed(manifest.at(name)), "data": hexed(data)}
        sent = unhexed(rpc.ask("eth_sendTransaction", fields))
        asked = (rpc.receipt(sent) for _ in range(10_000))
        assert next(it for it in asked if it is not None)["status"] == "0x1"

    def take_out(_: object) -> None:
        manifest, vault = Manifest.read(folder / "court.json"), contract("vault")
        who = kept_key(folder / "challenger.key").address
        found = vault.result("account", rpc.call(manifest.at("vault"), vault.call("account", who)))
        ask("vault", "request_withdraw", found[0])

    with pytest.raises(StakeShort) as error:
        play_dispute(receipt, lie=lie, rpc_url=anvil.url, watch=CourtWatch(claim=take_out))
    assert (error.value.code, error.value.held) == ("chain.stake", 0)
    assert "challenger" in str(error.value)
    sender, vault = (
        kept_key(folder / "challenger.key").address,
        Manifest.read(folder / "court.json").at("vault"),
    )
    ask("token", "mint", sender, error.value.needed)
    ask("token", "approve", vault, error.value.needed)
    ask("vault", "deposit", error.value.needed)
    result = play_dispute(receipt)
    rpc.close()
    assert result.challenger_won
    assert not folder.exists()


def test_another_dispute_about_the_receipt_is_under_way(
    receipt: Path, anvil: Anvil, folder: Path
) -> None:
    kept = begin(folder, "0:1:2", anvil.url, own=False, chain=CHAIN)
    error = refused(receipt, "--lie", "0:1:3")
    assert error["code"] == "job.dispute"
    assert kept_in(folder) == kept


def test_moves_that_the_chain_takes_back_are_made_again(
    receipt: Path, lie: str, anvil: Anvil
) -> None:
    rpc = Rpc(anvil.url)
    snapshots: list[str] = []
    numbers: list[int] = []

    def moved(move: CourtMove) -> None:
        numbers.append(move.number)
        if move.number == 4 and not snapshots:
            snapshots.append(rpc.ask("evm_snapshot"))
        if move.number == 6 and len(snapshots) == 1:
            snapshots.append("taken back")
            assert rpc.ask("evm_revert", snapshots[0])

    result = play_dispute(receipt, lie=lie, rpc_url=anvil.url, watch=CourtWatch(move=moved))
    rpc.close()
    assert len(snapshots) == 2
    assert numbers.count(4) == 2
    assert result.challenger_won
    assert not result.silent
    assert result.adds_up
    assert [it.number for it in result.moves] == list(range(1, len(result.moves) + 1))
