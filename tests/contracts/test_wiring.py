"""What a step was given is judged alike in Python and in the EVM, and as the job's rules say."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest
from msgspec.structs import replace

from benchmarks.adjudicate import as_claim
from benchmarks.adjudicate_cases import NAN, f32_bits, i64
from scripts.evm import Judges, Reverted, judges
from skerry.base.chance import Chance
from skerry.base.digests import EMPTY, merkle_levels, merkle_path
from skerry.commit.reading import FIELD_BYTES, KIND_CODES, FieldPlace, Reading
from skerry.commit.state import open_state, state_leaf, state_root
from skerry.commit.tensors import ITEM_BYTES, open_element, tensor_digest
from skerry.dataset.manifest import sample_leaf
from skerry.dataset.order import BatchPlan
from skerry.messages.receipts import Cost, DataSlice, Receipt, Unit, UnitId
from skerry.messages.signing import signed_digest
from skerry.messages.wire import encode
from skerry.program import Builder, Program, judged_node
from skerry.program.graph import DType
from skerry.verify import wiring
from skerry.verify.judged import Claim, Opened, OpeningRefused, node_leaf
from skerry.verify.wiring import Order, Samples

KINDS = ("u16", "u32", "f32", "i64")
NAMES = ("params", "a" * 31, "b" * 32, "m", "schön " * 40)


@pytest.fixture(scope="module")
def chain() -> Judges:
    return judges()


def program_with(name: str, role: str, dtype: DType, shape: tuple[int, ...]) -> Program:
    b = Builder("given")
    b.output("y", b.input(name, role, dtype, shape), "value")  # type: ignore[arg-type]
    return b.build()


def claim_about(program: Program, element: int) -> tuple[Claim, bytes]:
    raw = judged_node(program, 0)
    return Claim(node_leaf(raw), EMPTY, 1, element), raw


def elements(rng: random.Random, dtype: DType, count: int) -> bytes:
    draws = {
        "f32": lambda: f32_bits(rng),
        "i64": lambda: i64(rng) % (1 << 64),
        "bool": lambda: rng.getrandbits(1),
    }
    return b"".join(draws[dtype]().to_bytes(ITEM_BYTES[dtype], "little") for _ in range(count))


def as_order(order: Order) -> tuple[int, int, int, int, bytes, bool]:
    own = b"".join(shard.to_bytes(2, "big") for shard in order.own)
    return order.seed, order.step, order.shards, order.batch, own, order.shuffled


def as_samples(samples: Samples) -> tuple[bytes, int, int, int, int]:
    kind = KINDS.index(samples.field_kind) + 1
    return samples.root, samples.count, samples.record_bytes, samples.field_at, kind


@pytest.mark.parametrize("dtype", ["f32", "i64", "bool"])
@pytest.mark.parametrize("shape", [(), (7,), (3, 513)])
@pytest.mark.parametrize("name", NAMES)
def test_an_entry_of_the_state_before(
    name: str, shape: tuple[int, ...], dtype: DType, chain: Judges
) -> None:
    rng = random.Random(f"{name} {shape} {dtype}")
    count = int(np.prod(shape))
    data, element = elements(rng, dtype, count), rng.randrange(count)
    state = {it: bytes([at]) * 32 for at, it in enumerate(NAMES)}
    state[name] = tensor_digest(dtype, shape, data)
    entry, leaf = open_state(state, name), open_element(dtype, shape, data, element)
    shown = Opened(leaf.data, (*leaf.path, *entry.path))
    claim, raw = claim_about(program_with(name, "state", dtype, shape), element)
    before, width = state_root(state), ITEM_BYTES[dtype]
    want = int.from_bytes(data[element * width : (element + 1) * width], "little")
    twin = wiring.state(claim, raw, before, entry.count, entry.index, shown)
    call = (as_claim(claim), raw, before, entry.count, entry.index, (shown.data, list(shown.path)))
    assert twin == chain.wiring.call("state", *call) == want
    other = state_root(state | {name: EMPTY})
    with pytest.raises(OpeningRefused):
        wiring.state(claim, raw, other, entry.count, entry.index, shown)
    with pytest.raises(Reverted):
        chain.wiring.call("state", *call[:2], other, *call[3:])


def test_an_entry_that_is_carried_over_keeps_its_leaf(chain: Judges) -> None:
    state = {it: bytes([at]) * 32 for at, it in enumerate(NAMES)}
    for name in NAMES:
        shown = open_state(state, name)
        call = (state_root(state), shown.count, shown.index, shown.tensor)
        want = state_leaf(name, shown.tensor)
        assert wiring.carried(name, *call, shown.path) == want
        assert chain.wiring.call("carried", name.encode(), *call, list(shown.path)) == want
        with pytest.raises(OpeningRefused):
            wiring.carried(name + "x", *call, shown.path)
        with pytest.raises(Reverted):
            chain.wiring.call("carried", name.encode() + b"x", *call, list(shown.path))


def test_a_given_tensor(chain: Judges) -> None:
    rng = random.Random(1)
    data = elements(rng, "f32", 1200)
    shown = open_element("f32", (2, 600), data, 1111)
    tensor = tensor_digest("f32", (2, 600), data)
    claim, raw = claim_about(program_with("grads", "given", "f32", (2, 600)), 1111)
    want = int.from_bytes(data[4444:4448], "little")
    opened = Opened(shown.data, shown.path)
    assert wiring.given(claim, raw, tensor, opened) == want
    call = (as_claim(claim), raw, tensor, (shown.data, list(shown.path)))
    assert chain.wiring.call("given", *call) == want
    with pytest.raises(OpeningRefused):
        wiring.given(claim, raw, EMPTY, opened)
    with pytest.raises(Reverted):
        chain.wiring.call("given", *call[:2], EMPTY, call[3])


def orders(rng: random.Random) -> Order:
    shards = rng.randint(1, 9)
    own = tuple(sorted(rng.sample(range(shards), rng.randint(1, shards))))
    step = rng.choice((0, 1, 17, 10**6))
    return Order(i64(rng), step, shards, rng.randint(1, 5), own, rng.random() < 0.8)


@pytest.mark.parametrize("seed", range(150))
def test_a_seed_is_the_word_of_its_shard_and_step(seed: int, chain: Judges) -> None:
    rng = random.Random(seed)
    order = orders(rng)
    place = rng.randrange(len(order.own))
    shape = () if len(order.own) == 1 and rng.random() < 0.5 else (len(order.own),)
    claim, raw = claim_about(program_with("seeds", "chance", "i64", shape), place)
    word = Chance.from_int(order.seed).fork("shard", order.step, order.own[place]).word64()
    assert wiring.chance(claim, raw, order) == word % (1 << 64)
    got = chain.wiring.call("chance", as_claim(claim), raw, as_order(order))
    assert got == word % (1 << 64)
    wrong = dataclasses.replace(order, own=(*order.own, 99))
    with pytest.raises(OpeningRefused):
        wiring.chance(claim, raw, wrong)
    with pytest.raises(Reverted):
        chain.wiring.call("chance", as_claim(claim), raw, as_order(wrong))


@pytest.mark.parametrize("seed", range(150))
def test_a_sample_is_the_one_that_the_order_puts_there(seed: int, chain: Judges) -> None:
    rng = random.Random(seed)
    order, count = orders(rng), rng.choice((1, 2, 3, 5, 64, 1000))
    kind, each = rng.choice(KINDS), rng.choice((1, 3, 64))
    width = FIELD_BYTES[kind]
    records = [rng.randbytes(5 + each * width + 2) for _ in range(count)]
    levels = merkle_levels([sample_leaf(record) for record in records])
    samples = Samples(levels[-1][0], count, len(records[0]), 5, kind)
    shape = (len(order.own), order.batch, each)
    dtype: DType = "f32" if kind == "f32" else "i64"
    element = rng.randrange(int(np.prod(shape)))
    claim, raw = claim_about(program_with("tokens", "data", dtype, shape), element)
    plan = BatchPlan(size=count, seed=order.seed, shards=order.shards, batch=order.batch)
    place, inside = divmod(element, each)
    shard, at = divmod(place, order.batch)
    index = plan.indices(order.step, order.own[shard])[at]
    if not order.shuffled:
        index = plan.position(order.step, order.own[shard], at) % count
    raw_bits = records[index][5 + inside * width : 5 + (inside + 1) * width]
    want = int.from_bytes(raw_bits, "little")
    if kind == "f32" and want & 0x7FFFFFFF > 0x7F800000:
        want = NAN
    path = merkle_path(levels, index)
    assert wiring.data(claim, raw, order, samples, records[index], path) == want
    call = (as_claim(claim), raw, as_order(order), as_samples(samples))
    got = chain.wiring.call("data", *call, records[index], list(path))
    assert got == want
    other = records[index][:-1] + bytes([records[index][-1] ^ 1])
    with pytest.raises(OpeningRefused):
        wiring.data(claim, raw, order, samples, other, path)
    with pytest.raises(Reverted):
        chain.wiring.call("data", *call, other, list(path))


def test_a_node_of_another_role_is_refused(chain: Judges) -> None:
    claim, raw = claim_about(program_with("x", "data", "i64", (1,)), 0)
    with pytest.raises(OpeningRefused):
        wiring.chance(claim, raw, Order(1, 1, 1, 1, (0,)))
    with pytest.raises(Reverted):
        chain.wiring.call("chance", as_claim(claim), raw, (1, 1, 1, 1, b"\0\0", True))


# ---- what the receipt says of it -----------------------------------------------------------------


def receipts(rng: random.Random, reading: bytes = EMPTY) -> Receipt:
    """Return a receipt whose fields take every spelling."""
    shards = tuple(sorted(rng.sample(range(rng.choice((20, 300, 4000))), rng.randint(1, 20))))
    names = sorted(rng.sample(NAMES, rng.randint(1, len(NAMES))), key=str.encode)
    steps = rng.choice((1, 5, 200, 70_000))
    unit = Unit(
        id=UnitId(bytes(32), rng.choice((0, 200, 70_000, 1 << 40)), rng.choice((0, 130, 300))),
        program=rng.randbytes(32),
        state=rng.randbytes(32),
        step_from=rng.choice((0, 127, 128, 65_536, 1 << 33)),
        steps=steps,
        segments=1,
        seed=i64(rng),
        data=DataSlice(rng.randbytes(32), reading, shards) if rng.random() < 0.8 else None,
        given=tuple((name, rng.randbytes(32)) for name in names),
    )
    outputs = (("loss", rng.randbytes(32)),)
    return Receipt(
        signer=rng.randbytes(32),
        signature=bytes(64),
        unit=unit,
        segments=(rng.randbytes(32),),
        outputs=outputs,
        cost=Cost(1, 1),
    )


@pytest.mark.parametrize("seed", range(60))
def test_what_the_receipt_says_is_read_from_its_bytes(seed: int, chain: Judges) -> None:
    rng = random.Random(seed)
    receipt = receipts(rng)
    unit = receipt.unit
    port, _ = rng.choice(unit.given)
    data = elements(rng, "f32", 6)
    tensor = tensor_digest("f32", (6,), data)
    given = tuple((it, tensor if it == port else digest) for it, digest in unit.given)
    receipt = replace(receipt, unit=replace(unit, given=given))
    name, spelled, unit = signed_digest(receipt), encode(receipt), receipt.unit
    claim, raw = claim_about(program_with(port, "given", "f32", (6,)), 4)
    opened = Opened(data, ())
    want = int.from_bytes(data[16:20], "little")
    assert wiring.given(claim, raw, wiring.given_tensor(unit, port), opened) == want
    call = (as_claim(claim), raw, name, spelled, (data, list[bytes]()))
    assert chain.feeds.call("given", *call) == want
    claim, raw = claim_about(program_with("other", "given", "f32", (6,)), 4)
    with pytest.raises(OpeningRefused):
        wiring.given_tensor(unit, "other")
    with pytest.raises(Reverted):
        chain.feeds.call("given", as_claim(claim), raw, *call[2:])
    step = rng.randrange(unit.steps)
    count = len(unit.data.shards) if unit.data else 1
    place = rng.randrange(count)
    claim, raw = claim_about(program_with("seeds", "chance", "i64", (count,)), place)
    lots = (as_claim(claim), raw, name, step, spelled)
    order = wiring.order_of(unit, step)
    assert chain.feeds.call("chance", *lots) == wiring.chance(claim, raw, order)
    with pytest.raises(Reverted):
        chain.feeds.call("chance", as_claim(claim), raw, name, unit.steps, spelled)
    with pytest.raises(Reverted):
        chain.feeds.call("chance", as_claim(claim), raw, EMPTY, step, spelled)


def readings(rng: random.Random) -> tuple[Reading, list[bytes], list[list[bytes]]]:
    """Return a way to read some samples, their records and the levels of their tree."""
    places, at = [], 0
    for number in range(rng.randint(1, 5)):
        kind = rng.choice(KINDS)
        places.append(FieldPlace(f"field{number}", at, kind))
        at += 5 * FIELD_BYTES[kind]
    records = [rng.randbytes(at) for _ in range(50)]
    levels = merkle_levels([sample_leaf(record) for record in records])
    shuffled = rng.random() < 0.5
    how = Reading(4000, rng.randint(1, 3), shuffled, levels[-1][0], 50, at, tuple(places))
    return how, records, levels


def as_reading(how: Reading) -> tuple[int, int, bool, bytes, int, int, bytes]:
    facts = (how.shards, how.batch, how.shuffled, how.root)
    return *facts, how.count, how.record_bytes, how.fields_root


@pytest.mark.parametrize("seed", range(30))
def test_a_sample_is_found_by_what_the_receipt_says_of_it(seed: int, chain: Judges) -> None:
    rng = random.Random(seed)
    how, records, levels = readings(rng)
    receipt = receipts(rng, how.digest)
    step = rng.randrange(receipt.unit.steps)
    own = len(receipt.unit.data.shards) if receipt.unit.data else 1
    field = rng.choice(how.fields)
    dtype: DType = "f32" if field.kind == "f32" else "i64"
    element = rng.randrange(own * how.batch * 5)
    claim, raw = claim_about(program_with(field.name, "data", dtype, (own, how.batch, 5)), element)
    shown = how.open_field(field.name)
    place = (shown.field.at, KIND_CODES[field.kind], shown.index, list(shown.path))
    head = (as_claim(claim), raw, signed_digest(receipt), step)
    if receipt.unit.data is None:
        with pytest.raises(OpeningRefused):
            wiring.order_of(receipt.unit, step, how)
        more = (encode(receipt), records[0], list(merkle_path(levels, 0)))
        with pytest.raises(Reverted):
            chain.feeds.call("data", *head, as_reading(how), place, *more)
        return
    order = wiring.order_of(receipt.unit, step, how)
    index = wiring.sample_at(order, how.count, element // 5)
    path = merkle_path(levels, index)
    samples = wiring.samples_of(how, field.name)
    want = wiring.data(claim, raw, order, samples, records[index], path)
    more = (encode(receipt), records[index], list(path))
    assert chain.feeds.call("data", *head, as_reading(how), place, *more) == want
    for other in other_readings(how):
        with pytest.raises(OpeningRefused):
            wiring.order_of(receipt.unit, step, other)
        with pytest.raises(Reverted):
            chain.feeds.call("data", *head, as_reading(other), place, *more)
    wide = (how.shards, how.batch + (1 << 32), *as_reading(how)[2:])  # with the same low bytes
    with pytest.raises(Reverted):
        chain.feeds.call("data", *head, wide, place, *more)
    with pytest.raises(Reverted):
        chain.feeds.call("data", *head, as_reading(how), (field.at + 1, *place[1:]), *more)


def other_readings(how: Reading) -> list[Reading]:
    """Return readings that each differ from one in one fact."""
    return [
        dataclasses.replace(how, shards=how.shards + 1),
        dataclasses.replace(how, batch=how.batch + 1),
        dataclasses.replace(how, shuffled=not how.shuffled),
        dataclasses.replace(how, root=EMPTY),
        dataclasses.replace(how, count=how.count - 1),
        dataclasses.replace(how, record_bytes=how.record_bytes + 1),
        dataclasses.replace(how, fields=(*how.fields, FieldPlace("more", 0, "u16"))),
    ]
