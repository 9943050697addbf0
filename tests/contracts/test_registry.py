"""The registry lists whoever has money in the vault, and shows what each still has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from skerry.chain.moves import Call
from skerry.chain.registry import PAGE
from tests.contracts.evm import Chain, address
from tests.settle.stories import LIMITS, START

ME, POOR = address(1), address(2)


@pytest.fixture(scope="module")
def deployed() -> Chain:
    return Chain(LIMITS)


@pytest.fixture
def chain(deployed: Chain) -> Iterator[Chain]:
    before = deployed.evm.snapshot()
    deployed.now = START
    yield deployed
    deployed.evm.revert(before)


def pay_in(chain: Chain, who: bytes, amount: int) -> None:
    chain.fund(who, amount)
    assert isinstance(chain.send(who, Call("vault", "deposit", (amount,))), bytes)


def announce(chain: Chain, who: bytes, where: bytes) -> bytes | str:
    return chain.send(who, Call("registry", "announce", (where,)))


def rows(chain: Chain, first: int = 0) -> list[tuple[bytes, int, bytes]]:
    (found,) = chain.look("registry", "page", first)
    return [(bytes.fromhex(who[2:]), held, where) for who, held, where in found]


def test_who_has_money_is_listed_once_and_at_its_last_address(chain: Chain) -> None:
    pay_in(chain, ME, 70)
    for where in (b"a@1", b"b@2"):
        assert isinstance(announce(chain, ME, where), bytes)
    assert rows(chain) == [(ME, 70, b"b@2")]
    assert chain.look("registry", "endpoints", ME) == (b"b@2",)
    assert chain.look("registry", "market") == ("0x" + chain.at["market"].hex(),)


def test_who_has_none_is_not_listed(chain: Chain) -> None:
    assert announce(chain, POOR, b"a@1") == "funds"
    assert rows(chain) == []


def test_whose_money_is_gone_is_shown_with_none(chain: Chain) -> None:
    pay_in(chain, ME, 70)
    announce(chain, ME, b"a@1")
    chain.send(ME, Call("vault", "request_withdraw", (70,)))
    assert rows(chain) == [(ME, 0, b"a@1")]


def test_a_long_list_comes_in_pages(chain: Chain) -> None:
    for at in range(PAGE + 3):
        pay_in(chain, address(100 + at), 1 + at)
        announce(chain, address(100 + at), b"%d" % at)
    assert chain.look("registry", "count") == (PAGE + 3,)
    assert [where for *_, where in rows(chain)] == [b"%d" % at for at in range(PAGE)]
    assert [held for _, held, _ in rows(chain, PAGE)] == [33, 34, 35]
    assert rows(chain, PAGE + 3) == []
