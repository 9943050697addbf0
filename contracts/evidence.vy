# pragma version 0.4.3
"""
@title  Evidence: what stands under an epoch's root, what an auditor's tag has to be, which unit a
        job asks for, and whether its terms are sound
@notice Stateless. The market asks it in moves that are rarely made, so that the code for those takes
        no room in the market itself. The twins are `skerry.settle.records`, `skerry.verify.audits`,
        `skerry.verify.asked` and `skerry.settle.awards`.
"""

from . import merkle
from . import reasons
from . import spelling

struct Terms:
    spec: bytes32
    leases: bytes32
    submitter: address
    coordinator: address
    auditors: address[4]
    secrets: bytes32[4]
    price_max: uint256
    price_audit: uint256
    price_record: uint256
    stake_solver: uint256
    stake_auditor: uint256
    stake_coordinator: uint256
    capability: uint256
    nodes: uint256
    lanes: uint256
    rounds: uint256
    epochs: uint256
    segments: uint256
    draws: uint256
    delay: uint256
    phase: uint256
    window: uint256
    ends: uint256
    clock: uint256


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
    place: uint256


# What a job's terms say of a unit, read from the bytes of a `RunConfig`.
struct Asked:
    local: bool
    local_steps: uint256
    shards_per_lane: uint256
    segments: uint256
    seed: bytes32  # as it is spelled
    program: bytes32
    manifest: bytes32
    reading: bytes32


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
RECEIPT_BYTES: constant(uint256) = 4096
SEATS: constant(uint256) = 4
ESCROW: constant(uint256) = 2**96 - 1
U32: constant(uint256) = 2**32 - 1
PADDED: constant(uint256) = 4096 + 64
JOB_AT: constant(uint256) = 161  # of the job's name in a receipt, behind fields of fixed length
EXCHANGE_AT: constant(uint256) = 30  # of the value of "exchange" in a run's terms
LOCAL: constant(uint256) = 181885143834988  # a5 "local", as a text item
SHARDS: constant(uint256) = 256
ONE: constant(uint256) = 1


@external
@view
def sound(
    terms: Terms, phase_min: uint256, window_max: uint256, lease_max: uint256
) -> (uint256, uint256):
    """
    @notice Refuse terms that somebody who signed a standing offer could not live with.
    @return How many auditors there are, and the most that the job can cost.
    """
    seats: uint256 = 0
    sound: bool = True
    for at: uint256 in range(SEATS):
        if terms.auditors[at] != empty(address):
            sound = sound and seats == at
            seats += 1
    prices: uint256 = terms.price_max | terms.price_audit | terms.price_record
    stakes: uint256 = terms.stake_solver | terms.stake_auditor | terms.stake_coordinator
    sound = sound and prices | stakes <= ESCROW
    sound = sound and terms.nodes >= 1 and terms.nodes <= 64
    sound = sound and terms.lanes >= 1 and terms.lanes <= U32
    sound = sound and terms.rounds >= 1 and terms.rounds <= U32
    sound = sound and terms.epochs >= 1 and terms.epochs <= 1024
    sound = sound and terms.segments >= 1 and terms.segments <= 4096 and terms.draws <= 256
    sound = sound and terms.phase >= phase_min and terms.phase <= window_max
    sound = sound and terms.delay >= 1 and terms.delay <= terms.phase >> 1
    sound = sound and 5 * terms.phase <= terms.window and terms.window <= window_max
    sound = sound and block.timestamp < terms.ends and terms.ends <= block.timestamp + lease_max
    sound = sound and phase_min <= terms.clock and terms.clock <= window_max
    reasons.need(sound, reasons.TERMS)
    units: uint256 = terms.rounds * terms.lanes
    pay: uint256 = units * terms.price_max + terms.rounds * terms.price_record
    return seats, pay + seats * terms.epochs * terms.price_audit


@external
@pure
def read(evidence: Bytes[EVIDENCE_BYTES]) -> Found:
    """
    @notice What evidence speaks of, whether or not it holds.
    """
    it: Evidence = abi_decode(evidence, Evidence)
    return self._found(it)


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
    return self._found(it)


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
def _found(it: Evidence) -> Found:
    return Found(
        round=it.round,
        lane=it.lane,
        node=it.node,
        units=it.units,
        receipt=it.receipt,
        place=it.place,
    )


@internal
@pure
def _place(drawn: bytes32, count: uint256) -> uint256:
    return convert(drawn, uint256) % count


# ---- what a job asks for -------------------------------------------------------------------------


@external
@pure
def asked(
    spec: bytes32,
    found: Found,
    receipt: Bytes[RECEIPT_BYTES],
    config: Bytes[RECEIPT_BYTES],
) -> bool:
    """
    @notice Whether a receipt is about the unit that the job asks for in its round, lane and place.
    @param spec   The job's name, which is the digest of `config`.
    @param config The run's terms, `RunConfig`, in canonical bytes.
    """
    reasons.need(spelling.receipt_name(receipt) == found.receipt, reasons.PATH)
    reasons.need(sha256(concat(b"\x00run\x00", config)) == spec, reasons.PATH)
    it: Asked = self._terms(config, found.place)
    count: uint256 = 2 if it.local else it.shards_per_lane
    if found.place >= count:
        return False
    whole: bool = it.local and found.place == 0
    data: Bytes[PADDED] = concat(receipt, empty(bytes32), empty(bytes32))
    at: uint256 = JOB_AT + 32 + 6  # "round"
    value: uint256 = 0
    if extract32(data, JOB_AT) != spec:
        return False
    at, value = self._number(data, at)
    if value != found.round:
        return False
    at, value = self._number(data, at + 5)  # "lane"
    if value != found.lane:
        return False
    at += 8 + 2  # "program"
    if extract32(data, at) != it.program:
        return False
    at += 32 + 6 + 2 + 32 + 10  # "state", "step_from"
    at, value = self._number(data, at)
    if value != found.round * it.local_steps:
        return False
    at, value = self._number(data, at + 6)  # "steps"
    if value != (it.local_steps if whole else 1):
        return False
    at, value = self._number(data, at + 9)  # "segments"
    if value != (it.segments if whole else 1):
        return False
    at += 5  # "seed"
    if self._spelled(data, at) != it.seed:
        return False
    at = spelling._behind(data, at) + 5  # "data"
    head: uint256 = extract32(data, at, output_type=uint256) >> 248
    if it.local and not whole:
        return head == 192
    return head == 131 and self._reads(data, at + 1, it, found)


@internal
@pure
def _reads(data: Bytes[PADDED], begin: uint256, it: Asked, found: Found) -> bool:
    """
    @notice Whether the data slice that begins at `begin` is the one that is asked for.
    """
    if extract32(data, begin + 9 + 2) != it.manifest:
        return False
    if extract32(data, begin + 9 + 34 + 8 + 2) != it.reading:
        return False
    at: uint256 = begin + 9 + 34 + 8 + 34 + 7  # "manifest", "reading", "shards"
    size: uint256 = 0
    count: uint256 = 0
    value: uint256 = 0
    size, count, value = spelling._item(extract32(data, at, output_type=uint256))
    at += size
    first: uint256 = found.lane * it.shards_per_lane
    due: uint256 = it.shards_per_lane
    if not it.local:
        first += found.place
        due = 1
    if count != due:
        return False
    for shard: uint256 in range(count, bound=SHARDS):
        at, value = self._number(data, at)
        if value != first + shard:
            return False
    return True


@internal
@pure
def _terms(config: Bytes[RECEIPT_BYTES], place: uint256) -> Asked:
    data: Bytes[PADDED] = concat(config, empty(bytes32), empty(bytes32))
    it: Asked = empty(Asked)
    value: uint256 = 0
    at: uint256 = EXCHANGE_AT
    it.local = extract32(data, at, output_type=uint256) >> 208 == LOCAL
    at = spelling._behind(data, at) + 11  # "arithmetic"
    at = spelling._behind(data, at) + 7  # "rounds"
    at, value = self._number(data, at)
    at, it.local_steps = self._number(data, at + 12)  # "local_steps"
    at, value = self._number(data, at + 6)  # "lanes"
    at, it.shards_per_lane = self._number(data, at + 16)  # "shards_per_lane"
    at, value = self._number(data, at + 18)  # "samples_per_shard"
    at, it.segments = self._number(data, at + 9)  # "segments"
    at += 5  # "seed"
    it.seed = self._spelled(data, at)
    at = spelling._behind(data, at) + 12  # "save_rounds"
    at = spelling._behind(data, at) + 11  # "save_limit"
    at = spelling._behind(data, at) + 12  # "eval_rounds"
    at = spelling._behind(data, at) + 13  # "eval_batches"
    at = spelling._behind(data, at) + 9  # "programs"
    name: bytes32 = keccak256(b"\xa4grad")
    if it.local:
        name = keccak256(b"\xa4step") if place == 0 else keccak256(b"\xa6encode")
    there: bool = False
    at, there, it.program = self._named(data, at, name)
    reasons.need(there, reasons.PATH)
    at = spelling._behind(data, at + 8) + 5  # "initial", "data"
    if extract32(data, at, output_type=uint256) >> 248 != 192:
        it.manifest = extract32(data, at + 2)
    at = spelling._behind(data, at) + 9  # "readings"
    at, there, it.reading = self._named(data, at, keccak256(b"\xa5train"))
    return it


@internal
@pure
def _named(data: Bytes[PADDED], begin: uint256, name: bytes32) -> (uint256, bool, bytes32):
    """
    @notice In a list of names with digests: where it ends, and the digest of the name whose text
            item has this hash, if it is there.
    """
    size: uint256 = 0
    count: uint256 = 0
    value: uint256 = 0
    size, count, value = spelling._item(extract32(data, begin, output_type=uint256))
    at: uint256 = begin + size
    there: bool = False
    found: bytes32 = empty(bytes32)
    for entry: uint256 in range(count, bound=SHARDS):
        behind: uint256 = spelling._behind(data, at + 1)
        if keccak256(slice(data, at + 1, behind - at - 1)) == name:
            there = True
            found = extract32(data, behind + 2)
        at = behind + 34
    return at, there, found


@internal
@pure
def _number(data: Bytes[PADDED], begin: uint256) -> (uint256, uint256):
    """
    @notice Where a number that is not negative ends, and the number.
    """
    size: uint256 = 0
    inside: uint256 = 0
    value: uint256 = 0
    size, inside, value = spelling._item(extract32(data, begin, output_type=uint256))
    return begin + size, value


@internal
@pure
def _spelled(data: Bytes[PADDED], begin: uint256) -> bytes32:
    """
    @notice A short item as it is spelled, with zeros behind it.
    """
    word: uint256 = extract32(data, begin, output_type=uint256)
    size: uint256 = 0
    inside: uint256 = 0
    value: uint256 = 0
    size, inside, value = spelling._item(word)
    free: uint256 = 8 * (32 - size)
    return convert(word >> free << free, bytes32)
