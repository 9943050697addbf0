"""What is wrong between a node, its money and its chain is said in words, with the next command."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from skerry.chain.deploy import Manifest, Placed
from skerry.chain.errors import (
    ChainFileDamaged,
    ChainUnreachable,
    ClockSkew,
    FundsShort,
    ManifestUnreadable,
    OutboxBusy,
    RegistryDiffers,
)
from skerry.node.keys import KeyUnsafe
from skerry.node.market.awarding import OffersShort, award
from skerry.node.market.desk import obey, open_desk, read_config
from skerry.node.market.inspection import check_registry, look_at_files
from skerry.node.market.orders import Order
from skerry.node.market.statements import NoMarket, earnings_of
from tests.node.market.ground import ASKING, TOKENS, InProcess, Market, small_run


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    run = small_run(tmp_path_factory.mktemp("run"))
    made = Market(tmp_path_factory.mktemp("market"), run)
    made.open()
    yield made
    made.close()


def desk_of(market: Market, name: str) -> InProcess:
    found = market.parties[name]
    assert isinstance(found, InProcess)
    return found


@pytest.mark.slow
def test_each_refusal_says_what_to_do_next(market: Market, tmp_path: Path) -> None:
    client, solver = desk_of(market, "client"), desk_of(market, "solver-0")
    config = read_config(market.run)
    with pytest.raises(FundsShort, match="of the vault's token") as short:
        obey(solver.desk, Order("fund", amount=2 * TOKENS))
    assert "send 1000000000 more" in short.value.next_step
    with pytest.raises(OffersShort, match="lanes have no solver") as offers:
        award(client.desk.actor, config, replace(ASKING, price_max=99))
    assert "higher price" in offers.value.next_step
    dear = replace(ASKING, price_record=TOKENS)
    with pytest.raises(OffersShort, match="less than the stake"):
        award(client.desk.actor, config, dear)
    paid = replace(ASKING, price_record=TOKENS // 20, price_audit=TOKENS)
    with pytest.raises(FundsShort, match="free money in the vault"):
        award(client.desk.actor, config, paid)
    with pytest.raises(OutboxBusy):
        open_desk(solver.folder, market.place)
    with pytest.raises(ClockSkew):
        open_desk(tmp_path / "late", msgspec.structs.replace(market.place, clock=True))
    with pytest.raises(ManifestUnreadable):
        open_desk(tmp_path / "lost", msgspec.structs.replace(market.place, manifest="nowhere"))
    with pytest.raises(ChainUnreachable):
        earnings_of(solver.folder.parent, "http://127.0.0.1:1")
    with pytest.raises(NoMarket):
        earnings_of(tmp_path)
    (solver.folder / "market.key").chmod(0o644)
    with pytest.raises(KeyUnsafe, match="mode 644"):
        earnings_of(solver.folder.parent)
    (solver.folder / "market.key").chmod(0o600)
    gains = market.gains()
    assert set(gains.values()) == {0}, "a refusal costs nobody anything"


def test_damaged_books_are_named_by_who_only_looks(tmp_path: Path) -> None:
    assert look_at_files(tmp_path) == "0 databases, sound"
    with sqlite3.connect(tmp_path / "market.outbox") as base:
        base.execute("CREATE TABLE one (two)")
    base.close()
    assert look_at_files(tmp_path) == "1 databases, sound"
    (tmp_path / "court.events").write_bytes(b"no database" * 99)
    with pytest.raises(ChainFileDamaged, match=r"court\.events is damaged") as damaged:
        look_at_files(tmp_path)
    assert f"mv {tmp_path / 'court.events'} " in damaged.value.next_step


def test_contracts_of_another_market_than_the_invite_s_are_refused(tmp_path: Path) -> None:
    placed = {"registry": Placed(b"\x01" * 20, b"", "")}
    Manifest(31337, 1, placed).write(tmp_path / "manifest.json")
    told = (tmp_path / "manifest.json").read_bytes()
    check_registry(told, None)
    check_registry(told, b"\x01" * 20)
    with pytest.raises(RegistryDiffers, match="0x0202"):
        check_registry(told, b"\x02" * 20)
    with pytest.raises(RegistryDiffers):
        check_registry(b"no manifest", b"\x02" * 20)


@pytest.mark.slow
def test_a_damaged_file_is_named_and_money_is_unharmed(market: Market) -> None:
    party = desk_of(market, "solver-1")
    party.close()
    for name, advice in (("market.outbox", "restore a copy"), ("market.events", "move it away")):
        path = party.folder / name
        whole = path.read_bytes()
        for extra in party.folder.glob(f"{name}-*"):
            extra.unlink()
        path.write_bytes(b"this is no database at all, and long enough to look like one" * 9)
        with pytest.raises(ChainFileDamaged) as caught:
            open_desk(party.folder, market.place)
        assert advice in caught.value.next_step
        path.write_bytes(whole)
    party.desk = open_desk(party.folder, market.place)
    assert party.ask(Order("tick")).error == ""
