"""The coordinator: it signs each round once, and commits the rounds of an epoch.

What    `word_on` is what it signs about a round; `commit_due` is the epoch that is due.
Why     Everything that is paid or doubted hangs on one root a job and epoch; two cost the stake.
Rule    An epoch is committed once all its rounds are there, or when no more will come. It waits
        while eight epochs are not final. A round's record is signed before anyone works on its
        state, in the epoch that its number says. A job closes early once all its rounds are
        committed: so a submitter whose run died commits those that never took place as blank, in
        an epoch of their own, lest the real ones be drawn less often. Another party would be paid
        for them, so it waits for the job's end.
Pure    Values in, an action out.
"""

from __future__ import annotations

from skerry.market.offers import SignedRecord
from skerry.roles.course import Course
from skerry.roles.sight import Sight
from skerry.settle import actions
from skerry.settle.actions import Action
from skerry.settle.books import RING


def word_on(course: Course, at: int) -> SignedRecord:
    """Return what the coordinator signs about round `at`."""
    epoch = course.epoch_of(at)
    return SignedRecord(course.terms.job, epoch, at, course.record(epoch, at))


def commit_due(sight: Sight, course: Course, me: bytes, *, over: bool = False) -> Action | None:
    """Return the epoch that is due.

    Args:
        sight: the job now.
        course: what the rounds came to so far.
        me: who sends; nothing is due unless that is the job's coordinator.
        over: whether no round will come any more, so that a short epoch is due as well; and then,
            where the submitter records its own job, one of all the rounds that never came.
    """
    state, terms = sight.state, sight.terms
    if state.closed or me != terms.coordinator or state.coordinator_fallen:
        return None
    if sight.now > terms.ends or state.epochs == terms.epochs:
        return None
    before = state.audits.get(state.epochs - RING)
    if before is not None and sight.now <= before.committed + terms.window:
        return None
    first, epoch = state.rounds, state.epochs
    whole = course.end_of(epoch)
    have = min(len(course.rounds), whole)
    if over and me == terms.submitter and (have <= first or epoch == terms.epochs - 1):
        course, have = course.filled(terms.rounds), terms.rounds
    if have <= first or (have < whole and not over):
        return None
    root = course.root(epoch, range(first, have))
    return actions.CommitEpoch(me, terms, root, have - first, course.tally(have))
