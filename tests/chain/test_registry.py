"""Nodes are found by the chain, the richest first, whatever else stands on the list."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.base.chance import Chance
from skerry.chain.deploy import Manifest
from skerry.chain.errors import ContractDiffers
from skerry.chain.keyfiles import ChainKey
from skerry.chain.localnet import give
from skerry.chain.moves import Call
from skerry.chain.outbox import Outbox
from skerry.chain.registry import (
    LISTED_MAX,
    PAGE,
    PAGES_MAX,
    Entry,
    listed,
    pages_of,
    richest,
)
from skerry.chain.rpc import Rpc
from skerry.node.clocks import RealClock
from skerry.node.market.wallet import Wallet

CHANCE = Chance.from_int(1)


@given(st.integers(0, 5_000), st.integers(0, 1 << 40))
def test_pages_cover_a_short_list_and_a_part_of_a_long_one(count: int, seed: int) -> None:
    starts = pages_of(count, Chance.from_int(seed))
    assert starts == sorted(set(starts))
    assert all(at % PAGE == 0 and at < count for at in starts)
    assert len(starts) <= PAGES_MAX
    if count <= PAGE * PAGES_MAX:
        assert sum(min(PAGE, count - at) for at in starts) == count


@given(st.lists(st.tuples(st.binary(min_size=20, max_size=20), st.integers(0, 9))))
def test_the_richest_come_first_and_who_holds_nothing_not_at_all(
    held: list[tuple[bytes, int]],
) -> None:
    entries = [Entry(who, amount, who.hex()) for who, amount in held]
    found = richest(entries)
    assert len(found) == min(LISTED_MAX, len({it.endpoint for it in entries if it.held}))
    best = {it.endpoint: max(e.held for e in entries if e.who == it.who) for it in entries}
    amounts = [best[it] for it in found]
    assert amounts == sorted(amounts, reverse=True)
    assert 0 not in amounts


@pytest.fixture
def rpc(founded: tuple[Rpc, Manifest]) -> Rpc:
    return founded[0]


def node(rpc: Rpc, manifest: Manifest, folder: Path, number: int, deposit: int) -> Wallet:
    """Return the wallet of a node that has paid in."""
    key = ChainKey(bytes([number]) * 32)
    give(rpc, manifest, key.address, deposit)
    outbox = Outbox(folder / f"{number}.outbox", rpc, key, RealClock(), chain=manifest.chain)
    wallet = Wallet(rpc, key, outbox, manifest)
    wallet.deposit(deposit, 0)
    return wallet


def test_nodes_are_listed_by_their_own_word(rpc: Rpc, manifest: Manifest, tmp_path: Path) -> None:
    registry = manifest.at("registry")
    assert listed(rpc.url, registry, CHANCE) == []
    poor, rich, junk = (
        node(rpc, manifest, tmp_path, number, amount)
        for number, amount in ((11, 5), (12, 500), (13, 50))
    )
    poor.list_at("poor@127.0.0.1:1")
    rich.list_at("rich@127.0.0.1:2")
    for said in (b"\xff\xfe", b"two\nlines", b""):
        junk.send(Call("registry", "announce", (said,)))
        assert listed(rpc.url, registry, CHANCE) == ["rich@127.0.0.1:2", "poor@127.0.0.1:1"]
    before = len(rich.sent)
    rich.list_at("rich@127.0.0.1:2")
    assert len(rich.sent) == before, "what is said already costs nothing"
    rich.list_at("rich@127.0.0.1:3")
    rich.list_at("rich@127.0.0.1:2")
    rich.list_at("rich@127.0.0.1:3")
    assert listed(rpc.url, registry, CHANCE)[0] == "rich@127.0.0.1:3"
    for it in (poor, rich, junk):
        it.outbox.close()


def test_an_address_without_a_registry_is_named(rpc: Rpc, manifest: Manifest) -> None:
    for other in (bytes(19) + b"\x77", manifest.at("vault")):
        with pytest.raises(ContractDiffers, match="registry"):
            listed(rpc.url, other, CHANCE)
