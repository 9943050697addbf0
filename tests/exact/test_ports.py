"""The door of a run: wrong inputs are named, a diverged state is refused, nothing is shared."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from skerry.exact import (
    Backend,
    ExecutionError,
    NonFiniteState,
    available_backends,
    compile_program,
)
from skerry.program import Builder, Program

ALL = available_backends()


def scaled_state() -> Program:
    """Return a Program with one state that doubles and one value that is an input itself."""
    b = Builder("double")
    w = b.input("w", "state", "f32", (4,))
    given = b.input("given", "given", "f32", (2, 2))
    b.output("w", b.add(w, w), "state")
    b.output("given", given)
    b.output("turned", b.permute(given, (1, 0)))
    b.output("literal", b.full(7, (3,), "i64"))
    return b.build()


def inputs() -> dict[str, Tensor]:
    return {"w": torch.tensor([1.0, -2.0, 0.5, 3.0]), "given": torch.arange(4.0).reshape(2, 2)}


@pytest.mark.parametrize("backend", ALL)
def test_outputs_come_by_name_in_their_types(backend: Backend) -> None:
    out = compile_program(scaled_state(), backend).run(inputs())
    assert out["w"].tolist() == [2.0, -4.0, 1.0, 6.0]
    assert out["turned"].tolist() == [[0.0, 2.0], [1.0, 3.0]]
    assert out["literal"].dtype == torch.int64
    assert all(x.is_contiguous() for x in out.values())


@pytest.mark.parametrize("backend", ALL)
def test_outputs_share_no_memory_with_inputs_or_constants(backend: Backend) -> None:
    executable, given = compile_program(scaled_state(), backend), inputs()
    first = executable.run(given)
    first["given"].zero_()
    first["turned"].zero_()
    first["literal"].zero_()
    again = executable.run(given)
    assert given["given"].tolist() == again["given"].tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert again["literal"].tolist() == [7, 7, 7]


@pytest.mark.parametrize("backend", ALL)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"w": torch.zeros(5)}, r"input 'w' .* must be f32\[4\], got torch.float32\[5\]"),
        ({"w": torch.zeros(4, dtype=torch.float64)}, r"must be f32\[4\], got torch.float64"),
        ({"more": torch.zeros(1)}, r"has no ports \['more'\]"),
    ],
)
def test_a_wrong_input_is_named(backend: Backend, change: dict[str, Tensor], words: str) -> None:
    with pytest.raises(ExecutionError, match=words):
        compile_program(scaled_state(), backend).run({**inputs(), **change})


@pytest.mark.parametrize("backend", ALL)
def test_a_missing_input_is_named(backend: Backend) -> None:
    with pytest.raises(ExecutionError, match=r"lacks the inputs \['given', 'w'\]"):
        compile_program(scaled_state(), backend).run({})


@pytest.mark.parametrize("backend", ALL)
def test_a_state_that_is_not_finite_is_refused_by_name_and_count(backend: Backend) -> None:
    given = {**inputs(), "w": torch.tensor([3e38, 1.0, float("nan"), 0.0])}
    with pytest.raises(NonFiniteState, match="2 of 4 elements of state 'w'") as caught:
        compile_program(scaled_state(), backend).run(given)
    assert (caught.value.output, caught.value.elements) == ("w", 2)


@pytest.mark.parametrize("backend", ALL)
def test_every_nan_leaves_as_the_one_nan(backend: Backend) -> None:
    odd = torch.tensor([[-1, 0x7F800001], [0x7FC00000, 0]], dtype=torch.int32).view(torch.float32)
    out = compile_program(scaled_state(), backend).run({**inputs(), "given": odd})
    assert out["given"].view(torch.int32).tolist() == [[0x7FC00000, 0x7FC00000], [0x7FC00000, 0]]


def test_an_unknown_backend_or_device_is_refused_with_the_choice() -> None:
    with pytest.raises(ExecutionError, match="choose one of native, torch, reference, fast"):
        compile_program(scaled_state(), "gpu")  # type: ignore[arg-type]
    with pytest.raises(ExecutionError, match="no carrier 'int4'"):
        compile_program(scaled_state(), "torch", carrier="int4")  # type: ignore[arg-type]
    with pytest.raises(ExecutionError, match="has no float64"):
        compile_program(scaled_state(), "torch", "mps")
    with pytest.raises(ExecutionError, match="does not run on 'cuda'"):
        compile_program(scaled_state(), "reference", "cuda")
