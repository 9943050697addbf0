"""Court, market and vault together: a lost dispute takes the stake, a won one takes the bond."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import pyrevm
import pytest

from scripts.contracts import compiled
from skerry.base.digests import digest
from skerry.chain.abi import Contract
from skerry.chain.court_calls import Case
from skerry.chain.disputes import Answerer, Doubter
from skerry.chain.moves import Call, Site, call_of, docket_bytes
from skerry.settle import Books, actions, apply
from skerry.settle.actions import Action
from skerry.verify.terms import Terms as DisputeTerms
from tests.chain.court_evm import BOND, START, Court, artifacts
from tests.contracts.evm import address, hexed, sign
from tests.settle.stories import FUNDS, LIMITS, Story
from tests.verify.toy import Lie, Run, small

CHALLENGER, SOLVER, LANE, ROUND = address(7), address(2), 2, 1
MONEY = FUNDS * BOND


@dataclass
class Planted(Story):
    """A story in which one lane holds a receipt that can be disputed."""

    receipt: bytes = bytes(32)

    def receipts(self, at: int, lane: int) -> list[bytes]:
        if (at, lane) == (ROUND, LANE):
            return [digest("other"), self.receipt]
        return super().receipts(at, lane)


@cache
def grounds() -> tuple[Court, Site]:
    """Return a court whose market is the real one, put where its stand-in was."""
    court = Court()
    market, evidence = Contract(compiled("market")), Contract(compiled("evidence"))
    reader = bytes.fromhex(court.evm.deploy(hexed(address(9)), evidence.creation())[2:])
    limits = (LIMITS.phase_min, LIMITS.window_max, LIMITS.lease_max)
    code = market.creation(court.at["vault"], court.at["court"], reader, *limits)
    made = court.evm.deploy(hexed(address(9)), code)
    there = court.evm.basic(made)
    court.evm.insert_account_info(
        hexed(court.at["market"]), pyrevm.AccountInfo(nonce=1, code=there.code)
    )
    for number in range(8):
        who = address(number)
        court.send(who, Call("token", "mint", (who, MONEY)))
        court.send(who, Call("token", "approve", (court.at["vault"], MONEY)))
        court.send(who, Call("vault", "deposit", (MONEY,)))
    return court, Site(1, bytes.fromhex(made[2:]))


class Play:
    """One job with a receipt in it, by the rules and by the contracts, and a dispute about it."""

    def __init__(self, terms: DisputeTerms, run: Run) -> None:
        self.court, self.site = grounds()
        self.snapshot = self.court.evm.snapshot()
        self.court.heard.clear()
        self.court.now = START
        self.market = Contract(compiled("market"))
        self.books = Books(court=self.court.at["court"], limits=LIMITS)
        for number in range(8):
            self.tell(actions.Deposit(address(number), MONEY))
        self.story = Planted(address, receipt=terms.game)
        self.make(self.story.award(self.books))
        job = self.books.jobs[self.story.terms.job]
        self.make(self.story.epoch(job))
        epoch = self.books.jobs[self.story.terms.job].ring[0]
        self.docket = self.story.docket(epoch, ROUND, LANE)
        words = docket_bytes(self.docket, self.site, sign)
        self.case = Case(
            replace(terms, arities=self.court.arities), run.states([0])[0], words, artifacts()
        )

    def close(self) -> None:
        self.court.evm.revert(self.snapshot)

    def tell(self, action: Action) -> None:
        after = apply(self.books, action, self.court.now)
        assert isinstance(after, Books), after
        self.books = after

    def make(self, action: Action) -> None:
        """Make a move by the rules and by the real market."""
        self.tell(action)
        call = call_of(action, self.site, sign)
        kept = artifacts()["market"]
        artifacts()["market"] = self.market
        self.court.send(action.sender, call)
        artifacts()["market"] = kept

    def settled(self) -> None:
        """Settle the job after its end, and compare once more."""
        self.court.now = self.story.terms.ends + 1
        job = self.books.jobs[self.story.terms.job]
        self.make(self.story.settle(job, job.ring[0]))
        self.check()

    def check(self) -> None:
        """Hold every account to the rules' books."""
        for number in range(8):
            account = self.books.account(address(number))
            found = self.court.look("vault", "account", address(number))
            assert found == (account.free, account.locked, account.leases), number


def opened(*, lying_solver: bool) -> tuple[Play, Doubter, Answerer]:
    """Return a dispute that was opened: about a lie, or by a liar."""
    toy = small()
    honest, lying = Run(toy), Run(toy, (Lie(2, 3, 1),))
    answering, doubting = (lying, honest) if lying_solver else (honest, lying)
    play = Play(answering.terms(), answering)
    doubter = Doubter(play.case, doubting, CHALLENGER, bytes(32), settles=False)
    court = play.court
    court.send(CHALLENGER, doubter.announce())
    court.now += 1
    start = court.clock(play.story.terms.clock)
    court.send(CHALLENGER, doubter.open(SOLVER, bond=BOND, clock=start))
    play.tell(actions.Admit(court.at["court"], play.docket, play.case.terms.game))
    play.tell(actions.LockBond(court.at["court"], CHALLENGER, BOND))
    play.check()
    return play, doubter, Answerer(play.case, answering)


@pytest.fixture
def closing() -> Iterator[list[Play]]:
    """Roll back what a test played."""
    plays: list[Play] = []
    yield plays
    for play in plays:
        play.close()


def test_a_solver_that_is_silent_about_a_lie_loses_its_stake_to_court_and_market(
    closing: list[Play],
) -> None:
    play, doubter, _ = opened(lying_solver=True)
    closing.append(play)
    court, receipt = play.court, play.case.terms.game
    for event in court.events(0):
        assert doubter.hear(event) is None
    court.now += 10_000
    call = doubter.timeout(court.now)
    assert call is not None
    court.send(CHALLENGER, call)
    segment = min(2 * 2 // 5, play.story.terms.segments - 1)
    sender = court.at["court"]
    play.tell(actions.Convict(sender, play.docket, receipt, segment, CHALLENGER))
    play.tell(actions.FreeBond(sender, CHALLENGER, BOND))
    play.check()
    assert play.books.account(CHALLENGER).free == MONEY + 1_002 // 4
    play.settled()
    assert play.books.account(SOLVER).free == MONEY - 1_002


def test_a_challenger_that_doubts_what_is_true_loses_its_bond_to_the_solver(
    closing: list[Play],
) -> None:
    play, _, answerer = opened(lying_solver=False)
    closing.append(play)
    court, receipt = play.court, play.case.terms.game
    (call,) = [answerer.hear(event) for event in court.events(0)]
    assert call is not None
    court.now += 1
    court.send(SOLVER, call)
    for event in court.events(1):
        answerer.hear(event)
    court.now += 10_000
    timeout = answerer.timeout(court.now)
    assert timeout is not None
    court.send(SOLVER, timeout)
    sender = court.at["court"]
    play.tell(actions.Dismiss(sender, play.docket, receipt))
    play.tell(actions.SlashBond(sender, CHALLENGER, BOND, SOLVER, SOLVER))
    play.check()
    play.settled()
    gain = BOND // 2
    assert play.books.account(SOLVER).free == MONEY + gain + 2 * 6
