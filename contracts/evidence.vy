# pragma version 0.4.3
"""
@title  Evidence: what stands under an epoch's root, and what an auditor's tag has to be
@notice Stateless. The market asks it in moves that are rarely made, so that the code for those takes
        no room in the market itself. The twins are `skerry.settle.records` and
        `skerry.verify.audits`.
"""

from . import merkle
from . import reasons

struct Evidence:
    round: uint256
    state_before: bytes32
    lanes: bytes32
    state_after: bytes32
    path: DynArray[bytes32, 32]
    lane: uint256
    receipts: bytes32
    node: uint256
    units: uint256
    lane_path: DynArray[bytes32, 32]
    receipt: bytes32
    place: uint256
    receipt_path: DynArray[bytes32, 16]


# What a receipt is proved to be, or merely said to be.
struct Found:
    round: uint256
    lane: uint256
    node: uint256
    units: uint256
    receipt: bytes32


# One leaf of a value of a step that was drawn, and how it hangs on an auditor's trace.
struct Traced:
    steps: uint256
    step_path: DynArray[bytes32, 64]
    values: uint256
    value_path: DynArray[bytes32, 64]
    dtype: uint256
    shape: DynArray[uint256, 8]
    leaf_path: DynArray[bytes32, 64]
    data: Bytes[4096]


EVIDENCE_BYTES: constant(uint256) = 3136
TRACED_BYTES: constant(uint256) = 11008
ONE: constant(uint256) = 1


@external
@pure
def read(evidence: Bytes[EVIDENCE_BYTES]) -> Found:
    """
    @notice What evidence speaks of, whether or not it holds.
    """
    it: Evidence = abi_decode(evidence, Evidence)
    return Found(round=it.round, lane=it.lane, node=it.node, units=it.units, receipt=it.receipt)


@external
@pure
def proven(
    job: bytes32,
    number: uint256,
    root: bytes32,
    round_from: uint256,
    round_to: uint256,
    lanes: uint256,
    evidence: Bytes[EVIDENCE_BYTES],
) -> Found:
    """
    @notice The same, where a round, a lane of it and a receipt of that stand under an epoch's root.
    """
    it: Evidence = abi_decode(evidence, Evidence)
    reasons.need(round_from <= it.round and it.round < round_to, reasons.PATH)
    name: bytes32 = sha256(
        concat(
            b"\x00round\x00",
            job,
            convert(number, bytes32),
            convert(it.round, bytes32),
            it.state_before,
            it.lanes,
            it.state_after,
        )
    )
    at: uint256 = it.round - round_from
    lane: bytes32 = sha256(
        concat(
            b"\x00lane\x00",
            it.receipts,
            convert(it.node, bytes32),
            convert(it.units, bytes32),
        )
    )
    width: uint256 = ONE << len(it.receipt_path)
    holds: bool = self._above(name, at, round_to - round_from, it.path) == root
    holds = holds and self._above(lane, it.lane, lanes, it.lane_path) == it.lanes
    holds = holds and self._above(it.receipt, it.place, width, it.receipt_path) == it.receipts
    reasons.need(holds, reasons.PATH)
    return Found(round=it.round, lane=it.lane, node=it.node, units=it.units, receipt=it.receipt)


@external
@pure
def above(
    leaf: bytes32, index: uint256, count: uint256, path: DynArray[bytes32, 64]
) -> bytes32:
    """
    @notice The root above one of `count` leaves.
    """
    return self._above(leaf, index, count, path)


@internal
@pure
def _above(
    leaf: bytes32, index: uint256, count: uint256, path: DynArray[bytes32, 64]
) -> bytes32:
    levels: uint256 = merkle.depth(count)
    reasons.need(index < count and len(path) == levels, reasons.PATH)
    return merkle.climb(leaf, index, path, 0, levels)


@external
@pure
def tag(
    seed: bytes32, fold: bytes32, auditor: address, trace: bytes32, traced: Bytes[TRACED_BYTES]
) -> bytes32:
    """
    @notice What an auditor of this trace has to show: the tag of the leaf at the place that is drawn
            from the seed and from all commitments.
    """
    it: Traced = abi_decode(traced, Traced)
    reasons.need(it.steps > 0 and it.values > 0, reasons.PATH)
    for size: uint256 in it.shape:
        reasons.need(size > 0, reasons.PATH)
    step: uint256 = self._place(sha256(concat(b"\x00place-step\x00", seed, fold)), it.steps)
    node: uint256 = self._place(sha256(concat(b"\x00place-node\x00", seed, fold)), it.values)
    leaves: uint256 = 0
    held: uint256 = 0
    leaves, held = merkle.leaf_shape(it.shape, 0)
    leaf: uint256 = self._place(sha256(concat(b"\x00place-leaf\x00", seed, fold)), leaves)
    root: bytes32 = self._above(merkle.leaf_digest(it.data), leaf, leaves, it.leaf_path)
    root = merkle.seal_tensor(it.dtype, it.shape, root)
    root = merkle.seal_trace(it.values, self._above(root, node, it.values, it.value_path))
    root = self._above(root, step, it.steps, it.step_path)
    sealed: bytes32 = sha256(concat(b"\x00audit-trace\x00", convert(it.steps, bytes32), root))
    reasons.need(sealed == trace, reasons.PATH)
    return sha256(concat(b"\x00recomputed\x00", convert(auditor, bytes32), it.data))


@internal
@pure
def _place(drawn: bytes32, count: uint256) -> uint256:
    return convert(drawn, uint256) % count
