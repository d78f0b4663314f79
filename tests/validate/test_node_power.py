"""The score against metered servers, and what their tables may hold."""

from __future__ import annotations

import pytest

from simtool.errors import InputError
from simtool.profiles.find import default_library
from simtool.validate.check import CHECKS
from simtool.validate.checks.node_power import RESULTS, RUNS, read_groups


def test_servers_that_were_not_fitted(reference_data):
    figures = CHECKS["node-power"](reference_data, default_library()).figures
    assert figures["num_runs"] > 200
    for name in ("spread_ac", "spread_dc", "accelerator"):
        assert figures[f"{name}_error_mean_frac"] < 0.05
        assert figures[f"{name}_error_max_frac"] < 0.09
        assert figures[f"{name}_error_mean_frac"] < figures[f"{name}_tdp_error_mean_frac"]
    assert figures["spread_dc_error_mean_frac"] < figures["spread_linear_error_mean_frac"]
    assert figures["noise_mean_frac"] < figures["spread_ac_error_mean_frac"]


HEADER = "system,benchmark,status,n_nodes,run_s,node_avg_w,lowest_sample_w,gbs\n"
ALONE = "smc-ac-power/1xSMC-H100-SXM-80GB,bert,success,1,1000,7026,2060,8\n"
MANY = "smc-ac-power/8xSMC-H100-SXM-80GB,bert,success,8,{run_s},6000,2000,{gbs}\n"
OTHER = "Lenovo/SR780aV3-8xB200_SXM_180GB,bert,success,1,500,9700,2700,8\n"


def write(tmp_path, runs, results="bert,8,100,\nbert,64,200,\n"):
    for place, text in (
        (RUNS, HEADER + runs),
        (RESULTS, "benchmark,global_batch,steps_or_samples,power_w\n" + results),
    ):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text, encoding="utf-8")
    return tmp_path


def score(folder):
    return CHECKS["node-power"](folder, default_library())


def test_one_server_to_eight_by_hand(tmp_path):
    """Host 7026 - 8 x 0.96 x 700 = 1650 W; eight take 1/4 of the time: half the work each, half of it waiting."""
    outcome = score(write(tmp_path, ALONE + MANY.format(run_s=250, gbs=8) + OTHER))
    waiting_w = 1650 + 8 * 0.22 * 700
    assert outcome.rows[0][2] == f"{waiting_w + 0.5 * (7026 - waiting_w):.0f}"
    assert outcome.rows[0][3] == f"{(waiting_w + 0.5 * (7026 - waiting_w)) / 6000 - 1:+.1%}"


def test_a_larger_batch_that_needs_twice_the_samples_is_twice_the_work(tmp_path):
    outcome = score(write(tmp_path, ALONE + MANY.format(run_s=250, gbs=64) + OTHER))
    assert outcome.rows[0][2] == "7026"


def test_what_cannot_be_compared_is_told(tmp_path):
    runs = (
        ALONE + MANY.format(run_s=250, gbs=8) + MANY.format(run_s=250, gbs=32).replace("bert", "ssd") + OTHER
    )
    notes = " ".join(score(write(tmp_path, runs)).notes)
    assert "smc-ac-power H100 ssd on 8, was not run alone" in notes
    runs = ALONE.replace("bert", "ssd") + runs
    notes = " ".join(score(write(tmp_path, runs)).notes)
    assert "ssd on 8, at another batch size, samples unknown" in notes


def test_meters_below_zero_are_counted_and_left_out(tmp_path):
    broken = ALONE.replace("2060", "-43")
    groups, num_damaged = read_groups(write(tmp_path, ALONE + broken))
    assert (len(groups), len(groups[0].run_powers_w), num_damaged) == (1, 1, 1)


def test_tables_that_are_missing_or_say_too_little_are_told(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        score(tmp_path)
    with pytest.raises(InputError, match="nor single servers of two accelerators"):
        score(write(tmp_path, ALONE))
    alone = score(write(tmp_path, ALONE + OTHER)).figures
    assert "accelerator_error_mean_frac" in alone
    assert "spread_ac_error_mean_frac" not in alone
    with pytest.raises(InputError, match=r":2: run_s: found 'long'"):
        score(write(tmp_path, ALONE.replace(",1000,", ",long,")))
