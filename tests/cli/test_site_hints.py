"""What messages about datacenters tell people to do: the list that helps, the mode a key belongs to, what fits."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Called
from tests.result.datacenter.sites import ONE_SITE, written

Call = Callable[..., Called]

OWNED = """economics:
  mode: own
  network_share: 0.2
  lifetime: 5 year
  interest_per_year: 0.08
  residual_value: 0.1
  utilisation: 0.8
  maintenance_per_year: 0.03
"""
CAMPAIGN = ONE_SITE.replace(
    "  trace: {file: jobs.csv}\n",
    """  trace: {file: jobs.csv}
  campaign:
    - name: big
      scenario: megatron-22b
      tokens: 1 Gtoken
      layout: auto
      num_nodes: 2
      submit: 2022-01-01T12:00Z
""",
)


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("facility={profile: tower, weather: {place: leesburg}}", "`simtool list facilities` shows all"),
        ("reliability={preset: rsc-9}", "`simtool list reliability` shows all"),
        ("electricity={tariff: pge}", "`simtool list tariffs` shows all"),
        ("jobs.generator={profile: philly}", "`simtool list job-generators` shows all"),
        ("facility={profile: tower-economiser, weather: {place: sanjose}}", "did you mean 'san-jose'?"),
        ("pools[0].accelerator=h200", "`simtool list hardware` shows all"),
    ],
)
def test_a_wrong_name_is_told_with_the_list_that_holds_the_right_one(
    change: str, words: str, simtool: Call, tmp_path: Path
) -> None:
    written(tmp_path, ONE_SITE)
    called = simtool("check", "site.yaml", "--set", change)
    assert called.code == 2
    assert words in flat(called.err)
    assert "site.yaml" in called.err or "--set" in called.err


def test_keys_of_another_mode_are_told_as_such(simtool: Call, tmp_path: Path) -> None:
    written(tmp_path, ONE_SITE + OWNED)
    called = simtool("check", "site.yaml", "--set", "economics.mode=hire")
    assert called.code == 2
    lines = [line for line in called.err.splitlines() if "economics." in line]
    assert len(lines) == 6
    assert all("it belongs to mode own" in line for line in lines)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "num_nodes=80",
            "jobs.campaign[0].num_nodes: found 80 nodes; up to the 4 nodes of pool main; write e.g. 'num_nodes: 4'",
        ),
        ("submit=2021-12-31T23:59Z", "jobs.campaign[0].submit: found a moment before the start"),
        (
            "submit=2022-01-03T00:00Z",
            "jobs.campaign[0].submit: found a moment 2 d after the start; less than the duration, 2 d",
        ),
    ],
)
def test_a_run_that_has_no_place_is_refused_at_its_field(
    change: str, words: str, simtool: Call, tmp_path: Path
) -> None:
    key, _, value = change.partition("=")
    text = "\n".join(
        f"      {key}: {value}" if line.strip().startswith(f"{key}:") else line
        for line in CAMPAIGN.splitlines()
    )
    path = written(tmp_path, text)
    line = 1 + next(n for n, one in enumerate(text.splitlines()) if one.strip().startswith(f"{key}:"))
    called = simtool("check", "site.yaml")
    assert called.code == 2
    assert words in flat(called.err)
    assert f"{path.name}:{line}:" in called.err


def test_a_folder_of_run_folders_is_told_with_them(simtool: Call, tmp_path: Path) -> None:
    (tmp_path / "out" / "my" / "1a2b3c4d").mkdir(parents=True)
    (tmp_path / "out" / "my" / "1a2b3c4d" / "manifest.json").write_text("{}", "utf-8")
    for verb in ("plot", "run"):
        called = simtool(verb, "out/my")
        assert called.code == 2
        assert "out/my: found a folder that is no run folder; name a run folder below it" in flat(called.err)
        assert "1a2b3c4d" in called.err


def test_only_files_of_like_names_are_suggested(simtool: Call, tmp_path: Path) -> None:
    (tmp_path / "t9.yaml").write_text("", "utf-8")
    (tmp_path / "nothin.yaml").write_text("", "utf-8")
    assert "did you mean 'nothin.yaml'?" in simtool("run", "nothing.yaml").err
    far = simtool("run", "elsewhere.yaml").err
    assert "elsewhere.yaml" in far
    assert "did you mean" not in far
    assert "t9" not in far


@pytest.mark.parametrize(
    ("module", "change", "field"),
    [
        ("pvlib.spa", "supply={solar: {rated: 10 kW}}", "supply.solar"),
        ("psychrolib", "facility.weather={place: air.csv, repeat: 'no'}", "facility.weather.place"),
    ],
)
def test_a_missing_extra_is_told_at_the_field_that_needs_it(
    module: str, change: str, field: str, simtool: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facility = "facility: {profile: tower-economiser, weather: {place: leesburg}}"
    written(tmp_path, ONE_SITE.replace("facility: {pue: 1.2}", facility))
    rows = [f"2022-01-0{day}T{hour:02d}:00Z,5,0.5" for day in (1, 2, 3) for hour in range(24)]
    (tmp_path / "air.csv").write_text(
        "\n".join(["time_utc,dry_bulb_c,relative_humidity_frac", *rows]), "utf-8"
    )
    monkeypatch.setitem(sys.modules, module, None)
    called = simtool("check", "site.yaml", "--set", change)
    assert called.code == 2
    assert f"--set: {field}: " in called.err
    assert "pip install 'simtool-planner[site]'" in called.err
    assert "pip install '.[site]' -c constraints.txt" in flat(called.err)
