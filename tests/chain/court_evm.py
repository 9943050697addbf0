"""A court with a vault in an EVM in this process; its market is a stub."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyrevm
from eth_abi import encode

from scripts.contracts import KEPT, compiled
from skerry.chain.abi import Contract, refusal
from skerry.chain.court_calls import Case
from skerry.chain.court_words import Core, State, packed_widths
from skerry.chain.disputes import CourtEvent, Ended, Opened, Picked, Shown
from skerry.chain.moves import Call
from skerry.verify.terms import Arities
from tests.contracts.evm import hexed, made_by

START = 1_700_000_000
GAS = 16_000_000
DEPLOYER = bytes(range(20))
SUBMITTER, SOLVER, CHALLENGER, THIRD = (bytes([at]) * 20 for at in (1, 2, 3, 4))
MONEY = 10**24
BOND = 10**6
STAKE = 10**9
GRACE = 60
BUDGET = 600
NAMES = ("court", "walk_steps", "walk_values", "verdicts", "vault", "token")


class Refused(Exception):
    """A call was refused."""


def stub_market() -> dict[str, Any]:
    """Return the stub, compiled once for each version of its source."""
    from vyper.compiler import compile_code

    source = (Path(__file__).parent / "stub_market.vy").read_text()
    kept = KEPT / f"stub-market-{sha256(source.encode()).hexdigest()[:16]}.json"
    if not kept.is_file():
        made = compile_code(source, output_formats=("abi", "bytecode"))
        kept.parent.mkdir(parents=True, exist_ok=True)
        artifact = {"name": "stub", "sources": "", "abi": made["abi"], "bytecode": made["bytecode"]}
        kept.write_text(json.dumps(artifact))
    found: dict[str, Any] = json.loads(kept.read_text())
    return found


@cache
def artifacts() -> dict[str, Contract]:
    """Return the contracts as their sources are now."""
    found = {name: Contract(compiled(name)) for name in NAMES}
    judges = ("arithmetic", "adjudicator", "folds", "wiring")
    return (
        found
        | {name: Contract(compiled(name)) for name in judges}
        | {"market": Contract(stub_market())}
    )


@dataclass
class Court:
    """A court whose games anyone here may play; time is set by hand."""

    arities: Arities = field(default_factory=lambda: Arities.all(8))
    bond: int = BOND
    grace: int = GRACE
    now: int = START

    def __post_init__(self) -> None:
        self.evm = pyrevm.EVM(spec_id="CANCUN")
        self.evm.set_balance(hexed(DEPLOYER), 10**24)
        self.at: dict[str, bytes] = {}
        self.heard: list[CourtEvent] = []
        nonce = {name: at for at, name in enumerate(ORDER)}
        vault, market, court = (made_by(DEPLOYER, nonce[it]) for it in ("vault", "market", "court"))
        widths = packed_widths(self.arities)
        for name in ORDER:
            made: dict[str, tuple[Any, ...]] = {
                "vault": (self.at.get("token"), market, court, 86400),
                "market": (vault, court, SUBMITTER),
                "adjudicator": (self.at.get("arithmetic"),),
                "wiring": (self.at.get("arithmetic"),),
                "walk_values": (self.at.get("folds"),),
                "verdicts": tuple(self.at.get(it) for it in ("adjudicator", "folds", "wiring")),
                "court": (
                    vault, market, self.at.get("walk_steps"), self.at.get("walk_values"),
                    self.at.get("verdicts"), self.bond, self.grace, widths,
                ),
            }  # fmt: skip
            code = artifacts()[name].creation(*made.get(name, ()))
            self.at[name] = bytes.fromhex(self.evm.deploy(hexed(DEPLOYER), code)[2:])
        assert self.at["court"] == court
        for who in (SUBMITTER, SOLVER, CHALLENGER, THIRD):
            self.send(who, Call("token", "mint", (who, MONEY)))
            self.send(who, Call("token", "approve", (vault, MONEY)))
            self.send(who, Call("vault", "deposit", (MONEY,)))
        self.send(SOLVER, Call("market", "stake", (SOLVER, STAKE)))

    def clock(self, budget: int = BUDGET) -> int:
        """Return the word that a game's clock starts from."""
        return budget << 160 | budget << 128 | self.grace << 96 | packed_widths(self.arities)

    def send(self, sender: bytes, call: Call) -> int:
        """Make a call and return what it used of gas."""
        self.evm.set_block_env(pyrevm.BlockEnv(number=1, timestamp=self.now, gas_limit=GAS))
        data = artifacts()[call.contract].call(call.function, *call.arguments)
        to = self.at[call.contract]
        try:
            self.evm.message_call(hexed(sender), hexed(to), calldata=data, gas=GAS)
        except RuntimeError as error:
            output = re.search(r"output: 0x([0-9a-f]*)", str(error))
            text = refusal(bytes.fromhex(output[1])) if output else str(error)
            raise Refused(text) from None
        for log in self.evm.result.logs:
            if bytes.fromhex(log.address[2:]) == self.at["court"]:
                event = court_event([bytes.fromhex(it[2:]) for it in log.topics], log.data[1])
                self.heard += [event] if event else []
        return int(self.evm.result.gas_used)

    def events(self, since: int) -> list[CourtEvent]:
        """Return the events of the court from number `since` on."""
        return self.heard[since:]

    def look(self, name: str, function: str, *arguments: Any) -> Any:
        """Return what a view says."""
        data = artifacts()[name].call(function, *arguments)
        found = self.evm.message_call(hexed(DEPLOYER), hexed(self.at[name]), calldata=data)
        values = artifacts()[name].result(function, bytes(found))
        return values[0] if len(values) == 1 else values

    def case(self, terms: Any, before: Any) -> Case:
        """Return a case before this court, whose solver has the stub's docket."""
        docket = encode(["address", "uint256"], [SOLVER, BUDGET])
        return Case(terms, before, docket, artifacts())


ORDER = (
    "token", "vault", "market", "arithmetic", "adjudicator", "folds", "wiring", "walk_steps",
    "walk_values", "verdicts", "court",
)  # fmt: skip


def court_event(topics: list[bytes], data: bytes) -> CourtEvent | None:
    """Return an event of the court as the driver takes it."""
    kind = artifacts()["court"].events[topics[0]]
    it = kind.read(topics, bytes(data))
    match kind.name:
        case "Opened":
            challenger, solver = (bytes.fromhex(it[key][2:]) for key in ("challenger", "solver"))
            core, state = Core(*it["core"]), State(*it["state"])
            return Opened(it["game"], challenger, solver, core, state)
        case "Shown":
            return Shown(it["game"], State(*it["state"]), it["data"])
        case "Picked":
            return Picked(it["game"], State(*it["state"]))
        case "Ended":
            return Ended(it["game"], it["challenger_won"], it["silent"])
        case _:
            return None
