"""Rows to write, small and of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from simtool.trace import Manifest, TraceWriter


def step_row(step: int = 1, **changes: Any) -> dict[str, Any]:
    """One step."""
    row = {
        "begin_s": 10.0 + step,
        "end_s": 10.5 + step,
        "step": step,
        "signature": "n8",
        "num_samples": 8 * step,
        "progress_frac": step / 100,
        "learning_rate": 1e-3,
        "loss": 2.0,
        "duration_s": 0.4,
        "forward_s": 0.1,
        "backward_s": 0.2,
        "optimizer_s": 0.1,
        "flop": 1e6,
        "is_sampled": False,
    }
    return row | changes


def op_row(op: str = "mm", signature: str = "n8", **changes: Any) -> dict[str, Any]:
    """One kind of operation."""
    row = {
        "signature": signature,
        "phase": "forward",
        "op": op,
        "shapes": "[[8,4],[4,2]]",
        "dtype": "float32",
        "calls": 1,
        "flop": 128.0,
        "size_bytes": 224.0,
        "num_sampled": 0,
    }
    return row | changes


def small_trace(folder: Path, num_steps: int = 5, **facts: Any) -> Path:
    """A finished trace with a row of everything."""
    with TraceWriter(folder, Manifest(task="toy", **facts)) as writer:
        writer.event({"time_s": 10.0, "step": 0, "kind": "start", "detail": {"of": "ü"}})
        for step in range(1, num_steps + 1):
            writer.step(step_row(step))
            writer.power(
                "gpu0", {"time_s": 10.0 + step, "power_w": 300.0, "clock_hz": 1.7e9, "temperature_degc": 60.0}
            )
        writer.evaluation(
            {"time_s": 20.0, "step": 5, "progress_frac": 0.5, "part": "test", "metric": "loss", "value": 1.5}
        )
        writer.signatures([{"signature": "n8", "num_steps": num_steps, "num_timed": 3, "num_sampled": 1}])
        writer.phases(
            [
                {
                    "signature": "n8",
                    "phase": "forward",
                    "num_timed": 3,
                    "mean_s": 0.1,
                    "flop": 128,
                    "size_bytes": 224,
                }
            ]
        )
        writer.ops([op_row()])
    return folder
