"""Alibaba's GPU cluster trace of 2023 ("openb"): pods that share GPUs."""

from __future__ import annotations

import numpy as np

from simtool.jobs.raw import RawTable
from simtool.jobs.readers import JOB_READERS, ReadOptions, build, count_note
from simtool.jobs.table import CANCELLED, COMPLETED, FAILED, JobTable
from simtool.units import SECONDS_PER_HOUR

WHOLE_GPU_MILLI = 1000.0
_OUTCOMES = {"Succeeded": COMPLETED, "Failed": FAILED, "Running": CANCELLED, "Pending": CANCELLED}


@JOB_READERS.register("alibaba-openb")
class AlibabaOpenb:
    """Alibaba's pods of 2023: num_gpu, gpu_milli, creation_time, scheduled_time, deletion_time [s], pod_phase, qos.

    A pod that takes a share of one GPU holds it alone here: jobs get whole accelerators. The note says how
    many accelerator-hours that adds.

    Source: Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient
    Descent", ATC 2023; columns as in the data's own description.
    """

    needs = (
        ("name",),
        ("num_gpu",),
        ("gpu_milli",),
        ("pod_phase",),
        ("qos",),
        ("creation_time",),
        ("scheduled_time",),
        ("deletion_time",),
    )

    @staticmethod
    def read(raw: RawTable, options: ReadOptions) -> JobTable:
        """Pods that were scheduled and hold a GPU, as jobs."""
        num_gpu, started = raw.numbers("num_gpu"), raw.numbers("scheduled_time", empty=np.inf)
        never, without = np.isinf(started), num_gpu == 0.0
        notes: list[str] = []
        count_note(notes, without, "pods without a GPU are left out")
        count_note(notes, never & ~without, "pods that were never scheduled are left out")
        raw, started = raw.rows(~(never | without)), started[~(never | without)]
        num_devices, share = raw.numbers("num_gpu"), raw.numbers("gpu_milli") / WHOLE_GPU_MILLI
        raw.refuse("gpu_milli", ~((share > 0.0) & (share <= 1.0)), "above 0 and at most 1000")
        raw.refuse("gpu_milli", (share < 1.0) & (num_devices > 1.0), "1000 where num_gpu is above 1")
        submit, run_s = raw.numbers("creation_time"), raw.numbers("deletion_time") - started
        raw.refuse("deletion_time", run_s < 0.0, "at least scheduled_time")
        raw.refuse("scheduled_time", started < submit, "at least creation_time")
        if (part := share < 1.0).any():
            added_h = float(((1.0 - share) * run_s).sum()) / SECONDS_PER_HOUR
            notes.append(
                f"{int(part.sum())} pods ask for a share of a GPU and hold a whole one here: "
                f"{added_h:.6g} accelerator-hours more than their shares"
            )
        notes += [
            "the trace has no requested limits: limit_s is inf",
            "pods in the phase Running were stopped from outside: they count as cancelled",
            "pods of the class BE (best effort) count as preemptible",
            "the trace has no users and no calendar",
        ]
        return build(
            raw,
            options,
            submit=submit,
            epoch=False,
            sort=options.sort is not False,
            notes=notes,
            name=raw.texts("name"),
            num_devices=num_devices,
            run_s=run_s,
            outcome=raw.parsed("pod_phase", _OUTCOMES.__getitem__, ", ".join(_OUTCOMES)).astype(int),
            preemptible=raw.parsed("qos", lambda word: word == "BE", "").astype(bool),
        )
