"""The fast twin of `order`: whole batches at once.

What    `permuted_bulk` and `step_samples` give, as arrays, the integers of `base.chance.permuted`
        and `BatchPlan.indices`.
Why     A step asks for some dozens of samples; the plain rule costs up to 100 microseconds for
        each. Small epochs are ordered once and kept. A test holds the two equal.
Pure    No IO; what is kept follows from the arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from skerry.base.chance import split64
from skerry.dataset.order import BatchPlan, epoch_key, sample_index

# An epoch of up to this many samples is ordered at once, in a quarter of a second at most; of a
# larger one only what is asked for, below FEW by the plain rule, which is then the faster.
KEPT_SAMPLES_MAX = 1 << 18
FEW = 64

Indices = npt.NDArray[np.int64]
_Words = npt.NDArray[np.uint64]

_MASK32 = np.uint64(0xFFFFFFFF)
_SHIFT32 = np.uint64(32)
_MULTIPLIER = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)


def _philox_first(right: _Words, turn: int, key: int) -> _Words:
    k0, k1 = split64(key)
    c0: Any = right
    c1: Any = np.uint64(turn)
    c2: Any = np.uint64(0)
    c3: Any = np.uint64(0)
    for _ in range(10):
        low, high = _MULTIPLIER[0] * c0, _MULTIPLIER[1] * c2
        c0, c1, c2, c3 = (
            (high >> _SHIFT32) ^ c1 ^ np.uint64(k0),
            high & _MASK32,
            (low >> _SHIFT32) ^ c3 ^ np.uint64(k1),
            low & _MASK32,
        )
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return np.asarray(c0, np.uint64)


def permuted_bulk(places: npt.NDArray[Any], size: int, key: int) -> Indices:
    """Return `permuted(place, size, key)` for each place."""
    value: _Words = np.array(places, dtype=np.uint64).ravel()
    if value.size and int(value.max()) >= size:
        raise ValueError(f"a place is outside 0..{size - 1}")
    half = np.uint64(max((size - 1).bit_length() + 1, 2) // 2)
    mask = (np.uint64(1) << half) - np.uint64(1)
    walking = np.arange(value.size)
    while walking.size:
        left, right = value[walking] >> half, value[walking] & mask
        for turn in range(4):
            left, right = right, left ^ (_philox_first(right, turn, key) & mask)
        value[walking] = (left << half) | right
        walking = walking[value[walking] >= np.uint64(size)]
    return value.astype(np.int64).reshape(np.shape(places))


@lru_cache(maxsize=4)
def epoch_order(size: int, seed: int, epoch: int) -> Indices:
    """Return the whole order of one epoch; it is kept, since steps come back to it."""
    order = permuted_bulk(np.arange(size), size, epoch_key(seed, epoch))
    order.flags.writeable = False
    return order


def samples_at(size: int, seed: int, first: int, count: int) -> Indices:
    """Return `sample_index` of `count` positions from `first` on."""
    parts: list[Indices] = []
    while count:
        epoch, place = divmod(first, size)
        here = min(count, size - place)
        if size <= KEPT_SAMPLES_MAX:
            parts.append(epoch_order(size, seed, epoch)[place : place + here])
        elif here < FEW:
            run = range(first, first + here)
            parts.append(np.array([sample_index(size, seed, each) for each in run], np.int64))
        else:
            places = np.arange(place, place + here)
            parts.append(permuted_bulk(places, size, epoch_key(seed, epoch)))
        first, count = first + here, count - here
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def step_samples(plan: BatchPlan, step: int, shards: Sequence[int] | None = None) -> Indices:
    """Return the indices [shard, place] of the asked shards (all, unless said) of one step."""
    asked = range(plan.shards) if shards is None else shards
    rows = [
        samples_at(plan.size, plan.seed, plan.position(step, shard), plan.batch) for shard in asked
    ]
    return np.stack(rows) if rows else np.zeros((0, plan.batch), np.int64)
