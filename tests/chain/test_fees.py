"""What is not mined in time: its fee is raised, never its nonce, and never beyond what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry.chain.errors import FundsShort, TransactionStuck
from skerry.chain.outbox import Fees, Outbox
from skerry.chain.rpc import Rpc, hexed
from tests.chain.local import TO, HandClock, balance, chain_key, mine, outbox, until_mined


def raise_on(box: Outbox, clock: HandClock) -> None:
    """Look after an outbox so often that it raises a fee nine times, if it may."""
    for _ in range(9):
        clock.seconds += 31
        box.look_after()


def test_a_fee_is_raised_under_the_same_nonce_until_it_may_not_be(rpc: Rpc, tmp_path: Path) -> None:
    rpc.ask("evm_setAutomine", False)
    clock = HandClock()
    box = outbox(rpc, 1, tmp_path, clock=clock, fees=Fees(tip=10**9, fee_max=4 * 10**9))
    sent = box.send("pay", TO, b"", value=5)
    clock.seconds = 31
    box.look_after()
    raised = box.find("pay")
    assert raised is not None
    assert (raised.nonce, raised.name == sent.name) == (sent.nonce, False)
    clock.seconds = 3_100
    with pytest.raises(TransactionStuck):
        raise_on(box, clock)
    mine(rpc)
    assert until_mined(box, "pay")[0].state == "final"
    assert balance(rpc) == 5


def test_a_base_fee_that_rose_beyond_what_was_sent_is_outbid(rpc: Rpc, tmp_path: Path) -> None:
    rpc.ask("evm_setAutomine", False)
    clock, base = HandClock(), 40 * 10**9
    box = outbox(rpc, 1, tmp_path, clock=clock)
    first = box.send("pay", TO, b"", value=5)
    assert first.fee < base
    rpc.ask("anvil_setNextBlockBaseFeePerGas", hexed(base))
    mine(rpc)
    box.look_after()
    waiting = box.find("pay")
    assert waiting is not None
    assert (waiting.state, waiting.fee) == ("sent", first.fee)
    clock.seconds = 31
    box.look_after()
    rpc.ask("anvil_setNextBlockBaseFeePerGas", hexed(base))
    mine(rpc)
    mined = until_mined(box, "pay")[0]
    assert (mined.nonce, mined.fee > base) == (first.nonce, True)
    assert balance(rpc) == 5


def test_a_fee_that_cannot_be_paid_is_not_promised(rpc: Rpc, tmp_path: Path) -> None:
    rpc.ask("evm_setAutomine", False)
    clock = HandClock()
    box = outbox(rpc, 1, tmp_path, clock=clock)
    sent = box.send("pay", TO, b"", value=5, gas=21_000)
    enough = hexed(5 + 21_000 * sent.fee)
    rpc.ask("anvil_setBalance", hexed(chain_key(1).address), enough)
    clock.seconds = 31
    with pytest.raises(FundsShort):
        box.look_after()
    assert box.find("pay") == sent
    clock.seconds = 0
    mine(rpc)
    assert until_mined(box, "pay")[0].name == sent.name
