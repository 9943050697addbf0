"""Find the module and the source line that asked for an operation.

What    `place_of` records the function once more, noting for each node who asked; `explained`
        turns whatever goes wrong while recording into one sentence with a place.
Why     The question comes up only when a model is refused, so the answer costs nothing otherwise.
        A backward operation is asked for by the forward one whose gradient it computes: PyTorch
        numbers both alike.
"""

from __future__ import annotations

import linecache
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import torch
from torch import nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
)
from torch.fx.experimental.proxy_tensor import get_proxy_mode
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
from torch.utils._python_dispatch import TorchDispatchMode

from skerry.base.errors import SkerryError
from skerry.trace.capture import capture
from skerry.trace.errors import Place, UnsupportedOp, UntraceableModel

_NOT_USERS: Final = (str(Path(torch.__file__).parent), str(Path(__file__).parent), "<")
_DATA_DEPENDENT: Final = (
    GuardOnDataDependentSymNode,
    DataDependentOutputException,
    DynamicOutputShapeException,
)


def _frames_up(frame: FrameType | None) -> Iterator[tuple[FrameType, int]]:
    while frame is not None:
        yield frame, frame.f_lineno
        frame = frame.f_back


def _place(frames: Iterable[tuple[FrameType, int]], names: Mapping[int, str]) -> Place:
    """Return the place that frames, innermost first, speak of."""
    file, line, module_name, module_class = "", 0, "", ""
    for frame, at in frames:
        if not file and not frame.f_code.co_filename.startswith(_NOT_USERS):
            file, line = frame.f_code.co_filename, at
        if not module_class:
            owner = frame.f_locals.get("self")
            if isinstance(owner, nn.Module) and id(owner) in names:
                module_name, module_class = names[id(owner)], type(owner).__name__
        if file and module_class:
            break
    if not module_class:
        file, line = "", 0  # outside the model: nobody's line but ours or the test's
    return Place(module_name, module_class, file, line, linecache.getline(file, line).strip())


def _names(model: nn.Module | None) -> dict[int, str]:
    return {} if model is None else {id(module): name for name, module in model.named_modules()}


class _Asking(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes who asked for each node of the graph that is being recorded."""

    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names = names
        self.places: dict[str, Place] = {}
        self._forward: dict[int, Place] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run the operation and note its place for the nodes that it adds."""
        mode = get_proxy_mode()
        assert mode is not None, "places are noted while recording"
        nodes = mode.tracer.graph.nodes
        before = len(nodes)
        result = func(*args, **(kwargs or {}))
        place = self._here()
        added: list[str] = []
        for node in reversed(nodes):
            if len(added) == len(nodes) - before:
                break
            added.append(node.name)
        self.places.update(dict.fromkeys(added, place))
        return result

    def _here(self) -> Place:
        backward = torch._C._current_autograd_node()
        if backward is not None:
            return self._asked_by(backward._sequence_nr())
        place = _place(_frames_up(sys._getframe(1)), self.names)
        if place.module_class:
            self._forward.setdefault(torch._C._autograd._get_sequence_nr() - 1, place)
        return place

    def _asked_by(self, sequence: int) -> Place:
        """Return the place of the last forward operation up to that number."""
        if sequence > max(self._forward, default=0):
            return Place()  # a leaf's own bookkeeping, which nobody asked for
        asked = [number for number in self._forward if number <= sequence]
        return self._forward[max(asked)] if asked else Place()


def place_of(
    model: nn.Module, function: Callable[..., Any], arguments: Sequence[Any], node: str
) -> Place:
    """Return who asked for the node of that name in the graph of `function(*arguments)`."""
    asking = _Asking(_names(model))

    def watched(*inputs: Any) -> Any:
        with asking:
            return function(*inputs)

    capture(watched, arguments)
    return asking.places.get(node, Place())


@contextmanager
def explained(model: nn.Module | None) -> Iterator[None]:
    """Turn what goes wrong while recording the model into an UntraceableModel with its place."""
    try:
        yield
    except SkerryError:
        raise
    except Exception as error:
        frames = list(traceback.walk_tb(error.__traceback__))
        place = _place(reversed(frames), _names(model))
        if isinstance(error, _DATA_DEPENDENT):
            raise UntraceableModel(
                f"a branch, a number or a shape depends on the data, {place}",
                next_step="a Program is one static graph: use torch.where, masks and fixed shapes",
            ) from error
        if isinstance(error, NotImplementedError) and "aten::" in str(error):
            raise UnsupportedOp(_operator_in(str(error)), place=place) from error
        words = str(error).strip().split("\n")[0]
        raise UntraceableModel(
            f"the model failed while it was recorded, {place}: {type(error).__name__}: {words}",
            next_step="run the model once on a batch of this shape, and correct that line",
        ) from error


def _operator_in(words: str) -> str:
    start = words.index("aten::")
    return words[start:].split("'")[0].split(" ")[0].replace("::", ".").rstrip(".,")
