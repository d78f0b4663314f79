"""The verbs on datacenters: run, check, plot, compare, explain, new, schema, list; and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Called
from tests.result.datacenter.sites import ONE_SITE, TWO_SITES, written

Call = Callable[..., Called]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return written(tmp_path, ONE_SITE)


def narrow(text: str) -> bool:
    """Whether a text fits a terminal of 80 columns; paths may be longer."""
    return all(len(line) <= 80 for line in text.splitlines() if not line.startswith("out/"))


def flat(text: str) -> str:
    return " ".join(text.split())


# --------------------------------------------------------------------------------------------------- run


@pytest.mark.usefixtures("site")
def test_run_prints_a_report_and_writes_the_folder(simtool: Call) -> None:
    called = simtool("run", "site.yaml")
    assert (called.code, called.err) == (0, "")
    assert "tiny: 120 jobs on 32 h100-sxm (4 nodes)" in called.out
    for words in (
        "jobs and queue",
        "wait by accelerators of a job",
        "state of accelerators",
        "energy and power",
        "costs in all",
        "bill of 2022-01",
        "carbon, average: what the grid emitted for this load",
        "n/a (one seed)",
    ):
        assert words in called.out, words
    assert narrow(called.out)
    assert called.out.isascii()
    assert called.out.splitlines()[-1].endswith("(written)")
    again = simtool("run", "site.yaml")
    assert again.out.splitlines()[:-1] == called.out.splitlines()[:-1]
    assert "answered before" in again.out.splitlines()[-1]


def test_the_report_of_two_sites_with_several_seeds_is_narrow_and_says_so(
    simtool: Call, tmp_path: Path
) -> None:
    written(tmp_path, TWO_SITES)
    called = simtool("run", "site.yaml", "--seeds", "2")
    assert called.code == 0
    assert narrow(called.out)
    assert "of 2 runs with other jobs" in flat(called.out)
    assert "bill of 2022-01, east" in called.out
    assert "bill of 2022-01, west" in called.out
    assert "cause of interruptions" in called.out
    assert "carbon, marginal" in called.out
    assert "own battery, solar" in flat(called.out)
    rows = [line for line in called.out.splitlines() if line.startswith(("east ", "west "))]
    assert len(rows) == 2, "a table of the sites"


@pytest.mark.usefixtures("site")
def test_the_electricity_of_rented_hardware_is_no_part_of_the_costs(simtool: Call) -> None:
    called = simtool("run", "site.yaml", "--set", "economics={mode: rent, price: 2 USD/h}", "--json")
    found = json.loads(called.out)
    quantities = found["quantities"]
    assert quantities["cost_total_usd"]["value"] == pytest.approx(32 * 48 * 2.0)
    assert quantities["bill_energy_usd"]["value"] > 0.0
    assert any("shown for comparison alone" in note for note in found["manifest"]["notes"])


@pytest.mark.usefixtures("site")
def test_run_as_json_is_one_object(simtool: Call) -> None:
    found = json.loads(simtool("run", "site.yaml", "--json", "--seed", "9").out)
    assert set(found) == {"folder", "reused", "manifest", "quantities"}
    assert found["manifest"]["kind"] == "datacenter"
    assert found["manifest"]["seed"] == 9
    assert sum(row["accelerator_hours"] for row in found["manifest"]["by_state"]) == pytest.approx(32 * 48.0)
    billed = sum(line["amount_usd"] for line in found["manifest"]["bill"])
    assert billed == pytest.approx(found["quantities"]["cost_total_usd"]["value"])


@pytest.mark.usefixtures("site")
def test_a_dry_run_writes_nothing(simtool: Call, tmp_path: Path) -> None:
    called = simtool("run", "site.yaml", "--dry-run")
    assert called.code == 0
    assert "would be written" in called.out
    assert "120 jobs" in called.out
    assert not (tmp_path / "out").exists()
    plan = json.loads(simtool("run", "site.yaml", "--dry-run", "--json").out)
    ran = json.loads(simtool("run", "site.yaml", "--json").out)
    assert plan["folder"] == ran["folder"]


@pytest.mark.usefixtures("site")
def test_a_run_folder_is_a_target_and_its_damage_is_told(simtool: Call) -> None:
    folder = Path(json.loads(simtool("run", "site.yaml", "--json").out)["folder"])
    again = json.loads(simtool("run", str(folder), "--json").out)
    assert again["reused"] is True
    refused = simtool("run", str(folder), "--set", "seed=3")
    assert refused.code == 2
    assert "found --set, --seed or --seeds with a run folder" in refused.err
    (folder / "bill.csv").write_text("site\n", "utf-8")
    called = simtool("compare", str(folder), "quickstart")
    assert called.code == 2


def test_a_long_bill_is_printed_by_month(simtool: Call, tmp_path: Path) -> None:
    written(tmp_path, ONE_SITE.replace("2 days", "120 d"))
    called = simtool("run", "site.yaml")
    assert "bill by month" in called.out
    assert "bill of 2022-01" not in called.out
    assert narrow(called.out)
    assert "bill of 2022-03" in simtool("run", "site.yaml", "-v").out


# ------------------------------------------------------------------------------------------ check, explain


@pytest.mark.usefixtures("site")
def test_check_says_what_would_run_and_resolves(simtool: Call) -> None:
    assert "ok (datacenter: 120 jobs on 32 accelerators)" in simtool("check", "site.yaml").out
    resolved = simtool("check", "site.yaml", "--resolved").out
    assert "schema: simtool/datacenter/1" in resolved
    assert "# default" in resolved


def test_shipped_datacenters_pass_the_check(simtool: Call) -> None:
    names = [row["name"] for row in json.loads(simtool("list", "datacenters", "--json").out)]
    assert names
    for name in names:
        called = simtool("check", name)
        assert called.code == 0, called.err
        assert "(datacenter:" in called.out


@pytest.mark.usefixtures("site")
def test_a_quantity_is_explained_from_file_and_folder(simtool: Call) -> None:
    called = simtool("explain", "pue", "site.yaml")
    assert called.code == 0
    assert "energy_facility / energy_it" in called.out
    folder = json.loads(simtool("run", "site.yaml", "--json").out)["folder"]
    assert simtool("explain", "pue", folder).out == called.out
    assert "num_jobs_completed" in simtool("explain", folder).out
    assert simtool("explain", "pew", "site.yaml").code == 2


# ---------------------------------------------------------------------------------------- plot, compare


@pytest.mark.usefixtures("site")
def test_figures_are_drawn_into_the_run_folder(simtool: Call) -> None:
    called = simtool("plot", "site.yaml", "--only", "site-queue", "--only", "site-bill")
    assert called.code == 0, called.err
    drawn = {Path(line).name for line in called.out.splitlines()}
    assert drawn == {
        f"site-{name}.{suffix}" for name in ("queue", "bill") for suffix in ("svg", "png", "csv")
    }
    folder = Path(called.out.splitlines()[0]).parents[1]
    assert simtool("run", "site.yaml", "--force").code == 0, "figures of ours are no strangers"
    assert not (folder / "figures").exists()
    told = simtool("plot", "site.yaml", "--only", "site-failures")
    assert told.code == 2
    assert "nothing stopped a job" in told.err
    unknown = simtool("plot", "site.yaml", "--only", "step-timeline")
    assert unknown.code == 2
    assert "site-power" in unknown.err


def test_datacenters_are_compared_with_each_other_alone(simtool: Call, site: Path) -> None:
    (site.parent / "other.yaml").write_text(
        site.read_text("utf-8").replace("name: tiny", "name: other").replace("pue: 1.2", "pue: 1.5"), "utf-8"
    )
    called = simtool("compare", "site.yaml", "other.yaml", "--json")
    rows = {row["quantity"]: row for row in json.loads(called.out)["quantities"]}
    assert rows["energy_facility_j"]["ratio"]["other"] == pytest.approx(1.25)
    assert rows["energy_it_j"]["ratio"]["other"] == pytest.approx(1.0)
    shown = simtool("compare", "site.yaml", "other.yaml").out
    assert narrow(shown)
    assert "PUE 1.5" in shown
    drawn = simtool("compare", "site.yaml", "other.yaml", "--figure", "bars")
    assert drawn.code == 0, drawn.err
    assert {path.name for path in (site.parent / "bars").iterdir()} == {
        f"comparison.{suffix}" for suffix in ("csv", "png", "svg")
    }
    table = (site.parent / "bars" / "comparison.csv").read_text("utf-8")
    assert "energy_facility_j" in table
    assert "carbon_average_kgco2e" in table
    mixed = simtool("compare", "site.yaml", "quickstart")
    assert mixed.code == 2
    assert "found a datacenter (site.yaml) and a scenario (quickstart)" in mixed.err


# ------------------------------------------------------------------------------------- new, schema, list


def test_a_new_datacenter_runs_as_it_stands(simtool: Call, tmp_path: Path) -> None:
    assert simtool("new", "datacenter", "My site.yaml").code == 0
    text = (tmp_path / "My site.yaml").read_text("utf-8")
    assert "name: my-site" in text
    called = simtool("run", "My site.yaml", "--json")
    assert called.code == 0, called.err
    found = json.loads(called.out)["quantities"]
    assert found["job_pretrain_time_s"]["value"] > 0.0, "the training run ends within the template's time"
    assert simtool("new", "datacenter", "My site.yaml").code == 2


def test_every_line_of_the_template_is_explained() -> None:
    from simtool.cli.template_site import DATACENTER

    bare = [line for line in DATACENTER.splitlines() if line.strip() and "#" not in line]
    assert bare == ["schema: simtool/datacenter/1", "name: NAME", 'question: ""']


def test_the_schema_of_a_datacenter_is_exported(simtool: Call) -> None:
    schema = json.loads(simtool("schema", "datacenter").out)
    assert {"pools", "jobs", "facility", "electricity"} <= set(schema["properties"])


def test_lists_name_what_a_datacenter_may_name(simtool: Call) -> None:
    for what, name in (
        ("schedulers", "easy"),
        ("placements", "nodes"),
        ("tariffs", "pge-industrial-tou"),
        ("facilities", "hyperscale-tower"),
        ("reliability", "rsc-1"),
        ("job-readers", "slurm"),
        ("job-generators", "philly-2017"),
        ("weather", "leesburg"),
    ):
        called = simtool("list", what)
        assert any(line.split()[:1] == [name] for line in called.out.splitlines()), what
        assert narrow(called.out), what


# --------------------------------------------------------------------------------------------- bad input


HEAD = "name,submit_s,num_devices,run_s"


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        ("name,submit_s,num_devices\na,0,8\n", "run_s"),
        (f"{HEAD}\na,0,8,-5\n", "jobs.csv:2"),
        (f"{HEAD}\na,10,8,5\nb,0,8,5\n", "jobs.csv:3"),
        (f"{HEAD}\na,0,8,5\na,1,8,5\n", "found 'a' again, first in line 2"),
        (f"{HEAD}\na,0,8,0\n", "jobs.csv:2"),
        (f"{HEAD}\na,0,9999,5\n", "9999"),
        (f"{HEAD}\n", "jobs.csv"),
        (f"{HEAD}\na,0,eight,5\n", "jobs.csv:2"),
    ],
    ids=["column", "negative", "unordered", "duplicate", "zero", "too large", "empty", "text"],
)
def test_a_bad_table_of_jobs_is_told_by_file_and_row(
    jobs: str, said: str, simtool: Call, tmp_path: Path
) -> None:
    written(tmp_path, ONE_SITE, jobs)
    for verb in ("check", "run"):
        called = simtool(verb, "site.yaml")
        assert called.code in (2, 3), called.err
        assert said in called.err
        assert "Traceback" not in called.err
        assert called.out == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ("scheduler.name=eezy", 2, "unknown scheduler 'eezy'"),
        ("scheduler.placement=rack", 2, "racks"),
        ("facility={profile: hyperscale-towr, weather: {place: leesburg}}", 2, "hyperscale-tower"),
        ("facility={profile: hyperscale-tower, weather: {place: leesberg}}", 2, "leesburg"),
        ("facility.pue=0.9", 2, "facility.pue"),
        ("electricity={tariff: no-such}", 2, "electricity.tariff"),
        ("electricity={price: {series: no-such}}", 2, "electricity.price"),
        ("electricity={price: 0.08 USD/kWh, tariff: pge-industrial-tou}", 2, "electricity"),
        ("pools[0].accelerator=h101", 2, "pools[0].accelerator"),
        ("pools[0].spare_nodes=-1", 2, "pools[0].spare_nodes"),
        ("pools=[]", 2, "pools"),
        ("jobs={}", 2, "jobs"),
        ("jobs.trace.file=nowhere.csv", 2, "nowhere.csv"),
        ("jobs.work.activity=40", 2, "jobs.work.activity"),
        ("duration=0 s", 2, "duration"),
        ("duration=2 kW", 2, "duration"),
        ("time_zone=Europe/Nowhere", 2, "time_zone"),
        ("carbon={average: {series: price-ercot}}", 2, "carbon.average"),
        ("carbon={marginal: {series: carbon-pjm}}", 2, "carbon.marginal"),
        ("reliability={preset: rsc-9}", 2, "reliability"),
        ("power={limit: 1 kW}", 3, "power limit"),
        ("supply={battery: {energy: 1 kWh, policy: peak-shaving}}", 2, "threshold"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("site")
def test_a_bad_field_is_one_clear_error(
    change: str, code: int, said: str, simtool: Call, tmp_path: Path
) -> None:
    called = simtool("run", "site.yaml", "--set", change)
    assert called.code == code, called.err
    assert said in called.err, called.err
    assert "Traceback" not in called.err
    assert called.out == ""
    assert not (tmp_path / "out").exists(), "nothing half-written"


@pytest.mark.usefixtures("site")
def test_a_series_that_is_too_short_or_has_a_gap_is_told_with_its_row(simtool: Call, tmp_path: Path) -> None:
    head = "time_utc,price_usd_per_kwh\n"
    for rows, said in (
        ("2022-01-01T00:00Z,0.1\n2022-01-01T01:00Z,0.1\n", "price.csv"),
        ("2022-01-01T00:00Z,0.1\n2022-01-01T01:00Z,0.1\n2022-01-01T03:00Z,0.1\n", "price.csv:4"),
        ("2022-01-01T00:00Z,0.1\n2022-01-01T00:00Z,0.1\n2022-01-01T01:00Z,0.1\n", "price.csv:3"),
        ("2022-01-01T00:00Z,0.1\nyesterday,0.1\n", "price.csv:3"),
    ):
        (tmp_path / "price.csv").write_text(head + rows, "utf-8")
        called = simtool("run", "site.yaml", "--set", "electricity={price: {series: price.csv}}")
        assert called.code == 2
        assert said in called.err, called.err
        assert "Traceback" not in called.err


def test_a_newer_or_a_wrong_kind_of_file_is_told(simtool: Call, site: Path) -> None:
    site.write_text(ONE_SITE.replace("datacenter/1", "datacenter/7"), "utf-8")
    called = simtool("run", "site.yaml")
    assert called.code == 2
    assert "newer simtool" in called.err
    assert simtool("run", "nosuchsite").code == 2


@pytest.mark.usefixtures("site")
def test_a_scheduler_that_breaks_its_word_is_told(
    simtool: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from simtool.sim.schedulers import SCHEDULERS

    def select(*_: object) -> object:
        """Breaks."""
        raise ZeroDivisionError("my own mistake")

    assert "easy" in SCHEDULERS
    monkeypatch.setitem(SCHEDULERS._items, "broken", select)
    called = simtool("run", "site.yaml", "--set", "scheduler.name=broken")
    assert called.code in (1, 2)
    assert "broken" in called.err
    assert not (tmp_path / "out").exists()


def test_the_report_of_one_named_site_is_that_of_the_whole(simtool: Call, tmp_path: Path) -> None:
    text = ONE_SITE.replace("num_nodes: 4}", "num_nodes: 4, site: here}")
    for member in ("facility", "electricity", "carbon"):
        text = text.replace(f"\n{member}:", f"\n    {member}:")
    text = text.replace("\n    facility:", "\nsites:\n  here:\n    facility:")
    written(tmp_path, text)
    called = simtool("run", "site.yaml")
    assert (called.code, called.err) == (0, "")
    assert "site energy" in called.out


def test_the_resolved_file_runs_again_with_the_files_that_it_names(simtool: Call, tmp_path: Path) -> None:
    hours = "".join(f"2022-01-0{day}T{hour:02}:00Z,0.1\n" for day in (1, 2) for hour in range(24))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "price.csv").write_text("time_utc,price_usd_per_kwh\n" + hours, "utf-8")
    written(tmp_path / "sub", ONE_SITE.replace("price: 0.08 USD/kWh", "price: {series: price.csv}"))
    first = simtool("run", "sub/site.yaml", "--json")
    resolved = str(Path(json.loads(first.out)["folder"], "scenario.resolved.yaml"))
    assert simtool("check", resolved).code == 0
    again = simtool("run", resolved, "--json")
    assert (again.code, again.err) == (0, "")
    assert json.loads(again.out)["folder"] == json.loads(first.out)["folder"]
    changed = simtool("run", resolved, "--set", "seed=7", "--json")
    assert changed.code == 0
    assert json.loads(changed.out)["folder"] != json.loads(first.out)["folder"]
