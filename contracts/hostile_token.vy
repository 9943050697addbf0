# pragma version 0.4.3
"""
@title  A token that does its worst, for tests only
@notice `mood` chooses: 0 an honest one; 1 returns false and moves nothing; 2 returns false after
        moving; 3 keeps a tenth of each transfer; 4 calls back what it was told to before it moves;
        5 calls back after; 6 reverts.
"""

totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])
mood: public(uint256)
target: address
order: Bytes[8192]
succeeded: public(uint256)
tried: public(uint256)


@external
def be(mood: uint256, target: address, order: Bytes[8192]):
    """
    @notice Take a mood, and what to call back.
    """
    self.mood = mood
    self.target = target
    self.order = order


@external
def mint(receiver: address, amount: uint256):
    """
    @notice Make tokens.
    """
    self.totalSupply += amount
    self.balanceOf[receiver] += amount


@external
def approve(spender: address, amount: uint256) -> bool:
    """
    @notice Approve of everything.
    """
    return True


@external
def transfer(receiver: address, amount: uint256) -> bool:
    """
    @notice Move the caller's tokens, more or less.
    """
    return self._move(msg.sender, receiver, amount)


@external
def transferFrom(sender: address, receiver: address, amount: uint256) -> bool:
    """
    @notice Move anyone's tokens, more or less.
    """
    return self._move(sender, receiver, amount)


@external
def deposit_of_mine(vault: address, amount: uint256):
    """
    @notice Be a depositor: whatever is called back then is the depositor's own call.
    """
    raw_call(vault, concat(method_id("deposit(uint256)"), convert(amount, bytes32)))


@external
def withdrawal_of_mine(vault: address, amount: uint256):
    """
    @notice Ask for money back, as a depositor.
    """
    raw_call(vault, concat(method_id("request_withdraw(uint256)"), convert(amount, bytes32)))


@external
def exit_of_mine(vault: address):
    """
    @notice Take money out, as a depositor.
    """
    raw_call(vault, method_id("withdraw()"))


@internal
def _call_back():
    self.tried += 1
    done: bool = raw_call(self.target, self.order, revert_on_failure=False)
    if done:
        self.succeeded += 1


@internal
def _move(sender: address, receiver: address, amount: uint256) -> bool:
    mood: uint256 = self.mood
    assert mood != 6, "no"
    if mood == 1:
        return False
    if mood == 4:
        self._call_back()
    self.balanceOf[sender] -= amount
    arrived: uint256 = amount
    if mood == 3:
        arrived = amount - amount // 10
    self.balanceOf[receiver] += arrived
    if mood == 5:
        self._call_back()
    return mood != 2
