"""The auditor: it opens its secrets, replays what is drawn, and says in two steps what it found.

What    `audit_move` is an auditor's next move, or what it needs to know for it: `ReplayWanted` or
        `TagWanted`; `wrong_tag` is its proof against another one's tag. `Finding` is what a
        replay came to. `AuditKey` is what it keeps to itself.
Why     An auditor that misses a phase loses its stake, so what is due must follow from the chain
        alone, also after a restart: nothing here is remembered, everything is derived.
Rule    A replay starts once no secret can change the draw any more. A verdict is bound in phase 3
        and shown in phase 4. Salts are derived from the auditor's key, so that a verdict which was
        bound before a crash can be shown after it.
Pure    Values in, an action or a wish out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from skerry.base.digests import digest, word
from skerry.market.terms import EPOCHS_MAX
from skerry.roles.sight import Sight
from skerry.settle import Audit, actions
from skerry.settle.actions import Action
from skerry.verify.audits import (
    Segment,
    Traced,
    drawn_segment,
    due_tag,
    seal,
    secret_of,
    verdict_commitment,
)


@dataclass(frozen=True, slots=True)
class AuditKey:
    """What an auditor keeps to itself: 32 bytes, and which of its leases they are for.

    A secret that is opened in one job must say nothing about another one, so each lease has a chain
    of its own, and it is long enough for any job.
    """

    seed: bytes
    nonce: int

    @property
    def root(self) -> bytes:
        """The end of the chain of secrets."""
        return digest("audit-root", self.seed, word(self.nonce))

    @property
    def sealed(self) -> bytes:
        """What its offer says."""
        return seal(self.root, EPOCHS_MAX)

    def secret(self, epoch: int) -> bytes:
        """Return the secret that opens an epoch."""
        return secret_of(self.root, EPOCHS_MAX, epoch)

    def salt(self, job: bytes, epoch: int) -> bytes:
        """Return what hides the verdict of an epoch until it is shown."""
        return digest("audit-salt", self.seed, job, word(epoch))

    @classmethod
    def behind(cls, seed: bytes, sealed: bytes, leases: int) -> AuditKey | None:
        """Return the key behind a sealed secret, of an auditor that has taken so many leases."""
        keys = (cls(seed, nonce) for nonce in range(leases, -1, -1))
        return next((it for it in keys if it.sealed == sealed), None)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a replay of the drawn segments came to.

    Attributes:
        seed: the seed of the draw.
        accept: whether every drawn segment is true.
        trace: root over the traces of all drawn steps.
    """

    seed: bytes
    accept: bool
    trace: bytes


@dataclass(frozen=True, slots=True)
class ReplayWanted:
    """The drawn segments of an epoch shall be replayed."""

    epoch: int
    seed: bytes
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class TagWanted:
    """The value at the place that `seed` and `fold` draw shall be shown."""

    epoch: int
    seed: bytes
    fold: bytes


Due: TypeAlias = Action | ReplayWanted | TagWanted


@dataclass(frozen=True, slots=True)
class AuditPart:
    """An auditor's part in one job.

    Attributes:
        me: its address.
        key: its secrets.
        findings: what its replays came to, by epoch.
        tags: the tags that it made, by epoch and fold.
    """

    me: bytes
    key: AuditKey
    findings: Mapping[int, Finding] = field(default_factory=dict)
    tags: Mapping[tuple[int, bytes], bytes] = field(default_factory=dict)

    def seat(self, sight: Sight) -> int | None:
        """Return the seat of this auditor while it has one."""
        seats = (at for at in sight.seated if sight.terms.auditors[at] == self.me)
        seat = next(seats, None)
        return None if seat is None or sight.fallen(seat) else seat


def drawn_segments(sight: Sight, epoch: int, seed: bytes) -> tuple[Segment, ...]:
    """Return what the draw of an epoch hits, in its order and without what was hit before."""
    terms, there = sight.terms, sight.state.ring[epoch]
    found = (
        drawn_segment(
            seed,
            at,
            rounds=there.round_to - there.round_from,
            lanes=terms.lanes,
            segments=terms.segments,
            first=there.round_from,
        )
        for at in range(terms.draws)
    )
    return tuple(dict.fromkeys(found))


def audit_move(sight: Sight, part: AuditPart) -> Due | None:
    """Return an auditor's next move: any secret that is due, then in the oldest epoch that has one.

    A replay may take as long as a phase, and a secret can be opened at once.
    """
    seat = part.seat(sight)
    if seat is None or sight.state.closed:
        return None
    audits = sorted(sight.state.audits.items())
    reveals = (_reveal_due(sight, part, seat, number, audit) for number, audit in audits)
    first = next((it for it in reveals if it is not None), None)
    if first is not None:
        return first
    for number, audit in audits:
        due = _due(sight, part, seat, number, audit)
        if due is not None:
            return due
    return None


def _reveal_due(
    sight: Sight, part: AuditPart, seat: int, number: int, audit: Audit
) -> Action | None:
    if audit.pot is None or audit.revealed >> seat & 1 or sight.phase(audit) > 2:
        return None
    secret = part.key.secret(number)
    return actions.RevealSecrets(part.me, sight.terms, number, ((seat, secret),))


def wrong_tag(
    sight: Sight, me: bytes, shown: Iterable[actions.ShowVerdict], traced: Traced
) -> actions.DisproveTag | None:
    """Return the proof that another auditor did not hold the leaf that was drawn, or None.

    Args:
        sight: the job now.
        me: who sends.
        shown: verdicts of one epoch.
        traced: the leaf that was drawn, by one's own replay.
    """
    for it in shown:
        audit, seed = sight.state.audits.get(it.epoch), sight.seed(it.epoch)
        if audit is None or seed is None or sight.fallen(it.seat) or it.sender == me:
            continue
        due = due_tag(seed, audit.fold, it.sender, it.trace, traced)
        if due is not None and due[0] != it.tag[0]:
            said = (it.accept, it.trace, it.salt, it.commitments, traced)
            return actions.DisproveTag(me, sight.terms, it.epoch, it.seat, *said)
    return None


def _due(sight: Sight, part: AuditPart, seat: int, number: int, audit: Audit) -> Due | None:
    if audit.pot is None:
        return None
    phase, terms = sight.phase(audit), sight.terms
    if not audit.revealed >> seat & 1:
        return None
    seed = sight.seed(number)
    bound = bool(audit.sealed >> seat & 1)
    if seed is None or audit.shown >> seat & 1 or phase > (4 if bound else 3):
        return None
    finding = part.findings.get(number)
    if finding is None or finding.seed != seed:
        return ReplayWanted(number, seed, drawn_segments(sight, number, seed))
    salt = part.key.salt(sight.job, number)
    if not bound:
        verdict = verdict_commitment(
            sight.job, number, part.me, accept=finding.accept, trace=finding.trace, salt=salt
        )
        return actions.CommitVerdict(part.me, terms, number, seat, verdict) if phase == 3 else None
    if phase != 4:
        return None
    tag = part.tags.get((number, audit.fold))
    if tag is None:
        return TagWanted(number, seed, audit.fold)
    said = (finding.accept, finding.trace, salt, tag)
    return actions.ShowVerdict(part.me, terms, number, seat, *said, sight.heard[number])
