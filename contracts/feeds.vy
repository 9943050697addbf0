# pragma version 0.4.3
"""
@title  Wiring by the receipt: what a step was given, as its own unit says it
@notice The unit stands in the receipt, and the receipt is known by a digest. Each function takes
        that digest and the receipt's bytes, reads from them what the unit says, and asks wiring.vy
        for the element.
@dev    Stateless. The bytes are the receipt's one spelling with a signature of zeros; a digest that
        both parties signed or answered for has no other, so the reader goes by the order of fields.
"""

from . import merkle
from . import nodes
from . import openings

NODE_BYTES: constant(uint256) = 4096
NAME_BYTES: constant(uint256) = 4096
RECEIPT_BYTES: constant(uint256) = 4096
RECORD_BYTES: constant(uint256) = 16384
SHARD_BYTES: constant(uint256) = 1024
SHARDS: constant(uint256) = 512
GIVENS: constant(uint256) = 64
PATH: constant(uint256) = 64
FIELDS: constant(uint256) = 8
PADDED: constant(uint256) = RECEIPT_BYTES + 64
ONE: constant(uint256) = 1

ROUND_AT: constant(uint256) = 199  # of the value of "round"; the fields before have fixed lengths
NIL: constant(uint256) = 192


struct Order:
    seed: int64
    step: uint256
    shards: uint256
    batch: uint256
    own: Bytes[SHARD_BYTES]
    shuffled: bool


# How the samples are read; the unit names it by a digest.
struct Reading:
    shards: uint256  # of the whole batch
    batch: uint256  # samples of a shard
    shuffled: bool
    root: bytes32  # over the samples
    count: uint256
    record_bytes: uint256
    fields: bytes32  # root over the fields of a record


struct Field:
    at: uint256  # where in a record it begins
    kind: uint256
    index: uint256  # among the fields
    path: DynArray[bytes32, FIELDS]


struct Samples:
    root: bytes32
    count: uint256
    record_bytes: uint256
    field_at: uint256
    field_kind: uint256


struct Unit:
    seed: int64
    step_from: uint256
    steps: uint256
    reading: bytes32
    shards_at: uint256  # where the list of its shards begins; 0 where the unit reads no data
    given_at: uint256  # where the list of its given tensors begins


interface Wiring:
    def given(
        claim: openings.Claim, node: Bytes[NODE_BYTES], tensor: bytes32, shown: openings.Opened
    ) -> uint256: pure
    def chance(claim: openings.Claim, node: Bytes[NODE_BYTES], order: Order) -> uint256: pure
    def data(
        claim: openings.Claim,
        node: Bytes[NODE_BYTES],
        order: Order,
        samples: Samples,
        record: Bytes[RECORD_BYTES],
        path: DynArray[bytes32, PATH],
    ) -> uint256: view


WIRING: public(immutable(address))


@deploy
def __init__(wiring: address):
    """
    @param wiring The contract that computes an element from facts.
    """
    WIRING = wiring


@external
@view
def given(
    claim: openings.Claim,
    node: Bytes[NODE_BYTES],
    receipt: bytes32,
    data: Bytes[RECEIPT_BYTES],
    shown: openings.Opened,
) -> uint256:
    """
    @notice An element of the tensor that the unit names for the node's port.
    @param receipt The receipt's name, its signed digest.
    @param data The receipt, with a signature of zeros.
    @param shown The leaf, with the path to the tensor.
    """
    padded: Bytes[PADDED] = self._padded(receipt, data)
    name: Bytes[NAME_BYTES] = self._port(node)
    at: uint256 = self._unit(padded).given_at
    count: uint256 = 0
    at, count = self._list(padded, at)
    tensor: bytes32 = empty(bytes32)
    found: bool = False
    for pair: uint256 in range(count, bound=GIVENS):
        # [name, digest], the digest behind a head of two bytes
        first: uint256 = 0
        size: uint256 = 0
        first, size = self._text(padded, at + 1)
        if size == len(name) and slice(padded, first, size) == name:
            tensor = extract32(padded, first + size + 2)
            found = True
            break
        at = first + size + 34
    assert found, "given"
    return staticcall Wiring(WIRING).given(claim, node, tensor, shown)


@external
@view
def chance(
    claim: openings.Claim,
    node: Bytes[NODE_BYTES],
    receipt: bytes32,
    step: uint256,
    data: Bytes[RECEIPT_BYTES],
) -> uint256:
    """
    @notice The seed of the shard at the element's place among the unit's, in its step `step`.
    """
    how: Reading = empty(Reading)
    order: Order = self._order(self._padded(receipt, data), step, how, False)
    return staticcall Wiring(WIRING).chance(claim, node, order)


@external
@view
def data(
    claim: openings.Claim,
    node: Bytes[NODE_BYTES],
    receipt: bytes32,
    step: uint256,
    how: Reading,
    field: Field,
    receipt_data: Bytes[RECEIPT_BYTES],
    record: Bytes[RECORD_BYTES],
    path: DynArray[bytes32, PATH],
) -> uint256:
    """
    @notice An element of the sample that stands at its place in the unit's step `step`.
    @param how   How the samples are read, as the unit's data slice names it.
    @param field Where in a record the field of the port's name lies.
    """
    order: Order = self._order(self._padded(receipt, receipt_data), step, how, True)
    assert field.at < 2**32, "number"
    kind: bytes1 = convert(convert(field.kind, uint8), bytes1)
    leaf: bytes32 = sha256(
        concat(b"\x00field\x00", merkle.little32(field.at), kind, self._port(node))
    )
    root: bytes32 = merkle.climb(leaf, field.index, field.path, 0, len(field.path))
    assert root == how.fields, "field"
    samples: Samples = Samples(
        root=how.root,
        count=how.count,
        record_bytes=how.record_bytes,
        field_at=field.at,
        field_kind=field.kind,
    )
    return staticcall Wiring(WIRING).data(claim, node, order, samples, record, path)


# ---- reading -------------------------------------------------------------------------------------


@internal
@pure
def _padded(receipt: bytes32, data: Bytes[RECEIPT_BYTES]) -> Bytes[PADDED]:
    """
    @notice The bytes of the receipt of that name, with zeros behind.
    """
    assert sha256(concat(b"\x00signed\x00", data)) == receipt, "receipt"
    return concat(data, empty(bytes32), empty(bytes32))


@internal
@pure
def _port(node: Bytes[NODE_BYTES]) -> Bytes[NAME_BYTES]:
    """
    @notice The name of an input's port, which ends the node's bytes.
    """
    at: uint256 = nodes.decode(node).name_at
    head: uint256 = convert(slice(node, at, 1), uint256)
    skip: uint256 = 1
    if head == 217:
        skip = 2
    elif head == 218:
        skip = 3
    return slice(node, at + skip, len(node) - at - skip)


@internal
@pure
def _number(data: Bytes[PADDED], at: uint256) -> (uint256, int256):
    """
    @notice Where the integer that begins at `at` ends, and the integer.
    """
    word: uint256 = extract32(data, at, output_type=uint256)
    head: uint256 = word >> 248
    rest: uint256 = word << 8
    if head < 128:
        return at + 1, convert(head, int256)
    if head >= 224:
        return at + 1, convert(head, int256) - 256
    assert head >= 204 and head < 212, "number"
    size: uint256 = ONE << (head & 3)
    if head < 208:
        return at + 1 + size, convert(rest >> (256 - 8 * size), int256)
    return at + 1 + size, convert(convert(rest, bytes32), int256) >> (256 - 8 * size)


@internal
@pure
def _list(data: Bytes[PADDED], at: uint256) -> (uint256, uint256):
    """
    @notice Where the first entry of the list that begins at `at` begins, and how many there are.
    """
    word: uint256 = extract32(data, at, output_type=uint256)
    head: uint256 = word >> 248
    if head == 220:
        return at + 3, word >> 232 & 65535
    assert head >= 144 and head < 160, "list"
    return at + 1, head - 144


@internal
@pure
def _text(data: Bytes[PADDED], at: uint256) -> (uint256, uint256):
    """
    @notice Where the characters of the text that begins at `at` begin, and their bytes.
    """
    word: uint256 = extract32(data, at, output_type=uint256)
    head: uint256 = word >> 248
    if head == 217:
        return at + 2, word >> 240 & 255
    if head == 218:
        return at + 3, word >> 232 & 65535
    assert head >= 160 and head < 192, "text"
    return at + 1, head - 160


@internal
@pure
def _unit(data: Bytes[PADDED]) -> Unit:
    """
    @notice What a receipt's unit says of what its steps are given.
    """
    unit: Unit = empty(Unit)
    at: uint256 = ROUND_AT
    number: int256 = 0
    at, number = self._number(data, at)
    at, number = self._number(data, at + 5)  # "lane"
    at += 8 + 34 + 6 + 34  # "program", "state"
    at, number = self._number(data, at + 10)  # "step_from"
    unit.step_from = convert(number, uint256)
    at, number = self._number(data, at + 6)  # "steps"
    unit.steps = convert(number, uint256)
    at, number = self._number(data, at + 9)  # "segments"
    at, number = self._number(data, at + 5)  # "seed"
    unit.seed = convert(number, int64)
    at += 5  # "data"
    if convert(slice(data, at, 1), uint256) == NIL:
        at += 1
    else:
        at += 1 + 9 + 34 + 8  # "manifest", "reading"
        unit.reading = extract32(data, at + 2)
        at += 34 + 7  # "shards"
        unit.shards_at = at
        count: uint256 = 0
        at, count = self._list(data, at)
        for i: uint256 in range(count, bound=SHARDS):
            at, number = self._number(data, at)
    unit.given_at = at + 6  # "given"
    return unit


@internal
@pure
def _order(data: Bytes[PADDED], step: uint256, how: Reading, reads: bool) -> Order:
    """
    @notice Which places of the data and which seeds the unit's step `step` has.
    @param how   How it reads its samples.
    @param reads Whether it must read any.
    """
    unit: Unit = self._unit(data)
    assert step < unit.steps, "step"
    count: uint256 = 0
    # each shard in two bytes, sixteen to a word
    words: uint256[SHARD_BYTES // 32] = empty(uint256[SHARD_BYTES // 32])
    if unit.shards_at != 0:
        at: uint256 = 0
        at, count = self._list(data, unit.shards_at)
        for i: uint256 in range(count, bound=SHARDS):
            shard: int256 = 0
            at, shard = self._number(data, at)
            assert shard < 65536, "shard"
            words[i // 16] |= convert(shard, uint256) << (240 - 16 * (i % 16))
    if reads:
        assert unit.shards_at != 0 and self._named(how) == unit.reading, "reading"
    return Order(
        seed=unit.seed,
        step=unit.step_from + step,
        shards=how.shards,
        batch=how.batch,
        own=slice(abi_encode(words), 0, 2 * count),
        shuffled=how.shuffled,
    )


@internal
@pure
def _named(how: Reading) -> bytes32:
    """
    @notice The digest of a reading.
    """
    # the bytes of a number know only so many bits of it
    assert max(max(how.shards, how.batch), how.record_bytes) < 2**32 and how.count < 2**64, "number"
    return sha256(
        concat(
            b"\x00reading\x00",
            merkle.little32(how.shards),
            merkle.little32(how.batch),
            convert(convert(how.shuffled, uint8), bytes1),
            merkle.little64(how.count),
            merkle.little32(how.record_bytes),
            how.root,
            how.fields,
        )
    )
