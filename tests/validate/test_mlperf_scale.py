"""Energy to quality against scale, and what its tables and series may hold."""

from __future__ import annotations

import gzip
import shutil

import pytest

from simtool.errors import InputError
from simtool.profiles.find import default_library
from simtool.validate.check import CHECKS
from simtool.validate.checks.mlperf_scale import RUNS, SERIES, Stood, _still
from simtool.validate.checks.node_power import RESULTS


def score(folder):
    return CHECKS["mlperf-scale"](folder, default_library())


def test_jobs_on_several_servers_that_nothing_was_fitted_to(reference_data):
    outcome = score(reference_data)
    figures = outcome.figures
    assert [row[0] for row in outcome.rows] == [
        "llama2_70b_lora on 64",
        "llama2_70b_lora on 8",
        "resnet on 8",
    ]
    assert figures["num_runs"] == 25
    assert figures["energy_error_max_frac"] < 0.20
    assert figures["time_error_max_frac"] < 0.21
    assert figures["energy_error_mean_frac"] < figures["alone_energy_error_mean_frac"]
    assert figures["energy_error_mean_frac"] < figures["absolute_energy_error_mean_frac"]


def series(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write(text)
    return path


def test_standing_still_is_the_time_below_the_middle(tmp_path):
    """Idle 2 kW, median 7 kW: below 4.5 kW from 2 to 6 s, at 3 and 4 kW."""
    path = series(
        tmp_path / "s.csv.gz",
        "t_s,node_0\n-2,2000\n0,7000\n2,3000\n4,4000\n6,7000\n8,7000\n10,7000\n12,2000\n14,2000\n",
    )
    assert _still(path, 10.0) == Stood(4.0, 3500.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t_s,node_0,node_1\n0,1,1\n1,1,1\n", "holds 2 columns of servers"),
        ("t_s,switch\n0,1\n1,1\n", "holds 0 columns of servers"),
        ("t_s,node_0\n0,7000\n100,7000\n", "holds 1 readings within"),
        ("t_s,node_0\n0,seven\n1,7000\n", "a number"),
    ],
)
def test_a_damaged_series_is_told(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        _still(series(tmp_path / "s.csv.gz", text), 10.0)


HEADER = "round,system,benchmark,run,status,n_nodes,run_s,node_avg_w,lowest_sample_w,gbs\n"
ALONE = "v4.0,smc-ac-power/1xSMC-H100-SXM-80GB,resnet,result_1-2_3,success,1,800,7000,2000,3200\n"
MANY = "v4.0,smc-ac-power/8xSMC-H100-SXM-80GB,resnet,result_4-5_6,success,8,150,5800,2000,{gbs}\n"


def write(tmp_path, runs, results="resnet,3200,35,\n"):
    for place, text in (
        (RUNS, HEADER + runs),
        (RESULTS, "benchmark,global_batch,steps_or_samples,power_w\n" + results),
    ):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text, encoding="utf-8")
    series(
        tmp_path / SERIES / "v4.0__smc-ac-power__1xSMC-H100-SXM-80GB__resnet__result_1_3.csv.gz",
        "t_s,node_1\n0,7000\n400,7000\n800,7000\n",
    )
    return tmp_path


def test_the_time_of_many_is_anchored_in_that_of_one(tmp_path):
    """Twice the duration on one server is twice the prediction on eight."""
    one = score(write(tmp_path, ALONE + MANY.format(gbs=3200)))
    two = score(write(tmp_path, ALONE.replace(",800,", ",1600,") + MANY.format(gbs=3200)))
    assert float(two.rows[0][2]) == pytest.approx(2 * float(one.rows[0][2]), abs=0.02)
    assert one.figures["absolute_time_error_max_frac"] == two.figures["absolute_time_error_max_frac"]


def test_tables_that_lack_what_it_takes_are_told(tmp_path):
    with pytest.raises(InputError, match="on one and on several servers"):
        score(write(tmp_path, ALONE))
    with pytest.raises(InputError, match="batch of 6400"):
        score(write(tmp_path, ALONE + MANY.format(gbs=6400)))
    write(tmp_path, ALONE + MANY.format(gbs=3200))
    shutil.rmtree(tmp_path / SERIES)
    with pytest.raises(InputError, match="no series of resnet"):
        score(tmp_path)
