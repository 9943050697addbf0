"""A job's whole course by the rules: the happy path, and each way to leave it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from skerry.base.digests import digest, word
from skerry.market.offers import AMOUNT_MAX, NOBODY
from skerry.market.terms import lease_hash
from skerry.settle import Books, Reason, actions
from skerry.settle.actions import SignedOffer
from skerry.settle.invariants import backed, solvent
from skerry.settle.records import path_in
from tests.settle.stories import (
    FUNDS,
    START,
    STRANGER,
    SUBMITTER,
    TOTAL,
    Story,
    awarded,
    done,
    epoch_of,
    funded,
    job_of,
    refused,
    shown,
    with_epoch,
)


@pytest.mark.parametrize("own", [False, True])
def test_everyone_is_paid_what_was_agreed_and_the_rest_goes_back(own: bool) -> None:
    story = Story(own_coordinator=own)
    books = awarded(story)
    assert backed(books, Counter())
    books = with_epoch(story, books, START + 10, rounds=20)
    books = shown(story, books, START + 10)
    settle = story.settle(job_of(books, story), epoch_of(books, story, 0))
    assert refused(books, settle, START + 510) == Reason.EARLY
    books = done(books, settle, START + 511)
    gained = {it: books.account(story.party(it)).free - FUNDS for it in range(7)}
    assert [gained[it] for it in (1, 2, 3)] == [40 * 5, 20 * 6, 20 * 7]
    assert [gained[it] for it in (4, 5)] == [11, 11]
    fee = 20 * 3
    assert gained[6] == (0 if own else fee)
    assert gained[0] == -460 - 22 - (0 if own else fee)
    assert all(it.locked == 0 for it in books.accounts.values())
    assert solvent(books, TOTAL)
    assert refused(books, settle, START + 512) == Reason.CLOSED


def test_a_long_job_is_paid_as_it_goes() -> None:
    story = Story()
    books = with_epoch(story, awarded(story), START + 1)
    books = with_epoch(story, books, START + 600)
    first = story.settle(job_of(books, story), epoch_of(books, story, 0))
    books = done(books, first, START + 601)
    assert books.account(story.party(1)).free == FUNDS - 1_001 + 4 * 5
    assert refused(books, first, START + 601) == Reason.BEFORE
    again = story.settle(job_of(books, story), epoch_of(books, story, 0))
    assert done(books, again, START + 602).accounts == books.accounts
    last = story.settle(job_of(books, story), epoch_of(books, story, 1))
    books = done(books, last, START + 20_001)
    assert books.account(story.party(1)).free == FUNDS + 8 * 5
    assert job_of(books, story).closed
    assert solvent(books, TOTAL)


def test_nobody_loses_anything_when_the_coordinator_never_comes() -> None:
    story = Story()
    books = awarded(story)
    settle = story.settle(job_of(books, story), None)
    assert refused(books, settle, story.terms.ends) == Reason.EARLY
    books = done(books, settle, story.terms.ends + 1)
    assert all((it.free, it.locked) == (FUNDS, 0) for it in books.accounts.values())


def test_the_ring_bounds_how_many_epochs_are_open() -> None:
    story = Story()
    books = awarded(story)
    for number in range(8):
        books = with_epoch(story, books, START + number, rounds=1)
    assert refused(books, story.epoch(job_of(books, story), 1), START + 500) == Reason.OPEN
    books = with_epoch(story, books, START + 501, rounds=1)
    assert sorted(job_of(books, story).ring) == list(range(1, 9))
    assert refused(books, story.draw(0), START + 505) == Reason.EPOCH


def test_lanes_that_were_run_for_others_are_paid_from_what_is_left() -> None:
    story = Story()
    books = awarded(story)
    move = story.epoch(job_of(books, story), 20, tally=(60, 20, 0))
    books = done(books, move, START)
    epoch = epoch_of(books, story, 0)
    books = done(books, story.settle(job_of(books, story), epoch), START + 501)
    assert books.account(story.party(1)).free == FUNDS + 60 * 5
    assert books.account(story.party(3)).free == FUNDS
    assert solvent(books, TOTAL)


def test_a_tally_in_favour_of_one_lease_cannot_take_the_pay_of_another() -> None:
    """The coordinator gives all units to the dearest solver; the others show their lanes."""
    story = Story(changes={"price_max": 7})
    books = awarded(story)
    books = done(books, story.epoch(job_of(books, story), 20, tally=(0, 0, 80)), START)
    epoch = epoch_of(books, story, 0)
    for lane, who in ((1, 1), (2, 2)):
        evidence = story.evidence(epoch, 19, lane)
        raised = actions.RaiseTally(story.party(who), story.terms, epoch, evidence)
        books = done(books, raised, START + 1)
    books = done(books, story.settle(job_of(books, story), epoch), START + 501)
    assert books.account(story.party(1)).free == FUNDS + 40 * 5 + 125
    assert books.account(story.party(2)).free == FUNDS + 20 * 6
    assert books.account(story.party(3)).free == FUNDS + 20 * 7
    assert books.account(story.party(0)).free == FUNDS - 200 - 120 - 140 + 125
    assert solvent(books, TOTAL)


# -- the award


def changed_offer(story: Story, books: Books, at: int, **changes: Any) -> actions.Award:
    award = story.award(books)
    offers = list(award.offers)
    offers[at] = SignedOffer(replace(offers[at].offer, **changes), offers[at].signer)
    return replace(award, offers=tuple(offers))


@pytest.mark.parametrize(
    ("at", "changes", "reason"),
    [
        (0, {"lanes": 1}, Reason.LANES),
        (1, {"price": 7}, Reason.PRICE),
        (0, {"stake": 1_000}, Reason.STAKE),
        (2, {"capability": 1}, Reason.CAPABILITY),
        (0, {"expires": START - 1}, Reason.EXPIRED),
        (3, {"seconds": 19_999}, Reason.SECONDS),
        (3, {"price": 12}, Reason.PRICE),
        (5, {"price": 4}, Reason.PRICE),
        (4, {"secret": bytes(32)}, Reason.SIGNATURE),
        (3, {"stake": 702}, Reason.STAKE),
        (5, {"nonce": 1}, Reason.NONCE),
    ],
)
def test_an_offer_binds_only_within_its_limits(
    at: int, changes: dict[str, Any], reason: Reason
) -> None:
    story = Story()
    books = funded(story)
    assert refused(books, changed_offer(story, books, at, **changes), START) == reason


@pytest.mark.parametrize(
    "changes",
    [
        {"nodes": 0},
        {"lanes": 0},
        {"rounds": 1 << 32},
        {"epochs": 0},
        {"segments": 4_097},
        {"draws": 257},
        {"phase": 59},
        {"delay": 0},
        {"delay": 51},
        {"window": 499},
        {"window": 10_001},
        {"clock": 59},
        {"ends": START},
        {"ends": START + 100_001},
        {"price_max": AMOUNT_MAX + 1},
        {"price_audit": AMOUNT_MAX + 1},
        {"price_record": AMOUNT_MAX + 1},
        {"stake_solver": AMOUNT_MAX + 1},
        {"stake_auditor": AMOUNT_MAX + 1},
        {"stake_coordinator": AMOUNT_MAX + 1},
        {"auditors": (NOBODY, b"\x05" * 20, NOBODY, NOBODY)},
    ],
)
def test_terms_that_nobody_could_live_with_are_refused(changes: dict[str, Any]) -> None:
    story = Story()
    terms = replace(story.terms, **changes)
    books = funded(story)
    assert refused(books, story.award(books, terms=terms), START) == Reason.TERMS


@pytest.mark.parametrize(
    "changes",
    [
        {"delay": 50},
        {"delay": 1},
        {"phase": 60, "delay": 30},
        {"window": 10_000},
        {"clock": 60},
        {"clock": 10_000},
        {"ends": START + 90_000},
        {"segments": 4_096, "draws": 256},
        {"segments": 1, "draws": 0},
        {"stake_solver": 1_001},
        {"epochs": 1_024},
        {"rounds": 1, "epochs": 1},
    ],
)
def test_terms_at_their_limits_are_fine(changes: dict[str, Any]) -> None:
    story = Story(changes=changes)
    awarded(story)


@pytest.mark.parametrize("stake", [999, 1_002, AMOUNT_MAX + 1])
def test_a_stake_is_within_what_terms_and_offer_allow(stake: int) -> None:
    """The terms ask for 1000, and the offer allows as much as that solver's lease has."""
    leases = (*Story().leases[:2], replace(Story().leases[2], stake=stake))
    story = Story(changes={"leases": lease_hash(leases)})
    books = funded(story)
    award = replace(changed_offer(story, books, 2, stake=1_001), leases=leases)
    assert refused(books, award, START) == Reason.STAKE


def test_one_solver_is_enough() -> None:
    leases = (replace(Story().leases[0], lanes=4),)
    story = Story(changes={"nodes": 1, "leases": lease_hash(leases)})
    story.leases = leases
    books = funded(story)
    done(books, changed_offer(story, books, 0, lanes=4), START)


def test_a_job_may_last_as_long_as_the_chain_allows() -> None:
    story = Story(changes={"ends": START + 100_000})
    books = funded(story)
    award = story.award(books)
    offers = tuple(replace(it, offer=replace(it.offer, seconds=100_000)) for it in award.offers)
    done(books, replace(award, offers=offers), START)


def test_an_award_is_the_submitters_and_happens_once() -> None:
    story = Story()
    books = funded(story)
    award = story.award(books)
    other = replace(award, sender=story.party(STRANGER))
    assert refused(books, other, START) == Reason.SENDER
    assert refused(books, replace(award, leases=award.leases[:2]), START) == Reason.LEASES
    assert refused(books, replace(award, offers=award.offers[:-1]), START) == Reason.LEASES
    leases = (replace(story.leases[0], stake=AMOUNT_MAX + 1), *story.leases[1:])
    assert refused(books, replace(award, leases=leases), START) == Reason.LEASES
    forged = (*award.offers[:-1], replace(award.offers[-1], signer=story.party(STRANGER)))
    assert refused(books, replace(award, offers=forged), START) == Reason.SIGNATURE
    books = done(books, award, START)
    assert refused(books, story.award(books), START) == Reason.TWICE
    lanes = Story(changes={"lanes": 5})
    assert refused(funded(lanes), lanes.award(funded(lanes)), START) == Reason.LANES


def test_an_award_needs_the_money() -> None:
    story = Story(changes={"price_max": FUNDS})
    books = funded(story)
    assert refused(books, story.award(books), START) == Reason.FUNDS
    huge = Story(changes={"price_max": AMOUNT_MAX})
    assert refused(funded(huge), huge.award(funded(huge)), START) == Reason.FUNDS
    poor = Story(changes={"stake_auditor": FUNDS + 1})
    books = funded(poor)
    award = changed_offer(poor, books, 3, stake=2 * FUNDS)
    offers = (
        *award.offers[:4],
        replace(
            award.offers[3],
            offer=replace(award.offers[4].offer, stake=2 * FUNDS),
            signer=award.offers[4].signer,
        ),
        award.offers[5],
    )
    assert refused(books, replace(award, offers=offers), START) == Reason.FUNDS


def test_a_recalled_offer_is_stale() -> None:
    story = Story()
    books = funded(story)
    award = story.award(books)
    books = done(books, actions.RecallOffers(story.party(2)), START)
    assert refused(books, award, START) == Reason.NONCE
    done(books, story.award(books), START)


# -- epochs


def test_an_epoch_is_the_coordinators_and_within_the_terms() -> None:
    story = Story()
    books = awarded(story)
    epoch = story.epoch(job_of(books, story))
    cases: list[tuple[dict[str, Any], int, Reason]] = [
        ({"sender": story.party(STRANGER)}, START, Reason.SENDER),
        ({}, story.terms.ends + 1, Reason.LATE),
        ({"rounds": 0}, START, Reason.ROUNDS),
        ({"rounds": 21}, START, Reason.ROUNDS),
        ({"tally": (1, 2)}, START, Reason.TALLY),
        ({"tally": (4, 4, 1)}, START, Reason.TALLY),
    ]
    for changes, now, reason in cases:
        assert refused(books, replace(epoch, **changes), now) == reason
    unknown = replace(epoch, terms=replace(story.terms, spec=bytes(32)))
    assert refused(books, unknown, START) == Reason.UNKNOWN
    done(books, epoch, story.terms.ends)
    few = Story(changes={"epochs": 1})
    books = with_epoch(few, awarded(few), START)
    assert refused(books, few.epoch(job_of(books, few)), START) == Reason.EPOCH


def test_two_records_of_one_round_cost_the_coordinator_its_stake() -> None:
    story = Story()
    books = awarded(story)
    finder, coordinator = story.party(STRANGER), story.terms.coordinator
    one, two = (story.signed_record(0, 1, digest(it)) for it in ("a", "b"))
    move = actions.Equivocate(finder, story.terms, one, coordinator, two, coordinator)
    assert refused(books, replace(move, second=one), START) == Reason.SAME
    assert refused(books, replace(move, second=replace(two, round=2)), START) == Reason.ROUNDS
    assert (
        refused(books, replace(move, first=replace(one, job=bytes(32))), START) == Reason.SIGNATURE
    )
    assert refused(books, replace(move, first_signer=finder), START) == Reason.SIGNATURE
    assert refused(books, replace(move, second_signer=finder), START) == Reason.SIGNATURE
    after = done(books, move, START)
    assert after.account(finder).free == FUNDS + 125
    assert (
        after.account(story.party(SUBMITTER)).free
        == books.account(story.party(SUBMITTER)).free + 125
    )
    assert after.burned == 251
    assert backed(after, Counter())
    assert solvent(after, TOTAL)
    assert refused(after, move, START) == Reason.FALLEN
    assert refused(after, story.epoch(job_of(after, story)), START) == Reason.FALLEN
    closed = done(after, story.settle(job_of(after, story), None), START + 1)
    assert closed.account(coordinator).free == FUNDS - 501
    burned = done(closed, actions.Burn(finder), START)
    assert (burned.burned, burned.gone) == (0, 251)
    assert refused(burned, actions.Burn(finder), START) == Reason.AMOUNT


def test_a_signed_record_that_was_committed_otherwise_is_a_proof_too() -> None:
    story = Story()
    books = with_epoch(story, with_epoch(story, awarded(story), START), START)
    epoch, finder = epoch_of(books, story, 1), story.party(STRANGER)
    records = story.records(1, range(2, 4))
    signed = story.signed_record(1, 3, digest("other"))
    move = actions.Misrecord(
        finder, story.terms, epoch, signed, story.terms.coordinator, records[1], path_in(records, 1)
    )
    cases: list[tuple[dict[str, Any], Reason]] = [
        ({"epoch": replace(epoch, committed=START + 1)}, Reason.EPOCH),
        ({"signed": replace(signed, epoch=0)}, Reason.ROUNDS),
        ({"signed": replace(signed, round=4)}, Reason.ROUNDS),
        ({"signed": replace(signed, round=1)}, Reason.ROUNDS),
        ({"signed": replace(signed, record=records[1])}, Reason.SAME),
        ({"signer": finder}, Reason.SIGNATURE),
        ({"signed": replace(signed, job=bytes(32))}, Reason.SIGNATURE),
        ({"committed": records[0]}, Reason.PATH),
        ({"path": ()}, Reason.PATH),
    ]
    for changes, reason in cases:
        assert refused(books, replace(move, **changes), START) == reason
    assert job_of(done(books, move, START), story).coordinator_fallen


def test_a_lease_that_is_counted_too_low_is_paid_what_the_record_shows() -> None:
    story = Story()
    books = awarded(story)
    books = done(books, story.epoch(job_of(books, story), tally=(4, 0, 2)), START)
    epoch = epoch_of(books, story, 0)
    move = actions.RaiseTally(story.party(2), story.terms, epoch, story.evidence(epoch, 1, 2))
    fair = replace(move, evidence=story.evidence(epoch, 1, 1))
    assert refused(books, fair, START + 1) == Reason.TALLY
    assert refused(books, move, START + 501) == Reason.LATE
    wrong: tuple[dict[str, Any], ...] = (
        {"node": 3},
        {"units": 99},
        {"units": 5},
        {"lane": 1},
        {"round": 2},
        {"receipt": word(1)},
    )
    for changes in wrong:
        changed = replace(move, evidence=replace(move.evidence, **changes))
        assert refused(books, changed, START) == Reason.PATH
    books = done(books, move, START + 500)
    assert job_of(books, story).coordinator_fallen
    assert refused(books, move, START + 500) == Reason.TALLY
    books = done(books, story.settle(job_of(books, story), epoch), START + 501)
    assert books.account(story.party(2)).free == FUNDS + 2 * 6 + 125
    assert solvent(books, TOTAL)


def test_a_raise_after_the_coordinator_fell_pays_and_slashes_nobody_again() -> None:
    story = Story()
    books = awarded(story)
    books = done(books, story.epoch(job_of(books, story), tally=(0, 0, 0)), START)
    epoch = epoch_of(books, story, 0)
    for lane, who in ((3, 3), (2, 2)):
        evidence = story.evidence(epoch, 1, lane)
        books = done(
            books, actions.RaiseTally(story.party(who), story.terms, epoch, evidence), START + 1
        )
    assert books.burned == 251
