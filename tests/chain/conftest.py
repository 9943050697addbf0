"""A node for a module of tests, in the same state before each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from skerry.chain.anvil import Anvil
from skerry.chain.rpc import Rpc


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with Anvil(repeatable=True) as anvil:
        yield anvil


@pytest.fixture
def rpc(node: Anvil) -> Iterator[Rpc]:
    """A link to the node, in the state in which the module began."""
    link = Rpc(node.url)
    link.ask("evm_setAutomine", True)
    before = link.ask("evm_snapshot")
    yield link
    link.ask("evm_revert", before)
    link.ask("evm_setAutomine", True)
    head = link.block()
    assert head is not None
    link.ask("anvil_setNextBlockBaseFeePerGas", head["baseFeePerGas"])  # no revert restores it
    link.close()
