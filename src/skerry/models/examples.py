"""Models that ship with Skerry: small, ordinary PyTorch, nothing of ours in them.

What    `EXAMPLES[name](**arguments)` returns an nn.Module.
Shapes  B samples, C channels, H and W pixels, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional


class MLP(nn.Module):
    """Fully connected layers with ReLU between them."""

    def __init__(
        self, inputs: int = 64, hidden: Sequence[int] = (64, 64), outputs: int = 10
    ) -> None:
        super().__init__()
        sizes = [inputs, *hidden, outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, features: Tensor) -> Tensor:
        """Map features [B, ...] to logits [B, outputs]."""
        x = features.flatten(1)
        for layer in self.layers[:-1]:
            x = functional.relu(layer(x))
        logits: Tensor = self.layers[-1](x)
        return logits


class CNN(nn.Module):
    """Two 3x3 convolutions with group norm and pooling, then one linear layer."""

    def __init__(
        self,
        image: Sequence[int] = (1, 8, 8),
        channels: Sequence[int] = (16, 32),
        outputs: int = 10,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        first, second = channels
        self.conv1 = nn.Conv2d(image[0], first, 3, padding=1)
        self.norm1 = nn.GroupNorm(min(4, first), first)
        self.conv2 = nn.Conv2d(first, second, 3, padding=1)
        self.norm2 = nn.GroupNorm(min(4, second), second)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(second * (image[1] // 4) * (image[2] // 4), outputs)
        self.image = tuple(image)

    def forward(self, features: Tensor) -> Tensor:
        """Map images [B, C, H, W], flat or not, to logits [B, outputs]."""
        x = features.reshape(-1, *self.image)
        x = self.pool(functional.relu(self.norm1(self.conv1(x))))
        x = self.pool(functional.relu(self.norm2(self.conv2(x))))
        logits: Tensor = self.head(self.dropout(x.flatten(1)))
        return logits


class _Block(nn.Module):
    """One pre-norm transformer block with causal attention."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Add attention, then the feed-forward, to the residual stream."""
        B, T, D = x_BTD.shape
        parts = self.qkv(self.norm1(x_BTD)).view(B, T, 3, self.heads, D // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        mixed: Tensor = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x_BTD = x_BTD + self.dropout(self.out(mixed.transpose(1, 2).reshape(B, T, D)))
        hidden = functional.gelu(self.up(self.norm2(x_BTD)))
        result_BTD: Tensor = x_BTD + self.dropout(self.down(hidden))
        return result_BTD


class GPT(nn.Module):
    """A GPT-2 style decoder with learned positions."""

    def __init__(
        self,
        vocabulary: int = 256,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        context: int = 128,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(_Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Map token ids [B, T] to logits [B, T, vocabulary]."""
        positions = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)
        x_BTD = self.tokens(tokens_BT) + self.positions(positions)
        for block in self.blocks:
            x_BTD = block(x_BTD)
        logits: Tensor = self.head(self.norm(x_BTD))
        return logits


EXAMPLES: Final[dict[str, Callable[..., nn.Module]]] = {"mlp": MLP, "cnn": CNN, "gpt": GPT}
