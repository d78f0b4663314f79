"""The Philly trace of Microsoft, in the columns of the Pollux authors' extract."""

from __future__ import annotations

import numpy as np

from simtool.jobs.raw import RawTable
from simtool.jobs.readers import JOB_READERS, ReadOptions, build, zone_note
from simtool.jobs.table import JobTable


@JOB_READERS.register("philly")
class Philly:
    """Microsoft's Philly jobs of 2017: timestamp, duration [s], num_gpus, gpu_time [GPU-s], cluster.

    Source: Jeon et al., "Analysis of Large-Scale Multi-Tenant GPU Clusters for DNN Training Workloads", ATC 2019;
    extract of petuum/adaptdl, branch osdi21-artifact, simulator/traces/philly.csv.
    """

    needs = (("timestamp",), ("duration",), ("num_gpus",), ("gpu_time",), ("cluster",))

    @staticmethod
    def read(raw: RawTable, options: ReadOptions) -> JobTable:
        """Rows as jobs; ``gpu_time`` must be duration x num_gpus, so that the accelerator-hours are the trace's."""
        submit, local = raw.epochs_s("timestamp", options.time_zone)
        run_s, num_devices = raw.numbers("duration"), raw.numbers("num_gpus")
        gpu_time = raw.numbers("gpu_time")
        with np.errstate(invalid="ignore"):
            apart = np.abs(gpu_time - run_s * num_devices) > 1e-9 * np.abs(gpu_time)
        raw.refuse("gpu_time", apart, "duration x num_gpus", "correct the row")
        notes = [
            *zone_note(options, local),
            "the trace has no requested limits: limit_s is inf",
            "the trace has no outcomes: every job counts as completed",
            "the trace has no users: the virtual cluster stands for the user",
            "the trace has no start times: duration is taken as run time without waiting",
        ]
        return build(
            raw,
            options,
            submit=submit,
            epoch=True,
            sort=options.sort is not False,
            notes=notes,
            name=[f"philly-{line}" for line in raw.lines.tolist()],
            num_devices=num_devices,
            run_s=run_s,
            user=raw.texts("cluster"),
        )
