"""A world of parties that move by the deciders alone, under the rules, with made-up receipts.

What    `World(plot).run()` plays one job from the award to its end; a `Plot` says who lies, who is
        lazy, who leaves. Every move is made by `settle.apply`, which must accept it.
Why     Tests hold the deciders to the rules with it, and the attack benchmark lets altered parties
        play against honest ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256

from skerry.base.chance import Chance
from skerry.base.digests import digest, word
from skerry.market import NoMatch, SignedRecord
from skerry.market.offers import Offer, Role
from skerry.roles.anyone import against_coordinator, common_move
from skerry.roles.auditor import (
    AuditKey,
    AuditPart,
    Finding,
    ReplayWanted,
    TagWanted,
    audit_move,
)
from skerry.roles.client import Asking, Draft, draft
from skerry.roles.coordinator import commit_due, word_on
from skerry.roles.course import Course, LaneWork, RoundWork
from skerry.roles.money import deposit_due, leave_due, standing_offer
from skerry.roles.sight import Sight
from skerry.settle import Books, Job, Limits, actions, apply
from skerry.settle.actions import Action
from skerry.settle.invariants import backed, solvent
from skerry.settle.payment import shares

START = 1_700_000_000
FUNDS = 10_000_000
LIMITS = Limits(unbonding=1_000, phase_min=60, window_max=10_000, lease_max=100_000)
COURT = b"\xcc" * 20
ASKING = Asking(price_max=7, price_audit=11, price_record=3, delay=10, phase=100, seconds=20_000,
                clock=600)  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """A run of no arithmetic."""

    rounds: int
    lanes: int
    local_steps: int
    segments: int
    job: bytes = sha256(b"run").digest()


@dataclass(frozen=True)
class Plot:
    """What happens in a world that the deciders do not decide.

    Attributes:
        shape: the run.
        asking: what the client asks for.
        solvers: how many offer.
        stops: rounds that are ever run.
        lies: (round, lane) pairs whose solver lied in segment 0.
        gone: from when on a party does nothing, in seconds after the start.
        lazy: auditors that accept whatever is drawn, and say the trace that the others say.
        undercounts: whether the coordinator leaves the first lease out of its tally.
        missigns: whether it signs another record than it commits.
        coordinated: whether somebody offers to coordinate.
        chance: everything else.
        limits: what the contracts were deployed with.
    """

    shape: Shape
    asking: Asking
    solvers: int
    stops: int
    lies: frozenset[tuple[int, int]] = frozenset()
    gone: tuple[tuple[str, int], ...] = ()
    lazy: frozenset[str] = frozenset()
    undercounts: bool = False
    missigns: bool = False
    coordinated: bool = True
    chance: Chance = field(default_factory=lambda: Chance.from_int(0))
    limits: Limits = LIMITS


def address(name: str) -> bytes:
    """Return the address of a party."""
    return sha256(b"party" + name.encode()).digest()[:20]


@dataclass
class World:
    """Everything of one job: the books, the parties, and a clock."""

    plot: Plot
    now: int = START
    books: Books = field(init=False)
    job: bytes = b""
    course: Course | None = None
    heard: dict[int, list[tuple[int, bytes]]] = field(default_factory=dict)
    findings: dict[str, dict[int, Finding]] = field(default_factory=dict)
    signed: dict[tuple[int, int], SignedRecord] = field(default_factory=dict)
    games: dict[tuple[int, int], tuple[str, actions.Docket, int]] = field(default_factory=dict)
    moves: list[Action] = field(default_factory=list)
    tokens: int = 0
    bonds: Counter[bytes] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.books = Books(court=COURT, limits=self.plot.limits)

    # -- parties

    @property
    def auditors(self) -> list[str]:
        """The auditors' names."""
        return [f"auditor {at}" for at in range(self.plot.asking.auditors)]

    @property
    def solvers(self) -> list[str]:
        """The solvers' names."""
        return [f"solver {at}" for at in range(self.plot.solvers)]

    @property
    def names(self) -> list[str]:
        """Everybody's names."""
        return ["client", *self.solvers, *self.auditors, "coordinator"]

    def here(self, name: str) -> bool:
        """Return whether a party is still there."""
        return all(self.now - START < at for who, at in self.plot.gone if who == name)

    def key(self, name: str) -> AuditKey:
        """Return an auditor's secrets."""
        return AuditKey(digest("seed", name.encode()), 0)

    @property
    def state(self) -> Job:
        """The job as the books have it."""
        return self.books.jobs[self.job]

    def sight(self) -> Sight:
        """Return what everybody sees."""
        heard = {at: tuple(it) for at, it in self.heard.items()}
        return Sight(self.books, self.job, self.now, heard)

    # -- moves

    def make(self, move: Action) -> None:
        """Make a move, which the rules must accept."""
        if isinstance(move, actions.LockDraw):
            move = replace(move, randomness=self.plot.chance.fork("block", move.epoch).seed)
        after = apply(self.books, move, self.now)
        assert isinstance(after, Books), (move, after)
        if isinstance(move, actions.Settle):
            self.check_shares(move, after)
        self.books = after
        self.moves.append(move)
        if isinstance(move, actions.CommitVerdict):
            self.heard.setdefault(move.epoch, []).append((move.seat, move.commitment))
        self.tokens += move.amount if isinstance(move, actions.Deposit) else 0
        assert solvent(self.books, self.tokens)
        assert backed(self.books, self.bonds)

    def check_shares(self, move: actions.Settle, after: Books) -> None:
        """Hold what a settlement is said to pay to what it does to the accounts."""
        job, paid = self.state, shares(self.state, move, self.now)
        due = Counter[bytes]()
        for lease, pay in zip(job.leases, paid.solvers, strict=True):
            due[lease.node] += pay
        for who, pay in zip(job.terms.auditors, paid.auditors, strict=True):
            due[who] += pay
        due[job.terms.coordinator] += paid.coordinator
        due[job.terms.submitter] -= sum(paid.solvers) + sum(paid.auditors) + paid.coordinator
        for who, it in after.accounts.items():
            old = self.books.account(who)
            assert it.free + it.locked - old.free - old.locked == due[who]
        spent = sum(paid.solvers) + sum(paid.auditors) + paid.coordinator
        assert job.escrow == spent + paid.refund + after.jobs[self.job].escrow

    def open(self) -> None:
        """Fund everyone and award the job."""
        for name in self.names:
            move = deposit_due(self.books, address(name), FUNDS)
            assert move is not None
            self.make(move)
        found = self.draft()
        assert isinstance(found, Draft), found
        self.job = found.terms.job
        self.course = Course(found.terms, kept=self.plot.asking.kept)
        self.make(found.award())

    def draft(self) -> Draft | NoMatch:
        """Return what the client would award."""
        offers = [
            self.offer(it, Role.SOLVER, self.price_of(at)) for at, it in enumerate(self.solvers)
        ]
        offers += [self.offer(it, Role.AUDITOR, 2) for it in self.auditors]
        if self.plot.coordinated:
            offers.append(self.offer("coordinator", Role.COORDINATOR, 1))
        plot = self.plot
        return draft(
            plot.shape, plot.asking, offers, self.books, me=address("client"), now=self.now
        )

    def price_of(self, at: int) -> int:
        """Return what a solver asks for a unit."""
        return at + 1

    def offer(self, name: str, role: Role, price: int) -> Offer:
        """Return a party's standing offer."""
        secret = self.key(name).sealed if role == Role.AUDITOR else bytes(32)
        return standing_offer(
            self.books, address(name), role, price=price, stake=FUNDS, expires=START + 50_000,
            seconds=400 * 86_400, lanes=8, secret=secret,
        )  # fmt: skip

    # -- work

    def work_round(self) -> None:
        """Run one round more; the lanes go to the leases in turn."""
        assert self.course is not None
        at, leases = len(self.course.rounds), self.state.leases
        owners = [it for it, lease in enumerate(leases) for _ in range(lease.lanes)]
        lanes = tuple(self.lane_work(at, lane, owner) for lane, owner in enumerate(owners))
        before, after = (digest("state", word(it)) for it in (at, at + 1))
        self.course = self.course.more(RoundWork(before, lanes, after))
        if self.coordinator_here:
            word_ = word_on(self.course, at)
            if self.plot.missigns:
                word_ = replace(word_, record=digest("another"))
            self.signed[word_.epoch, word_.round] = word_

    def lane_work(self, at: int, lane: int, owner: int) -> LaneWork | None:
        """Return what a lane comes to; None where it is dropped."""
        return LaneWork(tuple(self.receipts(at, lane)), owner)

    def receipts(self, at: int, lane: int) -> Iterator[bytes]:
        """Yield the names of a lane's receipts."""
        for place in range(2):
            yield digest("receipt", word(at), word(lane), word(place))

    @property
    def coordinator(self) -> str:
        """The name of who coordinates."""
        return next(it for it in self.names if address(it) == self.state.terms.coordinator)

    @property
    def coordinator_here(self) -> bool:
        """Whether it is still there."""
        return self.here(self.coordinator)

    def finding(self, wanted: ReplayWanted, name: str) -> Finding:
        """Return what a replay says: the truth, or what is convenient."""
        lies = [
            it
            for it in wanted.segments
            if (it.round, it.lane) in self.plot.lies and not it.segment
            if it.round >= self.plot.asking.kept
        ]
        trace = digest("trace", wanted.seed)
        return Finding(wanted.seed, not lies or name in self.plot.lazy, trace)

    # -- turns

    def move_of(self, name: str) -> Action | None:
        """Return the next move of a party."""
        assert self.course is not None
        me, sight = address(name), self.sight()
        for epoch in self.state.ring.values():
            self.course = self.course.ended_by(epoch)
        found = self.findings.setdefault(name, {})
        due = None
        if name in self.auditors:
            due = self.audit(name, found)
        if name == self.coordinator and self.coordinator_here:
            over = len(self.course.rounds) == self.plot.stops
            commit = commit_due(sight, self.course, me, over=over)
            if isinstance(commit, actions.CommitEpoch) and self.plot.undercounts:
                commit = replace(commit, tally=(0, *commit.tally[1:]))
            due = due or commit
        crooked = name == self.coordinator and (self.plot.undercounts or self.plot.missigns)
        if not crooked and self.state.ring:
            due = due or against_coordinator(sight, self.course, self.signed, me)
        return due or common_move(sight, me)

    def audit(self, name: str, found: dict[int, Finding]) -> Action | None:
        """Return an auditor's next move, after whatever it needs to know for it."""
        tags: dict[tuple[int, bytes], bytes] = {}
        while True:
            part = AuditPart(address(name), self.key(name), found, tags)
            due = audit_move(self.sight(), part)
            if isinstance(due, ReplayWanted):
                found[due.epoch] = self.finding(due, name)
            elif isinstance(due, TagWanted):
                tags[due.epoch, due.fold] = digest("tag", name.encode())
            else:
                return due

    def doubt(self) -> None:
        """Let auditors that rejected go to court, and the court decide a little later."""
        assert self.course is not None
        for name, found in self.findings.items():
            for number, finding in found.items():
                epoch = self.state.ring.get(number)
                if finding.accept or epoch is None or not self.here(name):
                    continue
                for at, lane in self.false_in(name, epoch.number):
                    self.admit(name, epoch.number, at, lane)
        for place, (name, docket, due) in list(self.games.items()):
            if self.now >= due and due:
                receipt = docket.evidence.receipt
                self.make(actions.Convict(COURT, docket, receipt, 0, address(name)))
                self.games[place] = (name, docket, 0)

    def false_in(self, name: str, number: int) -> list[tuple[int, int]]:
        """Return the lanes that an auditor takes to court."""
        return sorted(it for it in self.plot.lies if it[0] >= self.plot.asking.kept)

    def admit(self, name: str, number: int, at: int, lane: int) -> None:
        """Open a dispute about a lane, where the court would."""
        assert self.course is not None
        state, epoch = self.state, self.state.ring[number]
        if not epoch.round_from <= at < epoch.round_to or (at, lane) in self.games:
            return
        work = self.course.rounds[at].lanes[lane]
        if work is None:
            return  # the run ended before
        late = self.now > epoch.committed + state.terms.window
        if state.closed or late or state.convicted >> work.lease & 1:
            return
        evidence = self.course.evidence(epoch, at, lane, 1)
        signer = state.leases[work.lease].node
        docket = actions.Docket(state.terms, state.leases, epoch, evidence, signer)
        self.make(actions.Admit(COURT, docket, evidence.receipt))
        self.games[at, lane] = (name, docket, self.now + 150)

    def turn(self) -> None:
        """Let everybody move until nobody has anything to do."""
        for _ in range(200):
            self.doubt()
            order = self.plot.chance.fork("order", len(self.moves), self.now)
            names = [it for it in self.names if self.here(it)]
            names.sort(key=lambda it: order.fork(it).seed)
            moved = False
            for name in names:
                move = None if self.state.closed else self.move_of(name)
                if move is not None:
                    self.make(move)
                    moved = True
            if not moved:
                return
        raise AssertionError("they never come to rest")

    def edges(self) -> list[int]:
        """Return the seconds at which something new may be due."""
        terms = self.state.terms
        found = [self.state.quiet + 1, terms.ends + 1]
        for it in self.state.ring.values():
            offsets = (terms.delay, *(terms.phase * at for at in range(1, 5)), terms.window)
            found += [it.committed + after + 1 for after in offsets]
        found += [due for _, _, due in self.games.values()]
        return sorted(it for it in found if it > self.now)

    def run(self) -> World:
        """Play to the end."""
        self.open()
        for step in range(2_000):
            assert self.course is not None
            if self.state.closed:
                break
            draw = self.plot.chance.fork("step", step)
            if len(self.course.rounds) < self.plot.stops and draw.fork("work").below(3):
                self.work_round()
            self.turn()
            soon = draw.fork("soon").below(40) + 1
            edges = self.edges()
            self.now = (
                min([self.now + soon, *edges[:1]])
                if len(self.course.rounds) < self.plot.stops
                else (edges or [self.now + soon])[0]
            )
        return self

    def leave(self) -> None:
        """Let everybody take everything out."""
        for _ in range(2):
            for name in self.names:
                move = leave_due(self.books, address(name), self.now)
                if move is not None:
                    self.make_out(move)
            self.now += self.plot.limits.unbonding + 1

    def make_out(self, move: Action) -> None:
        """Make a move of the vault after the job's end."""
        after = apply(self.books, move, self.now)
        assert isinstance(after, Books), (move, after)
        self.books = after

    def gain(self, name: str) -> int:
        """Return what a party has more than it brought."""
        it = self.books.account(address(name))
        return it.free + it.locked + it.exiting - FUNDS
