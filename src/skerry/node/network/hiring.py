"""Hiring: from a network with a chain to nodes that are bound to a job by an award.

What    `hire(client, ...)` matches the offers of nodes that can be reached, awards the job in one
        transaction, and returns the terms under which it is submitted.
Why     Whom a job is given to and whom its award binds must be the same nodes.
Rule    An address is a node's where its own signed announcement says so. Who runs lanes coordinates
        in the order of the leases, those that can be called first; auditors, and whoever records
        rounds on the chain, observe.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from skerry.job import MarketSection
from skerry.market.offers import Role
from skerry.market.terms import PHASES, Lease
from skerry.messages.leased import Awarded, Party
from skerry.messages.membership import Announcement
from skerry.node.life import RunJob
from skerry.node.market.awarding import Quote
from skerry.node.market.client import MarketClient
from skerry.node.network.purse import Purse
from skerry.node.network.redoing import Rollback
from skerry.node.network.roads import address_of
from skerry.node.network.submitter import NetworkTerms
from skerry.node.rates import measured_rate
from skerry.program import cost
from skerry.roles.client import Asking
from skerry.settle import Job, Limits

# An auditor that is too late loses its stake, and its machine may do much else: a desk must start,
# load torch, replay and be heard within one phase.
PHASE_SECONDS = 60
_REPLAYS_PHASE, _REPLAYS_CLOCK, _RUNS = 10, 10, 20


def unit_seconds(job: RunJob) -> float:
    """Return what one lane of one round should take on one core of this machine."""
    program = job.programs["step"] if "step" in job.programs else job.programs["grad"]
    steps = job.config.local_steps * job.config.shards_per_lane
    return steps * cost(program).operations / measured_rate(job)


def asking_of(
    wish: MarketSection, limits: Limits, unit: float, units: int, kept: int = 0
) -> Asking:
    """Return what a job asks for, with times that suit its replays and the market's limits.

    Args:
        wish: the job's own words.
        limits: what the market allows.
        unit: seconds that a unit should take.
        units: units of the job.
        kept: rounds that an earlier award has paid for.
    """
    replay = wish.draws * unit
    seconds = wish.seconds or 3600 + math.ceil(_RUNS * units * unit)
    phase = wish.phase_seconds or max(
        limits.phase_min, PHASE_SECONDS, math.ceil(_REPLAYS_PHASE * replay)
    )
    phase = min(phase, limits.window_max // PHASES)
    clock = wish.clock_seconds or max(limits.phase_min, 60, math.ceil(_REPLAYS_CLOCK * replay))
    return Asking(
        price_max=wish.price_max,
        price_audit=wish.price_audit,
        price_record=wish.price_record,
        auditors=wish.auditors,
        epoch_rounds=wish.epoch_rounds,
        draws=wish.draws,
        delay=max(1, min(60, phase // 2)),
        phase=phase,
        seconds=min(seconds, limits.lease_max),
        clock=min(clock, limits.window_max),
        lanes_each_max=wish.lanes_each_max,
        kept=kept,
    )


def _even(job: RunJob, purse: Purse, there: Mapping[bytes, Announcement]) -> int:
    """Return how many lanes each node gets, where all that are not to audit get alike."""
    solvers = sum("solver" in it.roles for it in there.values())
    alone = sum("solver" not in it.roles for it in there.values())
    return -(-job.config.lanes // max(1, solvers - max(0, purse.wish.auditors - alone)))


async def hire(
    client: MarketClient,
    purse: Purse,
    job: RunJob,
    there: Mapping[bytes, Announcement],
    past: Rollback,
) -> NetworkTerms:
    """Award a job, or find its award again, and return the terms under which it is submitted.

    Args:
        client: who pays.
        purse: what for.
        job: the job.
        there: the nodes, by their addresses on the chain; at least one can be called.
        past: how the run went back before; who was convicted is not hired again.

    Raises:
        OffersShort: the offers of these nodes do not suffice.
        FundsShort: the client holds too little.
    """
    there = {it: node for it, node in there.items() if it.hex() not in past.shunned}
    made = await client.unbegun(job.config)
    if made is None or not set(parties_of(made)) <= there.keys():
        quoted = await _quote(client, purse, job, there, past.stays)
        if not kept_by(past, quoted.draft.leases.leases, there):
            quoted = await _quote(client, purse, job, there, 0)
        terms = quoted.draft.terms
        purse.told(
            f"at most {terms.budget:,} for {terms.rounds} rounds of {terms.lanes} lanes and "
            f"{terms.seats} auditors: {quoted.locked:,} are locked now"
        )
        made = await client.buy(quoted)
    purse.told(f"awarded to {len(made.leases)} solvers under the name {made.terms.job.hex()[:16]}")
    return network_terms(client, made, there, past)


async def _quote(
    client: MarketClient,
    purse: Purse,
    job: RunJob,
    there: Mapping[bytes, Announcement],
    kept: int,
) -> Quote:
    units = (job.config.rounds - kept) * job.config.lanes
    asking = asking_of(purse.wish, client.limits, unit_seconds(job), units, kept)
    asking = replace(asking, lanes_each_max=asking.lanes_each_max or _even(job, purse, there))
    quoted = await client.quote(job.config, asking, set(there))
    asks = [it.price for it in quoted.draft.offers if it.role == Role.AUDITOR]
    if asks and not purse.wish.price_audit:  # all get what the dearest of them asks
        asking = replace(asking, price_audit=max(1, *asks))
        quoted = await client.quote(job.config, asking, set(there))
    return quoted


def kept_by(past: Rollback, leases: Sequence[Lease], there: Mapping[bytes, Announcement]) -> int:
    """Return how many rounds stay with these solvers: none where nobody has what they came to.

    Who is new could not go on without doing those rounds again, for no pay.
    """
    known = past.whole or any(there[it.node].signer.hex() in past.earlier for it in leases)
    return past.stays if known else 0


def parties_of(job: Job) -> list[bytes]:
    """Return the addresses of everyone bound by an award but its submitter."""
    terms = job.terms
    others = [*terms.auditors[: terms.seats], terms.coordinator]
    found = [it.node for it in job.leases] + [it for it in others if it != terms.submitter]
    return list(dict.fromkeys(found))


def network_terms(
    client: MarketClient, job: Job, there: Mapping[bytes, Announcement], past: Rollback
) -> NetworkTerms:
    """Return the terms under which an awarded job is submitted."""
    solvers = [it.node for it in job.leases]
    new = {it for it in solvers if there[it].signer.hex() not in past.earlier}
    # Who has the rounds that stay coordinates first, and of those who can be called.
    chairs = sorted(solvers, key=lambda it: (it in new, not there[it].endpoints))
    observers = [it for it in parties_of(job) if it not in solvers]
    parties = sorted((there[it].signer, it) for it in (*solvers, *observers))
    site = client.site
    awarded = Awarded(
        site.chain, site.market, job.terms.job, tuple(Party(key, who) for key, who in parties)
    )
    return NetworkTerms(
        [address_of(there[it]) for it in chairs],
        [address_of(there[it]) for it in observers],
        awarded,
        turn=past.turn(kept_by(past, job.leases, there)),
    )
