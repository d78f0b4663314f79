"""Predictions of the published table, and how they are scored."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from simtool.errors import InputError
from simtool.profiles.find import default_library
from simtool.validate.predict import Prediction, Skipped, predict_row
from simtool.validate.score import SHIPPED, constant_mfu, read_rows, score, validate_table


@pytest.fixture(scope="module")
def validation():
    return validate_table(default_library())


def named(validation, name):
    return next(one for one in validation.scores if one.name == name)


def test_predictions_beat_constant_mfu_by_a_factor(validation):
    everything = named(validation, "all")
    assert everything.median_frac < 0.6 * everything.baseline_median_frac
    assert everything.p90_frac < 0.5 * everything.baseline_p90_frac
    assert everything.num_rows == len(validation.predictions) > 300


def test_every_row_of_usable_quality_is_predicted_or_has_a_reason(validation):
    usable = {row["id"] for row in read_rows(SHIPPED) if row["quality"] != "low"}
    predicted = {one.row_id for one in validation.predictions}
    skipped = {one.row_id for one in validation.skipped}
    assert predicted | skipped == usable
    assert not predicted & skipped
    assert all(one.reason for one in validation.skipped)


def test_large_sweeps_are_ordered_rightly(validation):
    """What a choice of layout needs: the rank correlation inside the vTrain and BLOOM sweeps."""
    from scipy.stats import spearmanr

    for family in ("vtrain-multi-39.1", "vtrain-multi-18.4", "bloom-A100-L72-h14336"):
        rows = [one for one in validation.predictions if one.family == family]
        predicted = [one.model_flop_s / one.predicted_s for one in rows]
        measured = [one.model_flop_s / one.measured_s for one in rows]
        assert spearmanr(predicted, measured).statistic > 0.4, family


def test_no_prediction_is_faster_than_the_peak_rate(validation):
    assert all(one.model_flop_s < one.predicted_s for one in validation.predictions)


def of(family, ratio, row_id):
    return Prediction(
        row_id=row_id,
        family=family,
        accelerator="a",
        software="s",
        quality="high",
        precision="bf16",
        measured_s=1.0,
        predicted_s=ratio,
        mfu=0.4,
        model_flop_s=0.4,
        num_devices=8,
        rules=(),
        stack_seen=True,
    )


def test_a_family_counts_once_however_many_rows_it_has():
    rows = [of("small", 1.5, "0"), *(of("large", 1.1, str(i)) for i in range(1, 100))]
    found = score("x", rows, dict.fromkeys((row.row_id for row in rows), 1.0))
    expected = np.expm1(0.5 * (np.log(1.5) + np.log(1.1)))
    assert found.median_frac == pytest.approx(expected)
    assert found.baseline_median_frac == 0.0


def test_the_baseline_never_learns_from_the_family_that_it_predicts():
    rows = [of("one", 1.0, "0"), of("two", 1.0, "1")]
    slow = Prediction(**{name: getattr(rows[1], name) for name in Prediction.__slots__} | {"mfu": 0.2})
    found = constant_mfu([rows[0], slow])
    assert found["0"] == pytest.approx(0.4 / 0.2)
    assert found["1"] == pytest.approx(0.4 / 0.4)


def test_a_row_that_cannot_be_expressed_says_why():
    row = dict(read_rows(SHIPPED)[0])
    for change, reason in (
        ({"moe": "True"}, "mixture"),
        ({"task": "sft"}, "sft"),
        ({"precision": "fp8"}, "precision"),
        ({"accelerator": "TPU v99"}, "profile"),
        ({"tp": "", "layers": ""}, "not stated"),
    ):
        found = predict_row(row | change, default_library())
        assert isinstance(found, Skipped)
        assert reason in found.reason


def test_broken_tables_give_one_clear_error(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_rows(tmp_path / "missing.csv")
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="missing"):
        read_rows(other)
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(b"id,family\n" * 1000)[:30])
    with pytest.raises(InputError, match="cannot be read"):
        read_rows(cut)
