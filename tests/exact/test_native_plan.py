"""A native plan gives one value on every CPU level, and never lends memory that is in use."""

import math
import random

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from skerry.exact import compile_program
from skerry.exact import kernels as k
from skerry.exact.native_plan import NativeExecutable, compile_native, place_in_arena
from skerry.exact.native_views import Val, View, reshaped
from skerry.program import NARROW, WIDE, Builder, Profile, Program
from skerry.trace import trace_model
from tests.agree.strategies import random_inputs, random_program

LEVELS = k.native().levels() if k.available() else []


def same(a: Tensor, b: Tensor) -> bool:
    if a.dtype == torch.float32:
        return torch.equal(a.view(torch.int32), b.view(torch.int32))
    return torch.equal(a, b)


def assert_levels_agree(program: Program, inputs: dict[str, Tensor]) -> None:
    want = compile_program(program, "torch").run(inputs)
    before = k.native().level() if LEVELS else ""
    executable = compile_program(program, "native")
    try:
        for level in LEVELS:
            k.native().set_level(level)
            got = executable.run(inputs)
            for name, value in want.items():
                assert same(got[name], value), f"{name} differs at level {level}"
    finally:
        if LEVELS:
            k.native().set_level(before)


def test_random_programs_have_one_value_on_every_level() -> None:
    for seed in range(60):
        rng = random.Random(f"levels {seed}")
        program = random_program(rng, rng.randint(1, 40))
        assert_levels_agree(program, random_inputs(program, rng))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 8, 3, stride=2, padding=1)
        self.norm = nn.GroupNorm(2, 8)
        self.turned = nn.ConvTranspose2d(8, 3, 3, groups=1, dilation=2)
        self.grouped = nn.Conv2d(3, 6, 2, groups=3)
        self.head = nn.Linear(6 * 7 * 7, 3)

    def forward(self, features: Tensor) -> Tensor:
        x = nn.functional.gelu(self.norm(self.conv(features)))
        x = self.grouped(self.turned(x).tanh())
        result: Tensor = self.head(x.flatten(1))
        return result


def gradient(profile: Profile) -> tuple[Program, dict[str, Tensor]]:
    batch = {"features": torch.linspace(-3, 3, 3 * 2 * 8 * 7).reshape(3, 2, 8, 7).sin(),
             "label": torch.tensor([0, 2, 1])}  # fmt: skip
    traced = trace_model(Net(), "classification", batch, profile=profile)
    inputs = {**batch, "params": traced.initial_params, "seed": torch.tensor(5)}
    return traced.grad, {port.name: inputs[port.name] for port in traced.grad.inputs}


def test_convolutions_of_every_kind_have_one_value_on_every_level() -> None:
    for profile in (WIDE, NARROW):
        assert_levels_agree(*gradient(profile))


def test_a_convolution_runs_image_by_image_and_a_narrow_product_in_int16() -> None:
    if not LEVELS:
        return
    executable = compile_native(gradient(NARROW)[0])
    assert isinstance(executable, NativeExecutable)
    forms = {getattr(step, "form", "group") for step in executable.steps}
    assert {"convolve", "correlate", "gemm16"} <= forms


def doubling() -> Program:
    builder = Builder("double")
    x = builder.input("x", "state", "f32", (70,))
    builder.output("x", builder.add(x, x), "state")
    return builder.build()


def test_a_result_that_somebody_holds_is_never_written_again() -> None:
    executable = compile_program(doubling(), "native")
    state = {"x": torch.ones(70)}
    kept, part = executable.run(state)["x"], executable.run(state)["x"][3:5]
    for _ in range(8):
        state = executable.run(state)
    assert kept.tolist() == [2.0] * 70
    assert part.tolist() == [2.0] * 2
    assert state["x"].tolist() == [256.0] * 70


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_a_view_takes_a_shape_exactly_when_strides_can_say_it(
    shape: list[int], data: st.DataObject
) -> None:
    x = torch.arange(math.prod(shape)).reshape(shape)
    x = x.permute(data.draw(st.permutations(range(len(shape)))))
    if data.draw(st.booleans()):
        x = x.unsqueeze(-1).expand(*x.shape, data.draw(st.integers(1, 3)))
    left, target = x.numel(), []
    while left > 1:
        size = data.draw(st.sampled_from([d for d in range(2, left + 1) if left % d == 0]))
        target.append(size)
        left //= size
    found = reshaped(View(Val((), k.I8), 0, tuple(x.shape), x.stride()), tuple(target))
    try:
        want: Tensor | None = x.view(target)
    except RuntimeError:
        want = None
    assert (found is None) == (want is None)
    if found is not None and want is not None:
        base = torch.arange(math.prod(shape))
        assert torch.equal(base.as_strided(found.shape, found.strides, found.offset), want)


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_values_alive_at_once_never_overlap(lives: list[tuple[int, int, int]]) -> None:
    vals = []
    for size, a, b in lives:
        val = Val((size,), k.F4)
        val.first = val.ready = min(a, b)
        val.last = max(a, b)
        vals.append(val)
    total = place_in_arena(vals)
    for at, one in enumerate(vals):
        assert one.offset % 64 == 0
        assert one.offset + 4 * one.elements <= total
        for other in vals[:at]:
            if one.first <= other.last and other.first <= one.last:
                apart = (
                    one.offset + 4 * one.elements <= other.offset
                    or other.offset + 4 * other.elements <= one.offset
                )
                assert apart
