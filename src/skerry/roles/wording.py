"""Wording: what a party did, in words that its owner can read.

What    `words_of(action)` says what a move that was made came to.
Why     An owner reads the node's log, and not the contracts.
Pure    Text from a move.
"""

from __future__ import annotations

from skerry.settle import actions
from skerry.settle.actions import Action


def words_of(action: Action) -> str:
    """Return what a party did, as "committed epoch 0, 6 rounds"."""
    match action:
        case actions.CommitEpoch():
            return f"committed an epoch of {action.rounds} rounds"
        case actions.LockDraw():
            return f"locked the draw of epoch {action.epoch}"
        case actions.RevealSecrets():
            return f"opened the secret for epoch {action.epoch}"
        case actions.CommitVerdict():
            return f"bound a verdict on epoch {action.epoch}"
        case actions.ShowVerdict():
            verdict = "accepts it" if action.accept else "rejects it"
            return f"showed the verdict on epoch {action.epoch}: {verdict}"
        case actions.PunishSilence():
            return f"had a silent auditor of epoch {action.epoch} slashed"
        case actions.Blame():
            return f"named an auditor of epoch {action.epoch.number} that had seen a convicted part"
        case actions.DisproveTag():
            return f"disproved the tag of an auditor of epoch {action.epoch}"
        case actions.Equivocate() | actions.Misrecord():
            return "had the coordinator slashed for two records of one round"
        case actions.RaiseTally():
            return f"had units of epoch {action.epoch.number} counted that were left out"
        case actions.Settle():
            epoch = action.epoch
            return f"settled up to epoch {epoch.number}" if epoch else "closed a job without epochs"
        case actions.RequestWithdraw():
            return f"asked for {action.amount:,} to be paid out"
        case actions.Withdraw():
            return "took out what was ready"
        case _:
            return type(action).__name__
