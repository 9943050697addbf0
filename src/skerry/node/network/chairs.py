"""Chairs: whose turn it is to coordinate.

What    `successors` lists who follows a lost coordinator, in order; `better` compares two claims;
        `still_held` says whom the others hear.
Why     Nodes that lost the same coordinator must look for the same next one without asking.
Rule    The next coordinator is the next leased node in the assignment's order, round and round; its
        fence is one higher for each step. Of two claims the higher fence counts. Nobody takes the
        chair of a coordinator that answers itself, or whom more than half of those that answer
        still hear: it is the asker that was away, not the coordinator.
Pure    But for `remember` and `remembered`, which keep one file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from skerry.base.errors import NodeError
from skerry.messages.leased import Chair
from skerry.messages.wire import encode
from skerry.storage import read_kept, write_file

_NAME = "chair"


def first_chair(job: bytes, order: Sequence[bytes], fence: int = 1) -> Chair:
    """Return who coordinates a job that nobody has coordinated yet, under its first fence."""
    return Chair(job, fence, order[0])


def successors(order: Sequence[bytes], lost: Chair) -> list[Chair]:
    """Return who may follow a lost coordinator, best first; the last is the lost one, come back."""
    at = list(order).index(lost.node) if lost.node in order else -1
    return [
        Chair(lost.job, lost.fence + step, order[(at + step) % len(order)])
        for step in range(1, len(order) + 1)
    ]


def better(one: Chair | None, other: Chair | None) -> Chair | None:
    """Return which of two claims counts; None is no claim."""
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda it: (it.fence, it.node))


def still_held(claims: Mapping[bytes, Chair], fence: int) -> Chair | None:
    """Return a chair below `fence` whose coordinator lives by some claims, or None.

    Args:
        claims: what each of the other nodes said that answered, by its key.
        fence: the fence under which the asker would coordinate.
    """
    heard = {key: it for key, it in claims.items() if it.held and it.fence < fence}
    answers = any(key == it.node for key, it in heard.items())
    if not answers and 2 * len(heard) <= len(claims):
        return None
    return max(heard.values(), key=lambda it: (it.fence, it.node))


def remember(root: Path, chair: Chair) -> None:
    """Keep in a job's folder who coordinates.

    Raises:
        StorageError: the disk refuses.
    """
    write_file(root / _NAME, encode(chair))


def remembered(root: Path, order: Sequence[bytes], me: bytes) -> Chair | None:
    """Return the turn that follows the one that this node followed before it was restarted.

    A damaged file is as good as none: the others know who coordinates.
    """
    try:
        last = read_kept(Chair, root / _NAME)
    except NodeError:
        return None
    return successors(order, last)[-1] if last.node == me else last
