"""A lane that is recorded more often than it is merged: each unit joins the one before."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from skerry.commit import state_root
from skerry.messages.receipts import Cost, Receipt
from skerry.messages.rounds import RunConfig
from skerry.roles.units import LaneWord, altered
from skerry.verify.asked import asked_units

SIGNERS = [bytes([at]) * 32 for at in (1, 2, 3)]


def digest_of(*what: object) -> bytes:
    """Return a digest that nothing else has."""
    return sha256(repr(what).encode()).digest()


def terms(every: int, merges: int = 3) -> RunConfig:
    """Return a run that merges every so many rounds."""
    return RunConfig(
        exchange="local", rounds=every * merges, local_steps=4, lanes=2, shards_per_lane=2,
        samples_per_shard=1, segments=2, seed=5, data=bytes(32),
        programs=tuple((name, digest_of(name)) for name in ("encode", "merge", "step")),
        merge_rounds=every if every > 1 else UNSET,
    )  # fmt: skip


def said_in(config: RunConfig, at: int, before: dict[str, bytes]) -> tuple[LaneWord, bytes]:
    """Return what an honest lane says in round `at`, and the root of the round's global state."""
    params = digest_of("global", at // config.between_merges)
    start = {} if config.goes_on(at) else {"params": params}
    state, left = state_root({**before, **start}), before
    receipts: list[Receipt] = []
    for unit in asked_units(config, at, 1):
        left = {name: digest_of(name, at, len(receipts)) for name in ("moment", "params")}
        ends = [digest_of("segment", at, it) for it in range(unit.segments - 1)]
        given_ = (("start", params),) if receipts else ()
        receipts.append(
            Receipt(
                signer=SIGNERS[at % len(SIGNERS)], unit=msgspec.structs.replace(
                    unit, state=state, given=given_
                ), segments=(*ends, state_root(left)), outputs=(), cost=Cost(1, 1),
            )
        )  # fmt: skip
        state = state_root(left)
    named = config.merges(at) or config.goes_on(at)
    word = LaneWord(receipts, tuple(sorted(left.items())), before, UNSET if named else params)
    return word, state_root({"params": params})


def course(config: RunConfig) -> list[tuple[LaneWord, bytes]]:
    """Return what an honest lane says in all rounds."""
    found = []
    before = {"moment": digest_of("zero"), "params": digest_of("zero")}
    for at in range(config.rounds):
        found.append(said_in(config, at, before))
        before = dict(found[-1][0].left)
    return found


@given(st.integers(1, 5))
def test_rounds_of_many_signers_are_as_ordered(every: int) -> None:
    config = terms(every)
    for at, (word, root) in enumerate(course(config)):
        assert altered(config, at, 1, word, root) is None
        assert len(word.receipts) == 1 + config.merges(at)


@given(st.integers(2, 5), st.data())
def test_what_does_not_join_is_nobodys(every: int, data: st.DataObject) -> None:
    config = terms(every)
    at = data.draw(st.integers(0, config.rounds - 1))
    word, root = course(config)[at]
    last = word.receipts[-1]
    moved = msgspec.structs.replace(last, unit=msgspec.structs.replace(last.unit, state=root))
    other = msgspec.structs.replace(last, segments=(*last.segments[:-1], root))
    lies = {
        "another start": replace(word, receipts=[*word.receipts[:-1], moved]),
        "another end": replace(word, receipts=[*word.receipts[:-1], other]),
        "another past": replace(word, before={"moment": root, "params": root}),
        "another global state": replace(word, start=root),
        "one more": replace(word, receipts=[*word.receipts, last]),
        "one less": replace(word, receipts=word.receipts[:-1]),
    }
    if not config.merges(at):
        lies["nothing left"] = replace(word, left=())
        lies["a start or none"] = replace(word, start=UNSET if not config.goes_on(at) else root)
    lie = data.draw(st.sampled_from(sorted(lies)))
    assert altered(config, at, 1, lies[lie], root) is not None, lie


@given(st.integers(1, 40), st.integers(1, 6))
def test_rounds_go_on_exactly_where_the_one_before_does_not_merge(merges: int, every: int) -> None:
    config = terms(every, merges)
    every_round = range(config.rounds)
    assert sum(map(config.merges, every_round)) == merges
    assert not config.goes_on(0)
    assert config.merges(config.rounds - 1)
    assert all(config.goes_on(at) != config.merges(at - 1) for at in every_round[1:])
    units = [it for at in every_round for it in asked_units(config, at, 0)]
    steps = [it.step_from + step for it in units if it.data for step in range(it.steps)]
    assert steps == list(range(4 * config.rounds)), "each step once, in order"


def test_terms_that_merge_every_round_are_spelled_as_before() -> None:
    spelled = msgspec.msgpack.encode(terms(1), order="deterministic")
    assert b"merge_rounds" not in spelled
    longer = msgspec.msgpack.encode(terms(2), order="deterministic")
    assert longer.rpartition(b"merge_rounds")[2] == b"\x02", "behind all that the chain reads"


@pytest.mark.parametrize("change", [{"rounds": 7}, {"save_rounds": 3}, {"eval_rounds": 1}])
def test_a_run_ends_saves_and_evaluates_where_it_merges(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="where it merges"):
        msgspec.structs.replace(terms(2), **change)
