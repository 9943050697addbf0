"""Standing offers become leases, or the reason why not; and stakes that make lying a loss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.market import Match, NoMatch, Offer, Role, Wish, match, solver_stake
from skerry.market.offers import SignedRecord, claim_message, offer_message, record_message
from skerry.market.stakes import fits_deterrence
from skerry.market.terms import LEASES_MAX

NOW = 1_000
WISH = Wish(lanes=6, lanes_each_max=3, capability=2, price_max=10, stake=100, ends=2_000)


def offer(number: int = 1, **changes: Any) -> Offer:
    node = number.to_bytes(20, "big")
    made = Offer(
        node, Role.SOLVER, 2, lanes=4, price=5, stake=100, expires=NOW, seconds=1_000, nonce=0
    )
    return replace(made, **changes)


def offers() -> st.SearchStrategy[Offer]:
    numbers = st.integers(0, 9)
    small = st.integers(0, 12)
    return st.builds(
        lambda n, lanes, price, capability, stake: offer(
            n, lanes=lanes, price=price, capability=capability, stake=stake
        ),
        numbers,
        small,
        small,
        st.integers(1, 3),
        st.sampled_from([99, 100, 500]),
    )


@given(st.lists(offers(), max_size=12))
def test_every_lane_has_one_solver_and_no_offer_is_bent(given_offers: list[Offer]) -> None:
    found = match(WISH, given_offers, NOW)
    passed = [it for it, _ in found.passed]
    if isinstance(found, NoMatch):
        best: dict[bytes, int] = {}
        for it in given_offers:
            if it not in passed or any(
                why == "was not needed" for that, why in found.passed if that is it
            ):
                best[it.node] = max(best.get(it.node, 0), min(it.lanes, 3))
        assert sum(best.values()) < WISH.lanes
        return
    assert sum(lease.lanes for lease in found.leases) == WISH.lanes
    assert len({lease.node for lease in found.leases}) == len(found.leases)
    for lease, taken in zip(found.leases, found.offers, strict=True):
        assert lease.node == taken.node
        assert lease.price == taken.price <= WISH.price_max
        assert 1 <= lease.lanes <= min(taken.lanes, WISH.lanes_each_max)
        assert WISH.stake == lease.stake <= taken.stake
    assert len(found.offers) + len(passed) == len(given_offers)
    unneeded = [it.price for it, why in found.passed if why == "was not needed"]
    assert all(lease.price <= min(unneeded, default=99) for lease in found.leases)


@given(st.lists(offers(), max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_offers_does_not_matter(given_offers: list[Offer], shuffle: Any) -> None:
    unique = list({it.node: it for it in given_offers}.values())
    other = list(unique)
    shuffle.shuffle(other)
    one, two = match(WISH, unique, NOW), match(WISH, other, NOW)
    assert type(one) is type(two)
    if isinstance(one, Match) and isinstance(two, Match):
        assert one.leases == two.leases


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"role": Role.AUDITOR}, "another role"),
        ({"lanes": 0}, "no lane"),
        ({"capability": 1}, "class 1"),
        ({"price": 11}, "asks 11"),
        ({"stake": 99}, "at most 99"),
        ({"expires": NOW - 1}, "expired"),
        ({"seconds": 999}, "999 s only"),
    ],
)
def test_who_is_passed_over_is_told_why(changes: dict[str, Any], why: str) -> None:
    found = match(WISH, [offer(1, **changes), offer(2)], NOW)
    assert isinstance(found, NoMatch)
    assert found.reason == "3 of 6 lanes have no solver"
    assert why in found.passed[0][1]


def test_one_node_has_one_lease_and_a_job_not_more_than_the_chain_takes() -> None:
    found = match(WISH, [offer(1), offer(1, price=6), offer(2)], NOW)
    assert isinstance(found, Match)
    assert [why for _, why in found.passed] == ["is the node's second offer"]
    wide = replace(WISH, lanes=LEASES_MAX + 1, lanes_each_max=1)
    many = [offer(it) for it in range(1, LEASES_MAX + 2)]
    assert isinstance(match(wide, many, NOW), NoMatch)


def test_a_stake_covers_all_that_one_lie_can_spoil() -> None:
    assert solver_stake(lanes=4, price=5, record=3, rounds_open=8, replay=11) == 8 * 23 + 11
    # Caught once in ten, a lie that saves 9 needs a stake of 9r where the pay is r = 9.
    assert fits_deterrence(stake=81, saved=9, pay=9, caught=1, of=10)
    assert not fits_deterrence(stake=80, saved=9, pay=9, caught=1, of=10)


def test_typed_data_name_their_market_and_chain() -> None:
    market = b"\x07" * 20
    record = record_message(SignedRecord(b"j" * 32, 1, 2, b"r" * 32), chain=5, market=market)
    claim = claim_message(b"j" * 32, 2, 3, b"r" * 32, chain=5, market=market)
    said = offer_message(offer(), chain=5, market=market)
    for message, kind in ((said, "Offer"), (record, "Round"), (claim, "Claim")):
        assert message["primaryType"] == kind
        assert (message["domain"]["chainId"], message["domain"]["verifyingContract"]) == (5, market)
        assert set(message["message"]) == {it["name"] for it in message["types"][kind]}
