"""Surgery between steps: blocks that pass their input on unchanged, and copies with their moments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from simtool.errors import InputError, Problem


def is_identity(block: nn.Module, hidden: Tensor) -> bool:
    """Whether the block hands on this hidden state as it came."""
    out = block(hidden)
    return out.shape == hidden.shape and bool(torch.equal(out, hidden))


@torch.no_grad()
def silence(block: nn.Module, hidden: Tensor, owner: str) -> None:
    """Set to zero the fewest weights that make a residual block pass its input on unchanged.

    All layers are set to zero first; then each, from the first to the last, is given back if the
    block stays the identity. What remains are the outputs of the residual branches, so gradients
    reach every layer as soon as these have moved.

    Args:
        block: one residual block, in evaluation mode.
        hidden: any input of its shape that is not zero.
        owner: the method that asks, for the error.

    Raises:
        InputError: if the block is no identity even with all layers at zero.
    """
    if is_identity(block, hidden):
        return
    layers = [
        list(layer.parameters(recurse=False))
        for layer in block.modules()
        if any(parameter.ndim >= 2 for parameter in layer.parameters(recurse=False))
    ]
    saved = [[parameter.clone() for parameter in layer] for layer in layers]
    for layer in layers:
        for parameter in layer:
            parameter.zero_()
    if not is_identity(block, hidden):
        _give_back(layers, saved)
        raise InputError(
            Problem(
                "--method",
                owner,
                "a block is not residual: it cannot be left out",
                "",
                "leave the method out",
            )
        )
    for layer, values in zip(layers, saved, strict=True):
        _give_back([layer], [values])
        if not is_identity(block, hidden):
            for parameter in layer:
                parameter.zero_()


def _give_back(layers: Iterable[list[nn.Parameter]], saved: Iterable[list[Tensor]]) -> None:
    for layer, values in zip(layers, saved, strict=True):
        for parameter, value in zip(layer, values, strict=True):
            parameter.copy_(value)


@torch.no_grad()
def copy_block(source: nn.Module, target: nn.Module, optimizers: Sequence[Optimizer]) -> None:
    """Give `target` the weights, buffers and optimizer state of `source`, an equal module."""
    for kept, grown in zip(source.parameters(), target.parameters(), strict=True):
        grown.copy_(kept)
    for held, taken in zip(source.buffers(), target.buffers(), strict=True):
        taken.copy_(held)
    copy_moments(zip(source.parameters(), target.parameters(), strict=True), optimizers)


def copy_moments(pairs: Iterable[tuple[Tensor, Tensor]], optimizers: Sequence[Optimizer]) -> None:
    """Copy what optimizers hold of the first of each pair to the second.

    An optimizer may hold a view of a parameter in its place, so the two are matched by memory.
    """
    held: list[tuple[Optimizer, dict[int, Tensor]]] = [
        (optimizer, {key.data_ptr(): key for group in optimizer.param_groups for key in group["params"]})
        for optimizer in optimizers
    ]
    for source, target in pairs:
        for optimizer, keys in held:
            kept, grown = keys.get(source.data_ptr()), keys.get(target.data_ptr())
            if kept is None or grown is None or kept not in optimizer.state:
                continue
            optimizer.state[grown] = {
                name: value.clone() if isinstance(value, Tensor) else value
                for name, value in optimizer.state[kept].items()
            }
