"""The market's actor of a node: told of leases and rounds, it makes the moves that are due.

What    `MarketActor.on_lease`, `on_round` and `tick`. A tick reads the chain and the board, makes
        one due move after another, and says when something may be due again.
Why     The rules are in `settle` and the decisions in `roles`; here they meet a key and a chain.
Rule    Nothing is remembered but what the chain, the run and the key file say, so an actor that was
        killed goes on. A move that the chain refuses by now was somebody else's or is too early:
        it is left until the next tick.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from skerry.base.digests import digest
from skerry.chain.bookkeeping import Bookkeeper
from skerry.chain.courthouse import CourtLog
from skerry.chain.errors import MoveReverted
from skerry.chain.keyfiles import signer_of
from skerry.chain.moves import call_of
from skerry.market.offers import Offer, Role, claim_message, offer_message, record_message
from skerry.messages.market import MarketClaim, MarketOffer, MarketWord
from skerry.messages.receipts import Receipt
from skerry.messages.rounds import RoundRecord, RunConfig
from skerry.node.market.board import Board, heard_offer, told_offer
from skerry.node.market.engagement import Engagement
from skerry.node.market.orders import Asked
from skerry.node.market.wallet import Wallet
from skerry.roles.anyone import against_coordinator, common_move
from skerry.roles.auditor import (
    AuditKey,
    AuditPart,
    Finding,
    ReplayWanted,
    TagWanted,
    audit_move,
    drawn_segments,
    wrong_tag,
)
from skerry.roles.coordinator import commit_due, word_on
from skerry.roles.course import Course
from skerry.roles.money import deposit_due, leave_due, standing_offer
from skerry.roles.sight import Sight, edges
from skerry.roles.wording import words_of
from skerry.settle import actions
from skerry.settle.actions import Action

if TYPE_CHECKING:  # these load torch, which only who replays or plays needs
    from skerry.node.market.games import Games
    from skerry.node.market.replaying import Replayed, Replayer
    from skerry.node.past import PastRun

MOVES_MAX = 256


@dataclass(frozen=True, slots=True)
class Ticked:
    """What a tick came to: the moves made, the chain's second of the next ones, blobs it lacks."""

    moves: tuple[str, ...]
    wake: int | None
    wanted: Mapping[bytes, tuple[bytes, ...]] = field(default_factory=dict)


@dataclass
class _Part:
    """What an actor keeps of one engagement besides what can be derived."""

    engagement: Engagement
    key: AuditKey | None = None
    replayer: Replayer | None = None
    findings: dict[int, Finding] = field(default_factory=dict)
    tags: dict[tuple[int, bytes], bytes] = field(default_factory=dict)
    doubted: set[bytes] = field(default_factory=set)
    told: int = 0
    since: dict[int, int] = field(default_factory=dict)
    asked: set[int] = field(default_factory=set)


@dataclass
class MarketActor:
    """One node's side of the market.

    Attributes:
        wallet: sends.
        keeper: reads.
        board: where signed messages are told and heard.
        seed: 32 secret bytes, from which all its secrets come.
        log: the court's events.
        games: the disputes that it plays; None before the first.
        lies: receipts that it answers for with a lie, STEP:NODE:ELEMENT, for demonstrations.
        leaves: whether it takes its money out when nothing keeps it.
        fetches: whether it waits for a second tick before a replay that lacks blobs.
        offers: the standing offers that it heard, each with its signature.
    """

    wallet: Wallet
    keeper: Bookkeeper
    board: Board
    seed: bytes
    log: CourtLog
    games: Games | None = None
    lies: Mapping[bytes, str] = field(default_factory=dict)
    leaves: bool = False
    fetches: bool = False
    offers: dict[bytes, tuple[Offer, bytes]] = field(default_factory=dict)
    _parts: dict[bytes, _Part] = field(default_factory=dict)
    _moves: list[str] = field(default_factory=list)
    _refused: set[Action] = field(default_factory=set)
    _wanted: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict)

    def _play(self) -> Games:
        """Return the games, which are there from when a dispute concerns this node."""
        if self.games is None:
            from skerry.node.market.games import Games

            self.games = Games(self.wallet, self.log, self._own, self._docket)
        return self.games

    def _step_games(self) -> bool:
        mine = any(
            it.what == "Admitted" and it.said["solver"] == self.me for it in self.keeper.entries
        )
        return (mine or self.games is not None) and self._play().step()

    def _own(self, name: bytes) -> tuple[PastRun, Receipt, str] | None:
        """Return a receipt that this node answers for."""
        for part in self._parts.values():
            it = part.engagement
            if name in it.receipts:
                return it.past, it.receipts[name], self.lies.get(name, "")
        return None

    def _docket(self, name: bytes) -> bytes | None:
        claimed = self.keeper.claimed.get(name)
        return None if claimed is None else claimed.docket

    @property
    def me(self) -> bytes:
        """This node's address."""
        return self.wallet.address

    # -- the port

    def on_lease(
        self,
        job: bytes,
        config: RunConfig,
        signers: Mapping[bytes, int],
        open_run: Callable[[], PastRun],
        blank: Mapping[str, bytes],
        kept: int = 0,
    ) -> None:
        """Take part in a job that was awarded.

        Args:
            job: its name on the chain.
            config: its run.
            signers: the lease of each node, by the public key that signs its receipts.
            open_run: opens the node's copy of the run.
            blank: tensor digests of a lane's state before its first round.
            kept: rounds that an earlier award has paid for.
        """
        self.keeper.catch_up()
        state = self.keeper.books.jobs[job]
        owners = tuple(lease.node for lease in state.leases)
        course = Course(state.terms, kept=kept)
        made = Engagement(course, config, signers, self.wallet.site, open_run, owners, blank)
        part = _Part(made)
        if self.me in state.terms.auditors:
            seat = state.terms.auditors.index(self.me)
            taken = self.keeper.books.account(self.me).leases
            part.key = AuditKey.behind(self.seed, state.terms.secrets[seat], taken)
        self._parts[job] = part

    def on_round(
        self, job: bytes, record: RoundRecord, receipts: Sequence[Sequence[Receipt]]
    ) -> None:
        """Take a round: its record, and the receipts of each lane; claim what is one's own."""
        part = self._parts[job]
        it = part.engagement
        it.on_round(record, receipts)
        work = it.course.rounds[record.round]
        for lane, done in enumerate(work.lanes):
            if done is None or it.owner(done.lease) != self.me:
                continue
            for name in done.receipts:
                message = claim_message(
                    job, record.round, lane, name, chain=it.site.chain, market=it.site.market
                )
                self.board.tell(
                    MarketClaim(
                        job=job,
                        round=record.round,
                        lane=lane,
                        receipt=name,
                        signature=self.wallet.sign(message),
                    )
                )

    def on_end(self, job: bytes) -> None:
        """Take it that no round will come any more."""
        self._parts[job].engagement.over = True

    # -- offers

    def offer(self, asked: Asked) -> Offer:
        """Sign a standing offer and tell it."""
        self.keeper.catch_up()
        books, now = self.keeper.books, self.wallet.now()
        key = AuditKey(self.seed, books.account(self.me).leases)
        made = standing_offer(
            books,
            self.me,
            asked.role,
            price=asked.price,
            stake=asked.stake,
            expires=now + asked.lasts,
            seconds=asked.seconds,
            lanes=asked.lanes,
            secret=key.sealed if asked.role == Role.AUDITOR else bytes(32),
        )
        site = self.wallet.site
        signature = self.wallet.sign(offer_message(made, chain=site.chain, market=site.market))
        self.board.tell(told_offer(made, signature))
        return made

    def fund(self, wanted: int) -> None:
        """Put into the vault what free money lacks.

        Raises:
            FundsShort: the address holds fewer tokens.
        """
        self.keeper.catch_up()
        due = deposit_due(self.keeper.books, self.me, wanted)
        if isinstance(due, actions.Deposit):
            before = sum(
                it.said["amount"]
                for it in self.keeper.entries
                if it.what == "Deposited" and it.said["who"] == self.me
            )
            self.wallet.deposit(due.amount, before)
            self.keeper.catch_up()

    # -- ticks

    def tick(self, now: int = 0) -> Ticked:
        """Make every move that is due.

        Args:
            now: the second that this node takes it to be; the chain's counts where it is later.
        """
        self._moves, self._refused, self._wanted = [], set(), {}
        for _ in range(MOVES_MAX):
            self.hear()
            moved = self._step_games()
            self._moves += ["moved in court"] if moved else []
            second = max(now, self.wallet.now() + 1)
            for part in self._parts.values():
                self._speak(part, second)
                moved |= self._move(part, second)
            if not moved:
                break
        if self.leaves and (self.games is None or not self.games.open):
            self._leave(max(now, self.wallet.now()))
        return Ticked(tuple(self._moves), self._wake(), self._wanted)

    def hear(self) -> None:
        """Take what was told on the board, if it is signed by who it should be."""
        self.keeper.catch_up()
        for message in self.board.hear():
            match message:
                case MarketOffer():
                    self._hear_offer(message)
                case MarketClaim() if message.job in self._parts:
                    self._parts[message.job].engagement.on_claim(message)
                case MarketWord() if message.job in self._parts:
                    self._parts[message.job].engagement.on_word(message)
                case _:
                    pass

    def _hear_offer(self, message: MarketOffer) -> None:
        offer = heard_offer(message)
        site = self.wallet.site
        typed = offer_message(offer, chain=site.chain, market=site.market)
        if signer_of(typed, message.signature) == offer.node:
            self.offers[message.signature] = offer, message.signature

    def _speak(self, part: _Part, now: int) -> None:
        """Sign the records of rounds whose receipts are claimed, or late, as their coordinator."""
        it = part.engagement
        if it.course.terms.coordinator != self.me:
            return
        for at in range(part.told, it.took_place):
            late = now > part.since.setdefault(at, now) + it.patience
            lanes = it.unclaimed(at)
            if lanes and not late:
                return
            if (it.course.epoch_of(at), at) in it.words:
                part.told = at + 1  # said before this desk was started again
                continue
            word = word_on(it.course.without(at, lanes), at)
            message = record_message(word, chain=it.site.chain, market=it.site.market)
            self.board.tell(
                MarketWord(
                    job=word.job,
                    epoch=word.epoch,
                    round=word.round,
                    record=word.record,
                    signature=self.wallet.sign(message),
                    dropped=lanes,
                )
            )
            part.told = at + 1
            self.hear()

    def _sight(self, part: _Part, now: int) -> Sight:
        job = part.engagement.job
        heard = {epoch: said for (name, epoch), said in self.keeper.heard.items() if name == job}
        return Sight(self.keeper.books, job, now, heard)

    def _move(self, part: _Part, now: int) -> bool:
        """Make one due move of a job; return whether one was made."""
        sight = self._sight(part, now)
        if sight.state.closed:
            return False
        for epoch in sight.state.ring.values():
            part.engagement.end_at(epoch)
        return self._audit(part, sight) or self._doubt(part, sight) or self._common(part, sight)

    def _common(self, part: _Part, sight: Sight) -> bool:
        it = part.engagement
        course = it.claimed_course()
        over = it.over and len(course.rounds) == len(it.course.rounds)  # no claim is waited for
        due = commit_due(sight, course, self.me, over=over)
        due = due or against_coordinator(sight, it.course, it.words, self.me)
        due = due or self._equivocation(it, sight) or self._wrong_tag(part, sight)
        due = due or common_move(sight, self.me)
        return due is not None and self._make(due, it)

    def _wrong_tag(self, part: _Part, sight: Sight) -> Action | None:
        """Return the proof against an auditor whose tag is not that of the leaf that was drawn."""
        for epoch, leaf in part.replayer.drawn.items() if part.replayer else ():
            shown = self.keeper.shown.get((sight.job, epoch), ())
            found = wrong_tag(sight, self.me, shown, leaf)
            if found is not None:
                return found
        return None

    def _equivocation(self, it: Engagement, sight: Sight) -> Action | None:
        if it.second is None or sight.state.coordinator_fallen:
            return None
        second, coordinator = it.second[0], sight.terms.coordinator
        first = it.words[second.epoch, second.round]
        return actions.Equivocate(self.me, sight.terms, first, coordinator, second, coordinator)

    def _audit(self, part: _Part, sight: Sight) -> bool:
        if part.key is None:
            return False
        self._replayer(part)  # loads torch before a clock runs
        while True:
            mine = AuditPart(self.me, part.key, part.findings, part.tags)
            due = audit_move(sight, mine)
            if isinstance(due, ReplayWanted):
                epoch = sight.state.ring[due.epoch]
                if epoch.round_to > len(part.engagement.course.rounds):
                    return False  # this node's copy of the run is behind; it is asked again
                part.engagement.hold_to(epoch)
                if self.fetches and self._lacks(part, due):
                    return False  # whoever looks for the blobs ticks again
                part.findings[due.epoch] = self._replayer(part).replay(due).finding
            elif isinstance(due, TagWanted):
                if due.epoch not in self._replayer(part).done:
                    part.findings.pop(due.epoch)
                    continue
                part.tags[due.epoch, due.fold] = self._replayer(part).tag(due, self.me)
            else:
                return due is not None and self._make(due, part.engagement)

    def _lacks(self, part: _Part, due: ReplayWanted) -> bool:
        """Say, once for each epoch, which blobs would shorten a replay; return whether any."""
        if due.epoch in part.asked:
            return False
        part.asked.add(due.epoch)
        past, drawn = part.engagement.past, due.segments
        there = (it for it in drawn if part.engagement.audited(it.round, it.lane))
        names = [past.held_before(it.round, it.lane) for it in there]
        lacking = [it for row in names for it in row if not past.folder.blobs.has(it)]
        if lacking:
            self._wanted[part.engagement.job] = tuple(dict.fromkeys(lacking))
        return bool(lacking)

    def _replayer(self, part: _Part) -> Replayer:
        if part.replayer is None:
            from skerry.node.market.replaying import Replayer

            it = part.engagement
            segments = it.course.terms.segments
            part.replayer = Replayer(it.past, it.lane_receipts, it.audited, segments)
        return part.replayer

    def replays(self, job: bytes) -> dict[int, Replayed]:
        """Return what this node's replays of a job came to, by epoch."""
        part = self._parts[job]
        return {} if part.replayer is None else part.replayer.done

    def _doubt(self, part: _Part, sight: Sight) -> bool:
        """Take to court what a replay found false, once the verdict about it is bound."""
        self._recall_rejected(part, sight)
        if part.replayer is None:
            return False
        it = part.engagement
        for epoch, replayed in part.replayer.done.items():
            audit = sight.state.audits.get(epoch)
            if audit is None or sight.phase(audit) < 4:
                continue
            for false in replayed.false:
                if false.receipt in part.doubted or false.reason not in ("segment", "output"):
                    continue
                found, receipt = it.docket(sight, false.receipt), it.receipts.get(false.receipt)
                if found is None or receipt is None:
                    continue
                part.doubted.add(false.receipt)
                docket, solver = found
                salt = digest("doubt-salt", self.seed, false.receipt)
                clock = sight.terms.clock
                self._play().doubt(it.past, receipt, docket, solver, clock=clock, salt=salt)
                self._moves.append("took a receipt to court")
                return self._play().step()
        return False

    def _recall_rejected(self, part: _Part, sight: Sight) -> None:
        """Find out again, after a restart, what a verdict that was shown had rejected."""
        if self.me not in sight.terms.auditors:
            return
        seat = sight.terms.auditors.index(self.me)
        for number, audit in sight.state.audits.items():
            rejected = audit.shown >> seat & 1 and not audit.accepts >> seat & 1
            late = sight.now > audit.committed + sight.terms.window
            seed = sight.seed(number)
            if not rejected or late or seed is None or number in self._replayer(part).done:
                continue
            segments = drawn_segments(sight, number, seed)
            self._replayer(part).replay(ReplayWanted(number, seed, segments))

    def _make(self, due: Action, it: Engagement) -> bool:
        if due in self._refused:
            return False
        signed: dict[bytes, bytes] = {}
        if isinstance(due, actions.Misrecord):
            key = due.signed.epoch, due.signed.round
            signed[due.signer] = it.signatures[key]
        try:
            if isinstance(due, actions.Equivocate) and it.second is not None:
                said = iter([it.signatures[due.first.epoch, due.first.round], it.second[1]])
                self.wallet.send(call_of(due, self.wallet.site, lambda who, message: next(said)))
            else:
                self.wallet.make(due, signed)
        except MoveReverted as refused:
            self._refused.add(due)
            self._moves.append(f"refused, {refused.reason}: {words_of(due)}")
            return False
        self._moves.append(words_of(due))
        return True

    def _leave(self, now: int) -> None:
        busy = any(not self.keeper.books.jobs[job].closed for job in self._parts)
        due = None if busy else leave_due(self.keeper.books, self.me, now)
        if due is None:
            return
        exits = sum(
            it.what == "Exiting" and it.said["who"] == self.me for it in self.keeper.entries
        )
        try:
            self.wallet.make(due, turn=str(exits))
        except MoveReverted:
            return
        self._moves.append(words_of(due))
        self.keeper.catch_up()

    # -- when something may be due again

    def _wake(self) -> int | None:
        now, found = self.wallet.now(), [] if self.games is None else self.games.deadlines()
        for job in self._parts:
            part = self._parts[job]
            found += edges(self._sight(part, now))
            waits = [since for at, since in part.since.items() if at >= part.told]
            found += [since + part.engagement.patience + 1 for since in waits]
        account = self.keeper.books.account(self.me)
        if self.leaves and account.exiting:
            found.append(account.ready + 1)
        later = [it for it in found if it > now]
        return min(later, default=None)
