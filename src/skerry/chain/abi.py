"""The contracts' words: encode a call, read a result, a refusal or an event.

What    `Contract` is one artifact: its functions by name, its creation code, its events.
Why     A client needs five verbs of an ABI library and nothing else of it.
Rule    A refusal is Refused(uint256), whose number counts the reasons of the rules from 1, or the
        same word as a text. Anything else that reverts is "reverted".
Pure    Reads the package's own artifacts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from skerry.settle.books import Reason

Json: TypeAlias = dict[str, Any]
REASONS = tuple(Reason)

_REFUSED = keccak(text="Refused(uint256)")[:4]
_ERROR = keccak(text="Error(string)")[:4]


def spelled(entry: Json) -> str:
    """Return the type of a parameter as signatures spell it."""
    kind: str = entry["type"]
    if not kind.startswith("tuple"):
        return kind
    inner = ",".join(spelled(part) for part in entry["components"])
    return f"({inner}){kind.removeprefix('tuple')}"


def refusal(data: bytes) -> str:
    """Return the word that a revert carries, or "reverted"."""
    head, body = data[:4], data[4:]
    if head == _REFUSED and len(body) == 32:
        at = int.from_bytes(body, "big")
        return REASONS[at - 1].value if 0 < at <= len(REASONS) else "reverted"
    if head == _ERROR:
        return str(decode(["string"], body)[0])
    return "reverted"


@dataclass(frozen=True, slots=True)
class Event:
    """One event as its contract declares it."""

    name: str
    topic: bytes
    indexed: tuple[tuple[str, str], ...]
    plain: tuple[tuple[str, str], ...]

    def read(self, topics: Sequence[bytes], data: bytes) -> dict[str, Any]:
        """Return the event's values by name."""
        values = decode([kind for _, kind in self.plain], data)
        found = dict(zip((name for name, _ in self.plain), values, strict=True))
        for (name, kind), topic in zip(self.indexed, topics[1:], strict=True):
            found[name] = decode([kind], topic)[0]
        return found


class Contract:
    """One contract's artifact."""

    def __init__(self, artifact: Json) -> None:
        self.name: str = artifact["name"]
        self.bytecode = bytes.fromhex(artifact["bytecode"].removeprefix("0x"))
        self.sources: str = artifact["sources"]
        self._abi: list[Json] = artifact["abi"]
        self._functions = {it["name"]: it for it in self._abi if it["type"] == "function"}
        self.events = {it.topic: it for it in map(_event, self._abi) if it is not None}

    def _inputs(self, name: str) -> list[str]:
        return [spelled(it) for it in self._functions[name]["inputs"]]

    def selector(self, name: str) -> bytes:
        """Return the four bytes that name a function."""
        return keccak(text=f"{name}({','.join(self._inputs(name))})")[:4]

    def call(self, name: str, *arguments: Any) -> bytes:
        """Return the calldata of a call."""
        return self.selector(name) + encode(self._inputs(name), arguments)

    def read_call(self, data: bytes) -> tuple[str, tuple[Any, ...]] | None:
        """Return the function and the arguments of calldata, or None where it is no call of it."""
        names = {self.selector(name): name for name in self._functions}
        name = names.get(data[:4])
        if name is None:
            return None
        try:
            return name, tuple(decode(self._inputs(name), data[4:]))
        except DecodingError:
            return None

    def creation(self, *arguments: Any) -> bytes:
        """Return the code that makes one of these."""
        empty: Json = {"inputs": []}
        made = next((it for it in self._abi if it["type"] == "constructor"), empty)
        return self.bytecode + encode([spelled(it) for it in made["inputs"]], arguments)

    def result(self, name: str, data: bytes) -> tuple[Any, ...]:
        """Return what a call gave back."""
        outputs = [spelled(it) for it in self._functions[name]["outputs"]]
        return tuple(decode(outputs, data))


def _event(entry: Json) -> Event | None:
    if entry["type"] != "event":
        return None
    kinds = [(it["name"], spelled(it), it["indexed"]) for it in entry["inputs"]]
    return Event(
        entry["name"],
        keccak(text=f"{entry['name']}({','.join(kind for _, kind, _ in kinds)})"),
        tuple((name, kind) for name, kind, indexed in kinds if indexed),
        tuple((name, kind) for name, kind, indexed in kinds if not indexed),
    )


@cache
def contract(name: str) -> Contract:
    """Return one of the contracts that this package was built with."""
    path = files("skerry.chain") / "artifacts" / f"{name}.json"
    return Contract(json.loads(path.read_text()))
