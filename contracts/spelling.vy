# pragma version 0.4.3
"""
@title  A receipt and a Program's header, read from their canonical bytes
@notice Both are MessagePack in one spelling, which both parties have checked before they deal in
        it; so the reader goes by the order of the fields and only agrees with that spelling.
"""

NAME_BYTES: constant(uint256) = 256
RECEIPT_BYTES: constant(uint256) = 4096
HEADER_BYTES: constant(uint256) = 3072
PADDED: constant(uint256) = 4096 + 64
OUTPUTS: constant(uint256) = 256
ONE: constant(uint256) = 1
STATE: constant(uint256) = 181915292365925  # a5 "state", as a text item
NODE_BYTES: constant(uint256) = 4096
RANK: constant(uint256) = 8
F32: constant(uint256) = 2741383986  # text items
I64: constant(uint256) = 2741581364
BOOL: constant(uint256) = 706026106732
ROLE: constant(uint256) = 165  # what a role of five letters begins with; one of six, 166
ITEMS: constant(uint256) = 8192
ABSENT: constant(uint256) = max_value(uint256)
ID_AT: constant(uint256) = 199  # of the value of "round", behind fields of fixed length


struct Receipt:
    program: bytes32
    state: bytes32
    steps: uint256
    segments: uint256
    roots_at: uint256  # where the first segment's root begins; the next is 34 bytes on
    outputs_at: uint256  # where the list of outputs begins


struct Header:
    nodes: uint256  # how many
    written: uint256  # how many outputs are of the state
    state_node: uint256  # behind the state's entry that was asked for, or ABSENT
    output_node: uint256  # behind the value or metric of that name, or ABSENT
    before: uint256  # how many entries of the state that are written stand before that name


@internal
@pure
def _item(word: uint256) -> (uint256, uint256, uint256):
    """
    @notice Of an item that begins with this word: its bytes, how many items follow in it, and its
            value where it is an integer that is not negative.
    """
    head: uint256 = word >> 248
    if head < 128:
        return 1, 0, head
    if head < 144:
        return 1, 2 * (head - 128), 0
    if head < 160:
        return 1, head - 144, 0
    if head < 192:
        return head - 159, 0, 0
    rest: uint256 = word << 8
    if head == 192 or head >= 224:
        return 1, 0, 0
    if head == 196 or head == 217:
        return 2 + (rest >> 248), 0, 0
    if head == 197 or head == 218:
        return 3 + (rest >> 240), 0, 0
    if head >= 204 and head < 208:
        size: uint256 = ONE << (head - 204)
        return 1 + size, 0, rest >> (256 - 8 * size)
    if head >= 208 and head < 212:
        return 1 + (ONE << (head - 208)), 0, 0
    assert head == 220 or head == 222, "spelling"
    return 3, (rest >> 240) * (head - 219 if head == 220 else 2), 0


@internal
@pure
def _behind(data: Bytes[PADDED], begin: uint256) -> uint256:
    """
    @notice Where the item that begins at `begin` ends, with all that it holds.
    """
    at: uint256 = begin
    due: uint256 = 1
    for turn: uint256 in range(ITEMS):
        if due == 0:
            break
        size: uint256 = 0
        inside: uint256 = 0
        value: uint256 = 0
        size, inside, value = self._item(extract32(data, at, output_type=uint256))
        at += size
        due = due - 1 + inside
    assert due == 0, "spelling"
    return at


@internal
@pure
def receipt_name(data: Bytes[RECEIPT_BYTES]) -> bytes32:
    """
    @notice The digest by which a receipt is known, from its bytes with a signature of zeros.
    """
    return sha256(concat(b"\x00signed\x00", data))


@internal
@pure
def receipt(data: Bytes[RECEIPT_BYTES]) -> Receipt:
    """
    @notice What a dispute needs of a receipt.
    """
    padded: Bytes[PADDED] = concat(data, empty(bytes32), empty(bytes32))
    read: Receipt = empty(Receipt)
    size: uint256 = 0
    inside: uint256 = 0
    value: uint256 = 0
    at: uint256 = ID_AT
    size, inside, value = self._item(extract32(padded, at, output_type=uint256))
    at += size + 5  # "lane"
    size, inside, value = self._item(extract32(padded, at, output_type=uint256))
    at += size + 8 + 2  # "program"
    read.program = extract32(padded, at)
    at += 32 + 6 + 2  # "state"
    read.state = extract32(padded, at)
    at += 32 + 10  # "step_from"
    size, inside, value = self._item(extract32(padded, at, output_type=uint256))
    at += size + 6  # "steps"
    size, inside, read.steps = self._item(extract32(padded, at, output_type=uint256))
    at += size + 9  # "segments"
    size, inside, read.segments = self._item(extract32(padded, at, output_type=uint256))
    at += size + 5  # "seed"
    size, inside, value = self._item(extract32(padded, at, output_type=uint256))
    at += size + 5  # "data"
    at = self._behind(padded, at) + 6  # "given"
    at = self._behind(padded, at) + 9  # "segments"
    size, inside, value = self._item(extract32(padded, at, output_type=uint256))
    assert inside == read.segments and read.segments > 0, "spelling"
    at += size + 2
    read.roots_at = at
    read.outputs_at = at + 34 * inside - 2 + 8  # "outputs"
    return read


@internal
@pure
def root_at(data: Bytes[RECEIPT_BYTES], read: Receipt, bound: uint256) -> bytes32:
    """
    @notice The state root at boundary number `bound` of the segments.
    """
    assert bound <= read.segments, "segment"
    if bound == 0:
        return read.state
    return extract32(data, read.roots_at + 34 * (bound - 1))


@internal
@pure
def output_claimed(
    data: Bytes[RECEIPT_BYTES], read: Receipt, name: Bytes[NAME_BYTES]
) -> bytes32:
    """
    @notice What the receipt claims of the output of that name.
    """
    padded: Bytes[PADDED] = concat(data, empty(bytes32), empty(bytes32))
    size: uint256 = 0
    count: uint256 = 0
    inside: uint256 = 0
    value: uint256 = 0
    at: uint256 = read.outputs_at
    size, count, value = self._item(extract32(padded, at, output_type=uint256))
    at += size
    for turn: uint256 in range(count, bound=OUTPUTS):
        at += 1
        size, inside, value = self._item(extract32(padded, at, output_type=uint256))
        if self._says(padded, at, size, name):
            return extract32(padded, at + size + 2)
        at += size + 34
    raise "output"


@internal
@pure
def _says(
    data: Bytes[PADDED], at: uint256, size: uint256, name: Bytes[NAME_BYTES]
) -> bool:
    """
    @notice Whether the text item of `size` bytes at `at` is `name`.
    """
    behind: uint256 = at + size
    if self._text(size) != len(name):
        return False
    return keccak256(slice(data, behind - len(name), len(name))) == keccak256(name)


@internal
@pure
def _text(size: uint256) -> uint256:
    """
    @notice The length of the text in a text item of `size` bytes.
    """
    if size <= 32:
        return size - 1
    return size - 2 if size <= 257 else size - 3


@internal
@pure
def header_leaf(data: Bytes[HEADER_BYTES]) -> bytes32:
    """
    @notice The leaf of a Program's header under its digest.
    """
    return sha256(concat(b"\x00program.header\x00", data))


@internal
@pure
def header(data: Bytes[HEADER_BYTES], name: Bytes[NAME_BYTES], ranked: bool) -> Header:
    """
    @notice What a dispute needs of a Program's header, about the entry or output `name`.
    @param ranked Whether `before` is wanted.
    """
    padded: Bytes[PADDED] = concat(data, empty(bytes32), empty(bytes32))
    read: Header = Header(nodes=0, written=0, state_node=ABSENT, output_node=ABSENT, before=0)
    size: uint256 = 0
    count: uint256 = 0
    inside: uint256 = 0
    value: uint256 = 0
    at: uint256 = 1
    for field: uint256 in range(4):  # version, name, shards, inputs
        at = self._behind(padded, at)
    size, count, value = self._item(extract32(padded, at, output_type=uint256))
    at += size
    for turn: uint256 in range(count, bound=OUTPUTS):
        named: uint256 = at + 1
        length: uint256 = 0
        length, inside, value = self._item(extract32(padded, named, output_type=uint256))
        at = named + length
        is_state: bool = extract32(padded, at, output_type=uint256) >> 208 == STATE
        size, inside, value = self._item(extract32(padded, at, output_type=uint256))
        at += size
        size, inside, value = self._item(extract32(padded, at, output_type=uint256))
        at += size
        said: bool = self._says(padded, named, length, name)
        if is_state:
            read.written += 1
            if said:
                read.state_node = value
            elif ranked:
                text: uint256 = self._text(length)
                if self._precedes(padded, named + length - text, text, name):
                    read.before += 1
        elif said:
            read.output_node = value
    size, inside, read.nodes = self._item(extract32(padded, at, output_type=uint256))
    assert at + size == len(data), "spelling"
    return read


@internal
@pure
def hinted(
    data: Bytes[HEADER_BYTES], name: Bytes[NAME_BYTES], at: uint256, count_at: uint256
) -> Header:
    """
    @notice The same of one output, told where it stands. A text cannot pose as one: no valid UTF-8
            has a byte that begins a role, 0xa5 or 0xa6, behind the whole text of a name.
    """
    padded: Bytes[PADDED] = concat(data, empty(bytes32), empty(bytes32))
    read: Header = Header(nodes=0, written=0, state_node=ABSENT, output_node=ABSENT, before=0)
    size: uint256 = 0
    inside: uint256 = 0
    number: uint256 = 0
    size, inside, number = self._item(extract32(padded, at, output_type=uint256))
    assert size == 1 and inside == 3, "hint"
    begin: uint256 = at + 1
    size, inside, number = self._item(extract32(padded, begin, output_type=uint256))
    assert len(name) > 0 and self._says(padded, begin, size, name), "hint"
    begin += size
    role: uint256 = extract32(padded, begin, output_type=uint256)
    size, inside, number = self._item(role)
    assert role >> 248 == ROLE or role >> 248 == ROLE + 1, "hint"
    begin += size
    size, inside, number = self._item(extract32(padded, begin, output_type=uint256))
    if role >> 208 == STATE:
        read.state_node = number
    else:
        read.output_node = number
    size, inside, read.nodes = self._item(extract32(padded, count_at, output_type=uint256))
    assert count_at + size == len(data) and inside == 0, "hint"
    return read


@internal
@pure
def _precedes(
    data: Bytes[PADDED], at: uint256, length: uint256, name: Bytes[NAME_BYTES]
) -> bool:
    """
    @notice Whether the text of `length` bytes at `at` stands before `name` in the order of bytes.
    """
    other: Bytes[NAME_BYTES + 32] = concat(name, empty(bytes32))
    for i: uint256 in range((min(length, len(name)) + 31) // 32, bound=8):
        left: uint256 = extract32(data, at + 32 * i, output_type=uint256)
        right: uint256 = extract32(other, 32 * i, output_type=uint256)
        in_left: uint256 = min(32, length - 32 * i)
        in_right: uint256 = min(32, len(name) - 32 * i)
        if in_left < 32:
            left = left >> (256 - 8 * in_left) << (256 - 8 * in_left)
        if in_right < 32:
            right = right >> (256 - 8 * in_right) << (256 - 8 * in_right)
        if left != right:
            return left < right
    return length < len(name)


@internal
@pure
def node(data: Bytes[NODE_BYTES]) -> (uint256, uint256, DynArray[uint256, RANK]):
    """
    @notice The op of a node, as its text item, its dtype and its shape.
    """
    padded: Bytes[PADDED] = concat(data, empty(bytes32), empty(bytes32))
    size: uint256 = 0
    count: uint256 = 0
    number: uint256 = 0
    size, count, number = self._item(extract32(padded, 1, output_type=uint256))
    assert size <= 32, "spelling"
    op: uint256 = extract32(padded, 1, output_type=uint256) >> (256 - 8 * size)
    at: uint256 = self._behind(padded, 1 + size)  # the inputs
    at = self._behind(padded, at) + 1  # the attributes
    size, count, number = self._item(extract32(padded, at, output_type=uint256))
    name: uint256 = extract32(padded, at, output_type=uint256) >> (256 - 8 * size)
    dtype: uint256 = 0
    if name == F32:
        dtype = 1
    elif name == I64:
        dtype = 2
    else:
        assert name == BOOL, "spelling"
        dtype = 3
    at += size
    size, count, number = self._item(extract32(padded, at, output_type=uint256))
    at += size
    shape: DynArray[uint256, RANK] = []
    for axis: uint256 in range(count, bound=RANK):
        size, count, number = self._item(extract32(padded, at, output_type=uint256))
        shape.append(number)
        at += size
    return op, dtype, shape


@internal
@pure
def row_read(data: Bytes[NODE_BYTES]) -> uint256:
    """
    @notice How long a row of the first operand is, of an op that reads a tensor of an axis at least.
    """
    padded: Bytes[PADDED] = concat(data, empty(bytes32), empty(bytes32))
    at: uint256 = 1
    for field: uint256 in range(4):  # op, inputs, attributes, type
        at = self._behind(padded, at)
    size: uint256 = 0
    count: uint256 = 0
    number: uint256 = 0
    at += 2  # of the list of operands, and of the first one, where they begin
    at = self._behind(padded, at)  # its dtype
    size, count, number = self._item(extract32(padded, at, output_type=uint256))
    at += size
    for axis: uint256 in range(count, bound=RANK):
        inside: uint256 = 0
        size, inside, number = self._item(extract32(padded, at, output_type=uint256))
        at += size
    return number
