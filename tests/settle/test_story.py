"""A job's whole course by the rules: the happy path, and each way to leave it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from skerry.base.digests import digest, merkle_root, word
from skerry.market.offers import AMOUNT_MAX, NOBODY
from skerry.market.terms import Terms
from skerry.settle import Books, Epoch, Job, Reason, actions
from skerry.settle.actions import SignedOffer
from skerry.settle.invariants import backed, closing_move, phase_of, solvent
from skerry.settle.records import path_in
from skerry.verify.audits import draw_seed, drawn_index
from tests.contracts.twin import Twin
from tests.settle.stories import (
    COURT,
    FUNDS,
    START,
    STRANGER,
    SUBMITTER,
    TELLER,
    Story,
    Teller,
    done,
    funded,
    refused,
)

TOTAL = 8 * FUNDS


@pytest.fixture(autouse=True, params=["rules", "contracts"])
def teller(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tell each story to the rules alone, and to the contracts as well."""
    TELLER[0] = Teller() if request.param == "rules" else Twin()
    yield
    TELLER[0] = Teller()


def job_of(books: Books, story: Story) -> Job:
    return books.jobs[story.terms.job]


def epoch_of(books: Books, story: Story, number: int) -> Epoch:
    return job_of(books, story).ring[number]


def awarded(story: Story) -> Books:
    books = funded(story)
    return done(books, story.award(books), START)


def with_epoch(story: Story, books: Books, now: int, rounds: int = 2) -> Books:
    return done(books, story.epoch(job_of(books, story), rounds), now)


def shown(story: Story, books: Books, c: int, epoch: int = 0, **odd: Any) -> Books:
    """Play a whole audit of an epoch committed at `c`; `odd` is what seat 1 says otherwise."""
    said: list[dict[str, Any]] = [{}, odd]
    books = done(books, story.draw(epoch), c + 11)
    books = done(books, story.reveal(epoch, 0, 1), c + 150)
    commitments = tuple((seat, story.commitment(epoch, seat, **said[seat])) for seat in (1, 0))
    for seat in (1, 0):
        books = done(books, story.verdict(epoch, seat, **said[seat]), c + 201)
    for seat in (0, 1):
        books = done(books, story.show(epoch, seat, commitments, **said[seat]), c + 400)
    return books


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
        {"auditors": (NOBODY, b"\x05" * 20, NOBODY, NOBODY)},
    ],
)
def test_terms_that_nobody_could_live_with_are_refused(changes: dict[str, Any]) -> None:
    story = Story()
    terms = replace(story.terms, **changes)
    books = funded(story)
    assert refused(books, story.award(books, terms=terms), START) == Reason.TERMS


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
    books = with_epoch(story, awarded(story), START)
    epoch, finder = epoch_of(books, story, 0), story.party(STRANGER)
    records = story.records(0, range(2))
    signed = story.signed_record(0, 1, digest("other"))
    move = actions.Misrecord(
        finder, story.terms, epoch, signed, story.terms.coordinator, records[1], path_in(records, 1)
    )
    cases: list[tuple[dict[str, Any], Reason]] = [
        ({"epoch": replace(epoch, committed=START + 1)}, Reason.EPOCH),
        ({"signed": replace(signed, epoch=1)}, Reason.ROUNDS),
        ({"signed": replace(signed, round=2)}, Reason.ROUNDS),
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
    reasons = [Reason.LEASES, Reason.TALLY, Reason.PATH, Reason.PATH, Reason.PATH, Reason.PATH]
    for changes, reason in zip(wrong, reasons, strict=True):
        changed = replace(move, evidence=replace(move.evidence, **changes))
        assert refused(books, changed, START) == reason
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


# -- audits


def test_phases_end_by_the_clock_alone() -> None:
    story = Story()
    books = with_epoch(story, awarded(story), START)
    terms: Terms = story.terms
    assert [phase_of(terms, START, START + it) for it in (1, 100, 101, 400, 401, 500, 501)] == [
        1, 1, 2, 4, 5, 5, 6,
    ]  # fmt: skip
    draw, reveal, verdict = story.draw(0), story.reveal(0, 0), story.verdict(0, 0)
    show = story.show(0, 0, ((0, story.commitment(0, 0)),))
    assert refused(books, draw, START + 10) == Reason.EARLY
    assert refused(books, draw, START + 101) == Reason.LATE
    assert refused(books, reveal, START + 11) == Reason.UNDRAWN
    assert refused(books, verdict, START + 250) == Reason.UNDRAWN
    assert refused(books, show, START + 350) == Reason.VERDICT
    silence = actions.PunishSilence(story.party(STRANGER), terms, 0, 0)
    assert refused(books, silence, START + 600) == Reason.UNDRAWN
    books = done(books, draw, START + 100)
    assert refused(books, draw, START + 100) == Reason.TWICE
    assert refused(books, reveal, START + 201) == Reason.LATE
    assert refused(books, verdict, START + 250) == Reason.SECRET
    assert refused(books, silence, START + 200) == Reason.EARLY
    done(books, silence, START + 201)
    books = done(books, reveal, START + 200)
    assert refused(books, reveal, START + 200) == Reason.TWICE
    assert refused(books, story.reveal(0, 2), START + 200) == Reason.SEAT
    bad = replace(reveal, secrets=((1, word(9)),))
    assert refused(books, bad, START + 200) == Reason.SECRET
    assert refused(books, verdict, START + 200) == Reason.EARLY
    assert refused(books, verdict, START + 301) == Reason.LATE
    stranger = replace(verdict, sender=story.party(STRANGER))
    assert refused(books, stranger, START + 201) == Reason.SENDER
    assert refused(books, silence, START + 300) == Reason.EARLY
    done(books, silence, START + 301)
    books = done(books, verdict, START + 300)
    assert refused(books, verdict, START + 300) == Reason.TWICE
    assert refused(books, show, START + 300) == Reason.EARLY
    assert refused(books, show, START + 401) == Reason.LATE
    assert refused(books, silence, START + 400) == Reason.EARLY
    done(books, silence, START + 401)
    assert refused(books, replace(show, sender=story.party(7)), START + 400) == Reason.SENDER
    assert refused(books, replace(show, commitments=()), START + 400) == Reason.FOLD
    assert refused(books, replace(show, accept=False), START + 400) == Reason.VERDICT
    books = done(books, show, START + 400)
    assert refused(books, show, START + 400) == Reason.TWICE
    assert refused(books, silence, START + 401) == Reason.EARLY


def test_a_fallen_auditor_takes_part_no_more_and_is_slashed_once() -> None:
    story = Story()
    books = with_epoch(story, awarded(story), START)
    books = done(books, story.draw(0), START + 11)
    books = done(books, story.reveal(0, 0), START + 12)
    silence = actions.PunishSilence(story.party(STRANGER), story.terms, 0, 0)
    books = done(books, replace(silence, seat=1), START + 201)
    assert backed(books, Counter())
    assert books.burned == 352
    assert refused(books, replace(silence, seat=1), START + 201) == Reason.FALLEN
    assert refused(books, replace(silence, seat=3), START + 201) == Reason.SEAT
    assert refused(books, story.verdict(0, 1), START + 201) == Reason.FALLEN
    books = done(books, story.verdict(0, 0), START + 201)
    fallen = story.show(0, 1, ((0, story.commitment(0, 0)),))
    assert refused(books, fallen, START + 301) == Reason.FALLEN
    books = done(books, story.show(0, 0, ((0, story.commitment(0, 0)),)), START + 301)
    books = done(books, story.settle(job_of(books, story), epoch_of(books, story, 0)), 2 * START)
    assert books.account(story.party(4)).free == FUNDS + 11
    assert books.account(story.party(5)).free == FUNDS - 703
    assert solvent(books, TOTAL)


@pytest.mark.parametrize(
    ("odd", "paid"),
    [
        ({}, (1, 1)),
        ({"accept": False}, (1, 0)),
        ({"trace": b"u" * 32}, (0, 0)),
        ({"trace": b"u" * 32, "accept": False}, (0, 0)),
    ],
)
def test_auditors_are_paid_when_they_accept_and_agree(
    odd: dict[str, Any], paid: tuple[int, int]
) -> None:
    story = Story()
    books = with_epoch(story, awarded(story), START)
    books = shown(story, books, START, **odd)
    assert job_of(books, story).audited[:2] == paid


def test_after_a_split_nobody_else_is_counted() -> None:
    auditors = (*(Story().party(it) for it in (4, 5, 7)), NOBODY)
    story = Story(changes={"auditors": auditors})
    secrets = (*(story.sealed(it) for it in range(3)), bytes(32))
    story = Story(changes={"auditors": auditors, "secrets": secrets})
    books = with_epoch(story, awarded(story), START)
    books = done(books, story.draw(0), START + 11)
    books = done(books, story.reveal(0, 0, 1, 2), START + 12)
    said: list[dict[str, Any]] = [{}, {"trace": b"u" * 32}, {}]
    commitments = tuple((it, story.commitment(0, it, **said[it])) for it in range(3))
    for seat in range(3):
        books = done(books, story.verdict(0, seat, **said[seat]), START + 201)
    for seat in range(3):
        books = done(books, story.show(0, seat, commitments, **said[seat]), START + 301)
    assert job_of(books, story).audited == (0, 0, 0, 0)


# -- disputes


def admitted(story: Story, books: Books, now: int, at: int = 1, lane: int = 2) -> tuple[Any, Books]:
    docket = story.docket(epoch_of(books, story, 0), at, lane)
    move = actions.Admit(story.party(COURT), docket, docket.evidence.receipt)
    return docket, done(books, move, now)


def test_a_conviction_takes_the_stake_and_the_pay_and_spares_the_rest() -> None:
    story = Story()
    books = with_epoch(story, awarded(story), START)
    court, finder = story.party(COURT), story.party(STRANGER)
    docket, books = admitted(story, books, START + 500)
    _, books = admitted(story, books, START + 500, at=0)
    receipt = docket.evidence.receipt
    settle = story.settle(job_of(books, story), epoch_of(books, story, 0))
    assert refused(books, settle, START + 501) == Reason.GAMES
    assert closing_move(job_of(books, story), finder) is None
    convict = actions.Convict(court, docket, receipt, 3, finder)
    assert refused(books, replace(convict, sender=finder), START + 600) == Reason.SENDER
    other = replace(docket, leases=docket.leases[:1])
    assert refused(books, replace(convict, docket=other), START + 600) == Reason.LEASES
    books = done(books, convict, START + 600)
    assert books.account(finder).free == FUNDS + 250
    assert books.burned == 501
    books = done(books, convict, START + 700)
    assert books.burned == 501
    assert refused(books, convict, START + 700) == Reason.GAMES
    move = actions.Admit(court, docket, receipt)
    assert refused(books, move, START + 500) == Reason.CONVICTED
    assert refused(books, settle, START + 800) == Reason.EARLY
    books = done(books, story.settle(job_of(books, story), epoch_of(books, story, 0)), 2 * START)
    assert books.account(story.party(2)).free == FUNDS - 1_002
    assert books.account(story.party(1)).free == FUNDS + 4 * 5
    assert solvent(books, TOTAL)


def test_a_dispute_needs_a_receipt_that_stands_and_was_signed() -> None:
    story = Story()
    books = with_epoch(story, awarded(story), START)
    docket, after = admitted(story, books, START + 1)
    court, receipt = story.party(COURT), docket.evidence.receipt
    move = actions.Admit(court, docket, receipt)
    cases: list[tuple[dict[str, Any], Reason]] = [
        ({"leases": docket.leases[:2]}, Reason.LEASES),
        ({"evidence": replace(docket.evidence, node=5)}, Reason.LEASES),
        ({"epoch": replace(docket.epoch, tally=(1, 1, 1))}, Reason.EPOCH),
        ({"evidence": replace(docket.evidence, node=1, units=9)}, Reason.PATH),
        ({"evidence": replace(docket.evidence, round=7)}, Reason.PATH),
        ({"signer": story.party(STRANGER)}, Reason.SIGNATURE),
    ]
    for changes, reason in cases:
        assert refused(books, replace(move, docket=replace(docket, **changes)), START) == reason
    assert refused(books, replace(move, receipt=word(1)), START) == Reason.PATH
    assert refused(books, replace(move, sender=story.party(0)), START) == Reason.SENDER
    assert refused(books, move, START + 501) == Reason.LATE
    dismiss = actions.Dismiss(court, docket, receipt)
    assert refused(after, replace(dismiss, sender=story.party(0)), START) == Reason.SENDER
    assert refused(books, dismiss, START) == Reason.GAMES
    assert done(after, dismiss, START + 2).accounts == books.accounts


def drawn_lie(story: Story, books: Books, draw: int) -> tuple[int, int, int]:
    """Return round, lane and segment of one draw of epoch 0."""
    pot = job_of(books, story).audits[0].pot
    assert pot is not None
    seed = draw_seed(story.terms.job, 0, pot)
    unit, segment = divmod(drawn_index(seed, draw, 2 * 4 * 4), 4)
    return *divmod(unit, 4), segment


def test_an_auditor_answers_for_a_drawn_segment_that_it_accepted() -> None:
    story = Story()
    books = with_epoch(story, awarded(story), START)
    books = shown(story, books, START, accept=False)
    at, lane, segment = drawn_lie(story, books, 2)
    docket, books = admitted(story, books, START + 450, at=at, lane=lane)
    convict = actions.Convict(story.party(COURT), docket, word(0), segment, story.party(STRANGER))
    epoch = epoch_of(books, story, 0)
    blame = actions.Blame(story.party(STRANGER), story.terms, epoch, 0, 2)
    assert refused(books, blame, START + 600) == Reason.LIE
    books = done(books, convict, START + 601)
    assert refused(books, replace(blame, draw=6), START + 700) == Reason.LIE
    assert refused(books, replace(blame, seat=1), START + 700) == Reason.VERDICT
    assert refused(books, replace(blame, seat=2), START + 700) == Reason.SEAT
    gone = replace(blame, epoch=replace(epoch, number=1))
    assert refused(books, gone, START + 700) == Reason.EPOCH
    after = done(books, blame, START + 701)
    assert refused(after, blame, START + 701) == Reason.FALLEN
    assert backed(after, Counter())
    settle = story.settle(job_of(after, story), epoch)
    assert refused(after, settle, START + 701) == Reason.EARLY
    done(after, settle, START + 702)


# -- the vault


def test_money_comes_in_and_goes_out_after_the_wait() -> None:
    story = Story()
    books, who = funded(story), story.party(7)
    assert refused(books, actions.Deposit(who, 0), START) == Reason.AMOUNT
    assert refused(books, actions.Deposit(who, AMOUNT_MAX), START) == Reason.AMOUNT
    assert refused(books, actions.RequestWithdraw(who, 0), START) == Reason.AMOUNT
    assert refused(books, actions.RequestWithdraw(who, FUNDS + 1), START) == Reason.FUNDS
    assert refused(books, actions.Withdraw(who), START) == Reason.AMOUNT
    books = done(books, actions.RequestWithdraw(who, 400), START)
    books = done(books, actions.RequestWithdraw(who, 100), START + 900)
    assert refused(books, actions.Withdraw(who), START + 1_900) == Reason.EARLY
    books = done(books, actions.Withdraw(who), START + 1_901)
    assert solvent(books, TOTAL - 500)


def test_only_the_court_moves_bonds() -> None:
    story = Story()
    books, who, court = funded(story), story.party(7), story.party(COURT)
    lock = actions.LockBond(court, who, 1_000)
    free = actions.FreeBond(court, who, 600)
    take = actions.SlashBond(court, who, 401, story.party(1), story.party(1))
    for move in (lock, free, take):
        assert refused(books, replace(move, sender=who), START) == Reason.SENDER
    assert refused(books, replace(lock, amount=FUNDS + 1), START) == Reason.FUNDS
    books = done(books, lock, START)
    books = done(books, free, START)
    assert refused(books, replace(free, amount=401), START) == Reason.FUNDS
    assert refused(books, take, START) == Reason.FUNDS
    books = done(books, replace(take, amount=399), START)
    assert backed(books, Counter({who: 1}))
    assert books.account(story.party(1)).free == FUNDS + 199
    assert (books.burned, merkle_root([])) == (200, bytes(32))
