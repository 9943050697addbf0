"""An auditor's own work: run what was drawn again, and be able to show any value of it.

What    `Replayer.replay` runs the drawn segments and returns a `Replayed`: what was found, and
        which receipts are false. `tag` shows the value that is drawn after the verdicts are bound.
Why     A verdict is worth its replay. Its trace is made of all values of all drawn steps, as one's
        own run has them, whatever a receipt claims: so honest auditors agree also about a lie.
Rule    A unit is run from its first step up to the end of the segment, since nobody keeps the state
        between; what is false on the way is noticed too. A receipt that cannot be had, is not
        signed by who it names, or is about another unit than the job's, is false and has no trace.
        Outputs are compared where the last segment was drawn: their digest is over all steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from skerry.base.digests import EMPTY, merkle_levels, merkle_path
from skerry.commit import segment_bounds
from skerry.commit.tensors import leaf_count
from skerry.commit.transcript import output_root, trace_root
from skerry.exact.executable import Executable
from skerry.messages.receipts import Receipt
from skerry.messages.signing import SignatureWrong, check_signature, signed_digest
from skerry.node.dispute import party_of
from skerry.node.party import VALUES_BYTES_MAX, value_batches
from skerry.node.past import NotOfThisRun, PastRun, UnitAltered
from skerry.node.states import StateDigests, digest_tensor
from skerry.roles.auditor import Finding, ReplayWanted, TagWanted
from skerry.verify.audits import Segment, Traced, audit_trace, place_of, recomputed_tag

Receipts = Callable[[int, int], Sequence[Receipt]]


@dataclass(frozen=True, slots=True)
class Falsehood:
    """A receipt that a replay found false.

    Attributes:
        round: its round.
        lane: its lane.
        receipt: its name.
        reason: why: a word of `verify.Reason`, "unit" or "absent".
    """

    round: int
    lane: int
    receipt: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the replay of one epoch's draw came to.

    Attributes:
        finding: what the auditor will say.
        false: the receipts that are false.
        steps: the drawn steps in their order: a receipt and a step of its unit each.
        traces: the trace of each of them; EMPTY of a receipt that cannot be run.
        segments: segments that were drawn.
        steps_run: steps that were computed for it.
    """

    finding: Finding
    false: tuple[Falsehood, ...]
    steps: tuple[tuple[Receipt | None, int], ...]
    traces: tuple[bytes, ...]
    segments: int
    steps_run: int


@dataclass(frozen=True, slots=True)
class _Checked:
    reason: str
    traces: tuple[bytes, ...]
    steps_run: int


def span_of(receipt: Receipt, segment: int, segments: int) -> range:
    """Return the steps of a receipt that segment `segment` of its lane covers.

    Args:
        receipt: one of the lane's receipts.
        segment: the drawn segment.
        segments: the segments of a lane, by the job's terms; the last covers all later ones.
    """
    unit = receipt.unit
    bounds = segment_bounds(unit.steps, unit.segments)
    last = unit.segments if segment == segments - 1 else segment + 1
    if segment >= unit.segments:
        return range(0)
    return range(bounds[segment], bounds[last])


@dataclass
class Replayer:
    """Replays what is drawn from one run.

    Attributes:
        past: the run.
        receipts: the receipts of a lane of a round, in order; fewer where some cannot be had.
        names: the names of those receipts as the round's record has them.
        segments: the segments of a lane.
        done: what its replays came to, by epoch.
        drawn: the leaf that was drawn for the tags of an epoch, where there is one.
    """

    past: PastRun
    receipts: Receipts
    names: Callable[[int, int], Sequence[bytes]]
    segments: int
    done: dict[int, Replayed] = field(default_factory=dict)
    drawn: dict[int, Traced] = field(default_factory=dict)

    def replay(self, wanted: ReplayWanted) -> Replayed:
        """Run the drawn segments again."""
        false: dict[bytes, Falsehood] = {}
        traces: list[bytes] = []
        steps: list[tuple[Receipt | None, int]] = []
        run = 0
        for segment in wanted.segments:
            there = {signed_digest(it): it for it in self.receipts(segment.round, segment.lane)}
            for name in self.names(segment.round, segment.lane):
                receipt = there.get(name)
                checked, span = self._check(receipt, segment)
                traces += checked.traces
                steps += [(receipt, step) for step in span]
                run += checked.steps_run
                if checked.reason:
                    at = (segment.round, segment.lane)
                    false.setdefault(name, Falsehood(*at, name, checked.reason))
        finding = Finding(wanted.seed, not false, audit_trace(traces))
        found = Replayed(
            finding, tuple(false.values()), tuple(steps), tuple(traces), len(wanted.segments), run
        )
        self.done[wanted.epoch] = found
        return found

    def _check(self, receipt: Receipt | None, segment: Segment) -> tuple[_Checked, range]:
        if receipt is None:
            return _Checked("absent", (EMPTY,), 0), range(1)
        span = span_of(receipt, segment.segment, self.segments)
        if not span:
            return _Checked("", (), 0), span
        try:
            check_signature(receipt)
            there = receipt.unit.id
            if (there.round, there.lane) != (segment.round, segment.lane):
                return _Checked("unit", (EMPTY,) * len(span), 0), span
            return self._run(receipt, span), span
        except SignatureWrong:
            return _Checked("signature", (EMPTY,) * len(span), 0), span
        except (UnitAltered, NotOfThisRun):
            return _Checked("unit", (EMPTY,) * len(span), 0), span

    def _run(self, receipt: Receipt, span: range) -> _Checked:
        """Run a receipt's unit up to the end of a span of steps, and compare on the way."""
        unit, past = receipt.unit, self.past
        before = past.before(unit)
        executable = past.lanes.executable(past.name_of(unit))
        program = executable.program
        bounds = segment_bounds(unit.steps, unit.segments)
        roles = {it.name: it.role for it in program.outputs}
        outputs: dict[str, list[bytes]] = {it: [] for it, role in roles.items() if role != "state"}
        digests, state, traces = StateDigests(), dict(before.state), list[bytes]()
        reason = "" if digests.root(state) == unit.state else "state_before"
        for step in range(span.stop):
            inputs = {it.name: state[it.name] for it in program.inputs if it.role == "state"}
            inputs |= past.lanes.feed.inputs(program, unit, step) | before.given
            if step in span:
                traces.append(self._trace(executable, inputs))
            results: dict[str, Tensor] = executable.run(inputs)
            state |= {name: x for name, x in results.items() if roles[name] == "state"}
            for name, tensors in outputs.items():
                tensors.append(digest_tensor(results[name]))
            if step + 1 in bounds and not reason:
                claimed = receipt.segments[bounds.index(step + 1) - 1]
                reason = "" if digests.root(state) == claimed else "segment"
        if span.stop == unit.steps and not reason:
            ours = {name: output_root(tensors) for name, tensors in outputs.items()}
            reason = "" if ours == dict(receipt.outputs) else "output"
        return _Checked(reason, tuple(traces), span.stop)

    def _trace(self, executable: Executable, inputs: dict[str, Tensor]) -> bytes:
        nodes = executable.program.nodes
        found: list[bytes] = []
        for batch in value_batches(nodes, VALUES_BYTES_MAX):
            values = executable.values(inputs, list(batch))
            found += [digest_tensor(values[at]) for at in batch]
        return trace_root(found)

    # -- the tag

    def tag(self, wanted: TagWanted, me: bytes) -> bytes:
        """Return the proof that one holds the value that is drawn from all commitments."""
        found = self._traced(wanted)
        if found is None:
            return recomputed_tag(me, b"")
        self.drawn[wanted.epoch] = found
        return recomputed_tag(me, found.data)

    def _traced(self, wanted: TagWanted) -> Traced | None:
        """Return the leaf that is drawn, with its paths; None where its step has no trace."""
        done = self.done[wanted.epoch]
        count = len(done.steps)
        if not count:
            return None
        at = place_of(wanted.seed, wanted.fold, steps=count, leaves=[1]).step
        receipt, step = done.steps[at]
        if receipt is None or done.traces[at] == EMPTY:
            return None
        program = self.past.lanes.programs[self.past.name_of(receipt.unit)]
        leaves = [leaf_count(node.type.shape) for node in program.nodes]
        place = place_of(wanted.seed, wanted.fold, steps=count, leaves=leaves)
        party, kind = party_of(self.past, receipt.unit), program.nodes[place.node].type
        values, digests = party.values(step), party.leaf_digests(step, place.node)
        return Traced(
            steps=count,
            step_path=merkle_path(merkle_levels(done.traces), at),
            values=len(values),
            value_path=merkle_path(merkle_levels(values), place.node),
            dtype=kind.dtype,
            shape=kind.shape,
            leaf_path=merkle_path(merkle_levels(digests), place.leaf),
            data=party.leaf(step, place.node, place.leaf),
        )
