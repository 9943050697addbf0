"""Which sample stands where: from (seed, step, shard, place) to a sample index.

What    `sample_index(size, seed, position)` is the sample at `position` of an endless run over a
        split of `size` samples. `BatchPlan` says which positions one shard of one step takes.
Why     The order is part of the job's mathematics: a solver, a verifier and a chain must each find
        the same sample for one place, alone, without a table and without the places before it.
Rule    position = (step * shards + shard) * batch + place          (all counted from 0)
        epoch    = position // size
        key      = word64 of Chance.from_int(seed).fork("order", epoch), which written out is
                   first = SHA-256(00 "chance" 00 || seed as 8 bytes, little-endian, signed)
                   word  = SHA-256(00 "fork" 00 || first || "order" 1f <epoch in decimal>)
                   key   = the first 8 bytes of word, little-endian
        index    = permuted(position mod size, size, key): a 4-round Feistel network over
                   2h bits, h = (bit_length(size - 1) + 1) // 2 but at least 1, whose round t maps
                   (left, right) to (right, left ^ (philox((right, t, 0, 0), key)[0] mod 2^h)),
                   repeated until the value is below `size`.
        A batch may straddle two epochs; each epoch visits every sample exactly once.
Source  base.chance (Philox4x32-10; cycle walking, Black and Rogaway 2002).
Pure    Plain Python integers. `bulk_order` is its fast twin for whole batches.
"""

from __future__ import annotations

from msgspec import Struct

from skerry.base.chance import Chance, permuted

SEED_LIMIT = 1 << 63


def epoch_key(seed: int, epoch: int) -> int:
    """Return the key of the permutation that orders `epoch`."""
    return Chance.from_int(seed).fork("order", epoch).word64()


def sample_index(size: int, seed: int, position: int) -> int:
    """Return the sample at `position` of an endless run over `size` samples."""
    if size < 1 or position < 0:
        raise ValueError(f"no sample at position {position} of a split of {size}")
    epoch, place = divmod(position, size)
    return permuted(place, size, epoch_key(seed, epoch))


class BatchPlan(Struct, frozen=True, kw_only=True):
    """The slices of a run: `shards` shards a step, `batch` samples a shard, over `size` samples."""

    size: int
    seed: int
    shards: int
    batch: int

    def __post_init__(self) -> None:
        if self.size < 1 or self.shards < 1 or self.batch < 1:
            raise ValueError("size, shards and batch must each be at least 1")
        if not -SEED_LIMIT <= self.seed < SEED_LIMIT:
            raise ValueError(f"the seed {self.seed} does not fit 64 bits")

    def position(self, step: int, shard: int, place: int = 0) -> int:
        """Return the position in the endless run of one place in one shard of one step."""
        if step < 0 or not 0 <= shard < self.shards or not 0 <= place < self.batch:
            raise ValueError(f"no place {place} in shard {shard} of step {step}")
        return (step * self.shards + shard) * self.batch + place

    def indices(self, step: int, shard: int) -> tuple[int, ...]:
        """Return the sample indices of shard `shard` of step `step`, in their order."""
        first = self.position(step, shard)
        return tuple(
            sample_index(self.size, self.seed, first + place) for place in range(self.batch)
        )

    def epoch(self, step: int) -> int:
        """Return the epoch in which `step` begins."""
        return self.position(step, 0) // self.size
