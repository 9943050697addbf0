"""The audit of an epoch, in four phases of the same length, each ended by the clock alone.

What    1 the chain's randomness is locked; 2 auditors open their secrets; 3 they commit to
        verdicts; 4 they show them. `punish_silence` slashes who missed a phase, `blame` who
        accepted a segment that a dispute convicted, and pays who rejected it; `disprove_tag`
        slashes who did not hold the value that was drawn for its tag.
Why     Neither submitter nor solver takes part, so neither can stop an audit by staying silent;
        and a silent auditor only loses its stake, the draw goes on with the other secrets.
Rule    Phase p of an epoch committed at c covers the seconds c + (p-1)*phase < t <= c + p*phase.
        In phase 1 the randomness may be locked once t > c + delay. If nobody did, no audit is
        drawn and nobody is punished. An epoch whose auditors disagree on the trace pays none of
        them: one is wrong, and a dispute is where that is found out. Of a tag one byte is kept: a
        guess passes once in 256 times, and costs the stake otherwise.
Pure    `books` in, books out.
"""

from __future__ import annotations

from dataclasses import replace

from skerry.base.digests import EMPTY
from skerry.market.offers import NOBODY
from skerry.market.terms import AUDITORS_MAX, Terms
from skerry.settle import vault
from skerry.settle.actions import (
    Blame,
    CommitVerdict,
    DisproveTag,
    LockDraw,
    PunishSilence,
    RevealSecrets,
    ShowVerdict,
)
from skerry.settle.books import Audit, Books, Job, Reason, require
from skerry.settle.rounds import remembered
from skerry.verify.audits import (
    draw_seed,
    drawn_index,
    due_tag,
    first_pot,
    fold_commitment,
    opens,
    stir,
    verdict_commitment,
)

_TRACE_BYTES = 4


def _has(mask: int, seat: int) -> bool:
    return bool(mask >> seat & 1)


def audit_of(books: Books, terms: Terms, number: int) -> tuple[Job, Audit]:
    """Return a job under way and the audit of one of the epochs that are remembered."""
    job = books.open_job(terms)
    audit = job.audits.get(number)
    require(audit is not None, Reason.EPOCH)
    assert audit is not None
    return job, audit


def _drawn(audit: Audit) -> bytes:
    require(audit.pot is not None, Reason.UNDRAWN)
    assert audit.pot is not None
    return audit.pot


def _seated(terms: Terms, seat: int) -> None:
    require(seat < AUDITORS_MAX and terms.auditors[seat] != NOBODY, Reason.SEAT)


def _in_phase(terms: Terms, audit: Audit, phase: int, now: int) -> None:
    require(now > audit.committed + (phase - 1) * terms.phase, Reason.EARLY)
    require(now <= audit.committed + phase * terms.phase, Reason.LATE)


def _keep(books: Books, job: Job, number: int, audit: Audit) -> Books:
    return books.with_job(replace(job, audits={**job.audits, number: audit}))


def lock_draw(books: Books, action: LockDraw, now: int) -> Books:
    """Take the randomness of this block."""
    terms = action.terms
    job, audit = audit_of(books, terms, action.epoch)
    require(audit.pot is None, Reason.TWICE)
    require(now > audit.committed + terms.delay, Reason.EARLY)
    require(now <= audit.committed + terms.phase, Reason.LATE)
    pot = first_pot(terms.job, action.epoch, action.randomness)
    return _keep(books, job, action.epoch, replace(audit, pot=pot))


def reveal_secrets(books: Books, action: RevealSecrets, now: int) -> Books:
    """Mix opened secrets into the pot."""
    terms = action.terms
    job, audit = audit_of(books, terms, action.epoch)
    pot = _drawn(audit)
    require(now <= audit.committed + 2 * terms.phase, Reason.LATE)
    revealed = audit.revealed
    for seat, secret in action.secrets:
        _seated(terms, seat)
        require(not _has(revealed, seat), Reason.TWICE)
        require(opens(terms.secrets[seat], action.epoch, secret), Reason.SECRET)
        revealed |= 1 << seat
        pot = stir(pot, seat, secret)
    return _keep(books, job, action.epoch, replace(audit, pot=pot, revealed=revealed))


def commit_verdict(books: Books, action: CommitVerdict, now: int) -> Books:
    """Bind a verdict."""
    terms, seat = action.terms, action.seat
    job, audit = audit_of(books, terms, action.epoch)
    _drawn(audit)
    _seated(terms, seat)
    require(action.sender == terms.auditors[seat], Reason.SENDER)
    require(not _has(job.fallen, seat), Reason.FALLEN)
    _in_phase(terms, audit, 3, now)
    require(_has(audit.revealed, seat), Reason.SECRET)
    require(not _has(audit.sealed, seat), Reason.TWICE)
    before = audit.fold if audit.sealed else EMPTY
    fold = fold_commitment(before, seat, action.commitment)
    return _keep(
        books, job, action.epoch, replace(audit, sealed=audit.sealed | 1 << seat, fold=fold)
    )


def _bound(terms: Terms, audit: Audit, said: ShowVerdict | DisproveTag) -> None:
    """Refuse a verdict that is not the one which its auditor bound."""
    fold, mine = EMPTY, b""
    for at, commitment in said.commitments:
        fold = fold_commitment(fold, at, commitment)
        mine = commitment if at == said.seat else mine
    require(fold == audit.fold, Reason.FOLD)
    own = verdict_commitment(
        terms.job,
        said.epoch,
        terms.auditors[said.seat],
        accept=said.accept,
        trace=said.trace,
        salt=said.salt,
    )
    require(mine == own, Reason.VERDICT)


def show_verdict(books: Books, action: ShowVerdict, now: int) -> Books:
    """Open a verdict; count it for pay if it accepts and agrees with the others."""
    terms, seat = action.terms, action.seat
    job, audit = audit_of(books, terms, action.epoch)
    _seated(terms, seat)
    require(action.sender == terms.auditors[seat], Reason.SENDER)
    require(not _has(job.fallen, seat), Reason.FALLEN)
    _in_phase(terms, audit, 4, now)
    require(_has(audit.sealed, seat), Reason.VERDICT)
    require(not _has(audit.shown, seat), Reason.TWICE)
    _bound(terms, audit, action)
    trace = action.trace[:_TRACE_BYTES]
    splits = not audit.split and bool(audit.shown) and trace != audit.trace
    audited = list(job.audited)
    if splits:
        for other in range(AUDITORS_MAX):
            audited[other] -= _has(audit.accepts, other)
    elif action.accept and not audit.split:
        audited[seat] += 1
    audit = replace(
        audit,
        shown=audit.shown | 1 << seat,
        accepts=audit.accepts | int(action.accept) << seat,
        split=audit.split or splits,
        trace=audit.trace if audit.shown else trace,
        tags=tuple(action.tag[0] if at == seat else kept for at, kept in enumerate(audit.tags)),
    )
    return _keep(books, replace(job, audited=tuple(audited)), action.epoch, audit)


def fell_auditor(books: Books, job: Job, seat: int, finder: bytes) -> Books:
    """Slash an auditor's stake; it takes part no more, and its pay is gone."""
    terms = job.terms
    books = vault.slash(books, terms.auditors[seat], terms.stake_auditor, finder, terms.submitter)
    return books.with_job(replace(job, fallen=job.fallen | 1 << seat))


def _missed(terms: Terms, audit: Audit, seat: int, now: int) -> bool:
    """Return whether a phase that this auditor had no part in is over."""
    masks = (audit.revealed, audit.sealed, audit.shown)
    ends = (audit.committed + phase * terms.phase for phase in (2, 3, 4))
    return any(not _has(mask, seat) and now > end for mask, end in zip(masks, ends, strict=True))


def punish_silence(books: Books, action: PunishSilence, now: int) -> Books:
    """Slash an auditor that let a phase of a drawn audit go by."""
    terms, seat = action.terms, action.seat
    job, audit = audit_of(books, terms, action.epoch)
    _drawn(audit)
    _seated(terms, seat)
    require(not _has(job.fallen, seat), Reason.FALLEN)
    require(_missed(terms, audit, seat, now), Reason.EARLY)
    return fell_auditor(books, job, seat, action.sender)


def _seed(terms: Terms, epoch: int, audit: Audit) -> bytes:
    assert audit.pot is not None, "a verdict was shown on an audit that was not drawn"
    return draw_seed(terms.job, epoch, audit.pot)


def blame(books: Books, action: Blame, now: int) -> Books:
    """Slash an auditor that accepted what a dispute convicted, or count one that rejected it."""
    terms, seat, epoch = action.terms, action.seat, action.epoch
    job = books.open_job(terms)
    remembered(job, epoch)
    audit = job.audits[epoch.number]
    _seated(terms, seat)
    require(not _has(job.fallen, seat), Reason.FALLEN)
    require(_has(audit.shown, seat), Reason.VERDICT)
    require(action.draw < terms.draws, Reason.LIE)
    seed = _seed(terms, epoch.number, audit)
    total = (epoch.round_to - epoch.round_from) * terms.lanes * terms.segments
    index = drawn_index(seed, action.draw, total)
    require((epoch.number, index) in job.lies, Reason.LIE)
    if _has(audit.accepts, seat):
        return fell_auditor(books, job, seat, action.sender)
    require(not _has(audit.counted, seat), Reason.TWICE)
    audited = tuple(it + (at == seat) for at, it in enumerate(job.audited))
    audit = replace(audit, counted=audit.counted | 1 << seat)
    return _keep(books, replace(job, audited=audited), epoch.number, audit)


def disprove_tag(books: Books, action: DisproveTag, now: int) -> Books:
    """Slash an auditor whose tag is another than its own trace makes it."""
    terms, seat = action.terms, action.seat
    job, audit = audit_of(books, terms, action.epoch)
    _seated(terms, seat)
    require(not _has(job.fallen, seat), Reason.FALLEN)
    require(_has(audit.shown, seat), Reason.VERDICT)
    _bound(terms, audit, action)
    seed, auditor = _seed(terms, action.epoch, audit), terms.auditors[seat]
    tag = due_tag(seed, audit.fold, auditor, action.trace, action.traced)
    require(tag is not None, Reason.PATH)
    assert tag is not None
    require(tag[0] != audit.tags[seat], Reason.SAME)
    return fell_auditor(books, job, seat, action.sender)
