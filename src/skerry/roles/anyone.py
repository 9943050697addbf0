"""What anyone may do, and somebody should: draw, punish silence, blame, hold to a word, settle.

What    `common_move` is the next such move. `against_coordinator` is the proof against one that
        signed or counted otherwise than it committed.
Why     A job must end whoever has left; each of these moves needs nobody's leave.
Rule    A draw is locked by whoever is first. Money is settled when an epoch is final, as soon as
        that changes anything. Who finds a fault gets a quarter of what it costs.
Pure    Values in, an action out.
"""

from __future__ import annotations

from collections.abc import Mapping

from skerry.base.digests import EMPTY
from skerry.market.offers import SignedRecord
from skerry.roles.course import Course
from skerry.roles.sight import Sight
from skerry.settle import Audit, Epoch, actions
from skerry.settle.actions import Action
from skerry.settle.records import path_in
from skerry.verify.audits import drawn_index


def common_move(sight: Sight, me: bytes) -> Action | None:
    """Return what anyone may do now, the most urgent first."""
    if sight.state.closed:
        return None
    return (
        lock_due(sight, me) or silence_due(sight, me) or blame_due(sight, me) or pay_due(sight, me)
    )


def lock_due(sight: Sight, me: bytes) -> Action | None:
    """Return the move that takes the chain's randomness for the oldest draw that waits for it."""
    for number, audit in sorted(sight.state.audits.items()):
        if audit.pot is not None or not sight.terms.seats:
            continue
        if sight.phase(audit) == 1 and sight.now > audit.committed + sight.terms.delay:
            return actions.LockDraw(me, sight.terms, number, EMPTY)
    return None


# -- silence


def missed(sight: Sight, audit: Audit, seat: int) -> bool:
    """Return whether an auditor let a phase of a drawn audit go by."""
    if audit.pot is None:
        return False
    after = sight.phase(audit)
    parts = ((audit.revealed, 2), (audit.sealed, 3), (audit.shown, 4))
    return any(not mask >> seat & 1 and after > last for mask, last in parts)


def silence_due(sight: Sight, me: bytes) -> Action | None:
    """Return the move that slashes an auditor which missed a phase."""
    for number, audit in sorted(sight.state.audits.items()):
        for seat in sight.seated:
            if not sight.fallen(seat) and missed(sight, audit, seat):
                return actions.PunishSilence(me, sight.terms, number, seat)
    return None


# -- blame


def blame_due(sight: Sight, me: bytes) -> Action | None:
    """Return the move that slashes who accepted what a dispute convicted, or pays `me` for a no."""
    state = sight.state
    for number, epoch in sorted(state.ring.items()):
        audit = state.audits[number]
        draw = _convicted_draw(sight, epoch) if audit.shown else None
        if draw is None:
            continue
        for seat in sight.seated:
            accepts, mine = audit.accepts >> seat & 1, sight.terms.auditors[seat] == me
            owed = mine and audit.shown >> seat & 1 and not audit.counted >> seat & 1
            if (accepts or owed) and not sight.fallen(seat):
                return actions.Blame(me, sight.terms, epoch, seat, draw)
    return None


def _convicted_draw(sight: Sight, epoch: Epoch) -> int | None:
    lies = {at for number, at in sight.state.lies if number == epoch.number}
    seed = sight.seed(epoch.number)
    if not lies or seed is None:
        return None
    terms = sight.terms
    total = (epoch.round_to - epoch.round_from) * terms.lanes * terms.segments
    hits = (at for at in range(terms.draws) if drawn_index(seed, at, total) in lies)
    return next(hits, None)


# -- the coordinator's word


def against_coordinator(
    sight: Sight, course: Course, signed: Mapping[tuple[int, int], SignedRecord], me: bytes
) -> Action | None:
    """Return the proof against a coordinator that committed otherwise than it signed or counted.

    Args:
        sight: the job now.
        course: what the rounds came to.
        signed: the records that the coordinator signed, by epoch and round.
        me: who sends.
    """
    state, terms = sight.state, sight.terms
    if state.closed:
        return None
    for number, epoch in sorted(state.ring.items()):
        if not course.agrees(epoch):
            continue  # what it committed instead is known to nobody who did not see it
        rounds = range(epoch.round_from, epoch.round_to)
        names = course.records(number, rounds)
        for at in rounds:
            word = signed.get((number, at))
            committed = names[at - rounds.start]
            if word is None or word.record == committed or state.coordinator_fallen:
                continue
            path = path_in(names, at - rounds.start)
            return actions.Misrecord(me, terms, epoch, word, terms.coordinator, committed, path)
        move = _tally_due(sight, course, epoch, me)
        if move is not None:
            return move
    return None


def _tally_due(sight: Sight, course: Course, epoch: Epoch, me: bytes) -> Action | None:
    """Return the proof that an epoch counts a lease below its own lanes."""
    if sight.now > epoch.committed + sight.terms.window:
        return None
    rounds = range(epoch.round_from, epoch.round_to)
    for lease in range(sight.terms.nodes):
        lanes = course.lanes_of(lease, rounds)
        if not lanes:
            continue
        at, lane = lanes[-1]
        known = max(epoch.tally[lease], sight.state.units.get(lease, 0))
        if course.units(at, lane) > known:
            evidence = course.evidence(epoch, at, lane, 0)
            return actions.RaiseTally(me, sight.terms, epoch, evidence)
    return None


# -- the end


def pay_due(sight: Sight, me: bytes) -> Action | None:
    """Return the settlement that pays for the latest final epoch, or closes the job."""
    state, terms = sight.state, sight.terms
    if state.closed or state.games or sight.now <= state.quiet:
        return None
    over = state.coordinator_fallen or sight.now > terms.ends or state.rounds == terms.rounds
    final = [it for it in state.ring.values() if sight.now > it.committed + terms.window]
    if not final:
        return (
            actions.Settle(me, terms, state.leases, None, ()) if over and not state.epochs else None
        )
    last = max(final, key=lambda it: it.number)
    closes = over and last.number == state.epochs - 1
    return (
        actions.Settle(me, terms, state.leases, last, state.paid)
        if closes or _owed(sight, last)
        else None
    )


def _owed(sight: Sight, epoch: Epoch) -> bool:
    """Return whether settling an epoch would pay a solver anything now."""
    state = sight.state
    for at, lease in enumerate(state.leases):
        if state.convicted >> at & 1:
            continue
        before = state.paid[at] if state.paid else 0
        counted = max(epoch.tally[at], state.units.get(at, 0))
        if min(counted, epoch.round_to * lease.lanes) > before:
            return True
    return False
