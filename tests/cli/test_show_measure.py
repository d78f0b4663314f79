"""What the table of a measurement may say: energy is saved only where power was measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from simtool.cli import console, show_measure
from simtool.engine.experiment import by_method
from simtool.engine.measure import RunSummary

RUN = RunSummary(
    task="made",
    family="mlp",
    method="none",
    seed=0,
    status="finished",
    reason="",
    metric="loss",
    higher_is_better=False,
    quality=0.5,
    num_parameters=10,
    num_steps=4,
    num_samples=32,
    flop_by_phase={"forward": 1e9, "optimizer": 1e8},
    duration_by_phase_s={"forward": 2.0, "optimizer": 0.5},
    clock="device",
    energy_j=400.0,
    energy_kind="measured",
    energy_source="nvml-counter",
    steps_by_signature={"n8": 4},
    step_s_by_signature={"n8": 0.6},
    folder="",
    asked="",
    power_by_phase_w={"forward": [300.0, 9.0], "optimizer": [80.0, 40.0]},
)


def shown(capsys: pytest.CaptureFixture[str], *runs: RunSummary) -> str:
    console.configure(0, quiet=False)
    show_measure.runs(
        by_method([replace(run, method=run.method) for run in runs]), Path("out"), as_json=False
    )
    return capsys.readouterr().out


def test_measured_energy_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, replace(RUN, method="a"), replace(RUN, method="b", energy_j=300.0))
    assert "energy saved" in text
    assert "25.0%" in text
    assert "power of a, measured: forward 300 W" in text
    assert "optimizer 80" not in text  # known to a half only
    assert "modelled" not in text


@pytest.mark.parametrize("kind", ["modelled", "none"])
def test_energy_that_was_not_measured_in_every_run_is_not_said_to_be_saved(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(capsys, replace(RUN, method="a"), replace(RUN, method="b", energy_j=300.0, energy_kind=kind))
    assert "saved" not in text
    assert "energy*" in text
    assert ("energy is modelled" in text) == (kind == "modelled")
