# pragma version 0.4.3
"""
@title  A judge for tests of the court: it says what it is told to say
"""

says: public(uint256)


@external
def tell(bits: uint256):
    self.says = bits


@external
@view
def __default__() -> uint256:
    return self.says
