"""Optimizers of a run: what a method brings, else AdamW with decay on matrices alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from simtool.engine.method import Method
from simtool.engine.task import Recipe

Named = Sequence[tuple[str, nn.Parameter]]


def build_optimizers(
    model: nn.Module, methods: Sequence[Method], recipe: Recipe, device: torch.device
) -> list[Optimizer]:
    """The optimizers of the first method that brings some, else `adamw`."""
    named = list(model.named_parameters())
    for method in methods:
        if (brought := method.optimizers(named, model, recipe)) is not None:
            return brought
    return [adamw(named, recipe, recipe.learning_rate, device)]


def adamw(named: Named, recipe: Recipe, learning_rate: float, device: torch.device) -> AdamW:
    """AdamW; weight decay acts on parameters of two and more dimensions."""
    groups: list[dict[str, Any]] = [
        {
            "params": [parameter for _, parameter in named if (parameter.ndim >= 2) is decays],
            "weight_decay": recipe.weight_decay if decays else 0.0,
            "peak_lr": learning_rate,
        }
        for decays in (True, False)
    ]
    groups = [group for group in groups if group["params"]]
    return AdamW(groups, lr=learning_rate, betas=recipe.betas, fused=device.type in {"cpu", "cuda"})


def set_learning_rate(optimizers: Sequence[Optimizer], factor: float) -> None:
    """Every group at this share of its peak."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
