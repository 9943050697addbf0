"""Contracts and money of a local network, and contracts that only look like ours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from skerry.chain.abi import contract
from skerry.chain.anvil import Anvil
from skerry.chain.deploy import Manifest
from skerry.chain.errors import FundsShort
from skerry.chain.keyfiles import ChainKey
from skerry.chain.localnet import COINS, FaucetAbsent, beating, found_court, give
from skerry.chain.origin import ContractForeign, check_origin
from skerry.chain.rpc import Rpc, hexed
from skerry.node.clocks import RealClock

WHO = ChainKey(b"\x05" * 32).address


@pytest.fixture
def rpc(founded: tuple[Rpc, Manifest]) -> Rpc:
    return founded[0]


def test_our_own_contracts_pass(rpc: Rpc, manifest: Manifest) -> None:
    check_origin(rpc, manifest)


@pytest.mark.parametrize("name", ["token", "vault", "market", "court", "adjudicator"])
def test_other_code_under_a_name_of_ours_is_refused(
    rpc: Rpc, manifest: Manifest, name: str
) -> None:
    other = "verdicts" if name != "verdicts" else "folds"
    placed = {**manifest.contracts, name: manifest.contracts[other]}
    with pytest.raises(ContractForeign) as refused:
        check_origin(rpc, replace(manifest, contracts=placed))
    assert refused.value.name in (name, "vault", "market", "court")
    missing = {key: it for key, it in manifest.contracts.items() if key != name}
    with pytest.raises(ContractForeign):
        check_origin(rpc, replace(manifest, contracts=missing))


def test_a_vault_of_ours_that_trusts_another_market_is_refused(
    rpc: Rpc, manifest: Manifest, tmp_path: Path
) -> None:
    second = found_court(tmp_path, rpc, RealClock())
    placed = {**manifest.contracts, "vault": second.contracts["vault"]}
    with pytest.raises(ContractForeign, match="it trusts another"):
        check_origin(rpc, replace(manifest, contracts=placed))


def test_a_local_chain_gives_coins_and_tokens(rpc: Rpc, manifest: Manifest) -> None:
    give(rpc, manifest, WHO, 500)
    give(rpc, manifest, WHO, 500)
    token, at = contract("token"), manifest.at("token")
    assert token.result("balanceOf", rpc.call(at, token.call("balanceOf", WHO))) == (500,)
    assert rpc.number("eth_getBalance", hexed(WHO), "latest") == COINS


def test_no_other_chain_gives_anything_away(manifest: Manifest) -> None:
    with Anvil(flags=("--chain-id", "17")) as chain:
        other = Rpc(chain.url)
        with pytest.raises(FaucetAbsent) as refused:
            give(other, manifest, WHO, 500)
        assert "send coins" in refused.value.next_step
        assert not isinstance(refused.value, FundsShort)
        other.close()


def test_a_local_chain_has_blocks_without_transactions() -> None:
    with Anvil() as chain, beating(chain.url, seconds=0.05):
        link = Rpc(chain.url)
        before = link.number("eth_blockNumber")
        while link.number("eth_blockNumber") < before + 2:
            pass
        link.close()
