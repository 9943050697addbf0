"""Room on a board comes back: of jobs that are over, and of offers that have expired."""

from __future__ import annotations

from pathlib import Path

from tests.node.market.test_carriage import JOB, RICH, claim, new_shelf, offer


def test_a_job_that_is_over_leaves_its_room(tmp_path: Path) -> None:
    shelf = new_shelf(tmp_path)
    shelf.each_max = 3
    told = [claim(RICH, at) for at in range(4)]
    assert [shelf.put(it, RICH.address) for it in told] == [True, True, True, False]
    assert shelf.jobs() == {JOB}
    shelf.clear([JOB], 0)
    assert not shelf.jobs()
    assert not shelf.board.files()
    assert not shelf.after(b"another ", 0).told
    assert shelf.knows(told[0])  # so it is not asked about again
    assert not shelf.put(told[0], RICH.address)
    assert shelf.put(offer(RICH, nonce=0, expires=9), RICH.address)


def test_messages_of_ones_own_job_are_set_aside_for_its_statement(tmp_path: Path) -> None:
    shelf = new_shelf(tmp_path)
    told = [claim(RICH, at) for at in range(3)]
    for it in told:
        shelf.board.tell(it)
    assert shelf.own() == 3
    shelf.clear([JOB], 0, own=[JOB])
    assert not shelf.board.files()
    assert not list(new_shelf(tmp_path).board.hear())
    aside = sorted(shelf.board.set_aside_of(JOB), key=lambda it: getattr(it, "round", 0))
    assert aside == told


def test_an_expired_offer_leaves_and_a_newer_one_comes(tmp_path: Path) -> None:
    shelf = new_shelf(tmp_path)
    shelf.all_max = 1
    old, new = offer(RICH, nonce=0, expires=10), offer(RICH, nonce=1, expires=30)
    assert shelf.put(old, RICH.address)
    shelf.clear([], 10)
    assert shelf.offers() == [old]
    shelf.clear([], 11)
    assert shelf.offers() == []
    assert shelf.put(new, RICH.address)
    assert shelf.offers() == [new]


def test_offers_that_are_replaced_do_not_use_up_the_board(tmp_path: Path) -> None:
    shelf = new_shelf(tmp_path)
    shelf.all_max = 2
    made = [offer(RICH, nonce=at, expires=100) for at in range(8)]
    assert all(shelf.put(it, RICH.address) for it in made)
    assert not shelf.put(made[0], RICH.address)  # an older one again
    assert shelf.offers() == [made[-1]]
