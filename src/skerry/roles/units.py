"""Whether a lane's receipts are about the units that the job asks for, told without running one.

What    `altered` says what differs first, or None.
Why     A receipt about other steps, samples or another seed may well be true; it is just not what
        was ordered. Everyone can see that at once, so such a lane is counted for nobody.
Rule    "local": one block of `local_steps` runs of "step", then one run of "encode" on what that
        left, given the round's global parameters. "every-step": one run of "grad" for each shard,
        on the round's global state. All are signed by one key. A lane's first unit starts from the
        round's parameters and from what the lane left in the round before, opened by digests.
Pure    No IO.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    """

    receipts: Sequence[Receipt]
    left: NamedDigests = ()
    before: Mapping[str, bytes] | None = None


def _loose_end(
    said: LaneWord, block: Receipt, exchange: Receipt, given: Mapping[str, bytes]
) -> str | None:
    """Return whether a lane does not join the round before, or what it leaves is not its state."""
    if said.left and state_root(dict(said.left)) != exchange.state_after:
        return "left"
    if said.before:
        started = state_root({**said.before, "params": given["start"]})
        return None if block.unit.state == started else "state"
    return None


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
        block, exchange = receipts
        given = dict(exchange.unit.given)
        if given.keys() != {"start"} or state_root({"params": given["start"]}) != state_before:
            return "given"
        if exchange.unit.state != block.state_after:
            return "state"
        return _loose_end(said, block, exchange, given)
    return None if all(it.unit.state == state_before for it in receipts) else "state"
