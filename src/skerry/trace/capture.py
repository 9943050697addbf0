"""Record what a PyTorch function does, as one static graph of ATen operations.

What    `capture(function, arguments)` runs the function once on tensors without contents and
        returns the graph. `Attention` is the mode that spells scaled dot product attention as
        products and one softmax.
Why     `torch.autograd.grad` inside `make_fx` records forward and backward together, and leaves
        the backward formulas whole; torch.func would take them apart and trip over tensor checks.
Source  torch.fx.experimental.proxy_tensor.make_fx.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, fx
from torch._decomp import core_aten_decompositions
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from skerry.trace.lower import LOWERINGS


@cache
def decompositions() -> Mapping[Any, Callable[..., Any]]:
    """Return PyTorch's core decompositions of everything that has no lowering of its own."""
    core = core_aten_decompositions()
    return {op: core[op] for op in core if str(op) not in LOWERINGS}


class Attention(TorchFunctionMode):
    """Spells scaled dot product attention with the fewest passes over the scores."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call `func`, or our own spelling of attention in its place."""
        if func is functional.scaled_dot_product_attention:
            return attention(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return softmax(q k^T * scale + mask) v, as PyTorch documents it."""
    if enable_gqa and query.shape[-3] != key.shape[-3]:
        key, value = (_repeated(x, query.shape[-3] // x.shape[-3]) for x in (key, value))
    factor = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query * factor) @ key.transpose(-2, -1)
    if is_causal:
        shape = (query.shape[-2], key.shape[-2])
        above = torch.ones(shape, dtype=torch.bool, device=query.device).triu(1)
        weights = torch.softmax(scores.masked_fill(above, -math.inf), -1)
    elif attn_mask is None:
        weights = torch.softmax(scores, -1)
    else:
        if attn_mask.dtype == torch.bool:
            scores = torch.where(attn_mask, scores, -math.inf)
        else:
            scores = scores + attn_mask
        weights = torch._safe_softmax(scores, -1)
    if dropout_p > 0:
        weights = functional.dropout(weights, dropout_p)
    return weights @ value


def _repeated(x: Tensor, times: int) -> Tensor:
    """Return each head repeated, as an expanded view."""
    *batch, heads, rows, width = x.shape
    wide = x.unsqueeze(-3).expand(*batch, heads, times, rows, width)
    return wide.reshape(*batch, heads * times, rows, width)


@contextmanager
def recording() -> Iterator[None]:
    """Set the modes under which a model is recorded."""
    with Attention(), sdpa_kernel(SDPBackend.MATH):
        yield


def capture(function: Callable[..., Any], arguments: Sequence[Any]) -> fx.GraphModule:
    """Return the ATen graph of `function(*arguments)`; nothing is computed."""
    traced = make_fx(
        function,
        decomposition_table=decompositions(),
        tracing_mode="fake",
        _allow_non_fake_inputs=True,
        _disable_torch_fn_metadata_mode=True,  # it would note each call, and nobody reads it
    )
    with recording():
        graph: fx.GraphModule = traced(*arguments)
    return graph
