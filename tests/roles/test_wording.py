"""Every move that a party makes by itself has words of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.market_world import ASKING, Plot, Shape, World
from skerry.roles.wording import words_of
from skerry.settle import actions

OF_THE_COURT = (actions.Award, actions.Admit, actions.Convict, actions.Dismiss, actions.Deposit)


@pytest.mark.parametrize("lies", [frozenset(), frozenset({(2, 0)})], ids=["honest", "a lie"])
def test_every_move_of_a_party_is_told_in_words(lies: frozenset[tuple[int, int]]) -> None:
    asking = replace(ASKING, epoch_rounds=2, draws=64)
    world = World(Plot(Shape(6, 3, 4, 2), asking, solvers=3, stops=6, lies=lies)).run()
    told = {words_of(it): it for it in world.moves if not isinstance(it, OF_THE_COURT)}
    assert {"committed an epoch of 2 rounds", "locked the draw of epoch 1"} <= set(told)
    assert ("showed the verdict on epoch 1: rejects it" in told) == bool(lies)
    for words, move in told.items():
        assert words != type(move).__name__
