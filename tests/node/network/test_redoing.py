"""How far a paid run goes back, what is written down of it, and what stays of its folder."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from skerry.messages.leased import Assignment, Awarded, NodeAddress, Party
from skerry.messages.receipts import Receipt
from skerry.messages.rounds import RunConfig
from skerry.messages.wire import decode_as, encode
from skerry.node.life import RunJob
from skerry.node.market.bought import bought_by, keep_bought
from skerry.node.market.spoiled import Spoiled
from skerry.node.network.doubting import first_false
from skerry.node.network.gathering import keep_last_good
from skerry.node.network.redoing import (
    Rollback,
    cut_back,
    keep_rollback,
    kept_for,
    rollback_of,
    set_aside,
)
from skerry.node.network.submitter import FIRST, Turn
from skerry.storage import RunFolder, read_file, write_file
from tests.node.small import every_step_job, local_job
from tests.node.within import Within

KEYS = tuple(bytes([it]) * 32 for it in range(1, 5))
WHO = tuple(bytes([it]) * 20 for it in range(1, 5))


def assigned(config: RunConfig, *nodes: int, award: int = 0, **past: object) -> Assignment:
    parties = tuple(Party(KEYS[it], WHO[it]) for it in nodes)
    return Assignment(
        signer=KEYS[0],
        config=config,
        programs=(),
        nodes=tuple(NodeAddress(KEYS[it], f"{it}@") for it in nodes),
        awarded=Awarded(1, WHO[0], bytes([award]) * 32, parties),
        **past,  # type: ignore[arg-type]
    )


def test_each_time_one_more_is_shunned_and_all_former_nodes_are_remembered(tmp_path: Path) -> None:
    config = local_job(rounds=9).config
    first = assigned(config, 0, 1, award=7)
    once = rollback_of(tmp_path).after(first, Spoiled(5, (), frozenset({WHO[1]}), 10), 4)
    keep_rollback(tmp_path, once)
    assert rollback_of(tmp_path) == once
    assert once == rollback_of(tmp_path).after(first, Spoiled(5, (), frozenset({WHO[1]}), 10), 4)
    assert (once.stays, once.turn(once.stays)) == (4, Turn((4,), KEYS[:2]))
    second = assigned(config, 0, 2, award=8, kept=once.turn(4).kept, earlier=once.turn(4).earlier)
    twice = once.after(second, Spoiled(6, (), frozenset({WHO[2]}), 10), 6)
    assert twice.turn(0) == Turn((4, 0), KEYS[:3]), "where nobody who is hired has the rounds"
    assert twice.shunned == (WHO[1].hex(), WHO[2].hex())
    assert twice.awards == ((b"\7" * 32).hex(), (b"\x08" * 32).hex())
    assert Rollback().turn(0) == FIRST


def test_an_exchange_at_every_step_goes_back_to_a_checkpoint() -> None:
    assert kept_for(local_job(rounds=9).config, 5) == 5
    assert kept_for(every_step_job(rounds=9, save_rounds=2).config, 5) == 4
    assert kept_for(every_step_job(rounds=9, save_rounds=0).config, 5) == 0
    assert kept_for(every_step_job(rounds=9, save_rounds=2, save_limit=1).config, 5) == 0


def test_an_invoice_knows_every_name_of_a_run(tmp_path: Path) -> None:
    keep_bought(tmp_path, Path("home"), b"\2" * 32)
    keep_bought(tmp_path, Path("home"), b"\3" * 32, ("02" * 32,))
    bought = bought_by(tmp_path)
    assert bought is not None
    assert bought.jobs == ("02" * 32, "03" * 32)


@pytest.fixture
def run(tmp_path: Path) -> tuple[RunJob, RunFolder]:
    job = local_job(rounds=6, save_rounds=2)
    Within(job, tmp_path / "run", workers=1).run()
    return job, RunFolder(tmp_path / "run")


def test_only_what_is_false_is_found_false(run: tuple[RunJob, RunFolder]) -> None:
    _, folder = run
    units = [(at, lane) for at in range(1, 5) for lane in (0, 2)]
    assert first_false(folder, None, units) is None
    path = folder.receipt_path(3, 2, "step")
    true = decode_as(Receipt, read_file(path))
    false = msgspec.structs.replace(true, segments=(bytes(32), *true.segments[1:]))
    write_file(path, encode(false))
    assert first_false(folder, None, units) == 3
    assert first_false(folder, None, [it for it in units if it != (3, 2)]) is None


def test_a_run_that_went_back_has_its_last_good_state_and_its_bills(
    run: tuple[RunJob, RunFolder],
) -> None:
    job, folder = run
    before = assigned(job.config, 0, 1)
    write_file(folder.root / "assignment", encode(before))
    records = [folder.read_round(at) for at in range(6)]
    receipts = [path.name for path in folder.receipts()]
    place = folder.root
    for _ in range(2):  # as after a kill in the middle
        place = set_aside(folder, before, "ab" * 32)
        assert keep_last_good(folder, None, 3)
        cut_back(folder, 3)
    assert not (folder.root / "assignment").exists()
    last = folder.last_checkpoint(lanes_too=False)
    assert last is not None
    assert last.round == 3
    assert [folder.read_round(at) for at in range(6)] == [*records[:3], None, None, None]
    aside = RunFolder(place)
    assert [aside.read_round(at) for at in range(6)] == records
    assert [path.name for path in aside.receipts()] == receipts
    assert not keep_last_good(folder, None, 0), "the first state is no state of this run yet"
