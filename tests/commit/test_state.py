"""A state is names and tensors, in one order, each of which can be shown alone."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from skerry.base.digests import EMPTY, digest
from skerry.commit import check_state, open_state, state_root

STATES = st.dictionaries(st.text(max_size=5), st.binary(min_size=32, max_size=32), max_size=20)


@given(STATES)
def test_a_state_root_does_not_depend_on_the_order_of_insertion(
    state: dict[str, bytes],
) -> None:
    assert state_root(dict(reversed(state.items()))) == state_root(state)


@given(STATES, st.data())
def test_any_entry_can_be_shown_alone(state: dict[str, bytes], data: st.DataObject) -> None:
    state["x"] = bytes(32)
    name = data.draw(st.sampled_from(sorted(state)))
    opening = open_state(state, name)
    assert opening.tensor == state[name]
    assert check_state(state_root(state), opening)


@given(STATES)
def test_every_entry_counts(state: dict[str, bytes]) -> None:
    for name in state:
        other = {**state, name: sha256(state[name]).digest()}
        assert state_root(other) != state_root(state)
        renamed = {**{key: state[key] for key in state if key != name}, name + "'": state[name]}
        assert state_root(renamed) != state_root(state)


def test_a_false_opening_is_refused() -> None:
    state = {name: sha256(name.encode()).digest() for name in "abcde"}
    root, good = state_root(state), open_state(state, "c")
    false = [
        replace(good, name="d"),
        replace(good, tensor=state["d"]),
        replace(good, index=3),
        replace(good, index=-1),
        replace(good, index=5),
        replace(good, count=6),
        replace(good, count=1 << 40),
        replace(good, path=good.path[:-1]),
    ]
    assert check_state(root, good)
    assert not any(check_state(root, opening) for opening in false)
    assert not check_state(EMPTY, good)


def test_names_ascend_by_their_bytes() -> None:
    """UTF-8 order differs from UTF-16's; the rule says bytes."""
    a, b = bytes(32), bytes([1] * 32)
    leaves = [
        digest("state-leaf", a, "ﬀ".encode()),
        digest("state-leaf", b, "\U00010000".encode()),
    ]
    inner = sha256(b"\x01" + b"".join(leaves)).digest()
    assert state_root({"\U00010000": b, "ﬀ": a}) == digest("state", b"\x02\0\0\0", inner)
