"""An altered worker: it runs its lanes otherwise than it was asked to, and signs that it did not.

What    `python -m benchmarks.altered.worker ...` is `skerry.node.worker` with `Lanes` or `Tasks`
        replaced in the way that the environment names.
Rule    What a forged unit leaves is what its update is made of, as a cheat's would be; only "one
        bit" sends the honest update, so that the run ends in the right bits beside false receipts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import torch
from torch import Tensor

from benchmarks.altered.ways import FROM_VARIABLE, LIES_NAME, way
from skerry.base.chance import Chance
from skerry.base.digests import digest
from skerry.commit import segment_bounds, write_transcript
from skerry.commit.transcript import Transcript
from skerry.messages.receipts import Receipt, Unit
from skerry.messages.rounds import LaneDone
from skerry.messages.signing import sign, signed_digest
from skerry.node import worker
from skerry.node.lane import Lanes
from skerry.node.party import Lie, PartyRun
from skerry.node.past import Before
from skerry.node.states import State, StateDigests, digest_tensor
from skerry.node.tasks import Tasks
from skerry.node.unit import Feed, UnitRun
from skerry.program import OPS
from skerry.storage import read_file, write_file

After = Callable[[int, State, dict[str, Tensor]], Mapping[str, Tensor]]
_TRIES = 60
LIES = 4


# ---- ways to run a block of steps ----------------------------------------------------------------


def forged(
    lanes: Lanes,
    unit: Unit,
    state: State,
    *,
    feed: Feed | None = None,
    asked: Unit | None = None,
    start: State | None = None,
    after: After = lambda step, before, now: now,
) -> UnitRun:
    """Run a block of steps otherwise than its unit says; the digests are those of what was run."""
    executable = lanes.executable("step")
    program = executable.program
    roles = {it.name: it.role for it in program.outputs}
    outputs: dict[str, list[bytes]] = {it: [] for it, role in roles.items() if role != "state"}
    digests, roots = StateDigests(), list[bytes]()
    before, now = digests.root(state), dict(start if start is not None else state)
    bounds = segment_bounds(unit.steps, unit.segments)
    results: dict[str, Tensor] = {}
    losses: list[float] = []
    for step in range(unit.steps):
        inputs = {it.name: now[it.name] for it in program.inputs if it.role == "state"}
        inputs |= (feed or lanes.feed).inputs(program, asked or unit, step)
        results = executable.run(inputs)
        made = now | {name: x for name, x in results.items() if roles[name] == "state"}
        now = dict(after(step, now, made))
        for name, tensors in outputs.items():
            tensors.append(digest_tensor(results[name]))
        losses.append(float(results["loss"]) if "loss" in results else 0.0)
        if step + 1 in bounds:
            roots.append(digests.root(now))
    last = {name: x for name, x in results.items() if roles[name] != "state"}
    return UnitRun(now, write_transcript(before, roots, outputs), last, {"loss": losses})


def skipping(step: int, before: State, now: dict[str, Tensor]) -> Mapping[str, Tensor]:
    """Leave every other step out."""
    return before if step % 2 else now


def coarse(step: int, before: State, now: dict[str, Tensor]) -> Mapping[str, Tensor]:
    """Keep 8 bits of each number."""
    return {
        name: x.to(torch.bfloat16).to(x.dtype) if x.dtype == torch.float32 else x
        for name, x in now.items()
    }


def other_seed(feed: Feed) -> Feed:
    """Draw samples and chance under another seed."""
    return replace(feed, config=msgspec.structs.replace(feed.config, seed=feed.config.seed + 1))


def other_slice(lanes: Lanes, unit: Unit) -> Unit:
    """Read the samples of other shards."""
    assert unit.data is not None, "the job reads data"
    shards = tuple(sorted((it + 1) % lanes.config.shards for it in unit.data.shards))
    return msgspec.structs.replace(unit, data=msgspec.structs.replace(unit.data, shards=shards))


def garbage(lanes: Lanes, unit: Unit, state: State) -> UnitRun:
    """Run nothing, and say anything."""
    chance = Chance.from_int(int.from_bytes(digest("garbage", unit.state)[:7], "big"))
    names = [it.name for it in lanes.programs["step"].outputs if it.role != "state"]
    said = Transcript(
        unit.state,
        tuple(chance.fork("root", it).seed for it in range(unit.segments)),
        tuple((name, chance.fork("out", name).seed) for name in sorted(names)),
    )
    return UnitRun(dict(state), said, {}, {"loss": [0.0]})


class Forger:
    """Replaces the runs of "step" of one worker's lanes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.before: dict[str, Tensor] = {}
        self.globals: dict[str, Tensor] = {}
        self._do = Lanes._do

    def do(self, lanes: Lanes, name: str, unit: Unit, state: State, **how: Any) -> UnitRun:
        """Do what `Lanes._do` does, but for blocks of steps."""
        if name != "step" or unit.id.round < int(os.environ.get(FROM_VARIABLE, "0")):
            return self._do(lanes, name, unit, state, **how)
        match self.name:
            case "skipped steps":
                return forged(lanes, unit, state, after=skipping)
            case "lower precision":
                return forged(lanes, unit, state, after=coarse)
            case "wrong seed":
                return forged(lanes, unit, state, feed=other_seed(lanes.feed))
            case "wrong data slice":
                return forged(lanes, unit, state, asked=other_slice(lanes, unit))
            case "garbage root":
                return garbage(lanes, unit, state)
            case "stale weights":
                return forged(lanes, unit, state, start=self._stale(lanes, state))
            case _:
                return self._do(lanes, name, unit, state, **how)

    def _stale(self, lanes: Lanes, state: State) -> State:
        """Return the state with the parameters of the round before; at first, with none learned."""
        now = {name: state[name] for name in lanes.global_types}
        if not self.globals or not all(torch.equal(now[it], self.globals[it]) for it in now):
            self.before, self.globals = self.globals, now
        return dict(state) | (self.before or {name: x * 0.5 for name, x in now.items()})


# ---- ways to answer ------------------------------------------------------------------------------


class Answers:
    """Replaces what one worker answers when it was told to run a lane."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.said: dict[int, LaneDone] = {}
        self.lied: dict[tuple[int, int], LaneDone] = {}
        self._run_lane = Tasks._run_lane

    def run_lane(self, tasks: Tasks, at: int, lane: int, name: bytes | None) -> LaneDone:
        """Run a lane as `Tasks._run_lane` does, and answer otherwise."""
        own = None if name is None else tasks.own.get(lane)
        state = dict(tasks.state) | (own[1] if own else tasks.lanes.new_lane())
        done = self._run_lane(tasks, at, lane, name)
        before = self.said.get(lane)
        self.said[lane] = done
        match self.name:
            case "replayed receipt" if before is not None:
                return msgspec.structs.replace(done, receipts=before.receipts)
            case "double submission":
                other = next((it for key, it in self.said.items() if key != lane), None)
                if other is not None and other.round == at:
                    return msgspec.structs.replace(done, receipts=other.receipts)
                return done
            case "one bit" if at >= 1 and (name is None or own is not None):
                if (at, lane) not in self.lied and len(self.lied) == LIES:
                    return done
                if (at, lane) not in self.lied:
                    self.lied[at, lane] = lied(tasks, done, state)
                return self.lied[at, lane]
            case _:
                return done


def lied(tasks: Tasks, done: LaneDone, state: State) -> LaneDone:
    """Return an answer in whose receipts one element of one step is its neighbour."""
    lanes, (block, exchange) = tasks.lanes, done.receipts
    lie, party = telling_lie(lanes, block, state)
    said = party.transcript
    false = msgspec.structs.replace(block, segments=said.segments, outputs=said.outputs)
    false = sign(false, tasks.sign)
    # What it sends on starts where it says that it ended, or everybody would see it.
    unit = msgspec.structs.replace(exchange.unit, state=false.state_after)
    linked = sign(msgspec.structs.replace(exchange, unit=unit), tasks.sign)
    path = tasks.blobs.root.parent / LIES_NAME
    known = msgspec.json.decode(read_file(path)) if path.is_file() else {}
    known[signed_digest(false).hex()] = str(lie)
    write_file(path, msgspec.json.encode(known))
    return msgspec.structs.replace(done, receipts=(false, linked))


def telling_lie(lanes: Lanes, block: Receipt, state: State) -> tuple[Lie, PartyRun]:
    """Return a lie about arithmetic that changes where its unit ends, and the run that tells it."""
    executable = lanes.executable("step")
    nodes = executable.program.nodes
    chance = Chance.from_int(int.from_bytes(digest("lie", block.unit.state)[:7], "big"))
    for turn in range(_TRIES):
        draw = chance.fork("lie", turn)
        node = draw.fork("node").below(len(nodes))
        if OPS[nodes[node].op].family in ("source", "view"):
            continue  # a lie about arithmetic shows more than one about an index
        element = draw.fork("element").below(nodes[node].type.elements)
        lie = Lie(0, node, element)  # so that no segment of the unit is true
        before = Before(dict(state), {})
        party = PartyRun(executable, block.unit, before, lanes.feed, lie, lanes.compile)
        if party.transcript.segments[-1] != block.state_after:
            return lie, party
    raise AssertionError("every lie vanished on the way to the end of its unit")


def alter(name: str) -> None:
    """Put the altered functions in the place of the true ones."""
    forger, answers = Forger(name), Answers(name)
    Lanes._do = lambda self, *what, **how: forger.do(self, *what, **how)  # type: ignore[method-assign]
    Tasks._run_lane = lambda self, *what: answers.run_lane(self, *what)  # type: ignore[method-assign]


if __name__ == "__main__":
    alter(way())
    worker.main()
