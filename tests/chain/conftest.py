"""A node for a module of tests, in the same state before each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from skerry.chain.anvil import Anvil
from skerry.chain.deploy import Manifest
from skerry.chain.localnet import found_court
from skerry.chain.rpc import Rpc
from skerry.node.clocks import RealClock


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


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rpc, Manifest]]:
    """A link to a node of the module's own on which all contracts stand, and where they do."""
    folder = tmp_path_factory.mktemp("chain")
    with Anvil(repeatable=True) as chain:
        link = Rpc(chain.url)
        made = found_court(folder, link, RealClock())
        assert found_court(folder, link, RealClock()) == made, "it is deployed once"
        yield link, made
        link.close()


@pytest.fixture
def manifest(founded: tuple[Rpc, Manifest]) -> Manifest:
    """Where the contracts stand."""
    return founded[1]
