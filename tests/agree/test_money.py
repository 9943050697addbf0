"""The contracts of the money and the rules, told the same moves, come to the same books.

Every step compares the outcome, a refusal word by word, and then all that either side stores.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from skerry.base.digests import digest, word
from skerry.settle import Books, Epoch, Job, Refused, actions, apply
from skerry.settle.actions import Action, SignedOffer
from skerry.settle.invariants import backed, closing_move, solvent
from skerry.settle.vault import held
from skerry.verify.audits import draw_seed, drawn_index
from tests.contracts.evm import COURT, Chain, address
from tests.contracts.twin import compare, opening
from tests.settle.stories import FUNDS, LIMITS, START, Story

WHICH = st.sampled_from([0, 0, 1])


@cache
def stories() -> tuple[Story, Story]:
    """Return two jobs of the same parties: one with a coordinator of its own, one without."""
    changes = {"rounds": 12, "epochs": 12, "ends": START + 9_000}
    return (
        Story(address, changes=changes),
        Story(address, own_coordinator=True, changes={**changes, "spec": digest("two")}),
    )


@dataclass
class Both:
    """The rules' books and the contracts, moved together."""

    books: Books
    chain: Chain
    tokens: int = 0
    bonds: Counter[bytes] = field(default_factory=Counter)

    def apply(self, action: Action) -> Books | Refused:
        """Make one move on both sides and compare everything."""
        after = apply(self.books, action, self.chain.now)
        on_chain = self.chain.apply(action)
        if isinstance(after, Refused):
            assert on_chain == after, (action, on_chain)
            return after
        assert on_chain is None, (action, on_chain)
        self.tokens += held(after) - held(self.books)
        self.books = after
        if isinstance(action, actions.LockBond):
            self.bonds[action.who] += action.amount
        if isinstance(action, actions.FreeBond | actions.SlashBond):
            self.bonds[action.who] -= action.amount
        compare(after, self.chain)
        assert solvent(after, self.tokens)
        assert backed(after, self.bonds)
        return after


class Money(RuleBasedStateMachine):
    """Everyone moves, mostly sensibly, often late, twice, in the wrong order or in bad faith."""

    @initialize()
    def open(self) -> None:
        self.both = Both(Books(court=COURT, limits=LIMITS), opening().again())
        self.dockets: list[tuple[Story, actions.Docket]] = []
        for number in range(8):
            self.both.apply(actions.Deposit(address(number), FUNDS))
        for story in stories():
            self.both.apply(story.award(self.both.books))
            self.commit_more(story, 1)

    def teardown(self) -> None:
        """Let anyone, alone, bring every job to its end: nothing may be stuck."""
        if not hasattr(self, "both"):
            return
        for _, docket in self.dockets:
            self.both.apply(actions.Dismiss(COURT, docket, docket.evidence.receipt))
        for story in stories():
            job = self.job(story)
            move = closing_move(job, address(7)) if job and not job.closed else None
            if move is not None:
                self.both.chain.now = max(self.both.chain.now, move[0])
                assert isinstance(self.both.apply(move[1]), Books)
        for who, bond in list(self.both.bonds.items()):
            self.both.apply(actions.FreeBond(COURT, who, bond))
        assert all(it.locked == 0 for it in self.both.books.accounts.values())

    def job(self, story: Story) -> Job | None:
        return self.both.books.jobs.get(story.terms.job)

    def epochs(self, story: Story) -> list[Epoch]:
        job = self.job(story)
        return list(job.ring.values()) if job else []

    # -- time: mostly to the edges of phases and windows

    @rule(data=st.data(), which=WHICH, late=st.integers(0, 1))
    def pass_time(self, data: st.DataObject, which: int, late: int) -> None:
        epochs = self.epochs(stories()[which])
        edges = [it.committed + after for it in epochs for after in (10, 100, 200, 300, 400, 500)]
        edges = [it + late for it in edges if it + late > self.both.chain.now]
        near = sorted(edges)[:3] or [self.both.chain.now + 1]
        self.both.chain.now = data.draw(st.sampled_from(near))

    @rule(seconds=st.sampled_from([1, 1, 1_001, 3_000]))
    def wait(self, seconds: int) -> None:
        self.both.chain.now += seconds

    # -- the vault

    @rule(number=st.integers(0, 7), amount=st.sampled_from([0, 1, 1_000, 1 << 96]))
    def ask_back(self, number: int, amount: int) -> None:
        self.both.apply(actions.RequestWithdraw(address(number), amount))

    @rule(number=st.integers(0, 7))
    def take_out(self, number: int) -> None:
        self.both.apply(actions.Withdraw(address(number)))

    @rule(number=st.integers(0, 7))
    def recall_or_burn(self, number: int) -> None:
        self.both.apply(
            actions.Burn(address(number)) if number > 3 else actions.RecallOffers(address(number))
        )

    @rule(
        number=st.integers(6, 7),
        amount=st.sampled_from([7, 500, 2 * FUNDS]),
        kind=st.integers(0, 4),
    )
    def move_bond(self, number: int, amount: int, kind: int) -> None:
        who, sender = address(number), COURT if kind else address(number)
        other = address(1)
        if kind < 3:
            self.both.apply(actions.LockBond(sender, who, amount))
        elif amount <= self.both.bonds[who]:
            free = actions.FreeBond(sender, who, amount)
            take = actions.SlashBond(sender, who, amount, other, other)
            self.both.apply(free if kind == 3 else take)

    # -- a job

    @rule(which=WHICH, odd=st.integers(0, 12))
    def award(self, which: int, odd: int) -> None:
        story = stories()[which]
        move = story.award(self.both.books)
        offers = list(move.offers)
        at = odd % len(offers)
        offer = offers[at].offer
        match odd:
            case 9:
                move = replace(move, sender=address(7))
            case 10:
                offers[at] = SignedOffer(offer, address(7))
            case 11:
                offers[at] = SignedOffer(replace(offer, nonce=offer.nonce + 1), offer.node)
            case 12:
                offers.pop()
            case _:
                pass  # an honest award
        self.both.apply(replace(move, offers=tuple(offers)))

    @rule(which=WHICH, rounds=st.sampled_from([1, 1, 2, 20]), odd=st.integers(0, 7))
    def commit(self, which: int, rounds: int, odd: int) -> None:
        story = stories()[which]
        job = self.job(story)
        if job is None:
            return
        move = story.epoch(job, rounds)
        match odd:
            case 5:
                move = replace(move, sender=address(7))
            case 6:
                move = replace(move, tally=(1 << 70, 0, 0))
            case 7:
                move = replace(move, tally=(0, 0, 1))
            case _:
                pass  # an honest epoch
        self.both.apply(move)

    @rule(which=WHICH, pick=st.integers(-1, 7), randomness=st.integers(0, 5))
    def draw(self, which: int, pick: int, randomness: int) -> None:
        story = stories()[which]
        move = replace(
            story.draw(self.number(story, pick)), randomness=digest("r", word(randomness))
        )
        self.both.apply(move)

    def number(self, story: Story, pick: int) -> int:
        epochs = self.epochs(story)
        return epochs[pick % len(epochs)].number if epochs and pick >= 0 else 11

    @rule(
        which=WHICH,
        pick=st.integers(-1, 7),
        seats=st.sampled_from([(0,), (1,), (0, 1), (2,), ()]),
        wrong=st.booleans(),
    )
    def reveal(self, which: int, pick: int, seats: tuple[int, ...], wrong: bool) -> None:
        story = stories()[which]
        number = self.number(story, pick)
        move = story.reveal(number, *seats)
        if wrong and seats and pick > 5:
            move = replace(move, secrets=((seats[0], word(5)),))
        self.both.apply(move)

    @rule(which=WHICH, pick=st.integers(-1, 5), seat=st.integers(0, 2))
    def commit_verdict(self, which: int, pick: int, seat: int) -> None:
        story = stories()[which]
        number = self.number(story, pick)
        if seat == 2:
            move = replace(story.verdict(number, 0), seat=seat)
        else:
            move = story.verdict(number, seat, **self.said(number, seat))
        self.both.apply(move)

    @staticmethod
    def said(number: int, seat: int) -> dict[str, Any]:
        """Return what an auditor says of an epoch: mostly that all is well, and the same."""
        if seat == 0:
            return {"accept": number % 4 != 3}
        return {"trace": b"u" * 32} if number % 3 == 2 else {}

    @rule(
        which=WHICH,
        pick=st.integers(-1, 5),
        seat=st.integers(0, 1),
        odd=st.integers(0, 9),
    )
    def show_verdict(self, which: int, pick: int, seat: int, odd: int) -> None:
        story = stories()[which]
        number, job = self.number(story, pick), self.job(story)
        audit = job.audits.get(number) if job else None
        orders = [(), (0,), (1,), (0, 1), (1, 0)]
        every = [
            tuple((at, story.commitment(number, at, **self.said(number, at))) for at in order)
            for order in orders
        ]
        moves = [story.show(number, seat, it, **self.said(number, seat)) for it in every]
        fits = [
            it
            for it, order in zip(moves, orders, strict=True)
            if audit and sum(1 << at for at in order) == audit.sealed
        ]
        move = moves[odd % 5] if odd == 9 or not fits else fits[odd % len(fits)]
        self.both.apply(replace(move, accept=not move.accept) if odd == 8 else move)

    @rule(which=WHICH, pick=st.integers(-1, 5), seat=st.integers(0, 2))
    def punish(self, which: int, pick: int, seat: int) -> None:
        story = stories()[which]
        number = self.number(story, pick)
        self.both.apply(actions.PunishSilence(address(7), story.terms, number, seat))

    # -- what an honest party does next

    def commit_more(self, story: Story, rounds: int) -> None:
        """Commit the next epoch as a coordinator in good faith would."""
        job = self.job(story)
        if job is not None and not job.closed:
            self.both.apply(story.epoch(job, rounds))

    @rule(which=WHICH, rounds=st.sampled_from([1, 2, 3]))
    def go_on(self, which: int, rounds: int) -> None:
        self.commit_more(stories()[which], rounds)

    @rule(which=WHICH, lazy=st.sampled_from([0, 0, 0, 1, 2]), data=st.data())
    def audit(self, which: int, lazy: int, data: st.DataObject) -> None:
        """Play the latest epoch's audit from its start; some auditors stop on the way."""
        story = stories()[which]
        epochs = self.epochs(story)
        if not epochs:
            return
        epoch, both = epochs[-1], self.both
        number, at = epoch.number, epoch.committed
        seats = data.draw(st.sampled_from([(0, 1), (1, 0)]))
        heard = tuple((it, story.commitment(number, it, **self.said(number, it))) for it in seats)
        plan: list[tuple[int, list[Action]]] = [
            (at + data.draw(st.sampled_from([11, 100])), [story.draw(number)]),
            (at + 200, [story.reveal(number, *(seats if lazy != 1 else seats[:1]))]),
            (at + 201, [story.verdict(number, it, **self.said(number, it)) for it in seats]),
            (at + 400, [story.show(number, it, heard, **self.said(number, it)) for it in seats]),
        ]
        for when, moves in plan[: 4 - lazy]:
            if when < both.chain.now:
                continue
            both.chain.now = when
            for move in moves:
                job = self.job(story)
                if isinstance(move, actions.ShowVerdict) and job and number in job.audits:
                    right = story.tag(job, number, move.seat)  # mostly a lie where traces differ
                    move = replace(move, tag=right if number % 2 else move.tag)
                both.apply(move)

    @rule(which=WHICH, seconds=st.integers(0, 1))
    def finish(self, which: int, seconds: int) -> None:
        """Settle the oldest epoch at the first second at which it is final, or one before."""
        story = stories()[which]
        job, epochs = self.job(story), self.epochs(story)
        if job is None or job.closed or not epochs:
            return
        now = self.both.chain.now
        self.both.chain.now = max(now, epochs[0].committed + 500 + seconds)
        self.both.apply(story.settle(job, epochs[0]))

    # -- bad faith, and the court

    @rule(which=WHICH, odd=st.integers(0, 9))
    def equivocate(self, which: int, odd: int) -> None:
        story = stories()[which]
        if self.job(story) is None:
            return
        one, two = (story.signed_record(0, 1, digest(it)) for it in ("a", "b"))
        signer = story.terms.coordinator if odd > 7 else address(7)
        two = replace(two, round=2) if odd == 1 else one if odd == 2 else two
        self.both.apply(actions.Equivocate(address(7), story.terms, one, signer, two, signer))

    @rule(which=WHICH, pick=st.integers(0, 5), odd=st.integers(0, 9))
    def misrecord(self, which: int, pick: int, odd: int) -> None:
        story = stories()[which]
        epochs = self.epochs(story)
        if not epochs:
            return
        epoch = epochs[pick % len(epochs)]
        it = story.evidence(epoch, epoch.round_from, 0)
        record = it.entry.digest(story.terms.job, epoch.number, it.round)
        signed = story.signed_record(epoch.number, it.round, digest("x") if odd else record)
        signer = story.terms.coordinator if odd > 7 else address(7)
        epoch = replace(epoch, tally=(1, 1, 1)) if odd == 1 else epoch
        move = actions.Misrecord(address(7), story.terms, epoch, signed, signer, record, it.path)
        self.both.apply(move if odd != 9 else replace(move, path=(*it.path, word(1))))

    @rule(
        which=WHICH,
        pick=st.integers(0, 5),
        lane=st.integers(0, 3),
        odd=st.integers(0, 5),
    )
    def raise_tally(self, which: int, pick: int, lane: int, odd: int) -> None:
        story = stories()[which]
        epochs = self.epochs(story)
        if not epochs:
            return
        epoch = epochs[pick % len(epochs)]
        it = story.evidence(epoch, epoch.round_to - 1, lane)
        it = replace(it, units=it.units + 1) if odd == 1 else it
        self.both.apply(actions.RaiseTally(address(7), story.terms, epoch, it))

    @rule(
        which=WHICH,
        pick=st.integers(0, 5),
        lane=st.integers(0, 3),
        odd=st.integers(0, 9),
        aim=st.booleans(),
    )
    def admit(self, which: int, pick: int, lane: int, odd: int, aim: bool) -> None:
        story = stories()[which]
        epochs = self.epochs(story)
        if not epochs:
            return
        epoch = epochs[pick % len(epochs)]
        at = epoch.round_from
        hit = self.drawn(story, epoch) if aim else None
        if hit is not None:
            at, lane = hit[0], hit[1]
        docket = story.docket(epoch, at, lane)
        sender = COURT if odd else address(7)
        if odd == 1:
            docket = replace(docket, signer=address(7))
        if odd == 2:
            docket = replace(docket, evidence=replace(docket.evidence, units=77))
        done = self.both.apply(actions.Admit(sender, docket, docket.evidence.receipt))
        if isinstance(done, Books):
            self.dockets.append((story, docket))

    def drawn(self, story: Story, epoch: Epoch) -> tuple[int, int, int] | None:
        """Return the round, lane and segment of an epoch's first draw, once its seed is there."""
        job = self.job(story)
        pot = job.audits[epoch.number].pot if job else None
        if pot is None:
            return None
        rounds = epoch.round_to - epoch.round_from
        seed = draw_seed(story.terms.job, epoch.number, pot)
        unit, segment = divmod(drawn_index(seed, 0, rounds * 4 * 4), 4)
        at, lane = divmod(unit, 4)
        return epoch.round_from + at, lane, segment

    @precondition(lambda self: self.dockets)
    @rule(pick=st.integers(0, 5), convicts=st.booleans(), stranger=st.integers(0, 5))
    def judge(self, pick: int, convicts: bool, stranger: int) -> None:
        at = pick % len(self.dockets)
        story, docket = self.dockets[at]
        sender = COURT if stranger else address(7)
        receipt = docket.evidence.receipt
        hit = self.drawn(story, docket.epoch) if docket.epoch in self.epochs(story) else None
        segment = hit[2] if hit else 9
        done = self.both.apply(
            actions.Convict(sender, docket, receipt, segment, address(7))
            if convicts
            else actions.Dismiss(sender, docket, receipt)
        )
        if isinstance(done, Books):
            self.dockets.pop(at)

    @rule(
        which=WHICH,
        pick=st.integers(0, 5),
        seat=st.integers(0, 2),
        draw=st.sampled_from([0, 0, 0, 1, 6]),
    )
    def blame(self, which: int, pick: int, seat: int, draw: int) -> None:
        story = stories()[which]
        epochs = self.epochs(story)
        if epochs:
            epoch = epochs[pick % len(epochs)]
            self.both.apply(actions.Blame(address(7), story.terms, epoch, seat, draw))

    @rule(which=WHICH, pick=st.integers(-1, 5), seat=st.integers(0, 2), odd=st.integers(0, 7))
    def disprove(self, which: int, pick: int, seat: int, odd: int) -> None:
        """Doubt a tag; what was said of an epoch is known, so this mostly comes to the tag."""
        story = stories()[which]
        number, job = self.number(story, pick), self.job(story)
        if job is None or number not in job.audits:
            return
        order = (0, 1) if odd % 2 else (1, 0)
        said = {it: self.said(number, it) for it in (0, 1)}
        heard = tuple((it, story.commitment(number, it, **said[it])) for it in order)
        move = story.disprove(job, number, min(seat, 1), heard, **said[min(seat, 1)])
        if odd == 7:
            move = replace(move, traced=replace(move.traced, data=b"other"))
        self.both.apply(replace(move, seat=seat, salt=word(seat)))

    @rule(which=WHICH, pick=st.integers(-1, 5), odd=st.integers(0, 7))
    def settle(self, which: int, pick: int, odd: int) -> None:
        story = stories()[which]
        job, epochs = self.job(story), self.epochs(story)
        if job is None:
            return
        epoch = epochs[pick % len(epochs)] if epochs and pick >= 0 else None
        move = story.settle(job, epoch)
        if odd == 1:
            move = replace(move, paid=(1, 2, 3))
        if odd == 2:
            move = replace(move, leases=move.leases[:2])
        self.both.apply(move)


SEARCH = settings(
    max_examples=40,
    stateful_step_count=40,
    phases=[Phase.generate],  # shrinking a sequence takes minutes; it is printed as it was drawn
)
TestMoney = Money.TestCase
TestMoney.settings = SEARCH
TestMoney.pytestmark = [pytest.mark.slow]  # type: ignore[attr-defined]
