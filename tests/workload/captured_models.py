"""Small models in plain torch, for the tests of capturing."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional


class Norm(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


def rotate(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    left, right = x.chunk(2, -1)
    return torch.cat((left * cosine - right * sine, left * sine + right * cosine), -1)


class Attention(nn.Module):
    def __init__(self, hidden: int, heads: int, kv_heads: int) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.width = heads, kv_heads, hidden // heads
        self.query = nn.Linear(hidden, hidden, bias=False)
        self.key = nn.Linear(hidden, kv_heads * self.width, bias=False)
        self.value = nn.Linear(hidden, kv_heads * self.width, bias=False)
        self.out = nn.Linear(hidden, hidden, bias=False)

    def forward(self, x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
        batch, length, hidden = x.shape
        query = self.query(x).view(batch, length, self.heads, self.width).transpose(1, 2)
        key = self.key(x).view(batch, length, self.kv_heads, self.width).transpose(1, 2)
        value = self.value(x).view(batch, length, self.kv_heads, self.width).transpose(1, 2)
        query, key = rotate(query, cosine, sine), rotate(key, cosine, sine)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, hidden))


class GatedMlp(nn.Module):
    def __init__(self, hidden: int, inner: int) -> None:
        super().__init__()
        self.gate = nn.Linear(hidden, inner, bias=False)
        self.up = nn.Linear(hidden, inner, bias=False)
        self.down = nn.Linear(inner, hidden, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(functional.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    def __init__(self, hidden: int, heads: int, kv_heads: int, inner: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = Norm(hidden), Norm(hidden)
        self.attention, self.mlp = Attention(hidden, heads, kv_heads), GatedMlp(hidden, inner)

    def forward(self, x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm1(x), cosine, sine)
        return x + self.mlp(self.norm2(x))


class Llama(nn.Module):
    def __init__(self, layers: int, hidden: int, heads: int, kv_heads: int, inner: int, vocab: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, hidden)
        self.layers = nn.ModuleList(Block(hidden, heads, kv_heads, inner) for _ in range(layers))
        self.norm, self.head = Norm(hidden), nn.Linear(hidden, vocab, bias=False)
        self.width = hidden // heads

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens)
        rates = 1.0 / 500_000.0 ** (torch.arange(0, self.width, 2) / self.width)
        angles = torch.outer(torch.arange(tokens.shape[1]), rates)
        cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        for layer in self.layers:
            x = layer(x, cosine, sine)
        return self.head(self.norm(x))


SHAPE = {"layers": 3, "hidden": 128, "heads": 4, "kv_heads": 2, "inner": 352, "vocab": 512}


def llama(batch: int = 2, seq_len: int = 64, **shape: int) -> tuple[Any, ...]:
    module = Llama(**(shape or SHAPE)).to(torch.bfloat16)
    tokens = torch.zeros(batch, seq_len, dtype=torch.long)

    def loss(logits: torch.Tensor) -> torch.Tensor:
        labels = torch.zeros(batch * seq_len, dtype=torch.long)
        return functional.cross_entropy(logits.flatten(0, 1).float(), labels.to(logits.device))

    return module, tokens, loss


class Gpt(nn.Module):
    """Learned positions, biases, dropout, torch's own attention module, and a head that is the embedding."""

    def __init__(self, layers: int = 2, hidden: int = 64, heads: int = 4, vocab: int = 300) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocab, hidden), nn.Embedding(256, hidden)
        one = nn.TransformerEncoderLayer(hidden, heads, 4 * hidden, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(one, layers, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(hidden), nn.Linear(hidden, vocab, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        length = tokens.shape[1]
        x = self.tokens(tokens) + self.places(torch.arange(length, device=tokens.device))
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=tokens.device)
        return self.head(self.norm(self.blocks(x, mask=mask, is_causal=True)))


def gpt(batch: int = 2, seq_len: int = 32) -> tuple[Any, ...]:
    return Gpt(), torch.zeros(batch, seq_len, dtype=torch.long)


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.norm1(self.first(x)))
        return functional.relu(x + self.norm2(self.depthwise(y)))


def convnet(batch: int = 2) -> tuple[Any, ...]:
    module = nn.Sequential(
        nn.Conv2d(3, 16, 7, stride=2, padding=3),
        nn.MaxPool2d(2),
        nn.Sequential(*(Residual(16) for _ in range(3))),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )
    labels = torch.zeros(batch, dtype=torch.long)
    return (
        module,
        torch.zeros(batch, 3, 32, 32),
        lambda logits: functional.cross_entropy(logits, labels),
        torch.optim.SGD,
    )


def mlp(batch: int = 4) -> tuple[Any, ...]:
    module = nn.Sequential(nn.Linear(24, 40), nn.Tanh(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 8))
    return module, torch.zeros(batch, 24)


class Shared(nn.Module):
    """One block used three times."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Linear(32, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(3):
            x = torch.tanh(self.block(x))
        return x


def shared(batch: int = 4) -> tuple[Any, ...]:
    return Shared(), {"x": torch.zeros(batch, 32)}


ALL = (llama, gpt, convnet, mlp, shared)
