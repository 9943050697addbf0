# pragma version 0.4.3
"""
@title  Rows of a Merkle tree: the roots a few levels below a root
@notice A row leaves out what holds nothing but padding; see "Row" in docs/reference/commitments.md.
"""

ROW: constant(uint256) = 64
LEAF_BYTES: constant(uint256) = 4096
PIECE: constant(uint256) = 256
PIECES: constant(uint256) = 16


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
    row: bytes32[ROW] = empty(bytes32[ROW])
    size: uint256 = 0
    for root: bytes32 in roots:
        row[size] = root
        size = unsafe_add(size, 1)
    pad: bytes32 = empty(bytes32)
    padded: bool = False
    for level: uint256 in range(levels, bound=64):
        pairs: uint256 = size >> 1
        last: bytes32 = empty(bytes32)
        if size & 1 == 1:
            if not padded:
                pad = self.padding(height + level)
                padded = True
            last = sha256(concat(0x01, row[pairs << 1], pad))
        for at: uint256 in range(pairs, bound=32):
            left: uint256 = at << 1
            row[at] = sha256(concat(0x01, row[left], row[left | 1]))
        if size & 1 == 1:
            row[pairs] = last
            pairs = unsafe_add(pairs, 1)
        size = pairs
        if padded:
            pad = sha256(concat(0x01, pad, pad))
    return row[0]


@internal
@pure
def pieces_root(data: Bytes[LEAF_BYTES]) -> bytes32:
    """
    @notice The Keccak root over the pieces of a leaf, so that one piece can be shown alone.
    """
    size: uint256 = (len(data) + PIECE - 1) // PIECE
    row: bytes32[PIECES] = empty(bytes32[PIECES])
    for at: uint256 in range(size, bound=PIECES):
        begin: uint256 = at * PIECE
        row[at] = keccak256(slice(data, begin, min(PIECE, len(data) - begin)))
    for level: uint256 in range(4):
        if size == 1:
            break
        pairs: uint256 = size >> 1
        for at: uint256 in range(pairs, bound=8):
            row[at] = keccak256(concat(row[at << 1], row[at << 1 | 1]))
        if size & 1 == 1:
            row[pairs] = row[size - 1]
        size = (size + 1) >> 1
    return row[0]


@internal
@pure
def pieces_climb(
    piece: Bytes[PIECE], index: uint256, size: uint256, path: DynArray[bytes32, 4]
) -> bytes32:
    """
    @notice The Keccak root above piece number `index` of `size`; an odd end goes up as it is.
    """
    running: bytes32 = keccak256(piece)
    at: uint256 = index
    width: uint256 = size
    used: uint256 = 0
    for level: uint256 in range(4):
        if width == 1:
            break
        if at & 1 == 1:
            running = keccak256(concat(path[used], running))
            used += 1
        elif at + 1 < width:
            running = keccak256(concat(running, path[used]))
            used += 1
        at >>= 1
        width = (width + 1) >> 1
    assert used == len(path), "path"
    return running
