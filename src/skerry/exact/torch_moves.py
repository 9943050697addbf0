"""Sources, views, moves and reductions on tensors.

What    `MAKERS[op](site)` gives the kernel of each op that makes, renames, copies or gathers
        elements. Views stay torch views: nothing is copied.
Why     Sums are of integers, in int64 or as exact integers in float64, so that neither the order
        nor the number of threads can change them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from skerry.exact import torch_fixed
from skerry.exact.carriers import product
from skerry.exact.torch_elementwise import from_order_keys, order_keys
from skerry.exact.torch_site import Kernel, Maker, Site
from skerry.program.graph import F32

_NUMPY_DTYPES: Final = {"f32": "<f4", "i64": "<i8", "bool": "|b1"}


def _element(site: Site, value: int) -> Tensor:
    """Return the scalar that the attribute `value` encodes, as it is stored."""
    if site.node.type.dtype == F32:
        signed = value - (1 << 32) if value >> 31 else value
        bits = torch.tensor(signed, dtype=torch.int32, device=site.device)
        return bits.view(torch.float32)
    return torch.tensor(value, device=site.device).to(site.storage)


def _const(site: Site) -> Kernel:
    kind = site.node.type
    raw = np.frombuffer(site.node.raw("data"), dtype=_NUMPY_DTYPES[kind.dtype])
    held = torch.from_numpy(raw.astype(raw.dtype.newbyteorder("="))).reshape(kind.shape)
    held = held.to(site.device)
    return lambda: held


def _full(site: Site) -> Kernel:
    held = _element(site, site.node.integer("value")).expand(site.shape)
    return lambda: held


def _iota(site: Site) -> Kernel:
    axis = site.node.integer("axis")
    lined = [1] * len(site.shape)
    lined[axis] = site.shape[axis]
    held = torch.arange(site.shape[axis], dtype=torch.int64, device=site.device)
    held = held.reshape(lined).expand(site.shape)
    return lambda: held


def _uniform(site: Site) -> Kernel:
    stream, count, shape = site.node.integer("stream"), site.node.type.elements, site.shape
    return lambda seed: torch_fixed.philox_uniform(seed, stream, count).reshape(shape)


def _reshape(site: Site) -> Kernel:
    shape = site.shape
    return lambda x: x.reshape(shape)


def _permute(site: Site) -> Kernel:
    axes = site.node.integers("axes")
    return lambda x: x.permute(axes)


def _expand(site: Site) -> Kernel:
    shape = site.shape
    return lambda x: x.expand(shape)


def _slice(site: Site) -> Kernel:
    starts, limits, strides = (site.node.integers(name) for name in ("starts", "limits", "strides"))
    cut = tuple(slice(*edges) for edges in zip(starts, limits, strides, strict=True))
    if len(cut) == 1 and strides == (1,):
        start, length = starts[0], limits[0] - starts[0]
        return lambda x: x.narrow(0, start, length)
    return lambda x: x[cut]


def _window(site: Site) -> Kernel:
    axis, size, stride, dilation = (
        site.node.integer(name) for name in ("axis", "size", "stride", "dilation")
    )
    span = (size - 1) * dilation + 1
    if dilation == 1:
        return lambda x: x.unfold(axis, size, stride)
    return lambda x: x.unfold(axis, span, stride)[..., ::dilation]


def _concat(site: Site) -> Kernel:
    axis = site.node.integer("axis")
    return lambda *operands: torch.cat(operands, axis)


def _pad(site: Site) -> Kernel:
    value, shape = _element(site, site.node.integer("value")), site.shape
    source, target = [], []
    for low, gap, old, new in zip(
        site.node.integers("low"), site.node.integers("interior"), site.reads[0].shape, shape,
        strict=True,
    ):  # fmt: skip
        step = gap + 1
        first = max(0, -(low // step))  # the first source element whose place is not cropped
        last = min(old - 1, (new - 1 - low) // step)
        kept = max(0, last - first + 1)
        source.append(slice(first, first + kept))
        place = low + first * step if kept else 0
        target.append(slice(place, place + (kept - 1) * step + 1 if kept else 0, step))
    cut, paste = tuple(source), tuple(target)

    def kernel(x: Tensor) -> Tensor:
        padded = value.expand(shape).clone(memory_format=torch.contiguous_format)
        padded[paste] = x[cut]
        return padded

    return kernel


def _take(site: Site) -> Kernel:
    rows, shape = site.reads[0].shape[0], site.shape
    column = (-1,) + (1,) * (len(site.reads[0].shape) - 1)

    def kernel(x: Tensor, index: Tensor) -> Tensor:
        flat = index.reshape(-1)
        taken = x.index_select(0, flat.clamp(0, rows - 1))
        outside = (flat < 0) | (flat >= rows)
        return taken.masked_fill_(outside.reshape(column), 0).reshape(shape)

    return kernel


def _cumsum(site: Site) -> Kernel:
    axis = site.node.integer("axis")
    return lambda x: torch.cumsum(x, axis)


def _sum(site: Site) -> Kernel:
    axes = site.node.integers("axes")
    return lambda x: torch.sum(x, axes)


def _scatter_add(site: Site) -> Kernel:
    size, shape, storage = site.node.integer("size"), site.shape, site.storage
    device = site.device

    def kernel(index: Tensor, v: Tensor) -> Tensor:
        # a row out of range lands on one more row, which is cut off
        row = torch.where((index < 0) | (index >= size), size, index)
        total = torch.zeros((size + 1, *shape[1:]), dtype=storage, device=device)
        return total.index_add_(0, row, v)[:size]

    return kernel


def _amax(site: Site) -> Kernel:
    axes = site.node.integers("axes")
    return lambda x: from_order_keys(order_keys(x).amax(axes))


def _argmax(site: Site) -> Kernel:
    axis = site.node.integer("axis")
    length = site.reads[0].shape[axis]
    lined = [1] * len(site.reads[0].shape)
    lined[axis] = length
    places = torch.arange(length, device=site.device).reshape(lined)

    def kernel(x: Tensor) -> Tensor:
        keys = order_keys(x)
        greatest = keys == keys.amax(axis, keepdim=True)
        return torch.where(greatest, places, length).amin(axis)

    return kernel


def _topk(site: Site) -> Kernel:
    k = site.node.integer("k")

    def kernel(x: Tensor) -> Tensor:
        order = torch.sort(order_keys(x), dim=-1, descending=True, stable=True)
        return order.indices[..., :k]

    return kernel


def _dot(site: Site) -> Kernel:
    bound_a, bound_b, carrier = site.bound(0), site.bound(1), site.carrier
    if carrier == "int64" and site.device.type != "cpu":
        carrier = "float32"  # stock torch has integer products on the CPU only
    return lambda a, b: product(a, b, bound_a, bound_b, carrier)


MAKERS: Final[dict[str, Maker]] = {
    "const": _const,
    "full": _full,
    "iota": _iota,
    "uniform": _uniform,
    "reshape": _reshape,
    "permute": _permute,
    "expand": _expand,
    "slice": _slice,
    "window": _window,
    "concat": _concat,
    "pad": _pad,
    "take": _take,
    "cumsum": _cumsum,
    "sum": _sum,
    "scatter_add": _scatter_add,
    "amax": _amax,
    "argmax": _argmax,
    "topk": _topk,
    "dot": _dot,
}

__all__ = ["MAKERS"]
