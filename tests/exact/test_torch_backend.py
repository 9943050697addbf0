"""Values are dropped after their last use, constants are computed once, integers stay integers."""

from __future__ import annotations

import torch

from skerry.exact import compile_program
from skerry.exact.carriers import digits, product
from skerry.exact.fold import constant_nodes, fold
from skerry.exact.torch_backend import compile_torch
from skerry.exact.torch_plan import exact_steps
from skerry.program import Builder, Program

CPU = torch.device("cpu")


def chain(length: int) -> Program:
    """Return x + 1 + 1 + .. with a constant table beside it."""
    b = Builder("chain")
    x = b.input("x", "data", "f32", (8,))
    table = b.node("cos", (b.node("cast", (b.iota((8,), 0),), to=0),))
    for _ in range(length):
        x = b.add(x, table)
    b.output("y", x)
    return b.build()


def test_each_value_is_forgotten_by_its_last_reader() -> None:
    program = chain(20)
    executable = compile_torch(program)
    alive, most = 1, 1
    for line in executable._schedule:
        alive += 1 - len(line.frees)
        most = max(most, alive)
    assert most <= 3


def test_constants_are_folded_once_and_only_those_that_are_read_stay() -> None:
    program = chain(3)
    steps, _ = exact_steps(program, CPU, "float64")
    folded = fold(program, steps)
    assert [program.nodes[at].op for at in folded] == ["cos"]
    assert [program.nodes[at].op for at, c in enumerate(constant_nodes(program)) if c] == [
        "iota", "cast", "cos",
    ]  # fmt: skip


def test_folding_stops_at_its_bound_and_changes_nothing() -> None:
    program = chain(3)
    steps, _ = exact_steps(program, CPU, "float64")
    assert fold(program, steps, bytes_max=16) == {}
    x = torch.linspace(0, 1, 8)
    want = compile_program(program, "reference").run({"x": x})["y"]
    assert torch.equal(compile_torch(program).run({"x": x})["y"], want)


def test_an_expanded_literal_holds_one_element() -> None:
    b = Builder("wide")
    x = b.input("x", "data", "f32", (1000, 1000))
    b.output("y", b.add(x, 1.5))
    program = b.build()
    steps, _ = exact_steps(program, CPU, "float64")
    held = fold(program, steps)
    assert sum(value.untyped_storage().nbytes() for value in held.values()) <= 8


def test_digits_of_eight_bits_add_up_to_the_integer() -> None:
    bound = 1 << 40
    x = torch.tensor(
        [0, 1, -1, 127, 128, 129, -128, -129, 2**40, -(2**40), 123456789], dtype=torch.float64
    )
    found = digits(x, bound)
    assert all(float(d.abs().max()) <= 128 for d in found)
    total = sum(d.double() * 2.0 ** (8 * i) for i, d in enumerate(found))
    assert torch.equal(torch.as_tensor(total), x)


def test_the_longest_products_are_equal_by_every_carrier() -> None:
    terms, limit = 4096, 1 << 20  # terms * limit^2 is 2^52
    generator = torch.Generator().manual_seed(5)
    a, b = (
        torch.randint(-limit, limit + 1, (3, terms), generator=generator).double() for _ in range(2)
    )
    a[0], b[0] = limit, limit
    want = [[sum(int(x) * int(y) for x, y in zip(r, c, strict=True)) for c in b] for r in a]
    for carrier in ("float64", "float32", "int64"):
        assert product(a, b, limit, limit, carrier).long().tolist() == want


def test_negative_zero_never_leaves_an_integer() -> None:
    b = Builder("zero")
    x = b.input("x", "data", "f32", (2, 1))
    b.output("product", b.matmul(x, x))
    b.output("sum", b.sum_f32(x, (1,)))
    out = compile_torch(b.build()).run({"x": torch.tensor([[-0.0], [0.0]])})
    assert out["product"].view(torch.int32).tolist() == [[0, 0], [0, 0]]
    assert out["sum"].view(torch.int32).tolist() == [0, 0]


def test_asked_values_are_those_of_the_run() -> None:
    program = chain(5)
    executable = compile_torch(program)
    inputs = {"x": torch.ones(8)}
    last = program.outputs[0].node
    values = executable.values(inputs, [last, 0])
    assert torch.equal(values[last], executable.run(inputs)["y"])
    assert torch.equal(values[0], inputs["x"])


def test_the_number_of_threads_changes_no_bit() -> None:
    b = Builder("threads")
    x = b.input("x", "data", "f32", (64, 300))
    w = b.input("w", "given", "f32", (48, 300))
    y = b.matmul(x, w)
    b.output("y", y)
    b.output("sum", b.sum_f32(y, (0, 1)))
    executable = compile_torch(b.build())
    generator = torch.Generator().manual_seed(2)
    inputs = {
        name: torch.randn(rows, 300, generator=generator) for name, rows in (("x", 64), ("w", 48))
    }
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(executable.run(inputs))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(other[name], value) for name, value in results[0].items())
