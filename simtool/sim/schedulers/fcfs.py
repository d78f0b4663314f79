"""First come, first served."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from simtool.sim.schedulers import SCHEDULERS, ClusterView, QueuedJob, SignalView


@SCHEDULERS.register("fcfs")
def select(
    queue: Collection[QueuedJob],
    cluster: ClusterView,
    _signals: Mapping[str, SignalView],
    _now_s: float,
) -> Sequence[int]:
    """First come, first served: jobs start in order of submission, and none overtakes.

    >>> jobs = [QueuedJob(index=i, name=f"{i}", num_nodes=n, submit_s=0.0) for i, n in enumerate((2, 3, 1))]
    >>> select(jobs, ClusterView(num_nodes=4, num_free_nodes=4), {}, 0.0)  # job 2 would fit, but waits
    [0]
    """
    chosen: list[int] = []
    free = cluster.num_free_nodes
    for job in queue:
        if job.num_nodes > free:
            break
        free -= job.num_nodes
        chosen.append(job.index)
    return chosen
