"""One function for every move: the books after it, or why it is not made.

What    `apply(books, action, now)`.
Why     A contract, a test and a person who checks a chain's log need one door.
Rule    A refused move changes nothing.
Pure    Time is an argument, in whole seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skerry.settle import actions, audits, awards, court, payment, rounds, vault
from skerry.settle.actions import Action
from skerry.settle.books import Books, NotAllowed, Refused

_RULES: dict[type[Any], Callable[[Books, Any, int], Books]] = {
    actions.Deposit: vault.deposit,
    actions.RequestWithdraw: vault.request_withdraw,
    actions.Withdraw: vault.withdraw,
    actions.RecallOffers: vault.recall_offers,
    actions.Burn: vault.burn,
    actions.LockBond: vault.lock_bond,
    actions.FreeBond: vault.free_bond,
    actions.SlashBond: vault.slash_bond,
    actions.Award: awards.award,
    actions.CommitEpoch: rounds.commit_epoch,
    actions.Equivocate: rounds.equivocate,
    actions.Misrecord: rounds.misrecord,
    actions.RaiseTally: rounds.raise_tally,
    actions.LockDraw: audits.lock_draw,
    actions.RevealSecrets: audits.reveal_secrets,
    actions.CommitVerdict: audits.commit_verdict,
    actions.ShowVerdict: audits.show_verdict,
    actions.PunishSilence: audits.punish_silence,
    actions.Blame: audits.blame,
    actions.DisproveTag: audits.disprove_tag,
    actions.Admit: court.admit,
    actions.Dismiss: court.dismiss,
    actions.Convict: court.convict,
    actions.Misplace: court.misplace,
    actions.Settle: payment.settle,
}


def apply(books: Books, action: Action, now: int) -> Books | Refused:
    """Return the books after `action` at second `now`, or the reason why it is refused."""
    try:
        return _RULES[type(action)](books, action, now)
    except NotAllowed as refused:
        return Refused(refused.reason)
