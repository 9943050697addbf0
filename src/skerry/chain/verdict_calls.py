"""What a judge is shown at the end of a walk, as the court's calldata takes it.

What    One function a kind of last move returns its `Verdict`: the judge's function, and its
        arguments without the parts that the court knows and puts in itself.
Why     A court that read every judge's arguments would be larger than a chain allows.
Rule    docs/reference/court.md. What the court knows stands as zeros here and is cut away.
Pure    No keys, no IO.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from eth_abi.abi import encode

from skerry.base.digests import merkle_levels, merkle_path
from skerry.chain.abi import contract
from skerry.chain.court_calls import Case, Stand
from skerry.chain.moves import Call
from skerry.commit.reading import KIND_CODES, FieldOpening, Reading
from skerry.program.canonical import header_bytes, judged_node
from skerry.verify.judged import Opened, node_leaf
from skerry.verify.positions import Mismatch, Point

NamedTensors = Mapping[str, bytes]

_OPENED = "(bytes,bytes32[])"
_READING = "(uint256,uint256,bool,bytes32,uint256,uint256,bytes32)"
_FIELD = "(uint256,uint256,uint256,bytes32[])"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge is shown, as the court takes it."""

    before: bytes
    trace: bytes
    node: bytes
    values: int
    rule: bytes
    node_at: bytes
    data: bytes


def element_verdict(case: Case, point: Point, shown: Sequence[Opened]) -> Verdict:
    """Return the verdict on an element of any op that is no fold and no input."""
    rule = contract("adjudicator").selector("judge")
    return _spliced(case, point, rule, [f"{_OPENED}[]"], [openings(shown)])


def run_verdict(case: Case, point: Point, shown: Sequence[Opened]) -> Verdict:
    """Return the verdict on one run of a fold; the court puts in which run, and of what."""
    kinds, rule = ["uint256", "uint256", f"{_OPENED}[]"], contract("folds").selector("judge")
    return _spliced(case, point, rule, kinds, [0, 0, openings(shown)], known=2)


def state_verdict(case: Case, point: Point, index: int, shown: Opened) -> Verdict:
    """Return the verdict on an input that is entry `index` of the state before the step."""
    kinds, rule = ["bytes32", "uint256", "uint256", _OPENED], contract("wiring").selector("state")
    values = [bytes(32), 0, index, (shown.data, shown.path)]
    return _spliced(case, point, rule, kinds, values, known=2)


def given_verdict(case: Case, point: Point, shown: Opened) -> Verdict:
    """Return the verdict on an input that the unit names by a digest."""
    kinds, rule = ["bytes32", "bytes", _OPENED], contract("feeds").selector("given")
    values = [bytes(32), case.receipt, (shown.data, shown.path)]
    return _spliced(case, point, rule, kinds, values, known=1)


def chance_verdict(case: Case, point: Point) -> Verdict:
    """Return the verdict on an input that is a seed of the job's chance."""
    kinds, rule = ["bytes32", "uint256", "bytes"], contract("feeds").selector("chance")
    return _spliced(case, point, rule, kinds, [bytes(32), 0, case.receipt], known=2)


def data_verdict(
    case: Case,
    point: Point,
    how: Reading,
    field: FieldOpening,
    sample: tuple[bytes, Sequence[bytes]],
) -> Verdict:
    """Return the verdict on an input that is a sample of the data: its record, and the path."""
    kinds = ["bytes32", "uint256", _READING, _FIELD, "bytes", "bytes", "bytes32[]"]
    facts = (
        how.shards, how.batch, how.shuffled, how.root, how.count, how.record_bytes, how.fields_root
    )  # fmt: skip
    shown = (field.field.at, KIND_CODES[field.field.kind], field.index, field.path)
    values = [bytes(32), 0, facts, shown, case.receipt, *sample]
    return _spliced(case, point, contract("feeds").selector("data"), kinds, values, known=2)


def carried_verdict(case: Case, name: str, tensor: bytes, path: Sequence[bytes]) -> Verdict:
    """Return the verdict on an entry that the Program never touches."""
    return _whole(case, "carried", name.encode(), tensor, path)


def left_verdict(case: Case, at: Mismatch, values: Sequence[bytes], state: NamedTensors) -> Verdict:
    """Return the verdict on what a step left, all of whose values agree.

    Args:
        case: the dispute.
        at: the end.
        values: the values of the step.
        state: the state before it; every name of the state after it, where it begins with the unit.
    """
    program, levels = case.terms.program, merkle_levels(values)
    bound = (at.before, at.trace, at.claimed)
    header, count_at = header_bytes(program), 0

    def named(name: str, *, output: bool) -> tuple[Any, ...]:
        nonlocal count_at
        nodes = case.terms.output_nodes if output else case.terms.state_nodes
        begins, count = case.hint(name, state=not output)
        count_at = max(count_at, count)
        node = nodes.get(name)
        shown = (bytes(32), ()) if node is None else (values[node], merkle_path(levels, node))
        return name.encode(), state.get(name, bytes(32)), begins, *shown

    if at.name is None:
        entries = [named(name, output=False) for name in case.terms.names]
        opened = (header, case.header_path, count_at)
        return _whole(case, "left_state", bound, opened, entries)
    one = named(at.name, output=True)
    return _whole(case, "left_output", bound, (header, case.header_path, count_at), one)


def counted_verdict(case: Case) -> Verdict:
    """Return the verdict on the number of values that a step was shown with."""
    return _whole(case, "counted", (header_bytes(case.terms.program), case.header_path, 0))


def _whole(case: Case, name: str, *arguments: Any) -> Verdict:
    """Return a call of verdicts.vy without the state and what stays fixed before it."""
    state = (0, bytes(32), 0, bytes(32), bytes(32), bytes(32))
    core = (bytes(32), bytes(32), bytes(32), bytes(32), 0, 0, 0, 0)
    data = case.artifacts["verdicts"].call(name, state, core, *arguments)
    known = 4 + 32 * (len(state) + len(core))
    return Verdict(bytes(32), bytes(32), bytes(32), 0, data[:4], bytes(32), data[known:])


def _spliced(
    case: Case, point: Point, rule: bytes, kinds: list[str], values: list[Any], *, known: int = 0
) -> Verdict:
    """Return a judge's arguments without the claim before, and the known words behind, the node."""
    node = judged_node(case.terms.program, point.node)
    claim = ["bytes32"] * 4
    whole = encode([*claim, "bytes", *kinds], [*[bytes(32)] * 4, node, *values])
    data = whole[160 + 32 * known :]
    count = len(case.terms.program.nodes)
    return Verdict(point.before, point.trace, node_leaf(node), count, rule, whole[128:160], data)


def openings(shown: Sequence[Opened]) -> list[tuple[bytes, tuple[bytes, ...]]]:
    """Return openings as a call takes them."""
    return [(it.data, it.path) for it in shown]


def judge_call(case: Case, stand: Stand, found: Verdict) -> Call:
    """Return the call that judges where a walk has ended."""
    seat = stand.seat
    facts = (stand.game, stand.words, seat.challenger, seat.solver, stand.core, case.docket)
    return Call("court", "judge", (*facts, astuple(found)))


def settle_call(case: Case, stand: Stand, last: bytes, found: Verdict) -> Call:
    """Return the call that makes the last pick and judges in one."""
    seat = stand.seat
    facts = (stand.game, seat.challenger, seat.solver, stand.core, case.docket)
    return Call("court", "settle", (*facts, last, astuple(found)))
