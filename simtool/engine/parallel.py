"""Several processes that train one model: who takes which samples, and what they agree on.

All ranks fold the same plan from the same seeded state, so they take the same decisions without
asking; only losses and the used share of the budget are exchanged.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, Literal, Protocol

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from simtool.engine.draws import SharedDraws
from simtool.engine.method import StepResult
from simtool.engine.model import BlockModel
from simtool.engine.plan import StepPlan

Wrapping = Literal["ddp", "fsdp"]


class Parallel(Protocol):
    """How a run is spread over processes."""

    rank: int
    world: int
    wrapping: str
    """``ddp``, ``fsdp``, or empty for one process."""
    local_rank: int
    """Number of this process among those of its machine."""

    def place(self, model: BlockModel) -> None:
        """Once, before the optimizers are made: parameters go where they stay."""

    def wrap(self, model: BlockModel, plan: StepPlan) -> Any:
        """The module whose forward pass is called."""

    def share(self, plan: StepPlan) -> StepPlan:
        """This rank's samples of a plan."""

    def draws(self, generator: np.random.Generator, num_rows: int) -> np.random.Generator:
        """Randomness for this rank's rows of a batch: what they would draw in one process."""

    def agreed(self, value: float) -> float:
        """The mean over ranks."""

    def total(self, value: float) -> float:
        """The sum over ranks."""

    def everyone(self, value: Any) -> list[Any]:
        """What every rank holds, in the order of ranks; nobody goes on before all have come here."""

    def gathered(self, result: StepResult) -> StepResult:
        """The result with the rows of all ranks."""


class Alone:
    """One process."""

    rank = local_rank = 0
    world = 1
    wrapping = ""

    def place(self, model: BlockModel) -> None:
        """Nowhere."""

    def wrap(self, model: BlockModel, plan: StepPlan) -> Any:
        """The model itself."""
        return model

    def share(self, plan: StepPlan) -> StepPlan:
        """All of it."""
        return plan

    def draws(self, generator: np.random.Generator, num_rows: int) -> np.random.Generator:
        """The generator."""
        return generator

    def agreed(self, value: float) -> float:
        """The value."""
        return value

    def total(self, value: float) -> float:
        """The value."""
        return value

    def everyone(self, value: Any) -> list[Any]:
        """The value alone."""
        return [value]

    def gathered(self, result: StepResult) -> StepResult:
        """The result."""
        return result


class Distributed:
    """The processes that torchrun started; gradients are averaged by DDP, or parameters sharded by FSDP2."""

    def __init__(self, wrapping: Wrapping = "ddp", local_rank: int = 0) -> None:
        self.wrapping: str = wrapping
        self.rank, self.world, self.local_rank = dist.get_rank(), dist.get_world_size(), local_rank
        self._wrapped: tuple[tuple[int, ...], Any] = ((), None)

    def place(self, model: BlockModel) -> None:
        """With FSDP every rank keeps its shard of every parameter from here on."""
        if self.wrapping == "fsdp":
            from torch.distributed.fsdp import fully_shard

            # It warns of work in place on the outputs, which the loop does not do.
            warnings.filterwarnings("ignore", "FSDP2-wrapped module", UserWarning)
            for block in model.blocks:
                fully_shard(block)
            fully_shard(model)

    def wrap(self, model: BlockModel, plan: StepPlan) -> Any:
        """DDP anew whenever what is trained changes, rather than a search for unused parameters."""
        if self.wrapping == "fsdp" or not any(parameter.requires_grad for parameter in model.parameters()):
            return model
        for index, block in enumerate(model.blocks):
            if index not in model.running(plan):
                block.requires_grad_(False)
        trained = tuple(id(parameter) for parameter in model.parameters() if parameter.requires_grad)
        if trained != self._wrapped[0]:  # not after every evaluation: compiled code belongs to its wrapper
            self._wrapped = trained, nn.parallel.DistributedDataParallel(model)
        return self._wrapped[1]

    def share(self, plan: StepPlan) -> StepPlan:
        """Every world-th sample, from this rank's place."""
        if plan.indices is None:
            return plan
        mine = slice(self.rank, None, self.world)
        weights = None if plan.weights is None else plan.weights[mine]
        return replace(plan, indices=plan.indices[mine], weights=weights)

    def draws(self, generator: np.random.Generator, num_rows: int) -> np.random.Generator:
        """Draws for the whole batch, of which this rank gets its rows."""
        return SharedDraws(generator, num_rows=num_rows, rank=self.rank, world=self.world)

    def agreed(self, value: float) -> float:
        """The mean over ranks, in double precision."""
        return self.total(value) / self.world

    def total(self, value: float) -> float:
        """The sum over ranks, in double precision."""
        summed = torch.tensor(value, dtype=torch.float64, device=_device())
        dist.all_reduce(summed)
        return float(summed)

    def everyone(self, value: Any) -> list[Any]:
        """What every rank holds, in the order of ranks."""
        held: list[Any] = [None] * self.world
        dist.all_gather_object(held, value)
        return held

    def gathered(self, result: StepResult) -> StepResult:
        """Rows of all ranks in the order of ranks: 64-bit indices beside 64-bit losses."""
        held = self.everyone((result.row_indices, result.row_losses))
        return replace(
            result,
            row_indices=np.concatenate([indices for indices, _ in held]),
            row_losses=np.concatenate([losses for _, losses in held]),
        )


def _device() -> torch.device:
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
