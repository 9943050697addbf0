"""Whose turn it is, and whose it is not while the others hear somebody else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skerry.messages.leased import Chair
from skerry.node.network.chairs import better, first_chair, still_held, successors

JOB = bytes(32)
ORDER = [bytes([at]) * 32 for at in range(1, 5)]

claims = st.lists(
    st.builds(Chair, st.just(JOB), st.integers(0, 6), st.sampled_from(ORDER), st.booleans()),
    max_size=6,
)


@given(claims, st.integers(1, 7))
def test_a_chair_is_held_while_more_than_half_hear_a_lower_one(
    said: list[Chair], fence: int
) -> None:
    found = still_held(said, fence)
    heard = [it for it in said if it.held and it.fence < fence]
    assert (found is not None) == (len(heard) > len(said) - len(heard))
    if found is not None:
        assert found in heard
        assert found.fence == max(it.fence for it in heard)


def test_who_hears_nobody_takes_a_chair_that_is_empty() -> None:
    assert still_held([], 2) is None
    first = first_chair(JOB, ORDER)
    lost = [Chair(JOB, first.fence, first.node)] * 2
    assert still_held(lost, 2) is None


def test_one_liar_holds_no_chair_against_two() -> None:
    liar = Chair(JOB, 1, ORDER[0], held=True)
    assert still_held([liar, Chair(JOB, 1, ORDER[0]), Chair(JOB, 0, ORDER[2])], 2) is None


def test_turns_go_round_and_fences_only_grow() -> None:
    turns = successors(ORDER, first_chair(JOB, ORDER))
    assert [it.node for it in turns] == [*ORDER[1:], ORDER[0]]
    assert [it.fence for it in turns] == [2, 3, 4, 5]
    assert better(turns[0], turns[1]) == turns[1]
    assert better(None, turns[0]) == turns[0]
