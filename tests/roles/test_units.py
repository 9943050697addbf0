"""A receipt about something else than was ordered is told from one that is, without a replay."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from skerry.commit import state_root
from skerry.messages.receipts import Cost, DataSlice, Receipt, Unit, UnitId
from skerry.messages.rounds import RunConfig
from skerry.roles.units import LaneWord, altered
from skerry.verify.asked import asked_units

A, B, C, D = (bytes([at]) * 32 for at in range(1, 5))
BEFORE = state_root({"params": D})
LOCAL = RunConfig(
    exchange="local", rounds=4, local_steps=6, lanes=3, shards_per_lane=2, samples_per_shard=1,
    segments=2, seed=9, programs=(("encode", A), ("merge", B), ("step", C)), data=D,
)  # fmt: skip
EVERY = RunConfig(
    exchange="every-step", rounds=4, lanes=3, shards_per_lane=2, samples_per_shard=1, seed=9,
    programs=(("apply", A), ("grad", B)),
)  # fmt: skip


def receipts(config: RunConfig, at: int, lane: int) -> list[Receipt]:
    """Return receipts as a lane of the run gives them."""
    found = []
    state = BEFORE
    for unit in asked_units(config, at, lane):
        after = tuple(bytes([7 + it]) * 32 for it in range(unit.segments))
        given = (("start", D),) if config.exchange == "local" and unit.steps == 1 else ()
        made = msgspec.structs.replace(unit, state=state, given=given)
        found.append(Receipt(unit=made, segments=after, outputs=(), cost=Cost(1, 1), signer=B))
        state = after[-1] if config.exchange == "local" else BEFORE
    return found


def what(
    config: RunConfig, at: int, lane: int, those: list[Receipt], root: bytes, **said: Any
) -> str | None:
    """Return what of a lane's receipts is not as ordered."""
    return altered(config, at, lane, LaneWord(those, **said), root)


def changed(receipt: Receipt, **fields: Any) -> Receipt:
    """Return a receipt whose unit says something else."""
    unit = msgspec.structs.replace(receipt.unit, **fields)
    segments = receipt.segments[: unit.segments]
    return msgspec.structs.replace(receipt, unit=unit, segments=segments)


@pytest.mark.parametrize("config", [LOCAL, EVERY])
def test_what_was_ordered_is_as_ordered(config: RunConfig) -> None:
    assert what(config, 2, 1, receipts(config, 2, 1), BEFORE) is None
    assert what(config, 2, 2, receipts(config, 2, 1), BEFORE) == "id"
    assert what(config, 2, 1, receipts(config, 2, 1)[:1], BEFORE) == "count"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 5),
        ("step_from", 0),
        ("seed", 8),
        ("segments", 1),
        ("program", A),
        ("data", DataSlice(D, bytes(32), (0, 1))),
        ("id", UnitId(A, 2, 1)),
    ],
)
def test_another_unit_is_named_by_what_differs(field: str, value: object) -> None:
    block, exchange = receipts(LOCAL, 2, 1)
    assert what(LOCAL, 2, 1, [changed(block, **{field: value}), exchange], BEFORE) == field


def test_a_unit_that_starts_elsewhere_is_seen_where_it_can_be() -> None:
    block, exchange = receipts(LOCAL, 2, 1)
    assert what(LOCAL, 2, 1, [block, changed(exchange, state=D)], BEFORE) == "state"
    assert what(LOCAL, 2, 1, [block, changed(exchange, given=(("start", A),))], BEFORE) == "given"
    assert what(LOCAL, 2, 1, [block, changed(exchange, given=())], BEFORE) == "given"
    first, second = receipts(EVERY, 2, 1)
    assert what(EVERY, 2, 1, [first, changed(second, state=D)], BEFORE) == "state"
    other = msgspec.structs.replace(second, signer=C)
    assert what(EVERY, 2, 1, [first, other], BEFORE) == "signer"


def test_the_units_are_those_that_a_worker_runs() -> None:
    kinds = [type(it) for it in asked_units(LOCAL, 0, 0)]
    assert kinds == [Unit, Unit]
    assert [it.steps for it in asked_units(LOCAL, 3, 0)] == [6, 1]
    assert [it.data.shards for it in asked_units(EVERY, 3, 2) if it.data] == [(4,), (5,)]


def test_a_lane_must_go_on_from_what_it_left() -> None:
    left = {"momentum": A, "params": C}
    before = {"momentum": B, "params": A}
    block, exchange = receipts(LOCAL, 2, 1)
    start = state_root({"momentum": B, "params": D})
    ends = state_root(left)
    block = changed(block, state=start)
    exchange = msgspec.structs.replace(exchange, segments=(ends,))
    said = {"left": tuple(sorted(left.items())), "before": before}
    assert what(LOCAL, 2, 1, [block, exchange], BEFORE, **said) is None
    stale = changed(block, state=state_root({"momentum": B, "params": A}))
    assert what(LOCAL, 2, 1, [stale, exchange], BEFORE, **said) == "state"
    other = {"left": (("momentum", B), ("params", C)), "before": before}
    assert what(LOCAL, 2, 1, [block, exchange], BEFORE, **other) == "left"
