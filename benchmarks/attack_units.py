"""Receipts as attackers would sign them, over a real run, and what real replays say of each.

What    `Yard.open` trains a small model on this machine. `forge` runs a unit of it as an attacker
        does and returns the receipt; `Yard.verdicts` replays it segment by segment as an auditor
        does, and `Yard.convictable` plays the dispute walk up to one element.
Why     Whether a lie is seen must be answered by the real replay, not by a model of it; then a
        thousand jobs can be played with the answers.
Units   A unit of `STEPS` steps in `SEGMENTS` segments; the lanes are those of one solver.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import msgspec
import torch
from torch import Tensor

import skerry
from skerry.base.chance import Chance
from skerry.base.digests import digest
from skerry.commit import segment_bounds, write_transcript
from skerry.messages.receipts import Cost, Receipt, Unit
from skerry.messages.rounds import RoundRecord
from skerry.messages.signing import sign, signed_digest
from skerry.messages.wire import decode_as
from skerry.node.courtroom import court_terms
from skerry.node.dispute import draw_lie, party_of, read_receipt, receipt_of_party
from skerry.node.jobs import live_job
from skerry.node.keys import load_key
from skerry.node.market.desk import blank_lane
from skerry.node.market.replaying import Replayer
from skerry.node.past import PastRun, UnitAltered
from skerry.node.states import StateDigests, digest_tensor
from skerry.node.unit import Feed
from skerry.roles.auditor import ReplayWanted
from skerry.roles.units import LaneWord, altered
from skerry.verify import Challenger, NothingToDispute
from skerry.verify.audits import Segment

JOB = Path(__file__).resolve().parents[1] / "jobs" / "digits.toml"
ROUNDS, LANES, STEPS, SEGMENTS = 8, 8, 4, 4
OWN = (0, 1)  # the attacker's lanes
CHANGES = (
    f"train.max_steps={ROUNDS * STEPS}", f"rounds.lanes={LANES}", f"rounds.local_steps={STEPS}",
    "rounds.codec=topk", f"rounds.segments={SEGMENTS}", "resources.workers=1",
    "checkpoint.save_steps=8", f"checkpoint.eval_steps={ROUNDS * STEPS}", "train.warmup_steps=0",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Forgery:
    """How an attacker runs a unit otherwise than it should.

    Attributes:
        state: changes the state that it starts from.
        feed: changes where its data and chance come from.
        unit: changes which unit's inputs it takes.
        after: changes the state after a step, given the step and the state before it.
    """

    state: Callable[[Yard, Unit, dict[str, Tensor]], dict[str, Tensor]] | None = None
    feed: Callable[[Feed], Feed] | None = None
    unit: Callable[[Yard, Unit], Unit] | None = None
    after: Callable[[int, dict[str, Tensor], dict[str, Tensor]], dict[str, Tensor]] | None = None


@dataclass
class Yard:
    """One real run of a small model, and everything about its units."""

    past: PastRun
    _records: dict[int, RoundRecord] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> Yard:
        """Train and return the run."""
        out = folder / "digits"
        file = skerry.load_job(JOB, [f"output_dir={str(out)!r}", *CHANGES])
        live_job(file)
        return cls(PastRun.open(out, file.data_folder))

    def record(self, at: int) -> RoundRecord:
        """Return the record of a round."""
        if at not in self._records:
            data = self.past.folder.read_round(at)
            assert data is not None, "the run is whole"
            self._records[at] = decode_as(RoundRecord, data)
        return self._records[at]

    def receipts(self, at: int, lane: int) -> list[Receipt]:
        """Return a lane's receipts as the run has them."""
        kinds = ("step", "encode")
        return [read_receipt(self.past.folder.receipt_path(at, lane, it)) for it in kinds]

    @cached_property
    def _blank(self) -> dict[str, bytes]:
        return blank_lane(self.past.folder.root)

    def signed(self, receipt: Receipt) -> Receipt:
        """Return a receipt signed by the run's worker, who is the attacker here."""
        (path,) = (self.past.folder.root / "keys").glob("worker-*.key")
        key, by = load_key(path)
        return sign(msgspec.structs.replace(receipt, signer=key), by)

    # -- forging

    def forge(self, true: Receipt, how: Forgery) -> Receipt:
        """Return the receipt of a block of steps that was run otherwise."""
        unit, past = true.unit, self.past
        before = past.before(unit)
        executable = past.lanes.executable("step")
        program = executable.program
        feed = past.lanes.feed if how.feed is None else how.feed(past.lanes.feed)
        asked = unit if how.unit is None else how.unit(self, unit)
        roles = {it.name: it.role for it in program.outputs}
        outputs: dict[str, list[bytes]] = {it: [] for it, role in roles.items() if role != "state"}
        digests, state, roots = StateDigests(), dict(before.state), list[bytes]()
        if how.state is not None:
            state = how.state(self, unit, state)
        bounds = segment_bounds(unit.steps, unit.segments)
        for step in range(unit.steps):
            inputs = {it.name: state[it.name] for it in program.inputs if it.role == "state"}
            results = executable.run(inputs | feed.inputs(program, asked, step))
            after = state | {name: x for name, x in results.items() if roles[name] == "state"}
            state = after if how.after is None else how.after(step, state, after)
            for name, tensors in outputs.items():
                tensors.append(digest_tensor(results[name]))
            if step + 1 in bounds:
                roots.append(digests.root(state))
        said = write_transcript(unit.state, roots, outputs)
        changed = msgspec.structs.replace(true, segments=said.segments, outputs=said.outputs)
        return self.signed(changed)

    def garbage(self, true: Receipt, chance: Chance) -> Receipt:
        """Return a receipt for which nothing was run."""
        roots = tuple(chance.fork("root", it).seed for it in range(true.unit.segments))
        outputs = tuple((name, chance.fork("out", name).seed) for name, _ in true.outputs)
        return self.signed(msgspec.structs.replace(true, segments=roots, outputs=outputs))

    def one_bit(self, true: Receipt, chance: Chance) -> Receipt:
        """Return a receipt in which one element of one step is its neighbour."""
        lie = draw_lie(self.past, true, chance)
        party = party_of(self.past, true.unit, lie)
        (path,) = (self.past.folder.root / "keys").glob("worker-*.key")
        return receipt_of_party(self.past, party, *load_key(path))

    # -- checking

    def ordered(self, at: int, lane: int, receipts: Sequence[Receipt]) -> str | None:
        """Return what of a lane's receipts is not as ordered."""
        left = dict(self.record(at - 1).lanes[lane].left) if at else self._blank
        root = self.record(at).state_before
        return altered(self.past.config, at, lane, LaneWord(receipts, before=left), root)

    def verdicts(self, at: int, lane: int, receipts: Sequence[Receipt]) -> frozenset[int]:
        """Return the segments of a lane whose real replay rejects these receipts."""
        names = [signed_digest(it) for it in receipts]
        replayer = Replayer(self.past, lambda *_: receipts, lambda *_: names, SEGMENTS)
        found = set()
        for segment in range(SEGMENTS):
            wanted = ReplayWanted(0, digest("seed"), (Segment(at, lane, segment),))
            if not replayer.replay(wanted).finding.accept:
                found.add(segment)
        return frozenset(found)

    def convictable(self, receipt: Receipt) -> bool:
        """Return whether a challenger who replayed this receipt has something to doubt."""
        try:
            run = party_of(self.past, receipt.unit)
            if run.transcript.state_before != receipt.state_before:
                return False  # the court takes the first state as the receipt gives it
            Challenger.open(court_terms(self.past, receipt), run)
        except (NothingToDispute, UnitAltered):
            return False
        return True


# ---- ways to forge -------------------------------------------------------------------------------


def _stale(yard: Yard, unit: Unit, state: dict[str, Tensor]) -> dict[str, Tensor]:
    before = max(unit.id.round - 1, 0)
    return state | yard.past.globals_at(before) if unit.id.round else _nudged(state)


def _nudged(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return other parameters, for round 0 which has none before it."""
    return state | {"params": state["params"] * 0.5}


def _other_slice(yard: Yard, unit: Unit) -> Unit:
    assert unit.data is not None, "the job reads data"
    shards = tuple((it + 1) % yard.past.config.shards for it in unit.data.shards)
    return msgspec.structs.replace(
        unit, data=msgspec.structs.replace(unit.data, shards=tuple(sorted(shards)))
    )


def _other_seed(feed: Feed) -> Feed:
    config = msgspec.structs.replace(feed.config, seed=feed.config.seed + 1)
    return replace(feed, config=config)


def _skipping(step: int, before: dict[str, Tensor], after: dict[str, Tensor]) -> dict[str, Tensor]:
    return before if step % 2 else after


def _coarse(step: int, before: dict[str, Tensor], after: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: x.to(torch.bfloat16).to(x.dtype) if x.dtype == torch.float32 else x
        for name, x in after.items()
    }


FORGERIES = {
    "skipped steps": Forgery(after=_skipping),
    "stale weights": Forgery(state=_stale),
    "wrong data slice": Forgery(unit=_other_slice),
    "wrong seed": Forgery(feed=_other_seed),
    "lower precision": Forgery(after=_coarse),
}


@dataclass(frozen=True, slots=True)
class Table:
    """What real replays say of one attack on the attacker's units.

    Attributes:
        rejected: segments whose replay rejects, by round and lane.
        ordered: whether each unit passes as the one that was ordered.
        convictable: whether a dispute about each rejected unit ends in a conviction.
    """

    rejected: dict[tuple[int, int], frozenset[int]]
    ordered: dict[tuple[int, int], bool]
    convictable: dict[tuple[int, int], bool]


def tables(yard: Yard, note: Callable[[str], None], rounds: int = ROUNDS) -> dict[str, Table]:
    """Forge the attacker's units of some rounds in each way and have them replayed."""
    made = {name: Table({}, {}, {}) for name in (*FORGERIES, "one bit", "garbage root", *SAID)}
    made["honest"] = Table({}, {}, {})
    for at in range(rounds):
        for lane in OWN:
            block, exchange = yard.receipts(at, lane)
            chance = Chance.from_int(at * LANES + lane)
            ways = {name: yard.forge(block, how) for name, how in FORGERIES.items()}
            ways["one bit"] = yard.one_bit(block, chance)
            ways["garbage root"] = yard.garbage(block, chance)
            ways["honest"] = block
            for name, forged in ways.items():
                _fill(yard, made[name], at, lane, [forged, _linked(yard, exchange, forged)])
            for name, said in SAID.items():
                forged = said(yard, block)
                _fill(yard, made[name], at, lane, [forged, _linked(yard, exchange, forged)])
    for name, table in made.items():
        seen = sum(map(bool, table.rejected.values()))
        lost = sum(table.convictable.values())
        ordered = sum(table.ordered.values())
        note(f"{name:24} {seen:3} of {len(table.rejected)} rejected, {lost} convictable, "
             f"{ordered} as ordered")  # fmt: skip
    return made


def _linked(yard: Yard, exchange: Receipt, block: Receipt) -> Receipt:
    """Return the second receipt of a lane, which starts where the first one says that it ended."""
    unit = msgspec.structs.replace(exchange.unit, state=block.state_after)
    return yard.signed(msgspec.structs.replace(exchange, unit=unit))


def _fill(yard: Yard, table: Table, at: int, lane: int, receipts: Sequence[Receipt]) -> None:
    place = at, lane
    table.ordered[place] = yard.ordered(at, lane, receipts) is None
    table.rejected[place] = yard.verdicts(at, lane, receipts)
    table.convictable[place] = bool(table.rejected[place]) and yard.convictable(receipts[0])


def _said_fewer(yard: Yard, true: Receipt) -> Receipt:
    unit = msgspec.structs.replace(true.unit, steps=1, segments=1)
    cost = Cost(true.cost.operations // STEPS, true.cost.bytes_moved // STEPS)
    short = msgspec.structs.replace(true, unit=unit, segments=true.segments[:1], cost=cost)
    return yard.signed(short)


def _said_stale(yard: Yard, true: Receipt) -> Receipt:
    """Return a true receipt of a unit that starts from the round before, and says so."""
    past, unit = yard.past, true.unit
    state = _stale(yard, unit, dict(past.before(unit).state))
    started = StateDigests().root(state)
    forged = yard.forge(true, FORGERIES["stale weights"])
    other = msgspec.structs.replace(unit, state=started)
    return yard.signed(msgspec.structs.replace(forged, unit=other))


SAID: dict[str, Callable[[Yard, Receipt], Receipt]] = {
    "fewer steps, said so": _said_fewer,
    "stale weights, said so": _said_stale,
}


def yard_here(note: Callable[[str], None]) -> tuple[Yard, tempfile.TemporaryDirectory[str]]:
    """Return a yard in a folder that is gone afterwards."""
    folder = tempfile.TemporaryDirectory(prefix="skerry-attack-")
    note("training the run whose units are forged")
    return Yard.open(Path(folder.name)), folder
