"""Predictions of the published table: that they are blind, how they are scored, what a program reads of them."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import json

import numpy as np
import pytest

from simtool.cli import main
from simtool.config.scenario import Cluster
from simtool.errors import InputError
from simtool.machine.build import build_machine
from simtool.profiles.find import default_library
from simtool.step.step import estimate_step
from simtool.validate.case import Case, express
from simtool.validate.fit.constants import CONSTANTS, release
from simtool.validate.fit.cross import fit_table, is_evidence, left_out
from simtool.validate.fit.stored import NUM_FOLDS, fold_of, load, save
from simtool.validate.fit.stored import SHIPPED as CONSTANTS_FILE
from simtool.validate.predict import predict_cases
from simtool.validate.score import SHIPPED, constant_mfu, score, validate_table
from simtool.validate.stacks import release_of
from simtool.validate.table import NEEDED, read_rows


@pytest.fixture
def run_cli(capsys):
    def call(*arguments):
        capsys.readouterr()
        code = main.call(list(arguments))
        return code, capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def cases():
    found = [express(row, default_library()) for row in read_rows(SHIPPED)]
    return [one for one in found if isinstance(one, Case)]


@pytest.fixture(scope="module")
def validation():
    return validate_table(default_library())


def named(validation, name):
    return next(one for one in validation.scores if one.name == name)


@pytest.mark.parametrize(
    ("group", "median", "p90"),
    [
        ("dense, full layout", 0.07, 0.19),
        ("dense", 0.085, 0.32),
        ("experts", 0.15, 0.50),
        ("32k tokens and more", 0.095, 0.21),
    ],
)
def test_families_that_no_fit_saw_are_predicted_within_bounds(validation, group, median, p90):
    found = named(validation, group)
    assert found.median_frac < median
    assert found.p90_frac < p90
    assert found.median_frac < 0.6 * found.baseline_median_frac


def test_every_row_is_predicted_or_has_a_reason(validation):
    rows = {row["id"] for row in read_rows(SHIPPED)}
    assert {one.row_id for one in validation.predictions} | {one.row_id for one in validation.skipped} == rows
    assert validation.coverage_frac >= 0.95


def test_no_prediction_is_faster_than_the_peak_rate_allows(validation):
    """The convention counts whole squares of attention, of which a causal mask computes half."""
    assert all(one.at_peak_s < 2.0 * one.predicted_s for one in validation.predictions)


def test_intervals_hold_eight_of_ten_rows(validation):
    inside = [one.low_s <= one.measured_s <= one.high_s for one in validation.scored]
    assert 0.72 < np.mean(inside) < 0.90


def test_an_unseen_stack_has_a_wider_interval(validation):
    width = {one.stack_seen: one.high_s / one.low_s for one in validation.scored}
    assert width[False] > width[True]


def test_a_row_is_predicted_by_constants_that_did_not_see_its_family(cases):
    """The shipped constants of a fold are those of a fit to the other folds."""
    evidence = [case for case in cases if is_evidence(case)]
    stored = load()
    assert stored.rows == {case.row["id"]: fold_of(case.row["family"]) for case in evidence}
    fold = 2
    out = np.array([fold_of(case.row["family"]) == fold for case in evidence])
    _, times, _ = left_out(evidence, out)
    shipped = stored.step_time_s([case for case, left in zip(evidence, out, strict=True) if left])
    assert np.allclose(np.log(times), np.log(shipped), atol=5e-3)


def test_a_row_that_took_no_part_is_predicted_by_all(cases):
    stored = load()
    case = next(case for case in cases if is_evidence(case))
    other = dataclasses.replace(case, row=case.row | {"id": "another"})
    assert stored.fitted_for(case) in stored.folds
    assert stored.fitted_for(other) is stored.whole


def test_folds_split_families_and_not_rows(cases):
    folds = {case.row["family"]: fold_of(case.row["family"]) for case in cases}
    assert set(folds.values()) == set(range(NUM_FOLDS))


def test_stored_constants_come_back(tmp_path):
    path = tmp_path / "stacks.json"
    save(load(), path)
    again = load(path)
    assert again.whole.unknowns == load().whole.unknowns
    assert np.array_equal(again.whole.values, load().whole.values)
    save(again, tmp_path / "again.json")
    assert path.read_bytes() == (tmp_path / "again.json").read_bytes()


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("folds",), [], "0 folds"),
        (("whole", "launch_floor_s/shared"), 3, "no attribute"),
        (("whole", "launch_floor_s/shared", "(all)"), [float("nan"), 1.0], "not finite"),
        (("whole", "no_such_constant/shared"), {"(all)": [0.0, 1.0]}, "no_such_constant"),
        (("seen",), {"low": 1.0, "high": -1.0}, "from low to high"),
        (("seen",), {"low": "a", "high": 1.0}, "cannot be read"),
    ],
)
def test_constants_edited_by_hand_are_refused(tmp_path, place, value, words):
    written = json.loads(CONSTANTS_FILE.read_text())
    *way, last = place
    inner = written
    for step in way:
        inner = inner[step]
    inner[last] = value
    path = tmp_path / "stacks.json"
    path.write_text(json.dumps(written))
    with pytest.raises(InputError, match=words):
        load(path)


def test_too_few_rows_are_not_fitted_to(cases):
    with pytest.raises(InputError, match="at least"):
        fit_table(cases[:20], "few")


def of(validation, family, ratio, row_id):
    one = validation.scored[0]
    return dataclasses.replace(one, family=family, row_id=row_id, measured_s=1.0, predicted_s=ratio)


def test_a_family_counts_once_however_many_rows_it_has(validation):
    rows = [of(validation, "small", 1.5, "0"), *(of(validation, "large", 1.1, str(i)) for i in range(1, 100))]
    found = score("x", rows, {row.row_id: 1.0 for row in rows})
    assert found.median_frac == pytest.approx(np.expm1(0.5 * (np.log(1.5) + np.log(1.1))))
    assert found.baseline_median_frac == 0.0
    assert found.row_median_frac == pytest.approx(0.1)


def test_the_baseline_never_learns_from_the_fold_that_it_predicts(validation):
    families = sorted({one.family for one in validation.scored}, key=lambda name: (fold_of(name), name))
    own, other = families[0], families[-1]
    rows = [of(validation, own, 1.0, "0"), of(validation, other, 1.0, "1")]
    rows[1] = dataclasses.replace(rows[1], measured_s=2.0)
    found = constant_mfu(rows)
    assert found["0"] == pytest.approx(2.0)
    assert found["1"] == pytest.approx(1.0)


def test_order_inside_sweeps_is_scored(validation):
    assert named(validation, "dense").rank > 0.9


def test_one_line_is_written_for_every_row_of_a_table(tmp_path, run_cli):
    rows = read_rows(SHIPPED)[:12]
    rows[3] = rows[3] | {"accelerator": "TPU v99"}
    table, out = tmp_path / "table.csv", tmp_path / "out.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert run_cli("validate", "--table", str(table), "--predictions", str(out))[0] == 0
    with out.open() as file:
        written = {line["id"]: line for line in csv.DictReader(file)}
    assert set(written) == {row["id"] for row in rows}
    assert "TPU v99" in written[rows[3]["id"]]["reason"]
    assert not written[rows[3]["id"]]["predicted_step_time_s"]
    one = written[rows[0]["id"]]
    assert float(one["p10_step_time_s"]) < float(one["predicted_step_time_s"]) < float(one["p90_step_time_s"])
    assert float(one["predicted_mem_gb"]) > 0
    assert float(one["predicted_node_power_w"]) > 0


def test_predictions_do_not_replace_the_table_that_they_are_of(tmp_path, run_cli):
    table = tmp_path / "table.csv"
    table.write_text(f"{','.join(NEEDED)}\na,H100-SXM-80GB,8\n")
    before = table.read_text()
    code, captured = run_cli("validate", "--table", str(table), "--predictions", str(table))
    assert code == 2
    assert "is the table that is read" in captured.err
    assert table.read_text() == before


def test_figure_of_the_table(tmp_path, run_cli):
    assert run_cli("validate", "--plot", str(tmp_path / "figures"))[0] == 0
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} == {".svg", ".png", ".csv"}


@pytest.mark.parametrize(
    "arguments", [["--check", "nonsense"], ["--by", "colour"], ["--check", "left-out", "--table", "x"]]
)
def test_mistakes_on_the_command_line_end_in_two(arguments, run_cli):
    code, captured = run_cli("validate", *arguments)
    assert code == 2
    assert captured.err


def test_tables_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_rows(tmp_path / "missing.csv")
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(b"id,family\n" * 1000)[:30])
    with pytest.raises(InputError, match="cannot be read"):
        read_rows(cut)
    damaged = bytearray(gzip.compress(SHIPPED.read_bytes()))
    damaged[100:108] = b"\xff" * 8
    cut.write_bytes(damaged)
    with pytest.raises(InputError, match="cannot be read"):
        read_rows(cut)


def test_a_table_of_which_nothing_can_be_predicted_says_why(tmp_path, run_cli):
    table = tmp_path / "table.csv"
    table.write_text("id,accelerator,n_accel\na,H100-SXM-80GB,8\nb,TPU v99,8\n")
    code, captured = run_cli("validate", "--table", str(table))
    assert code == 2
    assert "1 shape of the model not stated, 1 no profile of TPU v99" in captured.err


@pytest.mark.parametrize("value", ["1e308", "1e-300"])
def test_a_slip_in_one_measurement_leaves_the_scores_of_the_others(tmp_path, value, run_cli):
    rows = read_rows(SHIPPED)[:12]
    rows[0]["tokens_per_s_per_accel"] = value
    table = tmp_path / "table.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    code, captured = run_cli("validate", "--table", str(table))
    assert code == 0
    assert "nan" not in captured.out
    assert "11 rows" in captured.out.replace("\n", " ")


def test_predictions_of_profiles_and_of_the_fit_agree(cases):
    """What `simtool run` takes from a software profile is what the fit of all rows found."""
    stored = load()
    chosen = [
        case
        for case in cases
        if is_evidence(case) and case.machine.software.name == "megatron-core" and "R-fit" not in case.rules
    ][:6]
    fitted = stored.whole
    from simtool.validate.fit.stored import fitted_step_time_s

    for case, expected in zip(chosen, fitted_step_time_s(fitted, chosen), strict=True):
        found = float(estimate_step(case.job, case.layouts, case.machine, case.method).step_time_s)
        assert found == pytest.approx(expected, rel=0.12)  # the release and the kernel stand in the row alone


def test_a_release_is_as_fast_in_profiles_as_in_the_fit_for_dense_models_and_for_experts(cases):
    fitted = load().whole
    index = next(place for place, one in enumerate(CONSTANTS) if one.name == "release_ratio")
    chosen = [case for case in cases if is_evidence(case) and release(case)]
    assert {case.model.expert_layer_frac > 0.0 for case in chosen} == {False, True}
    for case, expected in zip(chosen, np.exp(fitted.constant(index, chosen)), strict=True):
        software, named = case.machine.software, release_of(case.row)
        machine = build_machine(
            default_library(),
            Cluster(accelerator=case.machine.accelerator.name, num_nodes=1),
            software.name,
            attention=None,
            power_limit_w=None,
            locate=lambda field: field,
            release=named,
        )
        experts = machine.release_expert_ratio if case.model.expert_layer_frac > 0.0 else 1.0
        assert machine.release_ratio * experts == pytest.approx(expected, rel=2e-3)
    for routed in (False, True):
        case = next(one for one in chosen if (one.model.expert_layer_frac > 0.0) == routed)
        machine = dataclasses.replace(case.machine, release_ratio=2.0, release_expert_ratio=1.5)
        times = [
            float(estimate_step(case.job, case.layouts, one, case.method).step_time_s)
            for one in (machine, case.machine)
        ]
        assert times[0] / times[1] == pytest.approx(3.0 if routed else 2.0)


def test_predict_cases_says_which_rows_are_scored(cases):
    low = [case for case in cases if case.row["quality"] == "low"][:1]
    assert not is_evidence(low[0])
    assert not predict_cases(low, load(), [False], default_library())[0].is_evidence
