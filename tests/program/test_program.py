"""A Program is data: built, checked, encoded, priced and refused without running it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry.commit import tensor_digest
from skerry.program import (
    F32,
    I64,
    NARROW,
    OPS,
    WIDE,
    Builder,
    InvalidProgram,
    Layout,
    Limits,
    Node,
    Output,
    Port,
    Program,
    TensorType,
    check,
    cost,
    from_bytes,
    inline,
    integer_bounds,
    judged_node,
    node_digests,
    program_digest,
    to_bytes,
    to_text,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "program.json"


def linear(profile_bits: int = 24) -> Program:
    """Return y = x w^T + b with the sum of y, the smallest Program that has every family."""
    builder = Builder("linear", WIDE if profile_bits == 24 else NARROW)
    x = builder.input("x", "data", F32, (4, 8))
    flat = builder.input("params", "state", F32, (27,))
    parts = builder.unpack(flat, Layout.of({"w": (3, 8), "b": (3,)}))
    y = builder.add(builder.matmul(x, parts["w"]), parts["b"])
    builder.output("y", y)
    builder.output("total", builder.sum_f32(y, (0, 1)), "metric")
    builder.output("params", builder.mul(flat, 0.5), "state")
    return builder.build()


def test_equal_calls_share_one_node() -> None:
    builder = Builder("share")
    x = builder.input("x", "data", F32, (2, 2))
    assert builder.add(x, 1.0) == builder.add(x, 1.0)
    assert builder.uniform(builder.full(1, (), I64), 0, (2,)) != builder.uniform(
        builder.full(1, (), I64), 1, (2,)
    )


def test_bytes_and_digest_are_a_function_of_the_program_alone() -> None:
    program = linear()
    assert from_bytes(to_bytes(program)) == program
    assert program_digest(program) == program_digest(from_bytes(to_bytes(linear())))
    assert program_digest(linear(12)) != program_digest(program)
    assert len(node_digests(program)) == len(program.nodes) + 1


def test_a_judge_reads_a_node_with_the_types_of_its_operands_and_without_its_literal() -> None:
    builder = Builder("judged")
    x = builder.input("x", "data", F32, (2, 3))
    whole = builder.concat([x, builder.const(bytes(12), F32, (1, 3)), x], 0)
    builder.output("y", builder.node("neg", (whole,)), "value")
    program = builder.build()
    read = [msgspec.msgpack.decode(judged_node(program, at)) for at in range(4)]
    assert read[0] == ["input", [], [["port", 0]], ["f32", [2, 3]], ["data", "x"]]
    literal = tensor_digest("f32", (1, 3), bytes(12))
    assert read[1][2][0] == ["data", literal]
    assert read[2][1] == 3
    assert read[3][4] == [["f32", [5, 3]]]


def test_a_node_that_reads_what_is_not_there_has_no_digest() -> None:
    lost = Node("neg", (7,), (), TensorType(F32, (1,)))
    program = Program("lost", (), (lost,), (Output("y", "value", 0),))
    with pytest.raises(InvalidProgram, match="cannot be read"):
        program_digest(program)


def test_the_digest_is_the_recorded_one() -> None:
    recorded = json.loads(GOLDEN.read_text())
    assert program_digest(linear()).hex() == recorded["linear"]
    assert to_text(linear()) == recorded["linear_text"]


def test_the_cost_counts_a_product_as_two_operations_a_term() -> None:
    counted = cost(linear())
    assert counted.product_operations == 2 * 4 * 8 * 3
    assert counted.bytes_state == 27 * 4
    assert counted.bytes_peak >= 4 * 8 * 8 + 27 * 4


def test_bounds_keep_every_exact_integer_inside_a_float64() -> None:
    program = linear()
    bounds = integer_bounds(program)
    dots = [at for at, node in enumerate(program.nodes) if node.op == "dot"]
    assert [bounds[at] for at in dots] == [8 * (1 << 23) ** 2]


@given(st.integers(1, 1 << 22))
def test_a_profile_never_exceeds_the_carrier(terms: int) -> None:
    for profile in (WIDE, NARROW):
        bits = profile.matmul_bits(terms)
        assert bits >= 2
        assert terms * 4 ** (bits - 1) <= 1 << 53
        assert terms * 2 ** (profile.sum_bits(terms) - 1) <= 1 << 53


def test_a_program_placed_in_another_keeps_its_meaning_and_its_ports() -> None:
    builder = Builder("twice")
    x = builder.input("x", "data", F32, (4, 8))
    flat = builder.input("params", "state", F32, (27,))
    first = inline(builder, linear(), {"x": x, "params": flat})
    again = inline(builder, linear(), {"x": x, "params": first["params"]})
    builder.output("y", again["y"])
    assert builder.build().output_type("y") == TensorType(F32, (4, 3))
    with pytest.raises(InvalidProgram, match="port 'params' needs"):
        inline(builder, linear(), {"x": x, "params": x})


def node(op: str, reads: tuple[int, ...] = (), **attrs: int | tuple[int, ...] | bytes) -> Node:
    """Return a node with a type that is a lie unless the test corrects it."""
    return Node(op, reads, tuple(sorted(attrs.items())), TensorType(F32, (2,)))


X = Port("x", "data", TensorType(F32, (2,)))
READ = node("input", port=0)


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ((), "0 nodes"),
        ((node("launch_missiles"),), "unknown op"),
        ((node("add", (0, 0)),), "not yet made"),
        ((READ, node("add", (0, -1))), "not yet made"),
        ((READ, node("add", (0,))), "takes no 1 operands"),
        ((READ, node("add", (0, 0), extra=1)), "needs the attributes"),
        ((node("input", port=1),), "there is no input"),
        ((READ, node("cast", (0,), to=7)), "not an element type"),
        ((READ, node("cast", (0,), to=1)), "not the declared"),
        ((READ, node("reshape", (0,), shape=(3,))), "does not reshape"),
        ((READ, node("expand", (0,), shape=(1 << 60,))), "out of range"),
        ((READ, node("exponent", (0,), axes=(0, 0))), "ascending"),
        ((READ, node("pad", (0,), high=(-9,), interior=(0,), low=(0,), value=0)), "out of range"),
        ((node("full", dtype=0, shape=(2,), value=1 << 70),), "64-bit"),
        ((node("const", data=b"123", dtype=0, shape=(2,)),), "3 bytes"),
        ((READ, node("topk", (0,), k=3)), "k must be"),
        ((READ, node("window", (0,), axis=0, dilation=1, size=3, stride=1)), "does not fit"),
    ],
)
def test_a_malformed_graph_is_refused_with_its_reason(nodes: tuple[Node, ...], words: str) -> None:
    outputs = (Output("y", "value", max(len(nodes) - 1, 0)),)
    with pytest.raises(InvalidProgram, match=words):
        check(Program(name="bad", inputs=(X,), nodes=nodes, outputs=outputs))


def test_a_dot_without_a_bound_is_refused() -> None:
    builder = Builder("loose")
    x = builder.input("x", "data", I64, (2, 2))
    builder.output("y", builder.node("dot", (x, x)))
    with pytest.raises(InvalidProgram, match="without a bound"):
        builder.build()


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(nodes_max=3), "nodes"),
        (Limits(elements_max=16), "too many elements"),
        (Limits(bytes_peak_max=64), "at once"),
        (Limits(operations_max=64), "operations"),
        (Limits(ports_max=1), "inputs or outputs"),
    ],
)
def test_every_limit_is_explicit(limits: Limits, words: str) -> None:
    with pytest.raises(InvalidProgram, match=words):
        check(linear(), limits)


def test_outputs_and_states_must_fit() -> None:
    program = linear()
    for outputs, words in (
        ((), "no output"),
        ((Output("y", "value", 999),), "names no node"),
        ((Output("params", "state", 0),), "leaves as"),
        ((Output("y", "value", 0), Output("y", "value", 1)), "equal"),
        ((Output("", "value", 0),), "characters"),
    ):
        with pytest.raises(InvalidProgram, match=words):
            check(msgspec.structs.replace(program, outputs=outputs))
    with pytest.raises(InvalidProgram, match="op set"):
        check(msgspec.structs.replace(program, version=2))
    with pytest.raises(InvalidProgram, match="shards"):
        check(msgspec.structs.replace(program, shards=0))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_hostile_bytes_are_refused_and_never_crash(data: st.DataObject) -> None:
    good = bytearray(to_bytes(linear()))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(good) - 1))
        good[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(good)))
    mutated = bytes(good[:cut]) if data.draw(st.booleans()) else bytes(good)
    with contextlib.suppress(InvalidProgram):
        program = from_bytes(mutated)
        check(program)
        assert to_text(program)


def test_every_op_says_what_it_means() -> None:
    for name, spec in OPS.items():
        assert name == spec.name
        assert spec.meaning
        assert tuple(sorted(spec.attrs)) == spec.attrs
