"""Whoever moves the contracts along with the rules, and compares everything after each move."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from skerry.settle import Audit, Books, Job, Refused, actions
from skerry.settle.actions import Action
from skerry.settle.vault import held
from tests.contracts.evm import DEAD, Chain, address
from tests.settle.stories import FUNDS, LIMITS, START, Teller


class Opening:
    """A chain on which everyone has tokens, rolled back to that for each sequence of moves."""

    def __init__(self) -> None:
        self.chain = Chain(LIMITS)
        for number in range(8):
            self.chain.fund(address(number), 2 * FUNDS)
        # What one deposits beyond the vault's limit must be refused by the limit, not the token.
        self.chain.fund(address(7), 1 << 97)
        self.snapshot = self.chain.evm.snapshot()

    def again(self) -> Chain:
        """Return the chain as it was at first."""
        self.chain.evm.revert(self.snapshot)
        self.snapshot = self.chain.evm.snapshot()
        self.chain.now = START
        return self.chain


@cache
def opening() -> Opening:
    """Return the one chain of this process; deploying takes longer than most tests."""
    return Opening()


def job_word(job: Job) -> tuple[int, int]:
    """Return the two words in which the contract keeps a job."""
    word = job.escrow | job.epochs << 96 | job.rounds << 112 | job.games << 144
    word |= job.fallen << 160 | job.coordinator_fallen << 164
    word |= 1 << (166 if job.closed else 165)
    for seat, count in enumerate(job.audited):
        word |= count << 168 + 16 * seat
    return word, job.convicted | job.raised << 64 | job.quiet << 128


def audit_word(audit: Audit) -> int:
    """Return the word in which the contract keeps an audit."""
    pot = int.from_bytes(audit.pot or b"", "big")
    masks = audit.revealed | audit.sealed << 4 | audit.shown << 8 | audit.accepts << 12
    word = pot | audit.committed << 128 | int(audit.pot is not None) << 168 | masks << 169
    word |= audit.split << 185 | int.from_bytes(audit.trace, "big") << 186
    for seat, tag in enumerate(audit.tags):
        word |= tag << 218 + 8 * seat
    return word | audit.counted << 250


def compare(books: Books, chain: Chain) -> None:
    """Compare accounts, burned money, jobs and audits with what the contracts store."""
    for number in range(8):
        who = address(number)
        account = books.account(who)
        found = (*chain.look("vault", "account", who), *chain.look("vault", "exiting", who))
        named = (account.free, account.locked, account.leases, account.exiting, account.ready)
        assert found == named, number
    assert chain.look("vault", "burned") == (books.burned,)
    assert chain.look("token", "balanceOf", chain.at["vault"]) == (held(books),)
    assert chain.look("token", "balanceOf", DEAD) == (books.gone,)
    for name, job in books.jobs.items():
        assert chain.look("market", "job_word", name) == job_word(job)
        for number, audit in {} if job.closed else job.audits.items():
            _, found_word, fold = chain.look("market", "audit_word", name, number)
            assert found_word == audit_word(audit)
            assert not audit.sealed or fold == audit.fold


@dataclass(frozen=True, slots=True)
class Remembered(Books):
    """Books that know how they came about, so that a chain can be brought to the same point."""

    history: tuple[tuple[Action, int], ...] = ()


class Twin(Teller):
    """Tell a story to the contracts as well."""

    party = staticmethod(address)

    def __init__(self) -> None:
        self.chain = opening().again()
        self.history: tuple[tuple[Action, int], ...] = ()

    def open(self, court: bytes) -> Books:
        """Return empty books."""
        return Remembered(court=court, limits=LIMITS)

    def hear(
        self, books: Books, action: Action, now: int, outcome: Books | Refused
    ) -> Books | Refused:
        """Make the move on the chain, in the state that `books` describe, and compare."""
        assert isinstance(books, Remembered)
        if self.history != books.history:
            self.chain = opening().again()
            for step, at in books.history:
                self.chain.now = at
                assert self.chain.apply(step) is None
        self.chain.now = now
        found = self.chain.apply(action)
        self.history = books.history
        if isinstance(outcome, Refused):
            assert found == outcome, (action, found)
            return outcome
        assert found is None, (action, found)
        self.history = (*books.history, (action, now))
        if not isinstance(action, actions.Deposit):
            compare(outcome, self.chain)
        return replace(outcome, history=self.history)  # type: ignore[call-arg]
