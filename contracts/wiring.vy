# pragma version 0.4.3
"""
@title  The judge of wiring: what a step was given
@notice A node `input` has no operands; its value is the state before the step, a sample of the
        data, a seed, or a tensor that the unit names. Each function computes the element that
        should stand there from what the court knows of the unit.
@dev    Stateless. Facts of the unit (roots, seeds, counts) are arguments: the caller answers for
        them. The rules are those of `dataset.order`, `base.chance` and `commit.state`.
"""

from . import merkle
from . import nodes
from . import openings

NODE_BYTES: constant(uint256) = 4096
NAME_BYTES: constant(uint256) = 4096
RECORD_BYTES: constant(uint256) = 16384
SHARD_BYTES: constant(uint256) = 1024
PATH: constant(uint256) = 64
RANK: constant(uint256) = 8

STATE: constant(bytes12) = 0x737461746500000000000000
DATA: constant(bytes12) = 0x646174610000000000000000
CHANCE: constant(bytes12) = 0x6368616e6365000000000000
GIVEN: constant(bytes12) = 0x676976656e00000000000000

F32_MAGNITUDE: constant(uint256) = 2**31 - 1
F32_INFINITY: constant(uint256) = 255 * 2**23
F32_NAN: constant(uint256) = 511 * 2**22


interface Arithmetic:
    def permuted(index: uint256, size: uint256, key: uint256) -> uint256: pure


struct Order:
    seed: int64  # the job's
    step: uint256  # counted from the job's first
    shards: uint256  # of the whole batch
    batch: uint256  # samples of a shard
    own: Bytes[SHARD_BYTES]  # the unit's shards, ascending, 2 bytes each, the higher first
    shuffled: bool  # whether the seed orders the samples


struct Samples:
    root: bytes32  # over the samples of the split
    count: uint256
    record_bytes: uint256
    field_at: uint256  # where the port's field begins in a record
    field_kind: uint256  # 1 u16, 2 u32, 3 f32, 4 i64


ARITHMETIC: public(immutable(address))


@deploy
def __init__(arithmetic: address):
    """
    @param arithmetic The contract that computes permutations.
    """
    ARITHMETIC = arithmetic


@external
@pure
def state(
    claim: openings.Claim,
    node: Bytes[NODE_BYTES],
    before: bytes32,
    count: uint256,
    index: uint256,
    shown: openings.Opened,
) -> uint256:
    """
    @notice An element of the state before the step.
    @param before The state's root.
    @param count How many entries it has.
    @param index Where among them the port's name stands.
    @param shown The leaf; its path leads to the entry's tensor and on to the root of the entries.
    """
    read: nodes.Node = self._input(claim, node, STATE)
    leaf: uint256 = 0
    place: uint256 = 0
    leaf, place = merkle.leaf_place(read.made.shape, claim.element)
    tensor: bytes32 = empty(bytes32)
    levels: uint256 = 0
    tensor, levels = openings.tensor_of(
        read.made, leaf, len(shown.data), merkle.leaf_digest(shown.data), shown.path
    )
    above: uint256 = merkle.depth(count)
    assert index < count and len(shown.path) == levels + above, "path"
    entry: bytes32 = merkle.state_leaf(tensor, self._name(node, read.name_at))
    root: bytes32 = merkle.climb(entry, index, shown.path, levels, above)
    assert merkle.seal_state(count, root) == before, "state"
    return openings.element(shown.data, read.made.dtype, place)


@external
@pure
def carried(
    name: Bytes[NAME_BYTES],
    before: bytes32,
    count: uint256,
    index: uint256,
    tensor: bytes32,
    path: DynArray[bytes32, PATH],
) -> bytes32:
    """
    @notice The leaf that an entry which the Program does not touch has before the step, and so
            must have after it.
    """
    levels: uint256 = merkle.depth(count)
    assert index < count and len(path) == levels, "path"
    entry: bytes32 = merkle.state_leaf(tensor, name)
    root: bytes32 = merkle.climb(entry, index, path, 0, levels)
    assert merkle.seal_state(count, root) == before, "state"
    return entry


@external
@pure
def given(
    claim: openings.Claim, node: Bytes[NODE_BYTES], tensor: bytes32, shown: openings.Opened
) -> uint256:
    """
    @notice An element of a tensor that the unit names for a port.
    @param tensor Its digest, which stands in the unit beside the port's name.
    @param shown The leaf, with the path to the tensor.
    """
    read: nodes.Node = self._input(claim, node, GIVEN)
    leaf: uint256 = 0
    place: uint256 = 0
    leaf, place = merkle.leaf_place(read.made.shape, claim.element)
    found: bytes32 = empty(bytes32)
    levels: uint256 = 0
    found, levels = openings.tensor_of(
        read.made, leaf, len(shown.data), merkle.leaf_digest(shown.data), shown.path
    )
    assert found == tensor and len(shown.path) == levels, "tensor"
    return openings.element(shown.data, read.made.dtype, place)


@external
@pure
def chance(claim: openings.Claim, node: Bytes[NODE_BYTES], order: Order) -> uint256:
    """
    @notice The seed of the shard at the element's place among the unit's. A unit without shards
            makes the initial state and has one seed.
    """
    read: nodes.Node = self._input(claim, node, CHANCE)
    seeds: uint256 = max(len(order.own) // 2, 1)
    assert read.made.dtype == 2 and nodes.elements(read.made) == seeds, "seeds"
    if len(order.own) == 0:
        assert claim.element == 0, "element"
        return self._fork(order.seed, "init")
    shard: uint256 = self._shard(order, claim.element)
    names: String[200] = concat("shard\x1f", uint2str(order.step), "\x1f", uint2str(shard))
    return self._fork(order.seed, names)


@external
@view
def data(
    claim: openings.Claim,
    node: Bytes[NODE_BYTES],
    order: Order,
    samples: Samples,
    record: Bytes[RECORD_BYTES],
    path: DynArray[bytes32, PATH],
) -> uint256:
    """
    @notice An element of the sample that stands at the element's place in the batch.
    @param order Which places of the endless run the step reads.
    @param samples The split, and the field of its records that the port is named after.
    @param record The sample, whole.
    @param path Its siblings up to the root of the samples.
    """
    read: nodes.Node = self._input(claim, node, DATA)
    width: uint256 = [2, 4, 4, 8][samples.field_kind - 1]
    places: uint256 = len(order.own) // 2 * order.batch
    each: uint256 = nodes.elements(read.made) // places
    assert each * places == nodes.elements(read.made), "batch"
    place: uint256 = claim.element // each
    index: uint256 = self._sample(order, samples.count, place)
    levels: uint256 = merkle.depth(samples.count)
    assert len(path) == levels and len(record) == samples.record_bytes, "record"
    leaf: bytes32 = sha256(concat(b"\x00sample\x00", record))
    assert merkle.climb(leaf, index, path, 0, levels) == samples.root, "samples"
    at: uint256 = samples.field_at + claim.element % each * width
    return self._decoded(record, at, samples.field_kind, read.made.dtype)


# ---- parts ---------------------------------------------------------------------------------------


@internal
@pure
def _input(claim: openings.Claim, node: Bytes[NODE_BYTES], role: bytes12) -> nodes.Node:
    """
    @notice The claim's node, which must be an input of this role.
    """
    assert merkle.node_leaf(node) == claim.node, "node"
    read: nodes.Node = nodes.decode(node)
    assert read.op == nodes.INPUT and read.role == role, "role"
    return read


@internal
@pure
def _name(node: Bytes[NODE_BYTES], at: uint256) -> Bytes[NAME_BYTES]:
    """
    @notice The text that ends a node's bytes and begins, with its length, at `at`.
    """
    head: uint256 = convert(slice(node, at, 1), uint256)
    skip: uint256 = 1
    if head == 217:
        skip = 2
    elif head == 218:
        skip = 3
    return slice(node, at + skip, len(node) - at - skip)


@internal
@pure
def _shard(order: Order, place: uint256) -> uint256:
    """
    @notice The unit's shard at a place among its own.
    """
    return convert(slice(order.own, 2 * place, 2), uint256)


@internal
@pure
def _fork(seed: int64, names: String[200]) -> uint256:
    """
    @notice The word of the chance that the names lead to from the seed.
    """
    word: uint256 = convert(convert(seed, int256) & (2**64 - 1), uint256)
    first: bytes32 = sha256(concat(b"\x00chance\x00", merkle.little64(word)))
    forked: bytes32 = sha256(concat(b"\x00fork\x00", first, convert(names, Bytes[200])))
    return convert(merkle.little64(convert(forked, uint256) >> 192), uint256)


@internal
@view
def _sample(order: Order, count: uint256, place: uint256) -> uint256:
    """
    @notice The sample at a place of the unit's part of the batch.
    """
    shard: uint256 = self._shard(order, place // order.batch)
    position: uint256 = (order.step * order.shards + shard) * order.batch + place % order.batch
    if not order.shuffled:
        return position % count
    names: String[200] = concat("order\x1f", uint2str(position // count))
    key: uint256 = self._fork(order.seed, names)
    return staticcall Arithmetic(ARITHMETIC).permuted(position % count, count, key)


@internal
@pure
def _decoded(
    record: Bytes[RECORD_BYTES], at: uint256, field_kind: uint256, dtype: uint256
) -> uint256:
    """
    @notice The element that begins at a byte of a record, as a port of this dtype holds it.
    """
    assert (dtype == 1) == (field_kind == 3) and dtype != 3, "field"
    if field_kind == 4:
        return convert(merkle.little64(convert(slice(record, at, 8), uint256)), uint256)
    if field_kind == 1:
        pair: uint256 = convert(slice(record, at, 2), uint256)
        return pair >> 8 | (pair & 255) << 8
    bits: uint256 = convert(merkle.little32(convert(slice(record, at, 4), uint256)), uint256)
    if field_kind == 3 and bits & F32_MAGNITUDE > F32_INFINITY:
        return F32_NAN
    return bits
