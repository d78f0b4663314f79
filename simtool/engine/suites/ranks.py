"""Collectives among processes: each rank runs this file's `rank_main`, rank 0 hands the times back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from simtool.engine.suites.point import Point
from simtool.engine.suites.stopwatch import num_runs

ELEMENT_BYTES = 4
WARM_UPS = 3
NUM_REPEATS = 9
PATIENCE = timedelta(seconds=60)
"""A rank that hears nothing for so long gives up, rather than hold the machine."""

Run = Callable[[], object]


def rank_main(
    rank: int, world: int, backend: str, store: str, points: list[Point], measure_s: float, queue: Any
) -> None:
    """Every point in turn, among `world` processes of this machine.

    Args:
        rank: of this process.
        world: processes in all.
        backend: ``nccl`` or ``gloo``.
        store: file through which the ranks find each other.
        points: what to measure.
        measure_s: least time of what is timed.
        queue: takes (place in `points`, seconds per call of each repeat, calls, begin on the monotonic clock).
    """
    device = torch.device("cuda", rank) if backend == "nccl" else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(
        backend, init_method=f"file://{store}", rank=rank, world_size=world, timeout=PATIENCE
    )
    try:
        for place, point in enumerate(points):
            begin_s = time.monotonic()
            each_s, num_calls = _timed(KINDS[point.op](point.size("bytes"), world, device), device, measure_s)
            if rank == 0:
                queue.put((place, each_s, num_calls, begin_s))
        dist.barrier()
    finally:
        dist.destroy_process_group()


def _timed(run: Run, device: torch.device, measure_s: float) -> tuple[list[float], int]:
    """Seconds per call of each repeat. All ranks make the same number of calls, or they would wait for ever."""
    for _ in range(WARM_UPS):
        run()
    once_s = _block_s(run, WARM_UPS, device) / WARM_UPS
    agreed = torch.tensor(once_s, dtype=torch.float64, device=device)
    dist.all_reduce(agreed, op=dist.ReduceOp.MAX)
    num_calls = num_runs(measure_s / NUM_REPEATS, float(agreed), 100_000)
    return [_block_s(run, num_calls, device) / num_calls for _ in range(NUM_REPEATS)], num_calls * NUM_REPEATS


def _block_s(run: Run, num_calls: int, device: torch.device) -> float:
    """Seconds on the wall: a rank that waits for another uses no processor time."""
    dist.barrier()
    _finish(device)
    begin_s = time.monotonic()
    for _ in range(num_calls):
        run()
    _finish(device)
    return time.monotonic() - begin_s


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _all_reduce(size_bytes: int, world: int, device: torch.device) -> Run:  # noqa: ARG001 - one signature for all
    held = torch.zeros(size_bytes // ELEMENT_BYTES, device=device)
    return lambda: dist.all_reduce(held)


def _all_gather(size_bytes: int, world: int, device: torch.device) -> Run:
    mine = torch.zeros(size_bytes // ELEMENT_BYTES // world, device=device)
    whole = torch.zeros(len(mine) * world, device=device)
    return lambda: dist.all_gather_into_tensor(whole, mine)


def _reduce_scatter(size_bytes: int, world: int, device: torch.device) -> Run:
    mine = torch.zeros(size_bytes // ELEMENT_BYTES // world, device=device)
    whole = torch.zeros(len(mine) * world, device=device)
    return lambda: dist.reduce_scatter_tensor(mine, whole)


def _all_to_all(size_bytes: int, world: int, device: torch.device) -> Run:
    sent = torch.zeros(size_bytes // ELEMENT_BYTES // world * world, device=device)
    received = torch.zeros_like(sent)
    return lambda: dist.all_to_all_single(received, sent)


KINDS: Mapping[str, Callable[[int, int, torch.device], Run]] = {
    "all_reduce": _all_reduce,
    "all_gather": _all_gather,
    "reduce_scatter": _reduce_scatter,
    "all_to_all": _all_to_all,
}
"""Named as `simtool.machine.collectives` names them; sizes are those of the whole buffer."""


def percentiles(each_s: list[float]) -> dict[str, float]:
    """Median, 10th and 90th percentile, as a row has them."""
    p10, median, p90 = np.percentile(each_s, [10, 50, 90])
    return {"duration_median_s": float(median), "duration_p10_s": float(p10), "duration_p90_s": float(p90)}
