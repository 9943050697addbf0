# pragma version 0.4.3
"""
@title  Rows of a Merkle tree: the roots a few levels below a root
@notice A row leaves out what holds nothing but padding; see "Row" in docs/reference/commitments.md.
"""

ROW: constant(uint256) = 64
WORDS: constant(uint256) = 128
LEAF_BYTES: constant(uint256) = 4096
PADDED: constant(uint256) = LEAF_BYTES + 32


@internal
@pure
def padding(height: uint256) -> bytes32:
    """
    @notice The root of 2^height leaves of padding.
    """
    root: bytes32 = empty(bytes32)
    for level: uint256 in range(height, bound=64):
        root = sha256(concat(0x01, root, root))
    return root


@internal
@pure
def fold(roots: DynArray[bytes32, ROW], height: uint256, levels: uint256) -> bytes32:
    """
    @notice The root `levels` above roots of one height, of which padding was left out.
    """
    row: DynArray[bytes32, ROW] = roots
    size: uint256 = len(row)
    pad: bytes32 = empty(bytes32)
    padded: bool = False
    for level: uint256 in range(levels, bound=64):
        if size & 1 == 1:
            if not padded:
                pad = self.padding(height + level)
                padded = True
            last: bytes32 = sha256(concat(0x01, row[size - 1], pad))
            for at: uint256 in range(size // 2, bound=32):
                row[at] = sha256(concat(0x01, row[2 * at], row[2 * at + 1]))
            size = size // 2 + 1
            row[size - 1] = last
        else:
            size //= 2
            for at: uint256 in range(size, bound=32):
                row[at] = sha256(concat(0x01, row[2 * at], row[2 * at + 1]))
        if padded:
            pad = sha256(concat(0x01, pad, pad))
    return row[0]


@internal
@pure
def words_root(data: Bytes[LEAF_BYTES]) -> bytes32:
    """
    @notice The Keccak root over the 32-byte words of a leaf, so that one word can be shown alone.
    """
    padded: Bytes[PADDED] = concat(data, empty(bytes32))
    size: uint256 = (len(data) + 31) // 32
    row: DynArray[bytes32, WORDS] = []
    for at: uint256 in range(size, bound=WORDS):
        row.append(extract32(padded, at * 32))
    for level: uint256 in range(7):
        if size == 1:
            break
        for at: uint256 in range(size // 2, bound=64):
            row[at] = keccak256(concat(row[2 * at], row[2 * at + 1]))
        if size & 1 == 1:
            row[size // 2] = row[size - 1]
        size = (size + 1) // 2
    return row[0]


@internal
@pure
def words_climb(
    word: bytes32, index: uint256, size: uint256, path: DynArray[bytes32, 7]
) -> bytes32:
    """
    @notice The Keccak root above word number `index` of `size`; an odd end goes up as it is.
    """
    running: bytes32 = word
    at: uint256 = index
    width: uint256 = size
    used: uint256 = 0
    for level: uint256 in range(7):
        if width == 1:
            break
        if at & 1 == 1:
            running = keccak256(concat(path[used], running))
            used += 1
        elif at + 1 < width:
            running = keccak256(concat(running, path[used]))
            used += 1
        at //= 2
        width = (width + 1) // 2
    assert used == len(path), "path"
    return running
