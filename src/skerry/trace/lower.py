"""From a captured ATen graph to values of a Program.

What    `lower(graph, builder, inputs, seed)` walks the graph once and returns the values of its
        outputs. `LOWERINGS` is every table together: what is not in it is decomposed by PyTorch's
        own core table while capturing, and refused here if a name is still left.
Why     One pass, one dictionary look-up a node: tracing stays linear in the size of the model.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import fx

from skerry.program import Builder, TensorType, Value
from skerry.trace import (
    lower_activation,
    lower_conv,
    lower_index,
    lower_matmul,
    lower_norm,
    lower_pointwise,
    lower_pool,
    lower_reduce,
    lower_source,
    lower_view,
)
from skerry.trace.errors import UnsupportedOp
from skerry.trace.lowering import Lower, Lowering, dtype_of
from skerry.trace.writes import Memory, is_write, needed, refuse_kept

LOWERINGS: Final[Mapping[str, Lower]] = {
    **lower_pointwise.TABLE,
    **lower_activation.TABLE,
    **lower_view.TABLE,
    **lower_matmul.TABLE,
    **lower_norm.TABLE,
    **lower_reduce.TABLE,
    **lower_index.TABLE,
    **lower_conv.TABLE,
    **lower_pool.TABLE,
    **lower_source.TABLE,
}


def lower(
    graph: fx.GraphModule, builder: Builder, inputs: Sequence[Value], seed: Value | None = None
) -> list[Value | None]:
    """Return the values of the graph's outputs, built from `inputs` in placeholder order.

    Raises:
        UnsupportedOp: an operation that something depends on has no lowering; its attribute
            `node` names the node of the graph.
    """
    desk = Lowering(builder, seed)
    values: dict[fx.Node, Any] = {}
    memory = Memory(lambda view: _lower_node(desk, view, values))
    given = iter(inputs)
    wanted = needed(graph)
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            values[node] = next(given)
        elif node not in wanted:
            continue
        elif node.op == "get_attr":
            values[node] = desk.constant(getattr(graph, str(node.target)), str(node.target))
        elif node.op == "call_function":
            values[node] = _lower_node(desk, node, values)
        else:
            refuse_kept(graph)
            return list(_flat(_read(node.args[0], values)))
        memory.shows(node)
        if is_write(node):
            memory.wrote(desk, node, values)
    raise AssertionError("a captured graph ends with its outputs")


def _read(given: Any, values: Mapping[fx.Node, Any]) -> Any:
    """Return an argument of a node with the values that its nodes stand for."""
    if isinstance(given, fx.Node):
        return values[given]
    if isinstance(given, (list, tuple)):
        return [_read(entry, values) for entry in given]
    return given


def _flat(results: Any) -> list[Value | None]:
    if isinstance(results, (list, tuple)):
        return [value for result in results for value in _flat(result)]
    return [results]


def _lower_node(desk: Lowering, node: fx.Node, values: Mapping[fx.Node, Any]) -> Any:
    args = [_read(given, values) for given in node.args]
    if node.target is operator.getitem:
        return args[0][args[1]]
    kwargs = {name: _read(given, values) for name, given in node.kwargs.items()}
    try:
        desk.op, lowering = _found(node)
        desk.types = tuple(_types(node.meta.get("val"), desk.op))
        return lowering(desk, *args, **kwargs)
    except UnsupportedOp as error:
        error.node = node.name
        raise


def _found(node: fx.Node) -> tuple[str, Lower]:
    """Return the lowering of a node; a write in place is the same formula with a new value."""
    name = str(node.target)
    lowering = LOWERINGS.get(name)
    if lowering is None and is_write(node):
        packet, _, overload = name.rpartition(".")
        lowering = LOWERINGS.get(f"{packet.removesuffix('_')}.{overload}")
    if lowering is None:
        raise UnsupportedOp(name)
    return name, lowering


def _types(held: Any, op: str) -> list[TensorType]:
    """Return the types of what a node makes; one of several may be empty, since nobody reads it."""
    if isinstance(held, torch.Tensor):
        kind = _type(held, op)
        if 0 in kind.shape:
            raise UnsupportedOp(op, f"it makes an empty tensor of shape {list(kind.shape)}")
        return [kind]
    if isinstance(held, (list, tuple)):
        return [_type(entry, op) for entry in held if isinstance(entry, torch.Tensor)]
    return []


def _type(held: torch.Tensor, op: str) -> TensorType:
    if not all(isinstance(size, int) for size in held.shape):
        raise UnsupportedOp(
            op,
            "the shape of its result depends on the data",
            hint="a Program is one static graph: use torch.where, masks and fixed shapes",
        )
    return TensorType(dtype_of(held.dtype, op), tuple(held.shape))
