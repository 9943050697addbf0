"""A real node with Prague pricing and the transaction gas limit on, and a court deployed on it."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from scripts.contracts import compiled
from skerry.chain.abi import Contract, spelled
from skerry.chain.court_words import Core, State
from skerry.chain.disputes import CourtEvent, Ended, Opened, Picked, Shown
from skerry.chain.moves import Call

ROOT = Path(__file__).resolve().parent.parent
NODE = ROOT / "tools" / "chain" / "node_modules" / "@foundry-rs"
START = 1_800_000_000
ORDER = (
    "token", "vault", "market", "arithmetic", "adjudicator", "folds", "wiring", "walk_steps",
    "walk_values", "court",
)  # fmt: skip


class Node:
    """anvil as a child process, with unlocked accounts; the same blocks every time."""

    def __init__(self) -> None:
        binary = next(NODE.glob("anvil-*/bin/anvil"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        flags = ["--hardfork", "prague", "--enable-tx-gas-limit", "--timestamp", str(START)]
        flags += ["--mnemonic-seed-unsafe", "7", "--port", str(self.port), "--silent"]
        self.process = subprocess.Popen([str(binary), *flags], stdout=subprocess.DEVNULL)
        self.link = http.client.HTTPConnection("127.0.0.1", self.port)
        for _ in range(200):
            try:
                self.link.connect()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        assert self.link.sock is not None, "the node does not answer"
        self.link.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ask("anvil_setBlockTimestampInterval", 1)
        self.accounts = [bytes.fromhex(it[2:]) for it in self.ask("eth_accounts")]

    def ask(self, method: str, *parameters: Any) -> Any:
        """Return the node's answer."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        head = {"Content-Type": "application/json"}
        self.link.request("POST", "/", json.dumps(body), head)
        answer = json.loads(self.link.getresponse().read())
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def transact(self, sender: bytes, to: bytes | None, data: bytes) -> dict[str, Any]:
        """Send one transaction and return its receipt."""
        fields = {"from": "0x" + sender.hex(), "data": "0x" + data.hex(), "gas": hex(16_000_000)}
        if to is not None:
            fields["to"] = "0x" + to.hex()
        name = self.ask("eth_sendTransaction", fields)
        receipt = None
        while receipt is None:
            receipt = self.ask("eth_getTransactionReceipt", name)
        if receipt["status"] != "0x1":
            self.ask("eth_call", fields, "latest")  # says why
            raise RuntimeError("a transaction was reverted")
        return dict(receipt)

    @property
    def chain(self) -> int:
        """The chain's id."""
        return int(self.ask("eth_chainId"), 16)

    def lend(self, who: bytes) -> None:
        """Let the node send for an address whose key it does not have, and pay for it."""
        self.ask("anvil_impersonateAccount", "0x" + who.hex())
        self.ask("anvil_setBalance", "0x" + who.hex(), hex(10**20))

    def close(self) -> None:
        """End the child process."""
        self.process.terminate()
        self.process.wait()


@cache
def moves() -> dict[bytes, str]:
    """Return the names of the moves that travel inside `move`, by selector."""
    found = {}
    for name in ("walk_steps", "walk_values"):
        for entry in compiled(name)["abi"]:
            if entry["type"] == "function":
                kinds = ",".join(map(spelled, entry["inputs"]))
                found[keccak(text=f"{entry['name']}({kinds})")[:4]] = str(entry["name"])
    return found


@dataclass
class NodeCourt:
    """The port of a court on a node; it keeps every transaction's gas."""

    node: Node
    artifacts: dict[str, Contract]
    at: dict[str, bytes] = field(default_factory=dict)
    heard: list[CourtEvent] = field(default_factory=list)
    spent: list[tuple[str, str, int, int]] = field(default_factory=list)
    who: dict[bytes, str] = field(default_factory=dict)
    last: str = ""

    def deploy(self, name: str, *arguments: Any) -> bytes:
        """Deploy a contract with the first account."""
        code = self.artifacts[name].creation(*arguments)
        receipt = self.node.transact(self.node.accounts[0], None, code)
        self.at[name] = bytes.fromhex(receipt["contractAddress"][2:])
        return self.at[name]

    def send(self, sender: bytes, call: Call) -> int:
        """Make a call and return its gas."""
        data = self.artifacts[call.contract].call(call.function, *call.arguments)
        receipt = self.node.transact(sender, self.at[call.contract], data)
        gas = int(receipt["gasUsed"], 16)
        self.last = receipt["transactionHash"]
        self.spent.append((self.who.get(sender, ""), self.name_of(call), len(data), gas))
        for log in receipt["logs"]:
            if bytes.fromhex(log["address"][2:]) == self.at.get("court"):
                topics = [bytes.fromhex(it[2:]) for it in log["topics"]]
                event = court_event(self.artifacts["court"], topics, bytes.fromhex(log["data"][2:]))
                self.heard += [event] if event else []
        return gas

    def name_of(self, call: Call) -> str:
        """Return the move that a call makes."""
        if call.function != "move":
            return call.function
        return moves()[call.arguments[3][:4]]

    def events(self, since: int) -> Sequence[CourtEvent]:
        """Return the court's events from number `since` on."""
        return self.heard[since:]


def court_event(artifact: Contract, topics: list[bytes], data: bytes) -> CourtEvent | None:
    """Return an event of the court as the driver takes it."""
    kind = artifact.events[topics[0]]
    it = kind.read(topics, data)
    match kind.name:
        case "Opened":
            challenger, solver = (bytes.fromhex(it[key][2:]) for key in ("challenger", "solver"))
            return Opened(it["game"], challenger, solver, Core(*it["core"]), State(*it["state"]))
        case "Shown":
            return Shown(it["game"], State(*it["state"]), it["data"])
        case "Picked":
            return Picked(it["game"], State(*it["state"]))
        case "Ended":
            return Ended(it["game"], it["challenger_won"], it["silent"])
        case _:
            return None
