"""Whether a lane's receipts are about the units that the job asks for, told without running one.

What    `altered` says what differs first, or None.
Why     A receipt about other steps, samples or another seed may well be true; it is just not what
        was ordered. Everyone can see that at once, so such a lane is counted for nobody.
Rule    "local": one block of `local_steps` runs of "step", then, where the round ends with a merge,
        one run of "encode" on what that left, given the round's global parameters. "every-step":
        one run of "grad" for each shard, on the round's global state. All are signed by one key. A
        lane's first unit starts from what the lane left in the round before, opened by digests, and
        from the round's parameters where it starts from a merge.
Pure    No IO.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec import UNSET, UnsetType

from skerry.commit import state_root
from skerry.messages.fields import NamedDigests
from skerry.messages.receipts import Receipt
from skerry.messages.rounds import RunConfig
from skerry.verify.asked import asked_units, differs


@dataclass(frozen=True, slots=True)
class LaneWord:
    """What a lane says of itself in one round.

    Attributes:
        receipts: its receipts, in order.
        left: tensor digests of the state that its last unit left, by name.
        before: the same of the round before, zeros in the first one; None where it is not known.
        start: digest of the global parameters, where it starts from them and no receipt says so.
    """

    receipts: Sequence[Receipt]
    left: NamedDigests = ()
    before: Mapping[str, bytes] | None = None
    start: bytes | UnsetType = UNSET


def _loose_end(said: LaneWord, start: Mapping[str, bytes]) -> str | None:
    """Return whether a lane does not join the round before, or what it leaves is not its state.

    `start` has the digest of the global parameters, where the lane starts from them.
    """
    if said.left and state_root(dict(said.left)) != said.receipts[-1].state_after:
        return "left"
    if said.before:
        started = state_root({**said.before, **start})
        return None if said.receipts[0].unit.state == started else "state"
    return None


def _joins(config: RunConfig, at: int, said: LaneWord, state_before: bytes) -> str | None:
    """Return what of a lane of local steps does not hang together, or None."""
    block, start = said.receipts[0], said.start
    if config.merges(at):
        exchange = said.receipts[1]
        given = dict(exchange.unit.given)
        if given.keys() != {"start"} or start is not UNSET:
            return "given"
        start = given["start"]
        if exchange.unit.state != block.state_after:
            return "state"
    elif not said.left:
        return "left"  # nobody could go on from there
    elif (start is UNSET) != config.goes_on(at):
        return "given"
    if isinstance(start, UnsetType):
        return _loose_end(said, {})
    if state_root({"params": start}) != state_before:
        return "given"
    return _loose_end(said, {} if config.goes_on(at) else {"params": start})


def altered(
    config: RunConfig, at: int, lane: int, said: LaneWord, state_before: bytes
) -> str | None:
    """Return what of a lane is not as the job asks, or None.

    Args:
        config: the run.
        at: the round.
        lane: the lane.
        said: what it says of itself.
        state_before: root of the round's global state.
    """
    receipts = said.receipts
    asked = asked_units(config, at, lane)
    if len(receipts) != len(asked):
        return "count"
    for due, receipt in zip(asked, receipts, strict=True):
        field = differs(due, receipt.unit)
        if field is not None:
            return field
        if receipt.signer != receipts[0].signer:
            return "signer"
    if config.exchange == "local":
        return _joins(config, at, said, state_before)
    return None if all(it.unit.state == state_before for it in receipts) else "state"
