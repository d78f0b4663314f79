"""The processes that torchrun started for one run: which device each has, and that they end together."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

import torch
import torch.distributed as dist

from simtool.engine.parallel import Alone, Distributed, Parallel, Wrapping
from simtool.errors import InputError, Problem

WORLD, RANK, LOCAL_RANK = "WORLD_SIZE", "RANK", "LOCAL_RANK"
"""What torchrun tells every process that it starts."""


def num_processes() -> int:
    """Processes of this run, by what torchrun told; 1 if it started none."""
    return int(os.environ.get(WORLD, "1")) if RANK in os.environ else 1


def checked_wrapping(wrapping: str) -> Wrapping:
    """How gradients or parameters are shared.

    >>> checked_wrapping("fsdp")
    'fsdp'

    Raises:
        InputError: for a name that is none.
    """
    for known in get_args(Wrapping):
        if wrapping == known:
            return known
    raise InputError(Problem("--parallel", "", f"found {wrapping!r}", "ddp or fsdp"))


@contextmanager
def together(wrapping: Wrapping, device: str) -> Iterator[tuple[Parallel, str]]:
    """How this process takes part in a run, and the device that it computes on.

    Args:
        wrapping: ``ddp`` or ``fsdp``.
        device: ``cpu``, or ``cuda`` of which every process of a machine takes its own.

    Raises:
        InputError: if a process cannot have a device of its own.
    """
    if num_processes() == 1:
        yield Alone(), device
        return
    local_rank = int(os.environ.get(LOCAL_RANK, "0"))
    mine = _own_device(device, local_rank)
    dist.init_process_group("nccl" if mine.startswith("cuda") else "gloo")
    try:
        yield Distributed(wrapping, local_rank), mine
        dist.barrier()
    finally:
        gc.collect()  # wrappers refer to the group, which must outlive them
        dist.destroy_process_group()


def _own_device(device: str, local_rank: int) -> str:
    found = torch.device(device)
    if found.type != "cuda":
        return device
    if found.index is not None or local_rank >= torch.cuda.device_count():
        raise InputError(
            Problem(
                "--device",
                "",
                f"found {device!r} for process {local_rank} of this machine; torch sees "
                f"{torch.cuda.device_count()} such devices",
                "cuda, and no more processes than devices",
                "write --device cuda, and lower --nproc-per-node of torchrun",
            )
        )
    torch.cuda.set_device(local_rank)
    return f"cuda:{local_rank}"
