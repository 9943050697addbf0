# pragma version 0.4.3
"""
@title  A node of a Program, read from its canonical bytes
@notice The bytes are the MessagePack array [op, inputs, attributes, type, reads] of
        `skerry.program.canonical.judged_node`; they are a leaf of the Program's digest, which both
        parties hold in canonical form, so the reader only has to agree with that one spelling.
@dev    The bytes are first flattened: every number, text and literal one entry, and the length of
        every array before its entries.
"""

NODE_BYTES: constant(uint256) = 4096
RANK: constant(uint256) = 8
ATTRS: constant(uint256) = 32
FLAT: constant(uint256) = 128
ARRAY: constant(int256) = 2**64  # added to the length of an array; no number is as large
ONE: constant(uint256) = 1

INPUT: constant(bytes12) = 0x696e70757400000000000000
CONCAT: constant(bytes12) = 0x636f6e636174000000000000
F32_NAME: constant(bytes12) = 0x663332000000000000000000
I64_NAME: constant(bytes12) = 0x693634000000000000000000
BOOL_NAME: constant(bytes12) = 0x626f6f6c0000000000000000


struct Type:
    dtype: uint256  # 1 f32, 2 i64, 3 bool
    shape: DynArray[uint256, RANK]


struct Node:
    op: bytes12
    inputs: DynArray[uint256, 3]  # of a concat, how many
    attrs: DynArray[int256, ATTRS]  # the values in their order, arrays without their lengths
    made: Type
    reads: DynArray[Type, 3]
    root: bytes32  # of a concat, over its operands
    role: bytes12  # of an input
    name_at: uint256  # of an input, where the text that ends the bytes begins


@internal
@pure
def flat(data: Bytes[NODE_BYTES]) -> (DynArray[int256, FLAT], uint256):
    """
    @notice Every scalar of the bytes, and every array's length with ARRAY added, in order; and
            where the last of them begins. Texts and literals stand left in their 32 bytes, cut off behind.
    """
    padded: Bytes[NODE_BYTES + 64] = concat(data, empty(bytes32), empty(bytes32))
    found: DynArray[int256, FLAT] = []
    at: uint256 = 0
    begun: uint256 = 0
    for turn: uint256 in range(FLAT):
        if at >= len(data):
            break
        begun = at
        word: uint256 = extract32(padded, at, output_type=uint256)
        head: uint256 = word >> 248
        after: uint256 = word << 8
        size: uint256 = 0  # bytes of the value behind the head
        value: int256 = 0
        if head < 128:
            value = convert(head, int256)
        elif head >= 144 and head < 160:
            value = ARRAY + convert(head - 144, int256)
        elif head >= 224:
            value = convert(head, int256) - 256
        elif head >= 204 and head < 208:
            size = ONE << (head - 204)
            value = convert(after >> (256 - 8 * size), int256)
        elif head >= 208 and head < 212:
            size = ONE << (head - 208)
            value = convert(convert(after, bytes32), int256) >> (256 - 8 * size)
        else:
            begin: uint256 = at + 1
            if head >= 160 and head < 192:
                size = head - 160
            elif head == 196 or head == 217:
                size = after >> 248
                begin += 1
            elif head == 218:
                size = after >> 240
                begin += 2
            else:
                raise "node"
            text: uint256 = extract32(padded, begin, output_type=uint256)
            if size < 32:
                text = text >> (256 - 8 * size) << (256 - 8 * size)
            value = convert(convert(text, bytes32), int256)
            size += begin - at - 1
        found.append(value)
        at += 1 + size
    assert at == len(data), "node"
    return found, begun


@internal
@pure
def elements(kind: Type) -> uint256:
    """
    @notice The number of elements of a type.
    """
    count: uint256 = 1
    for size: uint256 in kind.shape:
        count *= size
    return count


@internal
@pure
def _length(entry: int256) -> uint256:
    """
    @notice The length of the array that an entry of `flat` begins.
    """
    return convert(entry - ARRAY, uint256)


@internal
@pure
def _text(entry: int256) -> bytes12:
    """
    @notice A short text as `flat` gives it.
    """
    return convert(convert(convert(entry, uint256) >> 160, uint96), bytes12)


@internal
@pure
def type_at(found: DynArray[int256, FLAT], first: uint256) -> (Type, uint256):
    """
    @notice The type that begins at entry `first`, and the entry behind it.
    """
    name: bytes12 = self._text(found[first + 1])
    made: Type = Type(dtype=1, shape=[])
    if name == I64_NAME:
        made.dtype = 2
    elif name == BOOL_NAME:
        made.dtype = 3
    else:
        assert name == F32_NAME, "dtype"
    rank: uint256 = self._length(found[first + 2])
    for axis: uint256 in range(rank, bound=RANK):
        made.shape.append(convert(found[first + 3 + axis], uint256))
    return made, first + 3 + rank


@internal
@pure
def decode(data: Bytes[NODE_BYTES]) -> Node:
    """
    @notice The node that the bytes spell.
    """
    found: DynArray[int256, FLAT] = []
    begun: uint256 = 0
    found, begun = self.flat(data)
    node: Node = empty(Node)
    assert self._length(found[0]) == 5, "node"
    node.op = self._text(found[1])
    node.name_at = begun
    at: uint256 = 3
    if node.op == CONCAT:
        node.inputs.append(convert(found[2], uint256))
    else:
        for i: uint256 in range(self._length(found[2]), bound=3):
            node.inputs.append(convert(found[at], uint256))
            at += 1
    count: uint256 = self._length(found[at])
    at += 1
    for i: uint256 in range(count, bound=4):
        # [name, value]
        at += 2
        size: uint256 = 1
        if found[at] >= ARRAY and found[at] < ARRAY + 16:
            size = self._length(found[at])
            at += 1
        for j: uint256 in range(size, bound=RANK):
            node.attrs.append(found[at])
            at += 1
    node.made, at = self.type_at(found, at)
    if node.op == CONCAT:
        node.root = convert(found[at], bytes32)
        at += 1
    elif node.op == INPUT:
        node.role = self._text(found[at + 1])
        at += 3
    else:
        assert self._length(found[at]) == len(node.inputs), "node"
        at += 1
        for i: uint256 in range(len(node.inputs), bound=3):
            read: Type = empty(Type)
            read, at = self.type_at(found, at)
            node.reads.append(read)
    assert at == len(found), "node"
    return node
