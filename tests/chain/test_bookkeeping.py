"""The books that are read from a chain's log are the books that the rules made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.happy import FUNDS, WINDOW, Ground, HappyJob, sign
from skerry.chain.anvil import CHAIN, Anvil
from skerry.chain.bookkeeping import Bookkeeper
from skerry.chain.deploy import Manifest, Placed
from skerry.chain.errors import BooksDiffer
from skerry.chain.keyfiles import signer_of
from skerry.chain.moves import Call
from skerry.chain.rpc import Rpc
from skerry.market.offers import NOBODY, Offer, Role, offer_message
from skerry.settle import Books, actions

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with Anvil(repeatable=True) as anvil:
        rpc = Rpc(anvil.url)
        yield Ground(rpc)
        rpc.close()


def keeper_of(ground: Ground, folder: Path) -> Bookkeeper:
    at = ground.at | {"court": ground.books.court}
    placed = {name: Placed(address, bytes(32), "") for name, address in at.items()}
    return Bookkeeper(folder / "events", ground.rpc, Manifest(CHAIN, 0, placed))


def test_a_whole_job_is_read_back_event_by_event(ground: Ground, tmp_path: Path) -> None:
    job = HappyJob(ground, 12, 2)
    job.fund()
    keeper = keeper_of(ground, tmp_path)
    job.award()
    for number in range(2):
        ground.now += 3_600
        job.commit()
        assert len(keeper.catch_up()) > 0
        assert keeper.books == ground.books
        job.audit(ground.books.jobs[job.terms.job].ring[number])
        keeper.catch_up()
        assert keeper.books == ground.books
    state = ground.books.jobs[job.terms.job]
    last = state.ring[1]
    ground.now = last.committed + WINDOW
    before = {who: keeper.books.account(who) for who in job.everyone()}
    ground.make(actions.Settle(job.solvers[0], job.terms, job.leases, last, state.paid), "settle")
    (entry,) = keeper.catch_up()
    assert keeper.books == ground.books
    assert entry.what == "Settled"
    assert sum(entry.moved.values()) == 0
    for who in job.everyone():
        after = keeper.books.account(who)
        assert after.free + after.locked - before[who].free - before[who].locked == (
            entry.moved.get(who, 0)
        )
    ground.make(actions.RecallOffers(job.solvers[1]), "recall")
    ground.make(actions.RequestWithdraw(job.solvers[1], 5), "withdrawals")
    keeper.catch_up()
    assert keeper.books == ground.books
    keeper.check(job.everyone())
    again = keeper_of(ground, tmp_path)
    again.catch_up()
    assert again.books == ground.books
    again.close()
    keeper.close()


def test_books_that_differ_from_the_vault_are_named(ground: Ground, tmp_path: Path) -> None:
    keeper = keeper_of(ground, tmp_path)
    keeper.catch_up()
    who = next(iter(keeper.books.accounts))
    keeper.check([who])
    account = keeper.books.account(who)
    keeper.books = keeper.books.with_account(who, replace(account, free=account.free + 1))
    with pytest.raises(BooksDiffer, match="the vault holds"):
        keeper.check([who])
    keeper.close()


def test_what_the_chain_takes_back_leaves_the_books(ground: Ground, tmp_path: Path) -> None:
    keeper = keeper_of(ground, tmp_path)
    who = HappyJob(ground, 6).submitter
    ground.now += 1
    before = keeper_books(keeper)
    snapshot = ground.rpc.ask("evm_snapshot")
    ground.send(who, Call("vault", "recall_offers", ()), "recall")
    keeper.catch_up()
    assert keeper.books.account(who).leases == before.account(who).leases + 1
    ground.rpc.ask("evm_revert", snapshot)
    for _ in range(3):
        ground.now += 7
        ground.rpc.ask("evm_setNextBlockTimestamp", ground.now)
        ground.rpc.ask("evm_mine")
    keeper.catch_up()
    assert keeper.books == before
    keeper.close()


def keeper_books(keeper: Bookkeeper) -> Books:
    keeper.catch_up()
    return keeper.books


def test_a_signature_names_its_signer_and_no_other(ground: Ground) -> None:
    who = HappyJob(ground, 6).submitter
    offer = Offer(who, Role.COORDINATOR, 1, 0, 2, FUNDS, 9, 9, 0)
    message = offer_message(offer, chain=CHAIN, market=ground.at["market"])
    signature = sign(who, message)
    assert signer_of(message, signature) == who
    other = offer_message(replace(offer, price=3), chain=CHAIN, market=ground.at["market"])
    assert signer_of(other, signature) != who
    assert signer_of(message, bytes(64)) == NOBODY
