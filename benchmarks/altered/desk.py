"""An altered desk: it answers for lies, is silent, copies, agrees to everything, or goes to court.

What    `python -m benchmarks.altered.desk FOLDER` is `skerry.node.market.desk` with some of its
        actor's moves replaced in the way that the environment names.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.altered.ways import LIES_NAME, WORK, way
from skerry.base.chance import Chance
from skerry.base.digests import digest
from skerry.market.offers import record_message
from skerry.messages.market import MarketWord
from skerry.messages.receipts import Receipt
from skerry.messages.signing import signed_digest
from skerry.node.courtroom import FalseDoubter, case_of
from skerry.node.dispute import draw_lie, party_of
from skerry.node.market import desk
from skerry.node.market.actor import MarketActor, _Part
from skerry.node.market.desk import Desk
from skerry.node.market.engagement import Engagement
from skerry.node.market.games import Doubt
from skerry.node.past import PastRun
from skerry.roles.auditor import AuditPart, Finding, ReplayWanted, TagWanted, audit_move
from skerry.roles.sight import Sight
from skerry.settle import actions
from skerry.settle.actions import Action

speak = MarketActor._speak


def remember_lies(self: Desk) -> None:
    """Take up which receipts the worker signed falsely, so that the court can be lied to."""
    for it in self.followed:
        path = Path(it.folder.root) / LIES_NAME
        if path.is_file():
            found = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
            lies = {bytes.fromhex(name): lie for name, lie in found.items()}
            self.actor.lies = {**self.actor.lies, **lies}


def answer_for_lies() -> None:
    """Let the desk know the lies of its worker before it moves."""
    follow = Desk.follow

    def lying(self: Desk) -> None:
        follow(self)
        remember_lies(self)

    Desk.follow = lying  # type: ignore[method-assign]


def own_nothing(self: MarketActor, name: bytes) -> tuple[PastRun, Receipt, str] | None:
    """Answer for no receipt: there is no run behind it that could be shown."""
    return None


def reveal_nothing(self: MarketActor, part: _Part, sight: Sight) -> bool:
    """Keep the secret that was to open the draw."""
    return False


def copy(self: MarketActor, part: _Part, sight: Sight) -> bool:
    """Open the draw, and bind oneself to what the other auditor bound itself to."""
    if part.key is None or self.me not in sight.terms.auditors:
        return False
    seat, terms = sight.terms.auditors.index(self.me), sight.terms
    for number, audit in sorted(sight.state.audits.items()):
        if audit.pot is None or sight.fallen(seat):
            continue
        phase = sight.phase(audit)
        if phase <= 2 and not audit.revealed >> seat & 1:
            secret = part.key.secret(number)
            reveal = actions.RevealSecrets(self.me, terms, number, ((seat, secret),))
            return self._make(reveal, part.engagement)
        others = [said for at, said in sight.heard.get(number, ()) if at != seat]
        if phase == 3 and audit.revealed >> seat & 1 and not audit.sealed >> seat & 1 and others:
            copied = actions.CommitVerdict(self.me, terms, number, seat, others[0])
            return self._make(copied, part.engagement)
    return False


def accept(self: MarketActor, part: _Part, sight: Sight) -> bool:
    """Accept every epoch without a replay, with a trace and a tag of one's own making."""
    if part.key is None:
        return False
    for _ in range(8):
        due = audit_move(sight, AuditPart(self.me, part.key, part.findings, part.tags))
        if isinstance(due, ReplayWanted):
            part.findings[due.epoch] = Finding(due.seed, True, digest("invented", self.me))
        elif isinstance(due, TagWanted):
            part.tags[due.epoch, due.fold] = digest("invented-tag", self.me)
        else:
            return due is not None and self._make(due, part.engagement)
    return False


def doubt_the_true(self: MarketActor, part: _Part, sight: Sight) -> bool:
    """Take the first receipt of somebody else that the court admits to it, true as it is."""
    it = part.engagement
    if part.doubted:
        return False
    for name, receipt in it.receipts.items():
        found = it.docket(sight, name)
        if found is None or found[1] == self.me or receipt.unit.segments == 1:
            continue
        part.doubted.add(name)
        docket, solver = found
        lie = draw_lie(it.past, receipt, Chance.from_int(1))
        games, run = self._play(), party_of(it.past, receipt.unit, lie)
        case = case_of(it.past, receipt, party_of(it.past, receipt.unit), docket)
        salt = digest("doubt-salt", self.seed, name)
        past, unit = it.past, receipt.unit
        doubter = FalseDoubter(case, run, self.me, salt, truth=partial(party_of, past, unit))
        made = Doubt(receipt, doubter, solver, sight.terms.clock)
        games.doubts[signed_digest(receipt)] = made
        self._moves.append("a frivolous doubt")
        return games.step()
    return False


def say_twice(self: MarketActor, part: _Part, now: int) -> None:
    """Sign the record of each round, and of the first one another record too."""
    speak(self, part, now)
    it = part.engagement
    for (epoch, at), word in list(it.words.items()):
        if it.course.terms.coordinator != self.me or at or part.doubted:
            continue
        part.doubted.add(word.record)
        other = replace(word, record=digest("another-record", word.record))
        message = record_message(other, chain=it.site.chain, market=it.site.market)
        signature = self.wallet.sign(message)
        self.board.tell(
            MarketWord(
                job=word.job, epoch=epoch, round=at, record=other.record, signature=signature
            )
        )


def say_nothing_of_it(self: MarketActor, it: Engagement, sight: Sight) -> Action | None:
    """Bring no proof against oneself."""
    return None


def alter(name: str) -> None:
    """Put the altered moves in the place of the true ones."""
    changed: dict[str, Any] = {}
    match name:
        case "one bit":
            answer_for_lies()
        case "withheld reveal":
            changed["_audit"] = reveal_nothing
        case "copied verdict":
            changed["_audit"] = copy
        case "accepts everything":
            changed["_audit"] = accept
        case "frivolous challenge":
            changed["_doubt"] = doubt_the_true
        case "two records":
            changed |= {"_speak": say_twice, "_equivocation": say_nothing_of_it}
        case _ if name in WORK:
            changed["_own"] = own_nothing
        case _:
            pass
    for what, how in changed.items():
        setattr(MarketActor, what, how)


if __name__ == "__main__":
    alter(way())
    desk.main()
