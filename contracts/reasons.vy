# pragma version 0.4.3
"""
@title  Why a move is refused: one number for each word of `skerry.settle.books.Reason`
@notice A refusal reverts with the error Refused(uint256). A number costs a fifth of the code that a
        text does, and the market would not fit into one contract with texts.
"""

AMOUNT: constant(uint256) = 1
BEFORE: constant(uint256) = 2
CAPABILITY: constant(uint256) = 3
CLOSED: constant(uint256) = 4
CONVICTED: constant(uint256) = 5
EARLY: constant(uint256) = 6
EPOCH: constant(uint256) = 7
EXPIRED: constant(uint256) = 8
FALLEN: constant(uint256) = 9
FOLD: constant(uint256) = 10
FUNDS: constant(uint256) = 11
GAMES: constant(uint256) = 12
LANES: constant(uint256) = 13
LATE: constant(uint256) = 14
LEASES: constant(uint256) = 15
LIE: constant(uint256) = 16
NONCE: constant(uint256) = 17
OPEN: constant(uint256) = 18
PATH: constant(uint256) = 19
PRICE: constant(uint256) = 20
ROUNDS: constant(uint256) = 21
SAME: constant(uint256) = 22
SEAT: constant(uint256) = 23
SECONDS: constant(uint256) = 24
SECRET: constant(uint256) = 25
SENDER: constant(uint256) = 26
SIGNATURE: constant(uint256) = 27
STAKE: constant(uint256) = 28
TALLY: constant(uint256) = 29
TERMS: constant(uint256) = 30
TWICE: constant(uint256) = 31
UNDRAWN: constant(uint256) = 32
UNKNOWN: constant(uint256) = 33
VERDICT: constant(uint256) = 34


@internal
@pure
def need(holds: bool, reason: uint256):
    """
    @notice Revert with Refused(reason) unless `holds`.
    """
    if not holds:
        raw_revert(concat(0x590a5151, convert(reason, bytes32)))
