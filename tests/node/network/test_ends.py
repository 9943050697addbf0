"""Which word that a job is over is believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.base.digests import digest
from skerry.messages.leased import Chair, Closed
from skerry.messages.signing import SignatureWrong, sign
from skerry.node.keys import load_key
from skerry.node.network.ends import (
    SILENT_SECONDS,
    EndRefused,
    Ends,
    Here,
    Quiet,
    doubt,
    end_of,
)
from skerry.node.network.trust import Trust

JOB = digest("job", b"one")
KEYS = [bytes([at]) * 32 for at in range(1, 6)]
STRANGER = bytes([9]) * 32
ROUNDS = 4
ROOTS = [digest("state", bytes([at])) for at in range(ROUNDS + 1)]
BLOB = digest("blob", b"state")
CLAIMS = ("failed", "crashing", "conflict")


def said(signer: bytes, kind: str, rounds: int, fence: int = 1, **more: Any) -> Closed:
    if kind == "finished":
        more = {"state": BLOB, "round": ROUNDS, "root": ROOTS[ROUNDS]} | more
    return Closed(signer=signer, job=JOB, fence=fence, kind=kind, rounds=rounds, **more)  # type: ignore[arg-type]


def here(committed: int, leased: int = 3, silent: frozenset[bytes] = frozenset()) -> Here:
    def root(rounds: int) -> bytes | None:
        return ROOTS[rounds] if 0 < rounds <= committed else None

    return Here(ROUNDS, committed, KEYS[:leased], root, silent=silent)


def test_finished_counts_with_all_rounds_and_their_state() -> None:
    done, far = said(KEYS[0], "finished", ROUNDS), here(ROUNDS)
    assert end_of([done], far) == done
    assert end_of([done], here(ROUNDS - 1)) is None
    assert end_of([said(KEYS[0], "finished", ROUNDS - 1)], here(ROUNDS - 1, 1)) is None
    false: list[dict[str, Any]] = [{"root": ROOTS[1]}, {"round": 1}, {"state": None}]
    for wrong in false:
        assert end_of([said(KEYS[0], "finished", ROUNDS, **wrong)], far) is None
    own = msgspec.structs.replace(done, state=digest("blob", b"other"))
    assert doubt(own, Here(ROUNDS, ROUNDS, KEYS, far.state_after, state=BLOB)) is not None


def test_one_node_of_one_is_believed_at_once_and_asked_never() -> None:
    for kind in CLAIMS:
        assert end_of([said(KEYS[0], kind, 2)], here(2, 1)) is not None
    assert end_of([said(KEYS[0], "asked", 2)], here(2, 1)) is None
    assert end_of([said(it, "asked", 2) for it in KEYS], here(2, 5)) is None


words = st.builds(
    said, st.sampled_from([*KEYS, STRANGER]), st.sampled_from(CLAIMS), st.integers(0, ROUNDS)
)


@given(
    st.lists(words, unique_by=lambda it: it.signer),
    st.integers(2, 5),
    st.integers(0, ROUNDS),
    st.frozensets(st.sampled_from(KEYS)),
    st.randoms(use_true_random=False),
)
def test_who_is_believed(
    claims: list[Closed], leased: int, committed: int, silent: frozenset[bytes], chance: Any
) -> None:
    known = here(committed, leased, silent)
    end = end_of(claims, known)
    counting = [it for it in claims if it.rounds == committed and it.signer in KEYS[:leased]]
    kinds = [it.kind for it in counting]
    two = any(kinds.count(kind) > 1 for kind in kinds)
    awake = set(KEYS[:leased]) - silent - {it.signer for it in counting}
    assert (end is not None) == bool(two or (counting and not awake))
    assert end is None or end in counting
    others = list(claims)
    chance.shuffle(others)
    assert (end_of(others, known) is None) == (end is None)


def test_words_are_signed_kept_and_the_latest_counts(tmp_path: Path) -> None:
    (one, by), (other, _) = load_key(tmp_path / "1.key"), load_key(tmp_path / "2.key")
    trust = Trust([one, other])
    ends = Ends(tmp_path / "ends", JOB, trust)
    first = sign(said(one, "failed", 2, 4), by)
    with pytest.raises(SignatureWrong):
        ends.take(msgspec.structs.replace(first, signer=other))
    with pytest.raises(EndRefused, match="no lease"):
        ends.take(msgspec.structs.replace(first, signer=STRANGER))
    with pytest.raises(EndRefused, match="another"):
        ends.take(msgspec.structs.replace(first, job=BLOB))
    assert ends.said == []
    assert ends.take(first)
    assert not ends.take(sign(said(one, "conflict", 2, 4), by)), "one word under one fence"
    later = sign(said(one, "failed", 3, 7), by)
    assert ends.take(later)
    again = Ends(tmp_path / "ends", JOB, trust)
    assert again.said == [later]
    assert (again.of(one, 3), again.of(one, 2), again.of(other, 3)) == (True, False, False)
    assert again.left(Chair(JOB, 7, one))
    assert not again.left(Chair(JOB, 10, one))
    assert not again.left(Chair(JOB, 7, other))
    assert Ends(tmp_path / "ends", JOB, Trust([one, other], (2,))).said == [], "of an earlier turn"


def test_who_was_not_heard_since_the_word_was_said_is_silent() -> None:
    quiet = Quiet(tuple(KEYS[:3]))
    assert quiet.seconds(5.0) is None
    quiet.hear(KEYS[0], 0.0)
    assert quiet.seconds(5.0) == 5.0
    assert quiet.silent(None, 100.0) == frozenset()
    assert quiet.silent(3, 200.0) == frozenset(), "nobody had time to say anything since"
    quiet.hear(KEYS[1], 201.0)
    late = 200.0 + SILENT_SECONDS
    assert quiet.silent(3, late) == {KEYS[0], KEYS[2]}
    assert quiet.silent(4, late) == frozenset(), "another round, so another word"
