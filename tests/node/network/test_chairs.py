"""Whose turn it is, and whose it is not while the others hear somebody else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skerry.messages.leased import Chair
from skerry.node.network.chairs import better, first_chair, still_held, successors

JOB = bytes(32)
ORDER = [bytes([at]) * 32 for at in range(1, 5)]

chairs = st.builds(Chair, st.just(JOB), st.integers(0, 6), st.sampled_from(ORDER), st.booleans())


@given(st.dictionaries(st.sampled_from(ORDER), chairs), st.integers(1, 7))
def test_a_chair_is_held_while_its_coordinator_answers_or_more_than_half_hear_it(
    said: dict[bytes, Chair], fence: int
) -> None:
    found = still_held(said, fence)
    heard = {key: it for key, it in said.items() if it.held and it.fence < fence}
    answers = any(it.node == key for key, it in heard.items())
    assert (found is not None) == (answers or len(heard) > len(said) - len(heard))
    if found is not None:
        assert found in heard.values()
        assert found.fence == max(it.fence for it in heard.values())


def test_who_hears_nobody_takes_a_chair_that_is_empty() -> None:
    assert still_held({}, 2) is None
    first = first_chair(JOB, ORDER)
    lost = Chair(JOB, first.fence, first.node)
    assert still_held({ORDER[2]: lost, ORDER[3]: lost}, 2) is None


def test_one_liar_holds_no_chair_of_another_against_two() -> None:
    dead = ORDER[0]
    said = {
        ORDER[1]: Chair(JOB, 1, dead, held=True),
        ORDER[2]: Chair(JOB, 1, dead),
        ORDER[3]: Chair(JOB, 0, ORDER[3]),
    }
    assert still_held(said, 2) is None


def test_a_coordinator_that_answers_keeps_its_chair() -> None:
    said = {ORDER[0]: Chair(JOB, 1, ORDER[0], held=True)}
    said |= {key: Chair(JOB, 0, key) for key in ORDER[2:]}
    assert still_held(said, 2) == said[ORDER[0]]


def test_turns_go_round_and_fences_only_grow() -> None:
    turns = successors(ORDER, first_chair(JOB, ORDER))
    assert [it.node for it in turns] == [*ORDER[1:], ORDER[0]]
    assert [it.fence for it in turns] == [2, 3, 4, 5]
    assert better(turns[0], turns[1]) == turns[1]
    assert better(None, turns[0]) == turns[0]
