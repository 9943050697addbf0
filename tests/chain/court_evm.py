"""A court with a vault in an EVM in this process; its market is a stub."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pyrevm
from eth_abi.abi import encode

from scripts.contracts import compiled
from skerry.chain.abi import Contract, refusal
from skerry.chain.court_calls import Case
from skerry.chain.court_words import packed_widths
from skerry.chain.courthouse import court_contracts, court_event
from skerry.chain.disputes import CourtEvent
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
NAMES = ("court", "walk_steps", "walk_values", "verdicts", "feeds", "vault", "token")
JUDGES = ("adjudicator", "folds", "wiring", "feeds", "verdicts")
ORDER = ("token", "vault", "market", *court_contracts())


class Refused(Exception):
    """A call was refused."""


@cache
def artifacts() -> dict[str, Contract]:
    """Return the contracts as their sources are now."""
    found = {name: Contract(compiled(name)) for name in NAMES}
    for name in ("arithmetic", "adjudicator", "folds", "wiring", "stub_judge"):
        found[name] = Contract(compiled(name))
    return found | {"market": Contract(compiled("stub_market"))}


@dataclass
class Court:
    """A court whose games anyone here may play; time is set by hand."""

    arities: Arities = field(default_factory=lambda: Arities.all(8))
    bond: int = BOND
    grace: int = GRACE
    now: int = START
    judge: str = "adjudicator"
    snapshot: Any = None

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
                "feeds": (self.at.get("wiring"),),
                "walk_values": (self.at.get("folds"),),
                "court": (
                    vault, market, self.at.get("walk_steps"), self.at.get("walk_values"),
                    *(self.at.get(it) for it in JUDGES),
                    self.bond, self.grace, widths,
                ),
            }  # fmt: skip
            stands_in = name == "adjudicator" and self.judge != name
            artifact = artifacts()[self.judge if stands_in else name]
            code = artifact.creation(*(() if stands_in else made.get(name, ())))
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
        artifact = artifacts()[self.judge if call.contract == "adjudicator" else call.contract]
        data = artifact.call(call.function, *call.arguments)
        to = self.at[call.contract]
        try:
            self.evm.message_call(hexed(sender), hexed(to), calldata=data, gas=GAS)
        except RuntimeError as error:
            output = re.search(r"output: 0x([0-9a-f]*)", str(error))
            text = refusal(bytes.fromhex(output[1])) if output else str(error)
            raise Refused(text) from None
        done = self.evm.result
        assert done is not None, "a call has a result"
        for log in done.logs:
            if bytes.fromhex(log.address[2:]) == self.at["court"]:
                _, event = court_event(
                    artifacts()["court"],
                    [bytes.fromhex(it[2:]) for it in log.topics],
                    bytes(log.data[1]),
                )
                self.heard += [event] if event else []
        return int(done.gas_used)

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
