"""State of models whose parameters are spread over processes: every rank keeps and takes back its own shards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer


def local(state: Any) -> Any:
    """Nested state with this rank's shard in place of every sharded tensor; the rest as it is."""
    if isinstance(state, torch.Tensor):
        return state.to_local() if hasattr(state, "to_local") else state
    if isinstance(state, dict):
        return {key: local(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(local(value) for value in state)
    return state


def load_model(model: nn.Module, saved: Mapping[str, torch.Tensor]) -> None:
    """Take back what `local` left of the model's state.

    Raises:
        RuntimeError: if names or shapes are others.
    """
    held = model.state_dict()
    if not any(hasattr(tensor, "to_local") for tensor in held.values()):
        model.load_state_dict(dict(saved))
        return
    if set(held) != set(saved):
        raise RuntimeError(f"other parameters: {', '.join(sorted(set(held) ^ set(saved))[:3])}")
    with torch.no_grad():
        for name, tensor in held.items():
            mine = local(tensor)
            if mine.shape != saved[name].shape:
                raise RuntimeError(
                    f"{name}: shard of shape {tuple(saved[name].shape)}, not {tuple(mine.shape)}"
                )
            mine.copy_(saved[name])


def load_optimizer(optimizer: Optimizer, saved: dict[str, Any]) -> None:
    """Take back what `local` left of an optimizer's state; shards are spread as their parameters are."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state = {
        number: {name: _spread(value, parameters[number]) for name, value in values.items()}
        for number, values in saved["state"].items()
    }
    optimizer.load_state_dict({**saved, "state": state})


def _spread(value: Any, parameter: Any) -> Any:
    if not (isinstance(value, torch.Tensor) and value.ndim and hasattr(parameter, "to_local")):
        return value
    from torch.distributed.tensor import DTensor

    return DTensor.from_local(
        value,
        parameter.device_mesh,
        parameter.placements,
        run_check=False,
        shape=parameter.shape,
        stride=parameter.stride(),
    )
