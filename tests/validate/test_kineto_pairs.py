"""Projected device times beside measured ones, each model left out of the fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from simtool.errors import InputError
from simtool.profiles.find import default_library
from simtool.validate.check import CHECKS


def test_every_pair_is_projected_within_its_target(reference_data: Path) -> None:
    outcome = CHECKS["kineto-pairs"](reference_data, default_library())
    figures = outcome.figures
    assert figures["num_projections"] == 6
    assert figures["time_error_max_frac"] <= 0.15
    assert figures["time_error_mean_frac"] <= 0.10
    assert figures["same_time_error_mean_frac"] > 2 * figures["time_error_mean_frac"]
    assert figures["bandwidth_ratio_error_mean_frac"] > figures["same_time_error_mean_frac"]
    assert figures["interval_coverage_frac"] >= 0.8
    assert all(len(row) == len(outcome.columns) for row in outcome.rows)
    assert {row[0] for row in outcome.rows} == {"bert-small", "qwen1.5-0.5b", "vit-base"}


def test_without_pairs_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model on two devices"):
        CHECKS["kineto-pairs"](tmp_path, default_library())
