"""Fast arithmetic is close to the exact one, and leaves integers that mean something alone."""

from __future__ import annotations

import torch

from skerry.exact import compile_program
from skerry.exact.fast import compile_fast, soft_grids
from skerry.program import Builder, Program


def layer() -> Program:
    """Return a matmul, a sum, an embedding's gradient and a count in one Program."""
    b = Builder("layer")
    x = b.input("x", "data", "f32", (6, 40))
    w = b.input("w", "state", "f32", (5, 40))
    index = b.input("index", "data", "i64", (6,))
    y = b.matmul(x, w)
    b.output("y", y)
    b.output("sum", b.sum_f32(y, (0, 1)))
    b.output("table", b.scatter_sum(index, x, 4))
    positive = b.node("lt", (b.full(0.0, y.shape), y))
    b.output("count", b.reduce("sum", b.cast(positive, "i64"), (0, 1)))
    return b.build()


def layer_inputs() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "x": torch.randn(6, 40, generator=generator),
        "w": torch.randn(5, 40, generator=generator),
        "index": torch.tensor([0, 1, 1, 3, 9, 2]),
    }


def test_fast_is_close_to_exact_and_counts_alike() -> None:
    exact = compile_program(layer(), "torch").run(layer_inputs())
    fast = compile_program(layer(), "fast").run(layer_inputs())
    for name in ("y", "sum", "table"):
        torch.testing.assert_close(fast[name], exact[name], rtol=1e-5, atol=1e-4)
    assert torch.equal(fast["count"], exact["count"])


def test_a_product_runs_on_floats_without_exponents() -> None:
    program = layer()
    soft = soft_grids(program)
    ops = [program.nodes[at].op for at, grid in enumerate(soft) if grid is not None]
    assert ops.count("dot") == 1
    assert ops.count("quantise") == 4
    executed = {program.nodes[line.at].op for line in compile_fast(program)._schedule}
    assert "exponent" not in executed


def test_codes_that_leave_the_program_stay_exact() -> None:
    b = Builder("codes")
    x = b.input("x", "given", "f32", (3, 8))
    e = b.exponent(x, (1,))
    codes = b.quantise(x, e, 4)
    b.output("codes", codes)
    b.output("back", b.rescale(codes, e, shift=3))
    program, given = b.build(), {"x": torch.linspace(-3, 3, 24).reshape(3, 8)}
    exact = compile_program(program, "torch").run(given)
    fast = compile_program(program, "fast").run(given)
    assert torch.equal(exact["codes"], fast["codes"])
    assert torch.equal(exact["back"], fast["back"])


def test_a_rescale_by_other_exponents_keeps_the_chain_exact() -> None:
    b = Builder("other")
    x = b.input("x", "given", "f32", (3, 8))
    other = b.input("other", "given", "f32", (3, 8))
    q = b.quantise(x, b.exponent(x, (1,)), 12)
    total = b.reduce("sum", q, (1,), keep=True)
    b.output("y", b.rescale(total, b.exponent(other, (1,)), shift=11))
    program = b.build()
    given = {"x": torch.linspace(-3, 3, 24).reshape(3, 8), "other": torch.full((3, 8), 100.0)}
    assert not any(soft_grids(program))
    exact, fast = (compile_program(program, name).run(given)["y"] for name in ("torch", "fast"))
    assert torch.equal(exact, fast)


def test_another_shift_is_a_factor() -> None:
    b = Builder("shift")
    x = b.input("x", "given", "f32", (3, 8))
    e = b.exponent(x, (1,))
    total = b.reduce("sum", b.quantise(x, e, 12), (1,), keep=True)
    b.output("y", b.rescale(total, e, shift=9))
    program, given = b.build(), {"x": torch.linspace(-3, 3, 24).reshape(3, 8)}
    exact, fast = (compile_program(program, name).run(given)["y"] for name in ("torch", "fast"))
    torch.testing.assert_close(fast, exact, rtol=1e-3, atol=1e-2)
