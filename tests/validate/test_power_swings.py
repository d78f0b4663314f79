"""Servers of one job beside each other, and what their series may hold."""

from __future__ import annotations

import numpy as np
import pytest

from simtool.errors import InputError
from simtool.profiles.find import default_library
from simtool.validate.check import CHECKS
from simtool.validate.checks.mlperf_scale import RUNS, SERIES
from simtool.validate.checks.power_swings import coherence_of
from tests.validate.test_mlperf_scale import HEADER, MANY, series

PATH = SERIES / "v4.0__smc-ac-power__8xSMC-H100-SXM-80GB__resnet__result_4_6.csv.gz"
TIMES = range(0, 152, 2)


def score(folder):
    return CHECKS["power-swings"](folder, default_library())


def test_servers_of_one_job_are_close_to_in_step(reference_data):
    figures = score(reference_data).figures
    assert figures["num_runs"] == 14
    assert figures["std_error_mean_frac"] < 0.08
    assert figures["p99_error_max_frac"] < 0.03
    assert figures["std_error_mean_frac"] < 0.15 * figures["independent_std_error_mean_frac"]
    assert 0.8 < figures["coherence_mean_frac"] < 1.0


def write(tmp_path, columns, rows):
    (tmp_path / RUNS).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / RUNS).write_text(HEADER + MANY.format(gbs=3200), encoding="utf-8")
    series(tmp_path / PATH, f"{columns}\n" + "".join(f"{','.join(map(str, row))}\n" for row in rows))
    return tmp_path


def test_servers_that_are_alike_are_met_exactly(tmp_path):
    rows = [(t, 3000 + 40 * t, 3000 + 40 * t) for t in TIMES]
    outcome = score(write(tmp_path, "t_s,node_0,node_1", rows))
    assert outcome.figures["std_error_max_frac"] == pytest.approx(0.0, abs=1e-9)
    assert outcome.figures["coherence_mean_frac"] == pytest.approx(1.0)
    assert outcome.figures["independent_std_error_mean_frac"] == pytest.approx(1.0 - 0.5**0.5)


def test_coherence_of_independent_servers_is_none():
    rng = np.random.Generator(np.random.PCG64(5))
    assert coherence_of(rng.normal(5000.0, 300.0, (50, 4000))) == pytest.approx(0.0, abs=0.005)


def test_series_that_do_not_do_are_told(tmp_path):
    with pytest.raises(InputError, match="1 columns of servers"):
        score(write(tmp_path, "t_s,node_0", [(t, 1) for t in TIMES]))
    with pytest.raises(InputError, match=r"node_1: holds no readings from the begin"):
        score(write(tmp_path, "t_s,node_0,node_1", [(t, 1, 1 if t < 100 else "") for t in TIMES]))
    (tmp_path / PATH).unlink()
    with pytest.raises(InputError, match="names no run"):
        score(tmp_path)
    broken = write(tmp_path, "t_s,node_0,node_1", [(t, 1, -1) for t in TIMES])
    with pytest.raises(InputError, match="names no run"):
        score(broken)
