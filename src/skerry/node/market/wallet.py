"""One key's sender: each move once, whatever crashes in between.

What    `Wallet.send(call)` makes a call and waits until it is mined; `make(action)` likewise for a
        move of the rules.
Why     A node that was killed between two steps makes the same decision again; the same call must
        then be the same transaction and not a second one.
Rule    A call is named by what it says, so it is sent once for good, unless the chain refused it;
        then its next attempt has a number. What may be said twice is given a `turn` by the caller.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from skerry.chain.abi import contract
from skerry.chain.deploy import Manifest
from skerry.chain.errors import FundsShort
from skerry.chain.keyfiles import ChainKey
from skerry.chain.moves import Call, Site, call_of
from skerry.chain.outbox import Outbox, Sent
from skerry.chain.rpc import Rpc, hexed
from skerry.chain.views import tokens_of, view
from skerry.market.offers import TypedData
from skerry.settle import actions
from skerry.settle.actions import Action

POLL_SECONDS = 0.02
ATTEMPTS_MAX = 64


@dataclass
class Wallet:
    """A key, its outbox, and the contracts that it talks to.

    Attributes:
        rpc: the node.
        key: the key.
        outbox: its one sender.
        manifest: where the contracts are.
        gas: what its moves used so far, in this process.
    """

    rpc: Rpc
    key: ChainKey
    outbox: Outbox
    manifest: Manifest
    gas: int = 0
    sent: list[str] = field(default_factory=list)

    @property
    def address(self) -> bytes:
        """The key's address."""
        return self.key.address

    @property
    def site(self) -> Site:
        """Where its signatures are good."""
        return Site(self.manifest.chain, self.manifest.at("market"))

    def sign(self, message: TypedData) -> bytes:
        """Return the signature of typed data."""
        return self.key.sign(message)

    def now(self) -> int:
        """Return the chain's time in seconds."""
        head = self.rpc.block()
        assert head is not None, "a chain has a latest block"
        return int(head["timestamp"], 16)

    def make(
        self, action: Action, signed: Mapping[bytes, bytes] | None = None, turn: str = ""
    ) -> Sent:
        """Make a move; `signed` holds signatures of others by the address that made them.

        Raises:
            MoveReverted: the contract refuses it.
        """

        def signature(signer: bytes, message: TypedData) -> bytes:
            if signer == self.address:
                return self.sign(message)
            return (signed or {})[signer]

        return self.send(call_of(action, self.site, signature), turn)

    def send(self, call: Call, turn: str = "") -> Sent:
        """Make a call and wait until it is mined.

        Raises:
            MoveReverted: the contract refuses it.
        """
        data = contract(call.contract).call(call.function, *call.arguments)
        at = self.manifest.at(call.contract)
        name = f"{call.function} {sha256(at + data + turn.encode()).hexdigest()[:24]}"
        sent = self._first_open(name, at, data, call.function)
        while sent.state == "sent":
            self.outbox.look_after()
            found = self.outbox.find(sent.key)
            assert found is not None, "what was sent is known"
            sent = found
            if sent.state == "sent":
                time.sleep(POLL_SECONDS)
        self.gas += sent.gas_used or 0
        self.sent.append(call.function)
        return self.outbox.check(sent, call.function)

    def _first_open(self, name: str, at: bytes, data: bytes, function: str) -> Sent:
        for attempt in range(ATTEMPTS_MAX):
            key = f"{name} {attempt}" if attempt else name
            found = self.outbox.find(key)
            lost = found is not None and (found.succeeded is False or found.state == "replaced")
            if not lost:
                return self.outbox.send(key, at, data, move=function)
        raise AssertionError(f"{function} was refused {ATTEMPTS_MAX} times after it was sent")

    def list_at(self, endpoint: str) -> None:
        """Let the chain's registry say where this node can be called, unless it says so already."""
        (said,) = view(self.rpc, self.manifest, "registry", "endpoints", self.address)
        if said != endpoint.encode():
            self.send(Call("registry", "announce", (endpoint.encode(),)), turn=str(self.now()))

    def deposit(self, amount: int, deposited: int) -> None:
        """Put tokens that this address holds into the vault.

        Args:
            amount: how many.
            deposited: how many it had put in before, which tells one deposit from another.

        Raises:
            FundsShort: the address holds fewer tokens.
        """
        held, vault = tokens_of(self.rpc, self.manifest, self.address), self.manifest.at("vault")
        if held < amount:
            of = "the vault's token"
            raise FundsShort(hexed(self.address), needed=amount, held=held, of=of)
        turn = str(deposited)
        self.send(Call("token", "approve", (vault, amount)), turn)
        self.make(actions.Deposit(self.address, amount), turn=turn)
