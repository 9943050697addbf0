"""Audits, disputes and the vault by the rules: who loses what, and who does not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from skerry.base.digests import merkle_root, word
from skerry.market.offers import AMOUNT_MAX, NOBODY
from skerry.market.terms import Terms
from skerry.settle import Books, Job, Reason, actions
from skerry.settle.invariants import backed, closing_move, phase_of, solvent
from skerry.verify.audits import draw_seed, drawn_index
from tests.settle.stories import (
    COURT,
    FUNDS,
    START,
    STRANGER,
    TOTAL,
    Story,
    Work,
    awarded,
    done,
    epoch_of,
    funded,
    job_of,
    refused,
    shown,
    with_epoch,
)

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


def test_a_split_takes_back_what_was_counted_whoever_spoke_first() -> None:
    story = Story()
    books = with_epoch(story, awarded(story), START)
    books = shown(story, books, START, order=(1, 0), trace=b"u" * 32)
    assert job_of(books, story).audited == (0, 0, 0, 0)


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


def admitted(
    story: Story, books: Books, now: int, at: int = 1, lane: int = 2, number: int = 0
) -> tuple[Any, Books]:
    docket = story.docket(epoch_of(books, story, number), at, lane)
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
        ({"evidence": replace(docket.evidence, node=5)}, Reason.PATH),
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


def drawn_lie(story: Story, books: Books, number: int, draw: int) -> tuple[int, int, int]:
    """Return round, lane and segment of one draw of an epoch of two rounds."""
    pot = job_of(books, story).audits[number].pot
    assert pot is not None
    seed = draw_seed(story.terms.job, number, pot)
    unit, segment = divmod(drawn_index(seed, draw, 2 * 4 * 4), 4)
    at, lane = divmod(unit, 4)
    return 2 * number + at, lane, segment


@pytest.mark.parametrize("number", [0, 1])
def test_an_auditor_answers_for_a_drawn_segment_that_it_accepted(number: int) -> None:
    story = Story()
    books = awarded(story)
    for _ in range(number + 1):
        books = with_epoch(story, books, START)
    books = shown(story, books, START, number, accept=bool(number))
    at, lane, segment = drawn_lie(story, books, number, 2)
    docket, books = admitted(story, books, START + 450, at, lane, number)
    convict = actions.Convict(story.party(COURT), docket, word(0), segment, story.party(STRANGER))
    epoch = epoch_of(books, story, number)
    blame = actions.Blame(story.party(STRANGER), story.terms, epoch, 0, 2)
    assert refused(books, blame, START + 600) == Reason.LIE
    books = done(books, convict, START + 601)
    assert refused(books, replace(blame, draw=6), START + 700) == Reason.LIE
    if number == 0:  # the other auditor had rejected it, and is paid for that once
        other = done(books, replace(blame, seat=1), START + 700)
        paid, job = job_of(books, story).audited[1], job_of(other, story)
        assert (job.audited[1], job.fallen) == (paid + 1, 0)
        assert refused(other, replace(blame, seat=1), START + 700) == Reason.TWICE
    else:
        other = done(books, replace(blame, seat=1), START + 700)
        assert refused(other, replace(blame, seat=1), START + 700) == Reason.FALLEN
    assert refused(books, replace(blame, seat=2), START + 700) == Reason.SEAT
    gone = replace(blame, epoch=replace(epoch, number=5))
    assert refused(books, gone, START + 700) == Reason.EPOCH
    after = done(books, blame, START + 701)
    assert refused(after, blame, START + 701) == Reason.FALLEN
    assert backed(after, Counter())
    settle = story.settle(job_of(after, story), epoch)
    assert refused(after, settle, START + 701) == Reason.EARLY
    done(after, settle, START + 702)


# -- tags


def bound(story: Story, books: Books, works: tuple[Work, Work]) -> Books:
    """Return books of which both auditors bound a verdict on their own work; nobody showed one."""
    books = done(books, story.draw(0), START + 11)
    books = done(books, story.reveal(0, 0, 1), START + 20)
    for seat, work in enumerate(works):
        books = done(books, story.verdict(0, seat, trace=work.trace), START + 201)
    return books


@pytest.mark.parametrize("steps", [1, 3, 4])
def test_a_wrong_tag_costs_its_auditor_and_a_right_one_nothing(steps: int) -> None:
    story, work = Story(), Work("these", steps)
    books = bound(story, with_epoch(story, awarded(story), START), (work, work))
    job = job_of(books, story)
    heard = tuple((at, story.commitment(0, at, trace=work.trace)) for at in (0, 1))
    right = story.tag(job, 0, 0, work)
    wrong = bytes([right[0] ^ 1]) + right[1:]
    early = story.disprove(job, 0, 1, heard, trace=work.trace, work=work)
    assert refused(books, early, START + 301) == Reason.VERDICT
    books = done(books, story.show(0, 0, heard, trace=work.trace, tag=right), START + 301)
    books = done(books, story.show(0, 1, heard, trace=work.trace, tag=wrong), START + 301)
    move = story.disprove(job, 0, 0, heard, trace=work.trace, work=work)
    assert refused(books, move, START + 302) == Reason.SAME
    tag = story.tag(job, 0, 1, work)
    move = replace(move, seat=1, salt=word(1))
    if tag[0] == wrong[0]:  # a guess may be right
        assert refused(books, move, START + 302) == Reason.SAME
        return
    assert refused(books, replace(move, seat=2), START + 302) == Reason.SEAT
    assert refused(books, replace(move, epoch=3), START + 302) == Reason.EPOCH
    assert refused(books, replace(move, accept=False), START + 302) == Reason.VERDICT
    assert refused(books, replace(move, commitments=heard[:1]), START + 302) == Reason.FOLD
    after = done(books, move, START + 302)
    assert refused(after, move, START + 303) == Reason.FALLEN
    stake = story.terms.stake_auditor
    assert books.account(story.party(5)).locked - after.account(story.party(5)).locked == stake
    assert backed(after, Counter())


def test_a_leaf_that_was_not_drawn_or_is_not_the_auditors_proves_nothing() -> None:
    story, work = Story(), Work("these")
    books = bound(story, with_epoch(story, awarded(story), START), (work, Work("others")))
    job = job_of(books, story)
    others = Work("others").trace
    heard = (
        (0, story.commitment(0, 0, trace=work.trace)),
        (1, story.commitment(0, 1, trace=others)),
    )
    books = done(books, story.show(0, 1, heard, trace=others), START + 301)
    move = story.disprove(job, 0, 1, heard, trace=others, work=work)
    assert refused(books, move, START + 302) == Reason.PATH  # a leaf of somebody else's work
    own = story.disprove(job, 0, 1, heard, trace=others, work=Work("others"))
    changes: list[dict[str, Any]] = [
        {"steps": 0},
        {"steps": own.traced.steps + 1},
        {"values": 0},
        {"values": own.traced.values + 1},
        {"shape": (*own.traced.shape, 0)},
        {"shape": (*own.traced.shape, 1)},
        {"data": own.traced.data + b"\0"},
        {"step_path": (*own.traced.step_path, word(1))},
        {"value_path": own.traced.value_path[:-1]},
        {"leaf_path": (*own.traced.leaf_path, word(1))},
        {"dtype": "bool" if own.traced.dtype == "f32" else "f32"},
    ]
    for change in changes:
        worse = replace(own, traced=replace(own.traced, **change))
        assert refused(books, worse, START + 302) == Reason.PATH, change
    elsewhere = story.disprove(replace_fold(job), 0, 1, heard, trace=others, work=Work("others"))
    if elsewhere.traced != own.traced:
        assert refused(books, elsewhere, START + 302) == Reason.PATH


def replace_fold(job: Job) -> Job:
    """Return a job whose verdicts were folded otherwise, so that another leaf is drawn."""
    audits = {at: replace(it, fold=word(9)) for at, it in job.audits.items()}
    return replace(job, audits=audits)


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
