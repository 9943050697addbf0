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
    given = iter(inputs)
    needed = _needed(graph)
    _refuse_shared_writes(graph, needed)
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            values[node] = next(given)
        elif node not in needed:
            continue
        elif node.op == "get_attr":
            values[node] = desk.constant(getattr(graph, str(node.target)), str(node.target))
        elif node.op == "call_function":
            values[node] = _lower_node(desk, node, values)
        else:
            return list(_flat(_read(node.args[0], values)))
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


def _needed(graph: fx.GraphModule) -> set[fx.Node]:
    """Return the nodes that the outputs depend on."""
    needed: set[fx.Node] = set()
    for node in reversed(graph.graph.nodes):
        if node.op == "output" or node in needed:
            needed.update((node, *node.all_input_nodes))
    return needed


# -- writes in place


def is_write(node: fx.Node) -> bool:
    """Return whether a node overwrites its first operand."""
    schema = getattr(node.target, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


def _storage(node: fx.Node) -> int | None:
    held = node.meta.get("val")
    if not isinstance(held, torch.Tensor):
        return None
    return int(held.untyped_storage()._cdata)


def _refuse_shared_writes(graph: fx.GraphModule, needed: set[fx.Node]) -> None:
    """Refuse a write that another live tensor would see.

    After `x.add_(1)` later reads of x read the new node, so the write is a plain value. A view of
    x that was taken before and is read after would see the write too: a Program has no such thing.
    """
    nodes = list(graph.graph.nodes)
    if not any(is_write(node) for node in nodes):
        return
    order = {node: at for at, node in enumerate(nodes)}
    sharing: dict[int, list[fx.Node]] = {}
    for node in nodes:
        storage = _storage(node)
        if storage is not None:
            sharing.setdefault(storage, []).append(node)
    for node in nodes:
        if node.op != "call_function" or not is_write(node):
            continue
        for other in sharing.get(_storage(node) or 0, []):
            late = [user for user in other.users if user in needed and order[user] > order[node]]
            if order[other] < order[node] and late:
                error = UnsupportedOp(
                    str(node.target),
                    "it overwrites elements that another tensor still shows",
                    hint="write the operation without its trailing underscore, or use torch.where "
                    "or torch.cat instead of assigning to a slice",
                )
                error.node = node.name
                raise error
