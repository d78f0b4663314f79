"""The score against Zeus' traces, and what their tables may hold."""

from __future__ import annotations

import numpy as np
import pytest

from simtool.errors import InputError
from simtool.profiles.find import default_library
from simtool.validate.check import CHECKS
from simtool.validate.checks.power_caps import FOLDER, held_out, nothing_changes, read_points
from simtool.validate.power_tables import read_power_table


def test_workloads_that_were_not_fitted(reference_data):
    figures = CHECKS["power-caps"](reference_data, default_library()).figures
    assert figures["num_rows"] > 1300
    assert figures["time_error_mean_frac"] < 0.055
    assert figures["energy_error_mean_frac"] < 0.060
    for name in ("time", "energy"):
        ours, simple = (f"{part}{name}_error_mean_frac" for part in ("", "power_law_"))
        assert figures[ours] < figures[simple]
        assert figures[f"board_left_out_{ours}"] < figures[f"power_law_board_left_out_{ours}"]
        assert figures[f"noise_{ours}"] < figures[ours]


HEADER = "dataset,network,batch_size,optimizer,power_limit,time_per_epoch,average_power\n"


def write(tmp_path, text, name="summary_power_x.csv"):
    folder = tmp_path / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_a_curve_is_its_uncapped_run_and_the_rest(tmp_path):
    rows = "d,n,8,adam,100,30,90\nd,n,8,adam,200,20,180\nd,m,8,adam,100,5,50\n"
    rows += "d,k,8,adam,150,11,100\nd,k,8,adam,200,10,100\n"
    points = read_points(write(tmp_path, HEADER + rows))
    assert (points.boards, points.workload.tolist()) == (("x",), ["n", "k"])  # m has no run at the limit
    assert (points.power.tolist(), points.cap.tolist()) == ([0.9, 0.5], [0.5, 0.75])
    assert (points.time.tolist(), points.drawn.tolist()) == ([1.5, 1.1], [0.45, 0.5])
    assert points.energy == pytest.approx([0.75, 1.1])


def test_one_board_is_scored_without_the_others(tmp_path):
    rows = "".join(
        f"d,{name},8,adam,{cap},{max(20, 4000 / cap)},{min(cap, 190)}\n"
        for name in "ab"
        for cap in (100, 150, 200)
    )
    figures = CHECKS["power-caps"](write(tmp_path, HEADER + rows), default_library()).figures
    assert figures["num_rows"] == 4
    assert figures["energy_error_mean_frac"] < 0.05
    assert not [name for name in figures if name.startswith(("board_left_out", "noise"))]


def test_what_is_held_out_is_not_fitted(tmp_path):
    rows = "".join(f"d,{name},8,adam,{cap},{cap},{cap}\n" for name in "ab" for cap in (100, 200))
    points = read_points(write(tmp_path, HEADER + rows))

    def fit(part):
        (seen,) = np.unique(part.workload)

        def guess(given):
            assert seen not in given.workload
            return nothing_changes(given)

        return guess

    time, _ = held_out(points, fit, points.workload)
    assert time.tolist() == [1.0, 1.0]


def test_tables_that_are_missing_or_damaged_are_told(tmp_path):
    with pytest.raises(InputError, match=r"holds no summary_power_\*\.csv"):
        read_points(tmp_path)
    with pytest.raises(InputError, match=r"summary_power_x\.csv:2: average_power: found 'lots'"):
        read_points(write(tmp_path, HEADER + "d,n,8,adam,100,30,lots\n"))
    with pytest.raises(InputError, match="power_limit: column is missing"):
        read_points(write(tmp_path, HEADER.replace("power_limit", "cap") + "d,n,8,adam,100,30,90\n"))
    with pytest.raises(InputError, match="zero or less"):
        read_points(write(tmp_path, HEADER + "d,n,8,adam,100,0,90\n"))
    with pytest.raises(InputError, match="fewer than two networks"):
        read_points(write(tmp_path, HEADER + "d,n,8,adam,100,30,90\nd,n,8,adam,200,20,180\n"))
    broken = tmp_path / "t.csv.gz"
    broken.write_bytes(b"\x1f\x8b\x08\x00cut")
    with pytest.raises(InputError, match="cannot be read"):
        read_power_table(broken, texts=(), numbers=())
