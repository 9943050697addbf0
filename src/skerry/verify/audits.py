"""Which segments of an epoch are replayed, and what an auditor must show for its pay.

What    `seal`, `secret_of` and `opens` are an auditor's chain of secrets; `stir` mixes one into
        the draw; `draw_seed` and `drawn_segment` say what is replayed. `verdict_commitment` binds
        a verdict before the others are seen; `place_of` draws the value that must be shown
        afterwards, and `recomputed_tag` shows it; `due_tag` is what anyone can hold it against, who
        can show the leaf. `caught` is the chance that a liar is caught.
Why     The seed must not exist before the work is committed, and nobody may choose it: not the
        solver, not the submitter, not the last auditor to speak. A copied verdict must not pass.
Rule    The auditor of a lease commits to s_0 = H^n(s); in epoch e it opens H^(n-e-1)(s), and
        hashing that e+1 times gives s_0. The pot is 128 bits: the chain's randomness, then XOR
        with each opened secret, so their order means nothing. Draws are made with replacement.
        Segment s of a lane is segment s of each of its receipts that has one; the last one covers
        all later ones of a receipt that has more.
        A verdict commits to the number of the steps that were drawn and to the Merkle root over
        their traces, each of which binds how many values it has, and each value its shape. So
        anyone who holds the same trace can prove which leaf the tag must be of.
Source  docs/explanation/court.md; contracts/market.vy computes the same bytes.
Pure    No IO. Chances are exact fractions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256

from skerry.base.digests import digest, merkle_root, tree_depth, word
from skerry.commit.tensors import leaf_count, leaf_digest, seal_tensor
from skerry.commit.transcript import seal_trace
from skerry.commit.trees import climb

POT_BYTES = 16


def _hashed(data: bytes, times: int) -> bytes:
    for _ in range(times):
        data = sha256(data).digest()
    return data


def secret_of(root: bytes, epochs: int, epoch: int) -> bytes:
    """Return the secret that opens epoch `epoch` of a lease of at most `epochs` epochs."""
    if not 0 <= epoch < epochs:
        raise ValueError(f"epoch {epoch} is outside 0..{epochs - 1}")
    return _hashed(root, epochs - epoch - 1)


def seal(root: bytes, epochs: int) -> bytes:
    """Return what an auditor commits to at the lease, from its 32 secret bytes."""
    return _hashed(root, epochs)


def opens(sealed: bytes, epoch: int, secret: bytes) -> bool:
    """Return whether `secret` is the one of epoch `epoch` behind `sealed`."""
    return _hashed(secret, epoch + 1) == sealed


# -- the draw


def first_pot(job: bytes, epoch: int, randomness: bytes) -> bytes:
    """Return the pot that the chain's randomness starts."""
    return digest("pot", job, word(epoch), randomness)[:POT_BYTES]


def stir(pot: bytes, seat: int, secret: bytes) -> bytes:
    """Return the pot with the secret of one seat mixed in; the order of secrets means nothing."""
    spice = digest("spice", word(seat), secret)[:POT_BYTES]
    return bytes(a ^ b for a, b in zip(pot, spice, strict=True))


def draw_seed(job: bytes, epoch: int, pot: bytes) -> bytes:
    """Return the seed of an epoch's draw once its pot is closed."""
    return digest("draw", job, word(epoch), pot)


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of one unit of an epoch."""

    round: int
    lane: int
    segment: int


def drawn_index(seed: bytes, draw: int, total: int) -> int:
    """Return which of `total` segments draw number `draw` hits; the bias is below total / 2^256."""
    return int.from_bytes(digest("segment", seed, word(draw)), "big") % total


def drawn_segment(
    seed: bytes, draw: int, *, rounds: int, lanes: int, segments: int, first: int = 0
) -> Segment:
    """Return the segment that a draw hits, in an epoch of `rounds` rounds from round `first`."""
    index = drawn_index(seed, draw, rounds * lanes * segments)
    unit, segment = divmod(index, segments)
    at, lane = divmod(unit, lanes)
    return Segment(first + at, lane, segment)


# -- the verdict


def audit_trace(roots: Sequence[bytes]) -> bytes:
    """Return what a verdict commits to: the trace roots of all drawn steps, in the draw's order."""
    return digest("audit-trace", word(len(roots)), merkle_root(roots))


def verdict_commitment(
    job: bytes, epoch: int, auditor: bytes, *, accept: bool, trace: bytes, salt: bytes
) -> bytes:
    """Return the digest that an auditor posts before it may see any other verdict."""
    return digest(
        "verdict", job, word(epoch), word(auditor), word(int(accept)), trace, salt.rjust(32, b"\0")
    )


def fold_commitment(fold: bytes, seat: int, commitment: bytes) -> bytes:
    """Return the running hash of an epoch's commitments after one more; it starts from zeros."""
    return sha256(fold + word(seat) + commitment).digest()


@dataclass(frozen=True, slots=True)
class Place:
    """The value that an auditor must show: a drawn step, a node of it, a leaf of that."""

    step: int
    node: int
    leaf: int


def place_of(seed: bytes, fold: bytes, *, steps: int, leaves: Sequence[int]) -> Place:
    """Return the place, which exists only after every commitment is in.

    Args:
        seed: the seed of the epoch's draw.
        fold: the running hash of the commitments.
        steps: how many steps were drawn.
        leaves: the number of leaves of each node's value.
    """
    step, node = _place("step", seed, fold, steps), _place("node", seed, fold, len(leaves))
    return Place(step, node, _place("leaf", seed, fold, leaves[node]))


def _place(what: str, seed: bytes, fold: bytes, count: int) -> int:
    return int.from_bytes(digest(f"place-{what}", seed, fold), "big") % count


def recomputed_tag(auditor: bytes, leaf: bytes) -> bytes:
    """Return the proof that one holds a leaf's bytes; it serves nobody else."""
    return digest("recomputed", word(auditor), leaf)


@dataclass(frozen=True, slots=True)
class Traced:
    """One leaf of a value of a step that was drawn, and how it hangs on an auditor's trace.

    Attributes:
        steps: how many steps were drawn.
        step_path: from the step's trace to the root over all of them.
        values: how many values the step has.
        value_path: from the value to the root over them.
        dtype: of the value.
        shape: of the value.
        leaf_path: from the leaf to the root over the value's leaves.
        data: the leaf's bytes.
    """

    steps: int
    step_path: tuple[bytes, ...]
    values: int
    value_path: tuple[bytes, ...]
    dtype: str
    shape: tuple[int, ...]
    leaf_path: tuple[bytes, ...]
    data: bytes


def _above(leaf: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes | None:
    return climb(leaf, index, path) if len(path) == tree_depth(count) else None


def due_tag(seed: bytes, fold: bytes, auditor: bytes, trace: bytes, it: Traced) -> bytes | None:
    """Return the tag that an auditor of `trace` has to show; None where the leaf is another one."""
    if it.steps < 1 or it.values < 1 or not all(it.shape):
        return None
    leaves = leaf_count(it.shape)
    leaf = _place("leaf", seed, fold, leaves)
    root = _above(leaf_digest(it.data), leaf, leaves, it.leaf_path)
    if root is None:
        return None
    tensor, node = seal_tensor(it.dtype, it.shape, root), _place("node", seed, fold, it.values)
    root = _above(tensor, node, it.values, it.value_path)
    if root is None:
        return None
    step = _place("step", seed, fold, it.steps)
    root = _above(seal_trace(it.values, root), step, it.steps, it.step_path)
    if root is None or digest("audit-trace", word(it.steps), root) != trace:
        return None
    return recomputed_tag(auditor, it.data)


# -- how likely it is


def caught(*, total: int, forged: int, draws: int) -> Fraction:
    """Return the chance that at least one of `draws` hits one of the `forged` of `total`."""
    if not 0 <= forged <= total:
        raise ValueError(f"{forged} of {total} cannot be forged")
    return 1 - (1 - Fraction(forged, total)) ** draws


def draws_for(chance: Fraction, *, total: int, forged: int) -> int:
    """Return the fewest draws that catch `forged` of `total` with at least `chance` below 1."""
    if forged < 1 or chance >= 1:
        raise ValueError("what is not forged, or must be certain, cannot be caught by draws")
    missed, draws = Fraction(1), 0
    while 1 - missed < chance:
        missed *= 1 - Fraction(forged, total)
        draws += 1
    return draws
