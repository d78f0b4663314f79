"""What `compare` tells of two runs: how they differ, then each quantity, and no ratio of unlike sums."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from simtool.cli.compare import Side, compared, of_side, per_token, set_up
from simtool.profiles.find import shipped_folder
from tests.cli.conftest import Called

Call = Callable[..., Called]

RENT = "economics: {mode: rent, price: 2.5 USD/h, money: {year: 2024}}"


@pytest.fixture
def rented(tmp_path: Path) -> str:
    """The quickstart without its method, on rented hardware."""
    text = (shipped_folder("scenarios") / "quickstart.yaml").read_text("utf-8")
    head, _, rest = text.partition("economics:")
    method = head.index("\nmethod:"), head.index("\ncluster:")
    head = head[: method[0]] + head[method[1] :]
    text = head.replace("name: quickstart", "name: rented") + RENT + "\nseed:" + rest.partition("seed:")[2]
    (tmp_path / "rented.yaml").write_text(text, "utf-8")
    return "rented.yaml"


def test_method_owner_bill_and_carbon_are_compared(simtool: Call, rented: str) -> None:
    text = simtool("compare", "quickstart", rented).out
    rows = {line.split("  ")[0]: line.split() for line in text.replace("\n  ", "\n").splitlines() if line}
    assert rows["method"] == ["method", "fewer-operations", "none"]
    assert rows["economics"] == ["economics", "own", "rent"]
    assert "framework" not in rows, "it is the same"
    assert len(rows["rent"]) == len(rows["hardware"]) == 3, "one run has it, so there is no ratio"
    assert {"operational", "embodied, boards", "embodied, hosts", "interruptions"} <= set(rows)
    assert "their ratio mixes moneys" in " ".join(text.split())


def test_set_ups_are_in_the_data(simtool: Call, rented: str) -> None:
    report = json.loads(simtool("compare", "quickstart", rented, "--json").out)
    assert report["setup"]["rented"]["method"] == "none"
    assert report["setup"]["quickstart"]["economics"] == "own"
    assert report["setup"]["quickstart"].keys() == report["setup"]["rented"].keys()


def test_a_sum_that_lacks_lines_has_no_ratio_to_a_whole_one() -> None:
    whole = {"cost_total_usd": {"value": 2.0, "unit": "USD"}}
    short = {"cost_total_usd": {"value": 1.0, "unit": "USD", "lacks": ["electricity"]}}
    (row,) = compared([("a", whole), ("b", short)])
    assert row["ratio"] == {"a": 1.0, "b": None}
    assert row["lacks"] == {"b": ["electricity"]}
    (alike,) = compared([("a", short), ("b", short)])
    assert alike["ratio"] == {"a": 1.0, "b": 1.0}


def test_a_set_up_is_made_of_the_manifest_alone(simtool: Call) -> None:
    manifest = json.loads(simtool("run", "megatron-22b", "--json").out)["manifest"]
    assert set_up(manifest)["accelerators"].endswith("a100-sxm-80")
    assert set_up(manifest)["method"] == "none"


def test_unequal_work_is_said_and_compared_by_the_token(simtool: Call, tmp_path: Path) -> None:
    half = shipped_folder("scenarios") / "quickstart.yaml"
    text = half.read_text("utf-8").replace("name: quickstart", "name: half").replace("1 Ttoken", "500 Gtoken")
    (tmp_path / "half.yaml").write_text(text, "utf-8")
    flat = " ".join(simtool("compare", "quickstart", "half.yaml").out.split())
    assert "unequal work (quickstart 1 Ttoken, half 500 Gtoken)" in flat
    assert "cost per Mtoken" in flat
    report = json.loads(simtool("compare", "quickstart", "half.yaml", "--json").out)
    whole = {row["quantity"]: row for row in report["quantities"]}
    by_token = {row["quantity"]: row for row in report["per_token"]}
    cost = by_token["cost_total_usd_per_token"]
    assert cost["unit"] == "USD/token"
    assert cost["value"]["half"] == pytest.approx(whole["cost_total_usd"]["value"]["half"] / 5e11)
    assert cost["ratio"]["half"] == pytest.approx(2 * whole["cost_total_usd"]["ratio"]["half"])
    assert cost["ratio"]["half"] == pytest.approx(1.0, rel=0.05), "the same model on the same hardware"


def test_equal_work_needs_no_word_about_it(simtool: Call, rented: str) -> None:
    text = simtool("compare", "quickstart", rented).out
    assert "unequal" not in text
    assert "per Mtoken" not in text


def test_the_side_of_a_run_with_a_method_is_said_and_can_be_chosen(simtool: Call, rented: str) -> None:
    told = simtool("compare", "quickstart", rented).out
    assert "quickstart is compared with the method; --side without" in " ".join(told.split())
    reports = {
        side: json.loads(simtool("compare", "quickstart", rented, "--json", "--side", side).out)
        for side in ("with", "without")
    }
    rows = {
        side: {row["quantity"]: row["value"] for row in report["quantities"]}
        for side, report in reports.items()
    }
    assert rows["without"]["step_time_s"]["quickstart"] == pytest.approx(
        rows["without"]["step_time_s"]["rented"]
    ), "without its method the quickstart is the other run"
    assert rows["with"]["step_time_s"]["quickstart"] < rows["without"]["step_time_s"]["quickstart"]
    assert rows["with"]["step_time_s"]["rented"] == rows["without"]["step_time_s"]["rented"]
    assert reports["without"]["setup"]["quickstart"]["method"] == "fewer-operations, left out"


def test_a_sum_that_lacks_lines_has_no_ratio_by_the_token_either() -> None:
    whole = {"cost_total_usd": {"value": 2.0, "unit": "USD"}}
    short = {"cost_total_usd": {"value": 1.0, "unit": "USD", "lacks": ["electricity"]}}
    (row,) = per_token(compared([("a", whole), ("b", short)]), {"a": 1.0, "b": 2.0})
    assert row["ratio"] == {"a": 1.0, "b": None}
    assert of_side(whole, Side.WITHOUT) == whole, "a run without a method has one side"
