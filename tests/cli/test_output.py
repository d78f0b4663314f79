"""What is printed, from results made by hand: complete, narrow enough, and free of ornaments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from simtool import run
from simtool.cli import console, show_run
from simtool.cli.explain import lines, tree
from simtool.cli.inputs import Answer
from simtool.provenance import Derived, Input, Sourced
from simtool.report import words
from simtool.result.folder import read_manifest, read_summary, write_run_folder
from simtool.result.result import Result
from tests.report import made


@pytest.fixture
def printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    monkeypatch.delenv("COLUMNS", raising=False)
    console.configure(0, False)

    def show(result: Result, *, reused: bool = False) -> str:
        folder = write_run_folder(result, tmp_path, command="simtool run quickstart", force=True)
        answer = Answer(
            folder=folder, reused=reused, manifest=read_manifest(folder), summary=read_summary(folder)
        )
        capsys.readouterr()
        show_run.show(answer)
        return capsys.readouterr().out

    return show


def narrow(text: str) -> bool:
    return max(len(line) for line in text.splitlines()[:-1]) <= 80


def test_a_plain_run_says_once_that_one_seed_has_no_spread(printed: Callable[..., str]) -> None:
    loaded = made.run(1.0).loaded
    plain = loaded.scenario.model_copy(update={"method": "none"})
    text = printed(replace(made.run(1.0), loaded=replace(loaded, scenario=plain)))
    rows = {line.split("  ")[0]: line for line in text.splitlines()}
    assert rows["quantity"].split() == ["quantity", "value", "origin"]
    assert text.count("n/a (one seed)") == 1
    assert rows["cost"].endswith("assumed")  # the energy of a made run states no inputs
    assert narrow(text)
    assert text.isascii()


def test_a_method_shows_both_runs_and_what_survives(printed: Callable[..., str]) -> None:
    text = printed(made.with_method())
    rows = {line.split("  ")[0]: line for line in text.splitlines()}
    assert rows["quantity"].split() == ["quantity", "without", "with", "saved", "origin"]
    assert "39.8 %" in rows["duration"]
    assert "n/a (one seed)" in text
    flat = " ".join(text.split())
    assert "36.0 % fewer operations leave 39.8 % less time" in flat
    assert "Surviving share: time 111%" in flat
    assert narrow(text)


def test_with_seeds_the_spread_is_shown(printed: Callable[..., str]) -> None:
    result = made.with_method()
    value = result.value("cost_total_usd")
    text = printed(replace(result, intervals={"cost_total_usd": (0.9 * value, value, 1.2 * value)}))
    assert "-10.0/+20.0 %" in text
    assert "one seed" not in text
    assert narrow(text)


def test_an_assumed_range_is_shown(printed: Callable[..., str]) -> None:
    result = made.with_method()
    value = result.value("energy_facility_j")
    text = printed(replace(result, ranges={"energy_facility_j": (0.8 * value, 1.3 * value)}))
    assert "-20.0/+30.0 % a" in text
    assert "under the scenario's assumption" in text
    assert narrow(text)


def test_memory_published_figures_notes_and_folder_are_told(
    printed: Callable[..., str], tmp_path: Path
) -> None:
    text = printed(made.with_method())
    assert "memory: 46.6 GiB of 74.5 GiB an accelerator (62%, fits)" in " ".join(text.split())
    assert "-53.3 %" in text
    assert "source: a paper" in text
    assert "note: made by hand" in text
    assert text.splitlines()[-1].startswith(str(tmp_path / "quickstart"))
    assert "answered before" in printed(made.with_method(), reused=True)


def test_only_amounts_have_a_saving(printed: Callable[..., str], tmp_path: Path) -> None:
    result = made.with_method()
    share = Derived(name="mfu", value=0.4, unit="", formula="a share")
    extended = replace(result, quantities={**result.quantities, "mfu": share})
    assert extended.reference is not None
    reference = replace(extended.reference, quantities={**extended.reference.quantities, "mfu": share})
    printed(replace(extended, reference=reference))
    (folder,) = (tmp_path / "quickstart").iterdir()
    summary = read_summary(folder)
    assert summary["mfu"]["without_method"] == 0.4
    assert "saved_frac" not in summary["mfu"]
    assert summary["cost_total_usd"]["saved_frac"] > 0


def test_the_bill_and_both_accounts_of_carbon_have_rows(printed: Callable[..., str]) -> None:
    changes = ["site.carbon={average: 0.3 kgCO2e/kWh, marginal: 0.6 kgCO2e/kWh}", "method=none"]
    text = printed(run("quickstart", changes))
    rows = [line.split("  ")[0] or line.strip().split("  ")[0] for line in text.splitlines()]
    cost, average = rows.index("cost"), rows.index("carbon, average")
    assert rows[cost:average] == ["cost", "hardware", "building", "maintenance", "electricity"]
    assert rows[average : average + 4] == [
        "carbon, average",
        "operational",
        "embodied, boards",
        "embodied, hosts",
    ]
    assert rows[average + 4] == "carbon, marginal"
    assert "interruptions" in rows
    assert "software: megatron-core, numbers 12 calibrated" in " ".join(text.split())
    assert narrow(text)


def test_a_bill_that_lacks_lines_is_marked(printed: Callable[..., str], tmp_path: Path) -> None:
    text = printed(replace(made.with_method(), bill_lacks=("electricity", "facility")))
    assert "cost, incomplete" in text
    (folder,) = (tmp_path / "quickstart").iterdir()
    assert read_summary(folder)["cost_total_usd"]["lacks"] == ["electricity", "facility"]
    bill = (folder / "costs.csv").read_text("utf-8").splitlines()
    assert bill[-2:] == [
        f"{name},,not known: needs a power that nobody states" for name in ("electricity", "facility")
    ]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (30 * 86400.0, "s", "30 d"),
        (12 * 3600.0, "s", "12 h"),
        (600.0, "s", "600 s"),
        (0.0123, "s", "12.3 ms"),
        (3.2e6, "USD", "3.2 M USD"),
        (2.5, "USD", "2.50 USD"),
        (54321.0, "USD", "54,321 USD"),
        (30.84e6, "h", "30.84 Mh"),
        (1234.5, "h", "1,234 h"),
        (0.4321, "", "0.4321"),
        (7.2e12, "J", "2 GWh"),
        (0.0, "J", "0 J"),
    ],
)
def test_values_are_written_as_people_read_them(value: float, unit: str, text: str) -> None:
    assert words.shown(value, unit) == text


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("energy.total", "energy_facility_j"),
        ("energy.accelerator", "energy_accelerator_j"),
        ("cost.total", "cost_total_usd"),
        ("carbon.total", "carbon_total_kgco2e"),
        ("step.time", "step_time_s"),
        ("Cost", "cost_total_usd"),
        ("cost_total_usd", "cost_total_usd"),
        ("cost.rent", "cost_rent_usd"),
    ],
)
def test_quantities_have_aliases(written: str, meant: str) -> None:
    assert words.resolve(written, [*words.WORDS, "cost_rent_usd"]) == meant


def test_an_unknown_quantity_has_near_matches() -> None:
    from simtool.errors import InputError

    with pytest.raises(InputError, match=r"'energy\.total'"):
        words.resolve("energy.totl", list(words.WORDS))


PUE = Sourced(value=1.1, unit="", kind="assumed", source="the scenario", spread=0.1, date="2025-01-01")
METER = Sourced(value=7.2e9, unit="J", kind="measured", source="a meter " * 20)
IT = Derived(name="energy_it_j", value=7.2e9, unit="J", formula="read off", inputs=(Input("meter", METER),))
ENERGY = Derived(
    name="energy_facility_j",
    value=7.92e9,
    unit="J",
    formula="energy_it x PUE",
    inputs=(IT, Input("PUE", PUE), IT),
)


def test_an_explanation_goes_down_to_sources_and_kinds() -> None:
    text = lines(ENERGY, 80)
    assert text[0] == "energy_facility_j = 2.2 MWh  [assumed]"
    assert text[1] == "  = energy_it x PUE"
    assert any("PUE = 1.1 +-10 %  [assumed]" in line for line in text)
    assert any("the scenario, 2025-01-01" in line for line in text)
    assert any("meter = 2 MWh  [measured]" in line for line in text)
    assert sum("(see above)" in line for line in text) == 1
    assert max(len(line) for line in text) <= 80


def test_an_explanation_as_data_keeps_everything() -> None:
    data = tree(ENERGY)
    assert data["provenance"] == "assumed"
    assert data["inputs"][1] == {
        "name": "PUE",
        "value": 1.1,
        "unit": "",
        "provenance": "assumed",
        "source": "the scenario",
        "date": "2025-01-01",
        "spread": 0.1,
    }


def test_the_error_of_the_model_is_a_range_of_time_and_money() -> None:
    summary = {
        "duration_s": {"value": 864000.0, "unit": "s"},
        "cost_total_usd": {"value": 1000.0, "unit": "USD"},
    }
    software = {
        "name": "a-stack",
        "fitted_on": ["hopper"],
        "architecture": "hopper",
        "expected_median_frac": 0.25,
        "expected_p90_frac": 1.0,
    }
    text = show_run.error_line(software, summary)
    assert "missed by 25 % (median) and 100 % (p90)" in text
    assert "8 d to 12.5 d and 800.00 USD to 1,250 USD (median)" in text
    assert "5 d to 20 d and 500.00 USD to 2,000 USD (p90)" in text
    assert "a-stack is new to cdna3" in show_run.error_line({**software, "architecture": "cdna3"}, summary)
    assert show_run.error_line({**software, "expected_median_frac": None}, summary) == ""
    assert show_run.error_line(None, summary) == ""
