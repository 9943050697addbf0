"""Which units a run's terms ask for, told without running one.

What    `asked_units` are the units of a lane in a round; `differs` is what another one says
        otherwise; `is_asked` holds the bytes of a receipt against the bytes of the terms.
Why     A receipt about other steps, samples or another seed may well be true; it is just not what
        was ordered, and everyone can see that at once: a chain too.
Rule    "local": one block of `local_steps` runs of "step", then one run of "encode" in a round that
        ends with a merge. "every-step": one run of "grad" for each shard. The states that they
        start from are left open.
Source  contracts/evidence.vy, function asked, reads the same bytes.
Pure    No IO.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from skerry.base.digests import EMPTY, digest
from skerry.base.errors import SkerryError
from skerry.messages.receipts import DataSlice, Receipt, Unit, UnitId
from skerry.messages.rounds import RunConfig
from skerry.messages.wire import decode_as

_LEFT_OPEN = ("state", "given")


def _unit(config: RunConfig, at: int, lane: int, name: str, data: Sequence[int] | None) -> Unit:
    block = name == "step"
    reading = dict(config.readings).get("train", EMPTY)
    return Unit(
        id=UnitId(config.job, at, lane),
        program=dict(config.programs)[name],
        state=EMPTY,
        step_from=at * config.local_steps,
        steps=config.local_steps if block else 1,
        segments=config.segments if block else 1,
        seed=config.seed,
        data=None if data is None else DataSlice(config.data or EMPTY, reading, tuple(data)),
    )


def asked_units(config: RunConfig, at: int, lane: int) -> list[Unit]:
    """Return the units of a lane in a round; their states and given inputs are left open."""
    return _units(config, at, lane, merges=config.merges(at))


def _units(config: RunConfig, at: int, lane: int, *, merges: bool) -> list[Unit]:
    first = lane * config.shards_per_lane
    shards = range(first, first + config.shards_per_lane)
    if config.exchange == "local":
        step = _unit(config, at, lane, "step", shards)
        return [step, _unit(config, at, lane, "encode", None)] if merges else [step]
    return [_unit(config, at, lane, "grad", [shard]) for shard in shards]


def differs(due: Unit, unit: Unit) -> str | None:
    """Return the first field of a unit that is not as it was asked for, or None."""
    fields = (it for it in due.__struct_fields__ if it not in _LEFT_OPEN)
    return next((it for it in fields if getattr(due, it) != getattr(unit, it)), None)


def is_asked(
    spec: bytes, at: int, lane: int, place: int, receipt: bytes, config: bytes
) -> bool | None:
    """Return whether a receipt is about the unit that a job asks for there.

    Args:
        spec: the job's name, which is the digest of its terms.
        at: the round.
        lane: the lane.
        place: the receipt's place among those of the lane.
        receipt: its bytes.
        config: the bytes of the terms.

    Returns:
        None where the terms are others, or one of the two cannot be read.

    The chain reads no `merge_rounds`: an "encode" where nothing is merged passes. No lane that has
    one counts for anybody, so there is nothing to win by it.
    """
    if digest("run", config) != spec:
        return None
    try:
        unit = decode_as(Receipt, receipt).unit
        terms = msgspec.msgpack.decode(config, type=RunConfig)
        asked = _units(terms, at, lane, merges=True)
    except (msgspec.DecodeError, SkerryError, KeyError):
        return None
    return place < len(asked) and differs(asked[place], unit) is None
