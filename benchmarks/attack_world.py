"""One job with an attacker in it, played by the rules, and what it gained after its own costs.

What    `Attack` says who attacks and how; `AttackWorld(plot).run()` plays a job in which the
        attacker has the first lease, the first auditor's seat, or a bond; everyone else moves by
        the deciders. `profit` is what the attacker has more in the end, less what it computed.
Why     An attack is caught if it does not pay, whatever it looks like.
Rule    A unit costs `COST_PERCENT` of its price to compute, and a replay as much as the steps that
        it runs. Which receipts a replay rejects, and which a dispute convicts, stands in tables of
        real replays (`attack_units`). A dispute ends as the table says, some minutes later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from benchmarks.attack_units import LANES, OWN, ROUNDS, SEGMENTS, STEPS, Table
from benchmarks.market_world import COURT, Plot, Shape, World, address
from skerry.base.chance import Chance
from skerry.base.digests import digest
from skerry.roles.auditor import Finding, ReplayWanted
from skerry.roles.client import Asking
from skerry.roles.course import LaneWork
from skerry.settle import Limits, actions
from skerry.settle.actions import Action
from skerry.verify.audits import draw_seed, drawn_segment, first_pot, stir

COST_PERCENT = 80
ASKING = Asking(lanes_each_max=len(OWN))
BOND = 45_001
Place: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Attack:
    """How an attacker plays.

    Attributes:
        name: its name.
        who: the attacking parties, by what they are.
        units: which units are attacked: "all", "one", "second" (of two lanes) or "undrawn" (those
            that a prediction of the draw spares); "" where no unit is.
        table: the table of replays that holds for them.
        saved: percent of a unit's cost that the attacker saves on an attacked unit.
        auditor: what an attacking auditor does: "accepts" (with a trace of its own making),
            "traces" (accepts, after it replayed), "copies" or "is silent"; "" for an honest one.
        dropped: whether attacked lanes are seen to be other than ordered, and count for nobody.
        vanishes: whether it takes the lease and never works.
        doubts: whether it takes true receipts to court.
    """

    name: str
    who: tuple[str, ...]
    units: str = ""
    table: str = "honest"
    saved: int = 0
    auditor: str = ""
    dropped: bool = False
    vanishes: bool = False
    doubts: bool = False


@dataclass
class AttackWorld(World):
    """A job with an attack in it."""

    attack: Attack = field(default_factory=lambda: Attack("honest", ("solver",)))
    tables: dict[str, Table] = field(default_factory=dict)
    replayed: dict[str, int] = field(default_factory=dict)
    audited: int = 0
    slashed: list[str] = field(default_factory=list)
    _false: dict[tuple[str, int], list[Place]] = field(default_factory=dict)
    _bonded: bool = False

    # -- who

    @property
    def attackers(self) -> list[str]:
        """The attacking parties."""
        names = {
            "solver": self._name(self.state.leases[0].node),
            "auditor": self._name(self.state.terms.auditors[0]),
            "challenger": self._name(self.state.leases[-1].node),
        }
        return [names[it] for it in self.attack.who]

    def _name(self, who: bytes) -> str:
        return next(it for it in self.names if address(it) == who)

    def _attacking_auditor(self, name: str) -> str:
        mine = "auditor" in self.attack.who and address(name) == self.state.terms.auditors[0]
        return self.attack.auditor if mine else ""

    def price_of(self, at: int) -> int:
        """Return what a solver asks for a unit: all the same."""
        return self.plot.asking.price_max

    # -- what is attacked

    def attacked(self, at: int, lane: int) -> bool:
        """Return whether a unit of the attacker's is attacked."""
        if lane not in OWN:
            return False
        match self.attack.units:
            case "all":
                return True
            case "one":
                return (at, lane) == (self.plot.chance.fork("unit").below(ROUNDS), OWN[0])
            case "second":
                return lane == OWN[1]
            case "undrawn":
                return (at, lane) not in self._predicted(at)
            case _:
                return False

    def _predicted(self, at: int) -> set[Place]:
        """Return what would be drawn if the chain's randomness and one secret were all."""
        assert self.course is not None
        terms, epoch = self.state.terms, self.course.epoch_of(at)
        rounds = range(epoch * self.plot.asking.epoch_rounds, ROUNDS)
        rounds = rounds[: self.plot.asking.epoch_rounds]
        pot = first_pot(terms.job, epoch, self.plot.chance.fork("block", epoch).seed)
        pot = stir(pot, 0, self.key(self._name(terms.auditors[0])).secret(epoch))
        seed = draw_seed(terms.job, epoch, pot)
        drawn = (
            drawn_segment(seed, it, rounds=len(rounds), lanes=LANES, segments=SEGMENTS,
                          first=rounds.start)
            for it in range(terms.draws)
        )  # fmt: skip
        return {(it.round, it.lane) for it in drawn}

    def _table(self, at: int, lane: int) -> tuple[Table, Place]:
        table = self.tables[self.attack.table if self.attacked(at, lane) else "honest"]
        known = sorted({it for it, _ in table.rejected})
        return table, (known[at % len(known)], OWN[lane % len(OWN)])

    def rejects(self, at: int, lane: int, segment: int) -> bool:
        """Return what a real replay says of a segment."""
        table, place = self._table(at, lane)
        return segment in table.rejected[place]

    def lane_work(self, at: int, lane: int, owner: int) -> LaneWork | None:
        """Return what a lane comes to."""
        if self.attack.vanishes and owner == 0:
            owner = 1  # somebody else runs what it left
        elif self.attacked(at, lane) and self.attack.dropped:
            return None
        return super().lane_work(at, lane, owner)

    # -- auditors

    def finding(self, wanted: ReplayWanted, name: str) -> Finding:
        """Return what an auditor says that its replay came to."""
        role = self._attacking_auditor(name)
        if role == "accepts":
            return Finding(wanted.seed, True, digest("invented", name.encode()))
        cost = sum(it.segment + 1 for it in wanted.segments)
        self.replayed[name] = self.replayed.get(name, 0) + cost
        false = [it for it in wanted.segments if self.rejects(it.round, it.lane, it.segment)]
        trace = digest("trace", wanted.seed)
        if role == "traces":
            return Finding(wanted.seed, True, trace)
        self.audited += len({(it.round, it.lane) for it in wanted.segments})
        self._false[name, wanted.epoch] = sorted({(it.round, it.lane) for it in false})
        return Finding(wanted.seed, not false, trace)

    def false_in(self, name: str, number: int) -> list[Place]:
        """Return what an auditor takes to court: what it found false and the court can convict."""
        found = self._false.get((name, number), [])
        return [it for it in found if self._table(*it)[0].convictable[self._table(*it)[1]]]

    def audit(self, name: str, found: dict[int, Finding]) -> Action | None:
        """Return an auditor's next move."""
        role = self._attacking_auditor(name)
        if role == "is silent":
            return None
        if role == "copies":
            return self._copied(name)
        return super().audit(name, found)

    def _copied(self, name: str) -> Action | None:
        """Return the commitment of the other auditor as one's own, once it is there."""
        sight, terms = self.sight(), self.state.terms
        for number, audit in self.state.audits.items():
            if audit.pot is None or self.state.fallen & 1:
                continue
            phase = sight.phase(audit)
            if phase <= 2 and not audit.revealed & 1:
                secret = self.key(name).secret(number)
                return actions.RevealSecrets(address(name), terms, number, ((0, secret),))
            heard = self.heard.get(number, [])
            if phase == 3 and audit.revealed & 1 and not audit.sealed & 1 and heard:
                return actions.CommitVerdict(address(name), terms, number, 0, heard[0][1])
        return None

    # -- a challenger who cannot be right

    def doubt(self) -> None:
        """Let the honest go to court, and whoever only wants to disturb."""
        super().doubt()
        if not self.attack.doubts or self._bonded or not self.state.ring or self.state.closed:
            return
        assert self.course is not None
        who, epoch = address(self.attackers[0]), self.state.ring[0]
        evidence = self.course.evidence(epoch, 0, 0, 0)
        solver = self.state.leases[0].node
        docket = actions.Docket(self.state.terms, self.state.leases, epoch, evidence, solver)
        self._bonded = True
        self.bonds[who] += BOND
        self.make(actions.LockBond(COURT, who, BOND))
        self.make(actions.Admit(COURT, docket, evidence.receipt))
        self.make(actions.Dismiss(COURT, docket, evidence.receipt))
        self.bonds[who] -= BOND
        self.make(actions.SlashBond(COURT, who, BOND, solver, solver))

    # -- what came of it

    def make(self, move: Action) -> None:
        """Make a move, and note whom it slashes."""
        super().make(move)
        against = actions.PunishSilence | actions.Blame | actions.DisproveTag
        if isinstance(move, against) and self.state.fallen >> move.seat & 1:
            self.slashed.append(self._name(move.terms.auditors[move.seat]))
        elif isinstance(move, actions.Convict):
            node = move.docket.leases[move.docket.evidence.node].node
            self.slashed.append(self._name(node))
        elif isinstance(move, actions.SlashBond):
            self.slashed.append(self._name(move.who))
        elif isinstance(move, actions.Misrecord | actions.RaiseTally | actions.Equivocate):
            self.slashed.append(self.coordinator)

    @property
    def honest_slashed(self) -> list[str]:
        """Those who were slashed and had done nothing."""
        return [it for it in self.slashed if it not in self.attackers]

    def worked(self, name: str) -> int:
        """Return what a party's own computing cost it."""
        assert self.course is not None
        each = self.plot.asking.price_max * COST_PERCENT // 100
        total = self.replayed.get(name, 0) * each // SEGMENTS
        mine = [at for at, it in enumerate(self.state.leases) if it.node == address(name)]
        attacker = name in self.attackers and "solver" in self.attack.who
        if self.attack.vanishes and attacker:
            return total
        owners = [it for it, lease in enumerate(self.state.leases) for _ in range(lease.lanes)]
        for at in range(len(self.course.rounds)):
            for lane, owner in enumerate(owners):
                if owner not in mine:
                    continue
                saved = self.attack.saved if attacker and self.attacked(at, lane) else 0
                total += each * (100 - saved) // 100
        return total

    def profit(self, names: list[str]) -> int:
        """Return what some parties have more in the end, less what they computed."""
        return sum(self.gain(it) - self.worked(it) for it in names)

    def auditor_epochs_unpaid(self) -> int:
        """Return audits that honest auditors made and were not paid for."""
        terms = self.state.terms
        honest = [
            at for at in range(terms.seats) if self._name(terms.auditors[at]) not in self.attackers
        ]
        return sum(self.state.epochs - self.state.audited[at] for at in honest)


def play(attack: Attack, tables: dict[str, Table], number: int) -> AttackWorld:
    """Play one job with an attack in it."""
    shape = Shape(ROUNDS, LANES, STEPS, SEGMENTS)
    plot = Plot(
        shape,
        ASKING,
        solvers=LANES // len(OWN),
        stops=ROUNDS,
        chance=Chance.from_int(number),
        limits=Limits(),
    )
    world = AttackWorld(plot, attack=attack, tables=tables)
    world.run()
    return world


def honest_of(attack: Attack) -> Attack:
    """Return the same parties when they do what they promised."""
    return Attack("honest", attack.who)
