"""No token, however it behaves, makes the vault owe more than it holds or lose others' money."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple

import pytest

from skerry.chain.moves import Call
from tests.contracts.evm import Chain, address
from tests.settle.stories import LIMITS, START, Story

FAIR, FALSE, FALSE_AFTER, FEE, BEFORE, AFTER, REVERTS = range(7)
ME, OTHER = address(1), address(2)


@pytest.fixture(scope="module")
def deployed() -> Chain:
    return Chain(LIMITS, token="hostile_token")


@pytest.fixture
def chain(deployed: Chain) -> Iterator[Chain]:
    """A vault in which somebody else has 1000."""
    before = deployed.evm.snapshot()
    deployed.now = START
    mood(deployed, FAIR)
    for who in (ME, OTHER):
        deployed.fund(who, 10_000)
    own = Call("token", "mint", (deployed.at["token"], 10_000))
    assert isinstance(deployed.send(ME, own), bytes)
    assert isinstance(deployed.send(OTHER, deposit(1_000)), bytes)
    yield deployed
    deployed.evm.revert(before)


def mood(chain: Chain, kind: int, target: bytes = ME, order: bytes = b"") -> None:
    assert isinstance(chain.send(ME, Call("token", "be", (kind, target, order))), bytes)


def deposit(amount: int) -> Call:
    return Call("vault", "deposit", (amount,))


def held(chain: Chain, who: bytes) -> int:
    free, locked, _ = chain.look("vault", "account", who)
    aside, _ = chain.look("vault", "exiting", who)
    return int(free + locked + aside)


def solvent(chain: Chain) -> bool:
    """Return whether the vault can pay everyone."""
    everyone = [ME, OTHER, chain.at["token"]]
    (there,) = chain.look("token", "balanceOf", chain.at["vault"])
    return sum(held(chain, who) for who in everyone) <= int(there)


@pytest.mark.parametrize(
    ("kind", "refusal"), [(FALSE, "token"), (FALSE_AFTER, "token"), (REVERTS, "no")]
)
def test_a_transfer_that_fails_is_no_deposit(chain: Chain, kind: int, refusal: str) -> None:
    mood(chain, kind)
    assert chain.send(ME, deposit(500)) == refusal
    assert held(chain, ME) == 0
    assert solvent(chain)


def test_what_arrives_is_what_counts(chain: Chain) -> None:
    mood(chain, FEE)
    assert isinstance(chain.send(ME, deposit(500)), bytes)
    assert held(chain, ME) == 450
    assert solvent(chain)


def test_a_withdrawal_that_fails_leaves_the_claim(chain: Chain) -> None:
    chain.send(OTHER, Call("vault", "request_withdraw", (1_000,)))
    chain.now += 1_001
    for kind, refusal in ((FALSE, "token"), (FALSE_AFTER, "token"), (REVERTS, "no")):
        mood(chain, kind)
        assert chain.send(OTHER, Call("vault", "withdraw", ())) == refusal
        assert held(chain, OTHER) == 1_000
    mood(chain, FAIR)
    assert isinstance(chain.send(OTHER, Call("vault", "withdraw", ())), bytes)
    assert held(chain, OTHER) == 0
    assert solvent(chain)


@pytest.mark.parametrize("kind", [BEFORE, AFTER])
@pytest.mark.parametrize(
    "name", ["deposit", "request_withdraw", "withdraw", "burn", "recall_offers"]
)
def test_a_token_that_calls_back_gets_nothing_done(chain: Chain, kind: int, name: str) -> None:
    """The token itself is the depositor, so that what it calls back is the depositor's call."""
    vault, token = chain.at["vault"], chain.at["token"]
    arguments = (5,) if name in ("deposit", "request_withdraw") else ()
    order = chain.kinds["vault"].call(name, *arguments)
    mood(chain, kind, vault, order)
    mine = Call("token", "deposit_of_mine", (vault, 500))
    assert isinstance(chain.send(ME, mine), bytes)
    assert chain.look("token", "succeeded") == (0,)
    assert chain.look("token", "tried") == (1,)
    assert held(chain, token) == 500
    mood(chain, FAIR)
    chain.send(ME, Call("token", "withdrawal_of_mine", (vault, 500)))
    chain.now += 1_001
    mood(chain, kind, vault, order)
    assert isinstance(chain.send(ME, Call("token", "exit_of_mine", (vault,))), bytes)
    assert chain.look("token", "succeeded") == (0,)
    assert chain.look("token", "balanceOf", vault) == (1_000,)
    assert (held(chain, token), held(chain, OTHER)) == (0, 1_000)
    assert solvent(chain)


def test_a_token_that_calls_the_market_cannot_move_money_through_it(chain: Chain) -> None:
    story = Story(address)
    terms = story.terms
    market = chain.at["market"]
    words = chain.kinds["market"].call("lock_draw", astuple(story.terms), 0)
    mood(chain, AFTER, market, words)
    assert isinstance(chain.send(ME, deposit(500)), bytes)
    assert chain.look("token", "succeeded") == (0,)
    assert chain.look("market", "job_word", terms.job) == (0, 0)
    assert held(chain, ME) == 500


def test_a_token_that_returns_nothing_will_do() -> None:
    chain = Chain(LIMITS, token="silent_token")
    chain.fund(ME, 1_000)
    assert isinstance(chain.send(ME, deposit(600)), bytes)
    chain.send(ME, Call("vault", "request_withdraw", (600,)))
    chain.now += 1_001
    assert isinstance(chain.send(ME, Call("vault", "withdraw", ())), bytes)
    assert chain.look("token", "balanceOf", ME) == (1_000,)


@pytest.mark.parametrize("name", ["lock", "take_leases", "settle", "slash"])
def test_nobody_but_market_and_court_moves_locked_money(chain: Chain, name: str) -> None:
    arguments: dict[str, tuple[object, ...]] = {
        "lock": (OTHER, 1),
        "take_leases": (((OTHER, 1, 0),),),
        "settle": (((OTHER, 0, 0),),),
        "slash": (OTHER, 0, ME, ME),
    }
    assert chain.send(ME, Call("vault", name, arguments[name])) == "sender"
