# pragma version 0.4.3
"""
@title  A token that returns nothing from its transfers, as some old ones do, for tests only
"""

balanceOf: public(HashMap[address, uint256])


@external
def mint(receiver: address, amount: uint256):
    """
    @notice Make tokens.
    """
    self.balanceOf[receiver] += amount


@external
def approve(spender: address, amount: uint256) -> bool:
    """
    @notice Approve of everything.
    """
    return True


@external
def transfer(receiver: address, amount: uint256):
    """
    @notice Move the caller's tokens.
    """
    self.balanceOf[msg.sender] -= amount
    self.balanceOf[receiver] += amount


@external
def transferFrom(sender: address, receiver: address, amount: uint256):
    """
    @notice Move anyone's tokens.
    """
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += amount
