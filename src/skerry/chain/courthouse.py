"""A court as a whole: the contracts that it consists of, and what its log says.

What    `court_steps` plans money, walk and judges as one deployment. `CourtLog` reads the court's
        events in order, each with the transaction that made it.
Why     A court alone can do nothing: it needs a vault, a market and judges that know each other.
Rule    What a contract is made with is read from its artifact: a parameter that has a contract's
        name is that contract's address. So a judge that a court gains is deployed with it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from skerry.base.errors import ChainError
from skerry.chain.abi import Contract, contract, spelled
from skerry.chain.court_words import Core, State, packed_widths
from skerry.chain.deploy import Addresses, Manifest, Step, money
from skerry.chain.disputes import CourtEvent, Ended, Opened, Picked, Shown
from skerry.chain.events import EventCursor
from skerry.chain.rpc import Rpc
from skerry.settle.books import Limits
from skerry.verify.terms import Arities

# Chosen from the gas of each level: a round costs two transactions whatever its arity, and a root
# about 1,300 gas.
ARITIES = Arities(steps=8, names=8, outputs=32, nodes=64, leaves=32, runs=256)
MONEY = ("token", "vault", "market", "evidence", "registry")


@dataclass(frozen=True, slots=True)
class CourtTerms:
    """What a court is deployed with, for good.

    Attributes:
        bond: of the first doubt of a receipt.
        grace: seconds of each move that are not taken from the mover's budget.
        arities: into how many parts a reveal cuts what is in doubt.
    """

    bond: int
    grace: int
    arities: Arities = ARITIES

    def clock(self, budget: int) -> int:
        """Return the word that the clocks of a game start from, with a budget for each side."""
        return budget << 160 | budget << 128 | self.grace << 96 | packed_widths(self.arities)


def _artifact(name: str) -> dict[str, Any]:
    path = files("skerry.chain") / "artifacts" / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@cache
def made_with(name: str) -> tuple[str, ...]:
    """Return the names of what a contract is made with."""
    for entry in _artifact(name)["abi"]:
        if entry["type"] == "constructor":
            return tuple(it["name"] for it in entry["inputs"])
    return ()


def court_contracts() -> list[str]:
    """Return the contracts of a court beside the money, each after those that it knows."""
    known = (*MONEY, "court")
    there = {it.name.removesuffix(".json") for it in _folder().iterdir()}
    found: list[str] = []

    def add(name: str) -> None:
        for it in made_with(name):
            if it in there and it not in found and it not in known:
                add(it)
        found.append(name)

    add("court")
    return found


def _folder() -> Any:
    return files("skerry.chain") / "artifacts"


def court_steps(limits: Limits, terms: CourtTerms) -> list[Step]:
    """Return the plan of a whole court with a token of its own."""
    plain = {"bond": terms.bond, "grace": terms.grace, "widths": packed_widths(terms.arities)}

    def step(name: str) -> Step:
        def arguments(at: Addresses) -> Sequence[Any]:
            return [plain[it] if it in plain else at[it] for it in made_with(name)]

        return Step(name, arguments)

    return [*money(limits), *map(step, court_contracts())]


# ---- what the log says ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Heard:
    """One event of a court: `event` is None where the sides of a game need not hear it."""

    name: str
    event: CourtEvent | None
    transaction: bytes


class MovesTakenBack(ChainError):
    """The chain took back moves of a game that were told before."""

    code = "chain.takenback"
    retryable = True

    def __init__(self, number: int) -> None:
        super().__init__(
            f"the chain took back moves from block {number} on",
            next_step="run the same command again: it goes on from what the chain says now",
        )


class CourtLog:
    """The events of one court, from its deployment on.

    What the chain took back before the first question was never told.
    """

    def __init__(self, path: Path, rpc: Rpc, manifest: Manifest) -> None:
        court = manifest.at("court")
        self._cursor = EventCursor(path, rpc, [court], start=manifest.block)
        self._court = contract("court")
        self._last = 0

    def new(self) -> list[Heard]:
        """Return the events that were not told yet.

        Raises:
            MovesTakenBack: the chain took back what was told before; the next call tells all that
                stands, from the beginning.
        """
        self._cursor.read()
        fresh = self._cursor.after(self._last) if self._last else self._cursor.standing()
        lost = [it for it in fresh if it.takes_back is not None]
        if lost:
            self._last = 0
            raise MovesTakenBack(min(it.block for it in lost))
        found = []
        for it in fresh:
            self._last = it.id
            name, event = court_event(self._court, it.topics, it.data)
            found.append(Heard(name, event, it.transaction))
        return found

    def close(self) -> None:
        """Let go of the file."""
        self._cursor.close()


def court_event(
    court: Contract, topics: Sequence[bytes], data: bytes
) -> tuple[str, CourtEvent | None]:
    """Return an event's name, and the event as the sides of a game take it."""
    kind = court.events[topics[0]]
    it = kind.read(topics, data)
    match kind.name:
        case "Opened":
            challenger, solver = (bytes.fromhex(it[key][2:]) for key in ("challenger", "solver"))
            core, state = Core(*it["core"]), State(*it["state"])
            return kind.name, Opened(it["game"], challenger, solver, core, state)
        case "Shown":
            return kind.name, Shown(it["game"], State(*it["state"]), it["data"])
        case "Picked":
            return kind.name, Picked(it["game"], State(*it["state"]))
        case "Ended":
            return kind.name, Ended(it["game"], it["challenger_won"], it["silent"])
        case _:
            return kind.name, None


@cache
def _inside() -> dict[bytes, str]:
    """Return the names of the moves that the walk's contracts have the rules of, by selector."""
    found = {}
    for name in ("walk_steps", "walk_values"):
        for entry in _artifact(name)["abi"]:
            if entry["type"] == "function":
                kinds = ",".join(map(spelled, entry["inputs"]))
                found[keccak(text=f"{entry['name']}({kinds})")[:4]] = str(entry["name"])
    return found


def sent_name(data: bytes) -> str:
    """Return what a transaction to the court does, and of a `move` which one travels in it."""
    functions = [str(it["name"]) for it in _artifact("court")["abi"] if it["type"] == "function"]
    names = {contract("court").selector(it): it for it in functions}
    name = names.get(data[:4], "?")
    if name != "move":
        return name
    start = 4 + int.from_bytes(data[4 + 96 : 4 + 128], "big") + 32
    return _inside().get(data[start : start + 4], "move")
