"""The contracts of the money in an EVM in this process, moved by the rules' own actions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pyrevm
from eth_account.messages import encode_typed_data
from eth_keys.datatypes import PrivateKey
from eth_utils.crypto import keccak

from scripts.contracts import compiled
from skerry.chain.abi import Contract, refusal
from skerry.chain.moves import Call, Site, call_of
from skerry.market.offers import TypedData
from skerry.settle.actions import Action, LockDraw
from skerry.settle.books import Limits, Reason, Refused

CHAIN = 31337
START = 1_700_000_000
GAS = 16_000_000
DEPLOYER = bytes(range(20))
DEAD = bytes.fromhex("000000000000000000000000000000000000dead")


@cache
def key(number: int) -> PrivateKey:
    """Return the key of party number `number`."""
    return PrivateKey(keccak(text=f"party {number}"))


@cache
def address(number: int) -> bytes:
    """Return the address of party number `number`."""
    return bytes(key(number).public_key.to_canonical_address())


PARTIES = {address(number): number for number in range(16)}
COURT = address(15)


def compact(signature: Any) -> bytes:
    """Return the 64 bytes of a signature (EIP-2098)."""
    halves = (signature.r, signature.s | signature.v << 255)
    return b"".join(int(it).to_bytes(32, "big") for it in halves)


def sign(signer: bytes, message: TypedData) -> bytes:
    """Return the signature that a party makes of typed data."""
    sealed = encode_typed_data(full_message=message)
    name = keccak(b"\x19" + sealed.version + sealed.header + sealed.body)
    return compact(key(PARTIES[signer]).sign_msg_hash(name))


def hexed(name: bytes) -> str:
    return "0x" + name.hex()


def contract(name: str) -> Contract:
    """Return a contract as its source is now, whether or not its artifact was written."""
    return Contract(compiled(name))


def made_by(deployer: bytes, nonce: int) -> bytes:
    """Return the address of the contract that `deployer` makes with its nonce below 128."""
    last = bytes([nonce]) if nonce else b"\x80"
    return keccak(b"\xd6\x94" + deployer + last)[12:]


@dataclass
class Chain:
    """Token, vault, market and what they stand with; the court is a party."""

    limits: Limits = field(default_factory=Limits)
    token: str = "token"
    now: int = START

    def __post_init__(self) -> None:
        self.evm = pyrevm.EVM(spec_id="CANCUN")
        self.evm.set_balance(hexed(DEPLOYER), 10**24)
        self.kinds = {"token": contract(self.token), "vault": contract("vault")}
        self.kinds |= {name: contract(name) for name in ("market", "evidence", "registry")}
        self.at: dict[str, bytes] = {}
        vault, market, evidence = (made_by(DEPLOYER, at) for at in (1, 2, 3))
        self._deploy("token")
        self._deploy("vault", self.at["token"], market, COURT, self.limits.unbonding)
        limits = (self.limits.phase_min, self.limits.window_max, self.limits.lease_max)
        self._deploy("market", vault, COURT, evidence, *limits)
        self._deploy("evidence")
        self._deploy("registry", vault, market)
        assert (self.at["vault"], self.at["market"]) == (vault, market)

    def _deploy(self, name: str, *arguments: Any) -> None:
        self._block()
        code = self.kinds[name].creation(*arguments)
        made = self.evm.deploy(hexed(DEPLOYER), code, gas=GAS)
        self.at[name] = bytes.fromhex(made[2:])

    def _block(self, randomness: bytes = bytes(32)) -> None:
        self.evm.set_block_env(
            pyrevm.BlockEnv(number=1, timestamp=self.now, prevrandao=randomness, gas_limit=GAS)
        )

    @property
    def site(self) -> Site:
        return Site(1, self.at["market"])

    def send(self, sender: bytes, call: Call, randomness: bytes = bytes(32)) -> bytes | str:
        """Make a call; return its result, or the word of its refusal."""
        self._block(randomness)
        to, data = (
            self.at[call.contract],
            self.kinds[call.contract].call(call.function, *call.arguments),
        )
        try:
            found = self.evm.message_call(hexed(sender), hexed(to), calldata=data, gas=GAS)
        except RuntimeError as error:
            output = re.search(r"output: 0x([0-9a-f]*)", str(error))
            return refusal(bytes.fromhex(output[1])) if output else str(error)
        return bytes(found)

    def apply(self, action: Action) -> Refused | None:
        """Make a move of the rules; return how it was refused."""
        randomness = action.randomness if isinstance(action, LockDraw) else bytes(32)
        done = self.send(action.sender, call_of(action, self.site, sign), randomness)
        return Refused(Reason(done)) if isinstance(done, str) else None

    def look(self, name: str, function: str, *arguments: Any) -> tuple[Any, ...]:
        """Return what a view says."""
        found = self.send(DEPLOYER, Call(name, function, arguments))
        assert isinstance(found, bytes), found
        return self.kinds[name].result(function, found)

    def fund(self, who: bytes, amount: int) -> None:
        """Give a party tokens, and let the vault take them."""
        assert isinstance(self.send(who, Call("token", "mint", (who, amount))), bytes)
        approve = Call("token", "approve", (self.at["vault"], (1 << 256) - 1))
        assert isinstance(self.send(who, approve), bytes)
