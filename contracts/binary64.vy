# pragma version 0.4.3
"""
@title  The binary64 of softfloat.vy, from outside; tests deploy it and nothing else does
"""

from . import softfloat


@external
@pure
def pairs(op: uint256, operands: Bytes[16384]) -> DynArray[uint256, 1024]:
    """
    @notice What an operation gives for each 16 bytes of operands: 0 add, 1 sub, 2 mul, 3 div,
            4 less, 5 sqrt of the first, 6 narrow of the first, 7 widen, 8 from an integer.
    """
    found: DynArray[uint256, 1024] = []
    for i: uint256 in range(len(operands) // 16, bound=1024):
        a: uint256 = convert(slice(operands, 16 * i, 8), uint256)
        b: uint256 = convert(slice(operands, 16 * i + 8, 8), uint256)
        if op == 0:
            found.append(softfloat.add(a, b))
        elif op == 1:
            found.append(softfloat.sub(a, b))
        elif op == 2:
            found.append(softfloat.mul(a, b))
        elif op == 3:
            found.append(softfloat.div(a, b))
        elif op == 4:
            found.append(convert(softfloat.less(a, b), uint256))
        elif op == 5:
            found.append(softfloat.sqrt(a))
        elif op == 6:
            found.append(softfloat.narrow(a))
        elif op == 7:
            found.append(softfloat.widen(b & (2**32 - 1)))
        else:
            n: int256 = convert(a, int256) - (2**64 if a >= 2**63 else 0)
            found.append(softfloat.from_integer(n))
    return found
