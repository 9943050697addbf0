"""An EVM in this process, and contracts of ours in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyrevm
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from scripts.contracts import compiled

SENDER = "0x" + "11" * 20
GAS = 30_000_000


class Reverted(Exception):
    """A call was refused by the contract."""


def spelled(entry: dict[str, Any]) -> str:
    """Return the type of an ABI entry, tuples written out."""
    kind: str = entry["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(map(spelled, entry['components']))}){kind.removeprefix('tuple')}"


@dataclass
class Contract:
    """One deployed contract."""

    evm: pyrevm.EVM
    address: str
    functions: dict[str, tuple[bytes, list[str], list[str]]]
    gas: int = 0

    def call(self, name: str, *arguments: object) -> Any:
        """Return what a function returns; `gas` then says what it used."""
        selector, takes, gives = self.functions[name]
        try:
            data = self.evm.message_call(
                SENDER, self.address, calldata=selector + encode(takes, arguments), gas=GAS
            )
        except RuntimeError as error:
            raise Reverted(str(error)) from None
        result = self.evm.result
        self.gas = result.gas_used if result else 0
        found = decode(gives, bytes(data))
        return found[0] if len(found) == 1 else found

    def words(self, name: str, first: bytes, *rest: int) -> int:
        """Return the word that a function gives of words, of which the first is bytes."""
        selector = self.functions[name][0]
        numbers = b"".join(x.to_bytes(32, "big", signed=x < 0) for x in rest)
        calldata = selector + first.ljust(32, b"\0") + numbers
        data = self.evm.message_call(SENDER, self.address, calldata=calldata, gas=GAS)
        return int.from_bytes(bytes(data), "big")


def deploy(evm: pyrevm.EVM, artifact: dict[str, Any], *arguments: str) -> Contract:
    """Return a contract of this artifact, made with addresses as its arguments."""
    code = bytes.fromhex(artifact["bytecode"].removeprefix("0x"))
    address = evm.deploy(SENDER, code + encode(["address"] * len(arguments), arguments))
    functions = {}
    for entry in artifact["abi"]:
        if entry["type"] == "function":
            takes = [spelled(it) for it in entry["inputs"]]
            gives = [spelled(it) for it in entry["outputs"]]
            selector = keccak(f"{entry['name']}({','.join(takes)})".encode())[:4]
            functions[entry["name"]] = selector, takes, gives
    return Contract(evm, address, functions)


@dataclass
class Judges:
    """The contracts that compute."""

    arithmetic: Contract
    adjudicator: Contract
    folds: Contract
    wiring: Contract
    feeds: Contract


@cache
def judges(make: Callable[[str], dict[str, Any]] = compiled) -> Judges:
    """Return the judging contracts, as `make` compiles them, in an EVM of their own."""
    evm = pyrevm.EVM(spec_id="CANCUN")
    evm.set_balance(SENDER, 10**24)
    arithmetic = deploy(evm, make("arithmetic"))
    wiring = deploy(evm, make("wiring"), arithmetic.address)
    return Judges(
        arithmetic,
        deploy(evm, make("adjudicator"), arithmetic.address),
        deploy(evm, make("folds")),
        wiring,
        deploy(evm, make("feeds"), wiring.address),
    )
