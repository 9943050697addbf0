"""What a step was given: the element that an input must have.

What    One function a role: `state`, `given`, `chance`, `data`; and `carried` for an entry of the
        state that the Program does not touch.
Why     A step that is run rightly on the wrong input is a lie too. `contracts/wiring.vy` is the
        same in the EVM, and `contracts/feeds.vy` reads what it needs from the receipt itself, as
        `order_of` and `given_tensor` do.
Rule    The rules are those of `commit.state`, `base.chance` and `dataset.order`. What the unit and
        its reading say (roots, seeds, counts, shards) is an argument: the caller answers for it.
Pure    Integers and digests; a bad opening is `OpeningRefused`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skerry.arithmetic import real
from skerry.base.chance import Chance, permuted
from skerry.base.digests import digest, merkle_check, tree_depth
from skerry.commit.reading import FIELD_BYTES, Reading
from skerry.commit.state import seal_state, state_leaf
from skerry.commit.tensors import (
    ITEM_BYTES,
    leaf_count,
    leaf_digest,
    leaf_of,
    leaf_span,
    seal_tensor,
)
from skerry.commit.trees import climb
from skerry.messages.receipts import Unit
from skerry.verify.judged import WORD, Bits, Claim, Judged, Opened, element_bits, need, read_node


@dataclass(frozen=True, slots=True)
class Order:
    """Which samples and seeds a step of a unit has.

    Attributes:
        seed: the job's seed.
        step: the step, counted from the job's first.
        shards: the shards of the whole batch.
        batch: the samples of a shard.
        own: the unit's shards, ascending.
        shuffled: whether the seed orders the samples; otherwise they come as they stand.
    """

    seed: int
    step: int
    shards: int
    batch: int
    own: tuple[int, ...]
    shuffled: bool = True


@dataclass(frozen=True, slots=True)
class Samples:
    """A split of the data, and the field of its records that a port is named after.

    Attributes:
        root: root over the samples.
        count: how many there are.
        record_bytes: the size of one.
        field_at: where the field begins in it.
        field_kind: how the field is stored.
    """

    root: bytes
    count: int
    record_bytes: int
    field_at: int
    field_kind: str


def order_of(unit: Unit, step: int, reading: Reading | None = None) -> Order:
    """Return which samples and seeds the unit's step `step`, counted from its first, has.

    Args:
        unit: the unit, as its receipt says it.
        step: the step.
        reading: how it reads its samples; None where only its seeds are asked for.
    """
    need(0 <= step < unit.steps, "the unit has no such step")
    own = unit.data.shards if unit.data is not None else ()
    at = unit.step_from + step
    if reading is None:
        return Order(unit.seed, at, 1, 1, own)
    need(unit.data is not None, "the unit reads no data")
    assert unit.data is not None, "just checked"
    need(unit.data.reading == reading.digest, "the unit reads its samples otherwise")
    return Order(unit.seed, at, reading.shards, reading.batch, own, reading.shuffled)


def samples_of(reading: Reading, name: str) -> Samples:
    """Return the samples of a reading, and the field that fills the port `name`."""
    field = reading.open_field(name).field
    return Samples(reading.root, reading.count, reading.record_bytes, field.at, field.kind)


def given_tensor(unit: Unit, name: str) -> bytes:
    """Return the tensor digest that the unit names for a port."""
    found = dict(unit.given).get(name)
    need(found is not None, f"the unit names no tensor for {name!r}")
    return found or b""


def _input(claim: Claim, node: bytes, role: str) -> Judged:
    judged = read_node(claim, node)
    need(judged.op == "input" and judged.role == role, f"the node is no input of role {role}")
    need(0 <= claim.element < judged.made.elements, "there is no such element")
    return judged


def _tensor(judged: Judged, leaf: int, opened: Opened) -> tuple[bytes, tuple[bytes, ...]]:
    """Return the tensor of the input's type that the opening is a leaf of, and the path's rest."""
    kind = judged.made
    levels = tree_depth(leaf_count(kind.shape))
    first, stop = leaf_span(kind.shape, leaf)
    need(len(opened.data) == (stop - first) * ITEM_BYTES[kind.dtype], "the leaf is too short")
    need(len(opened.path) >= levels, "the path has another length")
    root = climb(leaf_digest(opened.data), leaf, opened.path[:levels])
    return seal_tensor(kind.dtype, kind.shape, root), opened.path[levels:]


def _entry_root(entry: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes:
    """Return the state root of `count` entries that has `entry` at `index`."""
    need(0 <= index < count and len(path) == tree_depth(count), "the path has another length")
    return seal_state(count, climb(entry, index, path))


def state(claim: Claim, node: bytes, before: bytes, count: int, index: int, shown: Opened) -> Bits:
    """Return an element of the state before the step.

    Args:
        claim: what is doubted.
        node: the bytes of its node.
        before: root of the state.
        count: how many entries it has.
        index: where among them the port's name stands.
        shown: the leaf; its path leads on to the root of the entries.
    """
    judged = _input(claim, node, "state")
    leaf, place = leaf_of(judged.made.shape, claim.element)
    tensor, rest = _tensor(judged, leaf, shown)
    root = _entry_root(state_leaf(judged.name, tensor), index, count, rest)
    need(root == before, "the entry is not of the state before")
    return element_bits(shown.data, judged.made.dtype, place)


def carried(
    name: str, before: bytes, count: int, index: int, tensor: bytes, path: Sequence[bytes]
) -> bytes:
    """Return the leaf that an untouched entry has before the step, and so must have after it."""
    entry = state_leaf(name, tensor)
    need(_entry_root(entry, index, count, path) == before, "the entry is not of the state before")
    return entry


def given(claim: Claim, node: bytes, tensor: bytes, shown: Opened) -> Bits:
    """Return an element of the tensor that the unit names for a port."""
    judged = _input(claim, node, "given")
    leaf, place = leaf_of(judged.made.shape, claim.element)
    found, rest = _tensor(judged, leaf, shown)
    need(found == tensor and not rest, "the leaf is another tensor's")
    return element_bits(shown.data, judged.made.dtype, place)


def chance(claim: Claim, node: bytes, order: Order) -> Bits:
    """Return the seed of the shard at the element's place among the unit's.

    A unit without shards makes the initial state and has one seed.
    """
    judged = _input(claim, node, "chance")
    made = judged.made
    need(made.dtype == "i64" and made.elements == max(len(order.own), 1), "one seed a shard is due")
    return seed_at(order, claim.element) & WORD


def seed_at(order: Order, place: int) -> int:
    """Return the seed at a place among those of a step."""
    root = Chance.from_int(order.seed)
    if not order.own:
        return root.fork("init").word64()
    return root.fork("shard", order.step, order.own[place]).word64()


def sample_at(order: Order, count: int, place: int) -> int:
    """Return the sample at a place of the unit's part of the batch."""
    shard = order.own[place // order.batch]
    position = (order.step * order.shards + shard) * order.batch + place % order.batch
    epoch, inside = divmod(position, count)
    if not order.shuffled:
        return inside
    return permuted(inside, count, Chance.from_int(order.seed).fork("order", epoch).word64())


def data(
    claim: Claim,
    node: bytes,
    order: Order,
    samples: Samples,
    record: bytes,
    path: Sequence[bytes],
) -> Bits:
    """Return an element of the sample at the element's place in the batch.

    Args:
        claim: what is doubted.
        node: the bytes of its node.
        order: which places of the endless run the step reads.
        samples: the split, and the port's field.
        record: the sample, whole.
        path: its siblings up to the root of the samples.
    """
    judged = _input(claim, node, "data")
    places, width = len(order.own) * order.batch, FIELD_BYTES[samples.field_kind]
    each, rest = divmod(judged.made.elements, places)
    need(rest == 0, "the port does not hold whole samples")
    place, inside = divmod(claim.element, each)
    index = sample_at(order, samples.count, place)
    leaf = digest("sample", record)
    need(len(record) == samples.record_bytes, "the record has another length")
    need(merkle_check(samples.root, leaf, index, samples.count, path), "the sample is another one")
    real_field = samples.field_kind == "f32"
    need(judged.made.dtype == ("f32" if real_field else "i64"), "the field is of another type")
    first = samples.field_at + inside * width
    need(first + width <= len(record), "the field ends before the element")
    bits = int.from_bytes(record[first : first + width], "little")
    return real.NAN if real_field and real.is_nan(bits) else bits
