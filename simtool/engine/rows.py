"""Rows of a batch: their weights, which of their tokens pass the middle, and the mean of their losses."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from simtool.engine.parallel import Parallel
from simtool.engine.plan import IntArray, StepPlan
from simtool.engine.task import Batch, Task
from simtool.engine.work import Work
from simtool.errors import InputError, Problem


def check_unreduced(losses: Tensor, batch: Batch, task: Task) -> None:
    """Refuse losses that are not one a row, or one a token of a row.

    Raises:
        InputError: naming the task and the mend.
    """
    if not isinstance(losses, Tensor) or not losses.requires_grad:
        found = type(losses).__name__ if not isinstance(losses, Tensor) else "a tensor without a gradient"
        raise InputError(
            Problem(
                "task",
                f"{task.name}.loss",
                f"returned {found}",
                "a tensor that follows from the outputs",
                "leave the outputs attached: no detach, no item, no numpy",
            )
        )
    rows = len(batch.indices)
    if losses.ndim == 0 or losses.shape[0] != rows:
        raise InputError(
            Problem(
                "task",
                f"{task.name}.loss",
                f"returned shape {tuple(losses.shape)} for {rows} rows",
                "one loss a row or a token, never reduced",
                "pass reduction='none' to the loss function",
            )
        )


def check_batch(batch: object, task: Task) -> Batch:
    """Refuse what is no batch.

    Raises:
        InputError: naming the task.
    """
    if not isinstance(batch, Batch):
        found = f"returned a {type(batch).__name__}"
        raise InputError(Problem("task", f"{task.name}.batch", found, "a Batch", "mend the task"))
    return batch


def indices(plan: StepPlan) -> IntArray:
    """The samples of a plan that is about to be executed."""
    if plan.indices is None:
        raise RuntimeError("the plan of a step has no samples")
    return plan.indices


def weighted(batch: Batch, plan: StepPlan) -> Batch:
    """The batch with the weight of each row, where the plan has weights."""
    if plan.weights is None or plan.indices is None:
        return batch
    rows_each = len(batch.indices) // len(plan.indices)
    weights = torch.as_tensor(np.repeat(plan.weights, rows_each), dtype=torch.float32)
    batch.extra["weight"] = weights.to(batch.inputs.device)
    return batch


def kept_tokens(plan: StepPlan, work: Work, step: int, device: torch.device) -> Tensor | None:
    """Positions that pass the middle blocks, drawn for this step, rising; None where all do."""
    if plan.tokens_kept is None:
        return None
    length = work.task.num_tokens(plan.size)
    chosen = work.generator("tokens", step).permutation(length)[: plan.tokens_kept]
    return torch.as_tensor(np.sort(chosen), device=device)


def row_means(losses: Tensor, batch: Batch) -> Tensor:
    """Mean loss of each row over what counts, shape (rows,)."""
    flat = losses.reshape(len(losses), -1)
    if batch.mask is None:
        return flat.mean(1)
    mask = batch.mask.reshape(len(losses), -1)
    return (flat * mask).sum(1) / mask.sum(1).clamp(min=1)


def reduced(losses: Tensor, batch: Batch, parallel: Parallel) -> Tensor:
    """Mean over what counts, each row times its weight; the mean of it over ranks is that of the whole batch."""
    flat = losses.reshape(len(losses), -1)
    weighted = flat * batch.extra["weight"][:, None] if "weight" in batch.extra else flat
    if batch.mask is None:
        return weighted.mean()
    mask = batch.mask.reshape(len(losses), -1)
    if parallel.world == 1:
        return (weighted * mask).sum() / mask.sum().clamp(min=1)
    return (weighted * mask).sum() / max(parallel.agreed(float(mask.sum())), 1.0 / parallel.world)
