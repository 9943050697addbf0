"""Each operation alone: value and gradient equal PyTorch's to a few roundings."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.trace.checking import assert_function_agrees, drawn, whole

Function = Callable[..., Tensor]

PLACES = whole(3, 4, 6)

MATRIX: dict[str, Function] = {
    # arithmetic with numbers and broadcasting
    "add_alpha": lambda w: torch.add(w, w[:1], alpha=3),
    "rsub": lambda w: 2 - w,
    "div_number": lambda w: w / 3 + w / 4,
    "number_div": lambda w: 2 / (w.abs() + 1),
    "floor_div": lambda w: torch.div(w, 0.4, rounding_mode="floor") + w,
    "trunc_div": lambda w: torch.div(w, 0.4, rounding_mode="trunc") + w,
    "remainder": lambda w: torch.remainder(w, 0.7),
    "powers": lambda w: w**2 + w**3 + w.abs() ** 0.5 + (w.abs() + 1) ** -1.5,
    "power_seven_half": lambda w: (w.abs() + 0.5) ** 3.7,
    "power_tensor": lambda w: (w.abs() + 0.5) ** w,
    "number_to_power": lambda w: 2**w,
    "odd_power": lambda w: w**9,
    "rounding": lambda w: w * (3 * w).floor() + (3 * w).ceil() + (3 * w).round() + (3 * w).trunc(),
    # functions
    "exp_log": lambda w: torch.exp(w) + torch.log(w.abs() + 1),
    "exp2_log2": lambda w: torch.exp2(w) + torch.log2(w.abs() + 1) + torch.log10(w.abs() + 1),
    "expm1_log1p": lambda w: torch.expm1(w / 64) + torch.log1p(w.abs()),
    "waves": lambda w: torch.sin(w) * torch.cos(3 * w),
    "roots": lambda w: torch.sqrt(w.abs() + 0.1) + torch.rsqrt(w.abs() + 0.1),
    "sign_abs": lambda w: w * w.sign() + w.abs(),
    "relu": functional.relu,
    "relu_in_place": lambda w: functional.relu(w * 2, inplace=True),
    "relu6": functional.relu6,
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
    "selu": functional.selu,
    "softplus": functional.softplus,
    "mish": functional.mish,
    "hardswish": functional.hardswish,
    "sigmoid": torch.sigmoid,
    "log_sigmoid": functional.logsigmoid,
    "tanh": torch.tanh,
    "silu": functional.silu,
    "glu": functional.glu,
    "gelu": functional.gelu,
    "gelu_tanh": lambda w: functional.gelu(w, approximate="tanh"),
    "erf": torch.erf,
    # truth
    "where": lambda w: torch.where((w > 0) & ~(w >= 1) | (w < -1), w, 2 * w),
    "masked_fill": lambda w: w.masked_fill(w < 0, 0.5),
    "clamp": lambda w: w.clamp(-0.5, 0.5) + w.clamp(min=0.1),
    "max_min": lambda w: torch.maximum(w, w.flip(0)) - torch.minimum(w, w.flip(1)),
    "any_all": lambda w: w * (w > 1).any(1, keepdim=True) + w * (w > -9).all(),
    "isnan": lambda w: torch.where(torch.isnan(w) | torch.isinf(w), 0.0, w),
    # reductions
    "sum_mean": lambda w: w.sum(0) + w.mean(dim=0, keepdim=True) + w.sum(),
    "var_std": lambda w: w.var(1) + w.std(1) + w.var(),
    "var_biased": lambda w: torch.var(w, 1, correction=0),
    "amax_amin": lambda w: w.amax(1) + w.amin(1) + w.max() + w.min(),
    "max_dim": lambda w: w.max(1).values + w.min(0, keepdim=True).values.sum(),
    "argmax": lambda w: w.sum(1) * w.argmax(1) + w.argmin(),
    "logsumexp": lambda w: torch.logsumexp(w, 1),
    "norm": lambda w: w.norm(dim=1) + torch.linalg.vector_norm(w),
    "normalize": lambda w: functional.normalize(w, dim=1),
    "cosine": lambda w: functional.cosine_similarity(w, w.flip(0), dim=1),
    "cumsum": lambda w: w.cumsum(1),
    "topk": lambda w: w.topk(3, dim=1).values,
    "sort": lambda w: w.sort(1).values,
    "softmax": lambda w: torch.softmax(w, 1) + torch.softmax(w, 0),
    "log_softmax": lambda w: torch.log_softmax(w, 1),
    # views and moves
    "slices": lambda w: w[1:, ::2] * w[:-1, ::2] + w[2, 1],
    "slice_negative": lambda w: w[:, -3:-1] * w[-1, -2],
    "select": lambda w: w[2] * w[:, 1].sum(),
    "slice_scatter": lambda w: torch.slice_scatter(w * 2, w[:, :2] * 3, 1, 2, 4),
    "split_cat": lambda w: torch.cat(list(reversed(w.split(2, 1))), 1) * w,
    "stack": lambda w: torch.stack([w, 2 * w], 1),
    "unbind": lambda w: w.unbind(1)[0] * w.unbind(1)[-1],
    "chunk": lambda w: w.chunk(2, 1)[1] * 3,
    "roll": lambda w: torch.roll(w, 2, 1) * w,
    "repeat": lambda w: w.repeat(2, 3),
    "repeat_interleave": lambda w: w.repeat_interleave(2, 1),
    "tile_expand": lambda w: w[:, None].expand(-1, 3, -1) * w[:, None],
    "pad": lambda w: functional.pad(w, (1, 2, 0, 1), value=0.5),
    "tril_triu": lambda w: w.tril() - w.triu(1),
    "diagonal": lambda w: torch.diagonal(w, 1) * 2,
    "unfold": lambda w: w.unfold(1, 3, 2),
    "transpose": lambda w: w.t() @ w,
    "squeeze": lambda w: w.unsqueeze(0).squeeze(0).unsqueeze(-1),
    # products
    "mm": lambda w: w @ w.t(),
    "mv": lambda w: w @ w[0],
    "dot": lambda w: torch.dot(w[0], w[1]),
    "outer": lambda w: torch.outer(w[0], w[1]),
    "bmm": lambda w: torch.bmm(w.view(2, 2, -1), w.view(2, 2, -1).transpose(1, 2)),
    "matmul_broadcast": lambda w: torch.matmul(w.view(2, 2, -1), w.t()),
    "addmm": lambda w: torch.addmm(w[:, :4], w, w.t(), beta=0.5, alpha=2),
    "einsum": lambda w: torch.einsum("ij,kj->ik", w, w),
    "linear": lambda w: functional.linear(w, w, w[:, 0]),
    "cdist": lambda w: (w[:, None] - w[None]).square().sum(-1).add(1).sqrt(),
    # indices that are constants
    "index": lambda w: w[torch.tensor([0, 2, 2]), torch.tensor([1, -1, 1])],
    "index_rows": lambda w: w[:, torch.tensor([0, 2, 2])],
    "index_select": lambda w: w.index_select(1, torch.tensor([3, 0, 3])),
    "index_add": lambda w: w.index_add(0, torch.tensor([1, 1]), w[:2], alpha=2),
    "gather": lambda w: w.gather(1, torch.tensor([[0, 1], [2, 2], [0, 0], [1, 3]])),
    "take_along": lambda w: torch.take_along_dim(w, w.argsort(1), 1),
    "scatter_add": lambda w: torch.zeros(4, 3).scatter_add(1, PLACES[:, :6], w),
    "index_put": lambda w: torch.zeros(4, 6).index_put(
        (torch.tensor([0, 0, 1]),), w[:3], accumulate=True
    ),
    # layers
    "layer_norm": lambda w: functional.layer_norm(w, (6,), w[0], w[1]),
    "layer_norm_plain": lambda w: functional.layer_norm(w, (4, 6)),
    "rms_norm": lambda w: functional.rms_norm(w, (6,), w[0]),
    "rms_norm_plain": lambda w: functional.rms_norm(w, (6,)),
    "group_norm": lambda w: functional.group_norm(w.view(2, 4, 3), 2, w[0, :4], w[1, :4]),
    "instance_norm": lambda w: functional.instance_norm(w.view(2, 2, 6)),
    # losses
    "mse": lambda w: functional.mse_loss(w, torch.ones_like(w)),
    "l1": lambda w: functional.l1_loss(w, torch.ones_like(w)),
    "huber": lambda w: functional.huber_loss(w, torch.ones_like(w)),
    "smooth_l1": lambda w: functional.smooth_l1_loss(w, torch.ones_like(w)),
    "bce_logits": lambda w: functional.binary_cross_entropy_with_logits(w, torch.ones_like(w)),
    "bce": lambda w: functional.binary_cross_entropy(w.sigmoid(), torch.full_like(w, 0.25)),
    "kl": lambda w: functional.kl_div(w.log_softmax(1), torch.full_like(w, 0.25), reduction="sum"),
    "cross_entropy": lambda w: functional.cross_entropy(w, torch.tensor([0, 5, -100, 2])),
    "cross_entropy_smooth": lambda w: functional.cross_entropy(
        w, torch.tensor([0, 5, 1, 2]), label_smoothing=0.1
    ),
    "cross_entropy_weighted": lambda w: functional.cross_entropy(
        w, torch.tensor([0, 5, 1, 2]), weight=torch.arange(1.0, 7.0)
    ),
    "cross_entropy_each": lambda w: functional.cross_entropy(
        w, torch.tensor([0, 5, 1, 2]), reduction="none"
    ),
    "cross_entropy_soft": lambda w: functional.cross_entropy(w, torch.full((4, 6), 1 / 6)),
    "cross_entropy_places": lambda w: functional.cross_entropy(
        w.view(2, 3, 4), PLACES[:2, :4]
    ),
}  # fmt: skip

IMAGE: dict[str, Function] = {
    "max_pool": lambda w: functional.max_pool2d(w, 2),
    "max_pool_overlap": lambda w: functional.max_pool2d(w, 3, 2, 1),
    "max_pool_dilated": lambda w: functional.max_pool2d(w, 2, 1, dilation=2),
    "max_pool_odd": lambda w: functional.max_pool2d(w[..., :7], (2, 3)),
    "max_pool_sparse": lambda w: functional.max_pool2d(w, 2, 3),
    "max_pool_1d": lambda w: functional.max_pool1d(w.flatten(0, 1), 2),
    "avg_pool": lambda w: functional.avg_pool2d(w, 2),
    "avg_pool_overlap": lambda w: functional.avg_pool2d(w, 3, 2, 1),
    "avg_pool_inside": lambda w: functional.avg_pool2d(w, 3, 1, 1, count_include_pad=False),
    "avg_pool_wide": lambda w: functional.avg_pool2d(w, 6, 1),
    "avg_pool_1d": lambda w: functional.avg_pool1d(w.flatten(0, 1), 2),
    "adaptive_1": lambda w: functional.adaptive_avg_pool2d(w, 1),
    "adaptive_2": lambda w: functional.adaptive_avg_pool2d(w, (4, 2)),
    "nearest": lambda w: functional.interpolate(w, scale_factor=2),
    "pixel_shuffle": lambda w: functional.pixel_shuffle(w, 2),
    "group_norm": lambda w: functional.group_norm(w, 2),
}


@pytest.mark.parametrize("name", MATRIX)
def test_a_function_of_a_matrix_agrees_with_pytorch(name: str) -> None:
    assert_function_agrees(MATRIX[name], drawn(4, 6, seed=3))


@pytest.mark.parametrize("name", IMAGE)
def test_a_function_of_images_agrees_with_pytorch(name: str) -> None:
    assert_function_agrees(IMAGE[name], drawn(2, 4, 8, 8))


CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "padded": {"padding": 1},
    "strided": {"stride": 2, "padding": 1},
    "uneven": {"stride": (2, 1), "padding": (0, 2)},
    "dilated": {"dilation": 2, "padding": 2},
    "all": {"stride": 3, "padding": 2, "dilation": 2},
}


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_agrees_with_pytorch(name: str, groups: int) -> None:
    """Both gradients: the image is a function of the weight too."""

    def function(w: Tensor, x: Tensor) -> Tensor:
        image = x + w.sum() * x
        return functional.conv2d(image, w, w[:, 0, 0, 0], groups=groups, **CONVOLUTIONS[name])

    image = drawn(2, 4, 9, 8)
    assert_function_agrees(function, drawn(6, 4 // groups, 3, 2) / 8, 1e-5, x=image)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_transposed_convolution_agrees_with_pytorch(stride: int, groups: int) -> None:
    def function(w: Tensor, x: Tensor) -> Tensor:
        image = x + w.sum() * x
        return functional.conv_transpose2d(
            image, w, stride=stride, padding=1, output_padding=stride - 1, groups=groups
        )

    assert_function_agrees(function, drawn(4, 3, 3, 3) / 8, 1e-5, x=drawn(2, 4, 5, 5))


def test_a_convolution_over_a_line_agrees_with_pytorch() -> None:
    def function(w: Tensor, x: Tensor) -> Tensor:
        return functional.conv1d(x * (1 + w.sum()), w, stride=2, padding=2)

    assert_function_agrees(function, drawn(6, 4, 5) / 8, 1e-5, x=drawn(2, 4, 11))


def test_indices_and_integers_from_the_batch_agree_with_pytorch() -> None:
    def function(w: Tensor, at: Tensor) -> Tensor:
        shifted = (at * 3 + 1) % 4 // 2
        running = at.cumsum(1).clamp(max=3)
        place = torch.where(at > 1, shifted, running)
        hot = functional.one_hot(at, 4).float()
        wide = functional.embedding(place, w, padding_idx=0)
        return wide[..., :4] * hot + w[at, 1, None] - at.float().mean() + at.max() + at.min()

    assert_function_agrees(function, drawn(4, 6), at=whole(4, 3, 5))


@pytest.mark.parametrize("masked", ["causal", "truth", "added", "none"])
@pytest.mark.parametrize("grouped", [False, True])
def test_attention_agrees_with_pytorch(masked: str, grouped: bool) -> None:
    def function(w: Tensor) -> Tensor:
        query, key, value = (w[at] for at in range(3))
        if grouped:
            key, value = key[:, :1], value[:, :1]
        truth = torch.ones(5, 5, dtype=torch.bool).tril()
        mask = {"truth": truth, "added": torch.zeros(5, 5).masked_fill(~truth, -math.inf)}
        return functional.scaled_dot_product_attention(
            query, key, value, mask.get(masked), is_causal=masked == "causal", enable_gqa=grouped
        )

    assert_function_agrees(function, drawn(3, 2, 2, 5, 4), 1e-5)


def test_attention_where_a_row_sees_nothing_is_zero() -> None:
    def function(w: Tensor) -> Tensor:
        mask = torch.tensor([[True, False, True], [False, False, False], [True, True, True]])
        return functional.scaled_dot_product_attention(w, w, w, mask)

    assert_function_agrees(function, drawn(1, 2, 3, 4))


# -- writes in place


def assigned_column(w: Tensor) -> Tensor:
    made = w * 2
    made[:, 1] = w[:, 0]
    return made


def assigned_steps(w: Tensor) -> Tensor:
    made = torch.zeros(4, 6)
    made[1:3, ::2] = w[1:3, 1::2]
    made[0] += w[0]
    return made * w


def seen_by_another_view(w: Tensor) -> Tensor:
    made = w * 1
    turned = made.t()
    row = made[0]
    turned[2] = 5.0
    row.mul_(2)
    return made + turned.t() * w + row


def filled_in_turn(w: Tensor) -> Tensor:
    made = torch.empty(4, 6)
    for at in range(4):
        made[at].copy_(w[3 - at]).add_(at)
    made.diagonal().fill_(7)
    made.view(2, 12)[1, :3].zero_()
    return made * w


def written_under_mask(w: Tensor) -> Tensor:
    made = w.clone()
    made.masked_fill_(w < 0, 0.5).clamp_(max=1)
    return made


def assigned_where(w: Tensor) -> Tensor:
    made = w * 1
    made[w > 0.5] = 0.25
    made[torch.tensor([True, False, False, True])] = 2.0
    return made * w


@pytest.mark.parametrize(
    "function",
    [
        assigned_where,
        assigned_column,
        assigned_steps,
        seen_by_another_view,
        filled_in_turn,
        written_under_mask,
    ],
    ids=lambda function: str(function.__name__),
)
def test_a_write_in_place_agrees_with_pytorch(function: Function) -> None:
    assert_function_agrees(function, drawn(4, 6, seed=5))
