"""Random Programs have one value, whoever computes them."""

import random

import pytest
import torch
from hypothesis import Phase, given, settings
from torch import Tensor

from skerry.exact import Executable, available_backends, compile_program
from skerry.program import Builder, Program
from tests.agree.strategies import GROW, Growth, cases, random_inputs


def bits(x: Tensor) -> Tensor:
    """Return what is compared: the bits of an f32, with one NaN."""
    if x.dtype != torch.float32:
        return x
    return torch.where(x.isnan(), float("nan"), x).view(torch.int32)


def executables(program: Program) -> dict[str, Executable]:
    """Return every exact executable that runs here."""
    found: dict[str, Executable] = {
        f"torch {carrier}": compile_program(program, "torch", carrier=carrier)
        for carrier in ("float64", "float32", "int64")
    }
    if "native" in available_backends():
        found["native"] = compile_program(program, "native")
    return found


def assert_one_value(program: Program, inputs: dict[str, Tensor]) -> None:
    """Compare every node's value, and every output of a whole run, with the reference."""
    reference = compile_program(program, "reference")
    nodes = range(len(program.nodes))
    want = reference.values(inputs, nodes)
    for name, executable in executables(program).items():
        got = executable.values(inputs, nodes)
        for at in nodes:
            assert got[at].dtype == want[at].dtype, f"{name} %{at} {program.nodes[at].op}"
            assert torch.equal(bits(got[at]), bits(want[at])), (
                f"{name} differs at %{at} {program.nodes[at].op}"
            )
        results = executable.run(inputs)
        for output in program.outputs:
            assert torch.equal(bits(results[output.name]), bits(want[output.node])), (
                f"a run of {name} differs at {output.name}"
            )


@given(cases())
@settings(max_examples=60, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
def test_random_programs_have_one_value_whoever_computes_them(
    case: tuple[Program, dict[str, Tensor]],
) -> None:
    assert_one_value(*case)


@pytest.mark.parametrize("op", sorted(GROW))
def test_each_op_has_one_value_on_special_numbers(op: str) -> None:
    for seed in range(6):
        rng = random.Random(f"{op} {seed}")
        g = Growth(rng)
        for dtype in ("f32", "f32", "i64", "i64", "bool"):
            g.port(dtype, (3, 5))
        for _ in range(3):
            GROW[op](g)
        program = g.finish()
        assert_one_value(program, random_inputs(program, rng))


def test_one_element_repeated_is_the_same_everywhere() -> None:
    b = Builder("repeated")
    x = b.input("x", "data", "f32", (3, 4))
    y = b.expand(b.slice(x, (1, 3), (2, 4)), (1, 2))
    b.output("integers", b.quantise(y, b.exponent(y, (1,)), 8))
    b.output("turned", b.permute(b.node("neg", (y,)), (1, 0)))
    assert_one_value(b.build(), {"x": torch.arange(12.0).reshape(3, 4)})


@pytest.mark.slow
def test_a_thousand_more_random_programs_have_one_value() -> None:
    from tests.agree.strategies import random_program

    for seed in range(1000):
        rng = random.Random(seed)
        program = random_program(rng, rng.randint(1, 40))
        assert_one_value(program, random_inputs(program, rng))
