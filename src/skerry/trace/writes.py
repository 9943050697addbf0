"""Writes in place, as values.

What    PyTorch writes into tensors that share memory; a Program has values only. `Memory` knows
        which nodes of the graph show the same memory. After a write through one of them it carries
        the new elements back to the tensor that owns the memory, and on to every other view.
Why     `x[:, 0] = 0` and `weight.data.normal_()` are ordinary PyTorch.
Rule    A write needs every view on its way to be a view that can be undone: reshapes,
        permutations, slices, diagonals. Anything else is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import torch
from torch import fx

from skerry.program import Value
from skerry.trace import lower_view
from skerry.trace.errors import UnsupportedOp
from skerry.trace.lowering import Lowering

#: desk, the parent's old value, the view's new value, the view's other arguments -> new parent.
Undo: TypeAlias = Callable[..., Any]


def is_write(node: fx.Node) -> bool:
    """Return whether a node overwrites its first operand."""
    schema = getattr(node.target, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


def storage_of(node: Any) -> int | None:
    """Return what names the memory that a node shows, or None where it is no one tensor."""
    held = node.meta.get("val") if isinstance(node, fx.Node) else None
    return int(held.untyped_storage()._cdata) if isinstance(held, torch.Tensor) else None


def _source(node: fx.Node) -> fx.Node | None:
    """Return the operand of whose memory a node is a view, or None for one that owns its own."""
    operand = node.args[0] if node.args else None
    if isinstance(operand, fx.Node) and storage_of(operand) == storage_of(node):
        return operand
    return None


def refuse_kept(graph: fx.GraphModule) -> None:
    """Refuse a write into what the model keeps from one step to the next.

    Raises:
        UnsupportedOp: a buffer of the model is written, needed or not.
    """
    for node in graph.graph.nodes:
        owner = node
        while owner.op == "call_function" and (is_write(owner) or str(owner.target) in _UNDO):
            owner = owner.args[0]
        if owner.op == "get_attr" and node.op == "call_function" and is_write(node):
            error = UnsupportedOp(
                str(node.target),
                "it changes a buffer of the model, which no Program keeps",
                hint="compute the value in each step, or make it a parameter",
            )
            error.node = node.name
            raise error


def needed(graph: fx.GraphModule) -> set[fx.Node]:
    """Return the nodes that the outputs depend on, writes to memory they read among them."""
    found: set[fx.Node] = set()
    read: set[int | None] = set()
    for node in reversed(graph.graph.nodes):
        written = node.op == "call_function" and is_write(node) and storage_of(node) in read
        if node.op == "output" or node in found or written:
            found.update((node, *node.all_input_nodes))
            read.update(storage_of(operand) for operand in node.all_input_nodes)
            read.discard(None)
    return found


def _reshaped(desk: Lowering, parent: Value, value: Value, *_: Any) -> Value:
    return desk.reshape(value, parent.shape)


def _permuted(desk: Lowering, parent: Value, value: Value, dims: Any) -> Value:
    order = [dim % len(parent.shape) for dim in dims]
    return desk.permute(value, [order.index(at) for at in range(len(order))])


def _transposed(desk: Lowering, parent: Value, value: Value, *dims: int) -> Value:
    return desk.transpose(value, *(dims or (0, 1))) if len(value.shape) > 1 else value


_UNDO: Final[Mapping[str, Undo]] = {
    **{
        f"aten.{name}": _reshaped
        for name in (
            "alias.default", "detach.default", "lift_fresh.default", "view.default",
            "_unsafe_view.default", "reshape.default", "unsqueeze.default", "squeeze.default",
            "squeeze.dim", "squeeze.dims",
        )
    },
    "aten.permute.default": _permuted,
    "aten.transpose.int": _transposed,
    "aten.t.default": _transposed,
    "aten.slice.Tensor": lower_view.TABLE["aten.slice_scatter.default"],
    "aten.select.int": lower_view.TABLE["aten.select_scatter.default"],
    "aten.diagonal.default": lower_view.TABLE["aten.diagonal_scatter.default"],
}  # fmt: skip


class Memory:
    """Which nodes show which memory, as far as the graph has been lowered."""

    def __init__(self, again: Callable[[fx.Node], Any]) -> None:
        """Begin with nothing shown; `again` lowers a view once more from its current operand."""
        self._again = again
        self._showing: dict[int, list[fx.Node]] = {}

    def shows(self, node: fx.Node) -> None:
        """Note that a node has been lowered."""
        storage = storage_of(node)
        if storage is not None:
            self._showing.setdefault(storage, []).append(node)

    def wrote(self, desk: Lowering, node: fx.Node, values: dict[fx.Node, Any]) -> None:
        """Carry what a write made to everything else that shows the same memory."""
        storage = storage_of(node)
        if storage is None:
            raise desk.refuse("it writes into several tensors at once")
        at, parent = node, _source(node)
        while parent is not None:
            values[parent] = self._carried(desk, at, values[parent], values[at])
            at, parent = parent, _source(parent)
        for other in self._showing[storage]:
            parent = _source(other)
            if other is not at and parent is not None:
                values[other] = values[parent] if is_write(other) else self._again(other)

    def _carried(self, desk: Lowering, view: fx.Node, old: Value, new: Value) -> Value:
        """Return the value of a view's operand after the view has got a new value."""
        if is_write(view):
            return new
        undo = _UNDO.get(str(view.target))
        if undo is None or view.kwargs:
            raise desk.refuse(
                f"it overwrites elements through {view.target}",
                "write the operation without its trailing underscore, or use torch.where or "
                "torch.cat instead of assigning",
            )
        carried = undo(desk, old, new, *view.args[1:])
        assert isinstance(carried, Value), "a view is undone by one value"
        return carried
