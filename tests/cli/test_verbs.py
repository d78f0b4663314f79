"""The verbs on the shipped scenarios, from a folder that holds nothing of simtool."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from simtool.cli import console
from simtool.profiles.find import shipped_folder
from simtool.result.saved import sealed
from tests.cli.conftest import Called
from tests.cli.test_errors import CODE, ROOT

Call = Callable[..., Called]
NUMBERS = {
    "duration_s",
    "accelerator_hours",
    "tokens_per_s",
    "step_time_s",
    "mfu",
    "goodput_frac",
    "energy_accelerator_j",
    "energy_it_j",
    "energy_facility_j",
    "cost_total_usd",
    "carbon_total_kgco2e",
}


def the_folder(tmp_path: Path, scenario: str = "quickstart") -> Path:
    (folder,) = (tmp_path / "out" / scenario).iterdir()
    return folder.relative_to(tmp_path)


# --------------------------------------------------------------------------------------------------- run


def test_run_prints_a_table_and_writes_the_folder(simtool: Call, tmp_path: Path) -> None:
    called = simtool("run", "quickstart")
    assert (called.code, called.err) == (0, "")
    assert "quickstart: llama3.1-8b, 1 Ttoken, on 64 h100-sxm" in called.out
    assert "fewer operations leave" in called.out
    folder = the_folder(tmp_path)
    assert called.out.splitlines()[-1] == f"{folder} (written)"
    assert max(len(line) for line in called.out.splitlines()) <= 80
    summary = json.loads((tmp_path / folder / "summary.json").read_text("utf-8"))
    assert set(summary) >= NUMBERS


def test_run_answers_the_same_question_from_its_folder(
    simtool: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    from simtool.result import run as runner

    first = simtool("run", "quickstart")

    def computes_again(*_: object, **__: object) -> None:
        raise AssertionError("computed again")

    with monkeypatch.context() as patched:
        patched.setattr(runner, "run", computes_again)
        again = simtool("run", "quickstart")
        assert again.code == 0
        assert again.out.splitlines()[:-1] == first.out.splitlines()[:-1]
        assert "answered before" in again.out.splitlines()[-1]
        assert simtool("run", "quickstart", "--force").code == 1
    assert "(written)" in simtool("run", "quickstart", "--force").out


def test_a_changed_file_behind_a_scenario_is_another_question(simtool: Call, tmp_path: Path) -> None:
    """An effect, a price series and a model's shape that lie beside the scenario."""
    shipped = shipped_folder("hardware_profiles")
    effect = (shipped / "effects" / "fewer-operations.yaml").read_text("utf-8")
    (tmp_path / "effect.yaml").write_text(effect, "utf-8")
    prices = "time_utc,price_usd_per_kwh\n2025-01-01T00:00Z,0.1\n2025-12-31T00:00Z,0.1\n"
    (tmp_path / "price.csv").write_text(prices, "utf-8")
    text = (shipped_folder("scenarios") / "quickstart.yaml").read_text("utf-8")
    text = text.replace("profile: fewer-operations", "profile: effect.yaml")
    text = text.replace("price: 0.08 USD/kWh", "price: {series: price.csv}")
    (tmp_path / "mine.yaml").write_text(text, "utf-8")

    def folder() -> str:
        called = simtool("run", "mine.yaml", "--json")
        assert called.err == ""
        return str(json.loads(called.out)["folder"])

    first = folder()
    assert folder() == first
    (tmp_path / "effect.yaml").write_text(effect.replace("forward_frac: 0.6", "forward_frac: 0.9"), "utf-8")
    second = folder()
    (tmp_path / "price.csv").write_text(prices.replace("0.1\n", "0.2\n"), "utf-8")
    assert len({first, second, folder()}) == 3


def test_run_as_json_is_one_object(simtool: Call) -> None:
    called = simtool("run", "quickstart", "--json", "--seeds", "3")
    found = json.loads(called.out)
    assert set(found) == {"folder", "reused", "manifest", "quantities"}
    duration = found["quantities"]["duration_s"]
    assert duration["p10"] <= duration["p50"] <= duration["p90"]
    assert found["manifest"]["seeds"] == 3


def test_run_takes_changes_and_a_seed(simtool: Call) -> None:
    called = simtool(
        "run", "quickstart", "--set", "method=none", "--set", "cluster.num_nodes=4", "--seed", "7", "--json"
    )
    found = json.loads(called.out)
    assert found["manifest"]["seed"] == 7
    assert found["manifest"]["setup"]["num_devices"] == 32
    assert found["manifest"]["method"] is None
    assert found["manifest"]["command"].startswith("simtool run quickstart --set method=none")


def test_run_of_a_run_folder_shows_it_again(simtool: Call, tmp_path: Path) -> None:
    first = simtool("run", "quickstart")
    again = simtool("run", str(the_folder(tmp_path)))
    assert again.out.splitlines()[:-1] == first.out.splitlines()[:-1]
    called = simtool("run", str(the_folder(tmp_path)), "--seed", "2")
    assert called.code == 2
    assert "with a run folder" in called.err


def test_a_dry_run_writes_nothing(simtool: Call, tmp_path: Path) -> None:
    called = simtool("run", "quickstart", "--dry-run")
    assert called.code == 0
    assert "would be written" in called.out
    assert list(tmp_path.iterdir()) == []
    plan = json.loads(simtool("run", "quickstart", "--dry-run", "--json").out)
    assert plan["num_devices"] == 64
    assert plan["exists"] is False
    simtool("run", "quickstart")
    assert json.loads(simtool("run", "quickstart", "--dry-run", "--json").out)["exists"] is True


def test_what_cannot_be_is_told_with_its_own_code(simtool: Call, tmp_path: Path) -> None:
    called = simtool("run", "quickstart", "--set", "workload.model=llama3.1-405b")
    assert called.code == 3
    assert "accelerator memory" in called.err
    assert list(tmp_path.iterdir()) == []


def test_profiles_of_the_user_are_found_by_option_and_environment(
    simtool: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    shipped = (shipped_folder("hardware_profiles") / "h100-sxm.yaml").read_text("utf-8")
    text = shipped.replace("name: h100-sxm", "name: my-gpu").replace(
        "extends: ", f"extends: {shipped_folder('hardware_profiles')}/"
    )
    (mine / "my-gpu.yaml").write_text(text, "utf-8")
    assert "my-gpu" not in simtool("list", "hardware").out
    assert "my-gpu" in simtool("list", "hardware", "--profiles", str(mine)).out
    monkeypatch.setenv("SIMTOOL_PROFILES", str(mine))
    assert "my-gpu" in simtool("list", "hardware").out
    monkeypatch.setenv("SIMTOOL_PROFILES", os.pathsep.join([str(mine), str(tmp_path / "nowhere")]))
    called = simtool("list", "hardware")
    assert called.code == 2
    assert "nowhere" in called.err


# ----------------------------------------------------------------------------------------- plot, explain


def test_plot_draws_into_the_run_folder(simtool: Call, tmp_path: Path) -> None:
    called = simtool("plot", "quickstart", "--only", "step-timeline", "--only", "method-comparison")
    assert called.code == 0
    figures = tmp_path / the_folder(tmp_path) / "figures"
    assert sorted(path.name for path in figures.iterdir()) == [
        f"{name}.{suffix}"
        for name in ("method-comparison", "step-timeline")
        for suffix in ("csv", "png", "svg")
    ]
    assert called.out.splitlines()[0].endswith("step-timeline.svg")


def test_plot_of_a_run_folder_repeats_its_bytes(simtool: Call, tmp_path: Path) -> None:
    simtool("plot", "quickstart", "--only", "energy-by-state", "-o", "a")
    simtool("run", "quickstart")
    folder = the_folder(tmp_path)
    assert simtool("plot", str(folder), "--only", "energy-by-state").code == 0
    for suffix in ("csv", "png", "svg"):
        name = f"energy-by-state.{suffix}"
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / folder / "figures" / name).read_bytes()


def test_plot_refuses_a_run_folder_of_other_profiles(simtool: Call, tmp_path: Path) -> None:
    simtool("run", "quickstart")
    manifest = tmp_path / the_folder(tmp_path) / "manifest.json"
    content = json.loads(manifest.read_text("utf-8"))
    content["hash"] = "0" * 64
    content["profiles"]["accelerator/h100-sxm"] = "0" * 64
    manifest.write_text(json.dumps(sealed(content, manifest.parent)), "utf-8")
    called = simtool("plot", str(the_folder(tmp_path)), "--only", "step-timeline")
    assert called.code == 2
    assert "accelerator/h100-sxm has changed since this run" in called.err


def test_plot_of_what_a_run_lacks(simtool: Call) -> None:
    called = simtool(
        "plot", "quickstart", "--set", "method=none", "--only", "method-comparison", "-o", "figures"
    )
    assert called.code == 2
    assert "the run uses no method" in called.err
    called = simtool("plot", "quickstart", "--only", "step-timelime")
    assert called.code == 2
    assert "'step-timeline'" in called.err


def test_the_projection_over_accelerators_goes_through_the_run(simtool: Call, tmp_path: Path) -> None:
    import csv

    assert simtool("plot", "quickstart", "--only", "projection-devices", "-o", "figures").code == 0
    quantities = json.loads(simtool("run", "quickstart", "--json").out)["quantities"]
    text = (tmp_path / "figures" / "projection-devices.csv").read_text("utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert len({row["num_devices"] for row in rows}) >= 6
    own = {row["run"]: row for row in rows if row["is_scenario"] == "1"}
    for column, name in (
        ("cost_usd", "cost_total_usd"),
        ("duration_s", "duration_s"),
        ("energy_facility_j",) * 2,
    ):
        assert float(own["with method"][column]) == pytest.approx(quantities[name]["value"], rel=1e-9)
        assert float(own["without method"][column]) == pytest.approx(
            quantities[name]["without_method"], rel=1e-9
        )
    alone = [row for row in rows if row["run"] == "with method"]
    durations = [float(row["duration_s"]) for row in sorted(alone, key=lambda row: float(row["num_devices"]))]
    assert durations == sorted(durations, reverse=True)


@pytest.mark.parametrize(
    "words", [("energy.total", "quickstart"), ("quickstart", "energy.total"), ("energy.total",)]
)
def test_explain_goes_down_to_a_source(words: tuple[str, ...], simtool: Call) -> None:
    called = simtool("explain", *words)
    assert called.code == 0
    assert called.out.startswith("quickstart: facility energy\n\nenergy_facility_j = ")
    assert "energy_it x PUE" in called.out
    assert "quickstart.yaml:" in called.out
    assert "[datasheet]" in called.out


def test_explain_without_a_quantity_lists_all(simtool: Call) -> None:
    for words in ((), ("quickstart",)):
        out = simtool("explain", *words).out
        assert all(name in out for name in NUMBERS)


def test_explain_of_a_run_folder_is_that_of_its_scenario(simtool: Call, tmp_path: Path) -> None:
    simtool("run", "quickstart")
    of_folder = json.loads(simtool("explain", "cost.total", str(the_folder(tmp_path)), "--json").out)
    assert of_folder == json.loads(simtool("explain", "cost.total", "quickstart", "--json").out)


def test_explain_of_an_unknown_quantity(simtool: Call) -> None:
    called = simtool("explain", "energy.totl", "quickstart")
    assert called.code == 2
    assert "'energy.total'" in called.err


# --------------------------------------------------------------------------------- compare, check, schema


def test_compare_shows_ratios_to_the_first(simtool: Call, tmp_path: Path) -> None:
    simtool("run", "quickstart")
    folder = str(the_folder(tmp_path))
    called = simtool("compare", folder, "megatron-22b", "--json")
    rows = {row["quantity"]: row for row in json.loads(called.out)["quantities"]}
    assert rows["duration_s"]["ratio"]["quickstart"] == 1.0
    ratio = rows["duration_s"]["value"]["megatron-22b"] / rows["duration_s"]["value"]["quickstart"]
    assert rows["duration_s"]["ratio"]["megatron-22b"] == pytest.approx(ratio)
    table = simtool("compare", folder, "megatron-22b", "megatron-175b").out
    assert max(len(line) for line in table.splitlines()) <= 80
    assert table.count("quantity") == 2


def test_compare_needs_two_different_runs(simtool: Call) -> None:
    assert simtool("compare", "quickstart").code == 2
    called = simtool("compare", "quickstart", "quickstart")
    assert called.code == 2
    assert "the same run" in called.err


def test_compare_draws_on_request(simtool: Call, tmp_path: Path) -> None:
    called = simtool("compare", "megatron-22b", "megatron-22b-full", "--figure", "figures")
    assert called.code == 0
    assert sorted(path.suffix for path in (tmp_path / "figures").iterdir()) == [".csv", ".png", ".svg"]


def test_check_tells_all_problems_of_all_files(simtool: Call, tmp_path: Path) -> None:
    text = (shipped_folder("scenarios") / "quickstart.yaml").read_text("utf-8")
    (tmp_path / "a.yaml").write_text(
        text.replace("seq_len: 8192", "seq_len: -1").replace("seed: 1", "sead: 1"), "utf-8"
    )
    (tmp_path / "b.yaml").write_text(text.replace("tokens: 1 Ttoken", "tokens: 1 TB"), "utf-8")
    called = simtool("check", "a.yaml", "b.yaml", "quickstart")
    assert called.code == 2
    assert called.out.startswith("quickstart: ok")
    assert [line.split(":")[0] for line in called.err.splitlines()] == ["a.yaml", "a.yaml", "b.yaml"]
    reports = json.loads(simtool("check", "a.yaml", "b.yaml", "quickstart", "--json").out)
    assert [report["ok"] for report in reports] == [False, False, True]
    assert [len(report["problems"]) for report in reports] == [2, 1, 0]


def test_check_knows_what_has_no_answer(simtool: Call) -> None:
    called = simtool("check", "quickstart", "--set", "workload.model=llama3.1-405b")
    assert called.code == 3
    assert "accelerator memory" in called.err


@pytest.mark.parametrize("verb", [("check",), ("run", "--dry-run"), ("run",)])
def test_what_cannot_be_simulated_is_told_before_it_is_tried(verb: tuple[str, ...], simtool: Call) -> None:
    called = simtool(*verb, "quickstart", "--set", "reliability.checkpoint.interval=1 ms")
    assert called.code == 3
    assert "number of checkpoints" in called.err


def test_check_reads_profiles_and_effects(simtool: Call, tmp_path: Path) -> None:
    folder = shipped_folder("hardware_profiles")
    files = [
        folder / "h100-sxm.yaml",
        folder / "nodes/dgx-h100.yaml",
        folder / "effects/fewer-operations.yaml",
    ]
    called = simtool("check", *map(str, files))
    assert called.code == 0
    assert [line.rpartition("(")[2] for line in called.out.splitlines()] == [
        "accelerator profile)",
        "node profile)",
        "effect profile)",
    ]
    (tmp_path / "mine.yaml").write_text("schema: simtool/accelerator/1\nname: mine\n", "utf-8")
    assert simtool("check", "mine.yaml").code == 2


def test_a_resolved_scenario_asks_the_same_question(simtool: Call, tmp_path: Path) -> None:
    (tmp_path / "resolved.yaml").write_text(simtool("check", "quickstart", "--resolved").out, "utf-8")
    first = json.loads(simtool("run", "quickstart", "--json").out)
    second = json.loads(simtool("run", "resolved.yaml", "--json").out)
    assert second["reused"] is True
    assert second["folder"] == first["folder"]


@pytest.mark.parametrize("name", sorted(path.stem for path in shipped_folder("scenarios").glob("*.yaml")))
def test_every_shipped_scenario_passes_the_check(name: str, simtool: Call) -> None:
    assert simtool("check", name).code == 0


def test_schema_files_are_written_and_checked(simtool: Call, tmp_path: Path) -> None:
    assert json.loads(simtool("schema", "scenario").out)["properties"]["workload"]
    assert set(json.loads(simtool("schema").out)) >= {"scenario", "accelerator", "effect"}
    assert simtool("schema", "-o", "schemas", "--check").code == 2
    assert simtool("schema", "-o", "schemas").code == 0
    assert simtool("schema", "-o", "schemas", "--check").code == 0
    (tmp_path / "schemas" / "node.schema.json").write_text("{}", "utf-8")
    called = simtool("schema", "-o", "schemas", "--check")
    assert called.code == 2
    assert "node.schema.json" in called.err
    assert simtool("schema", "scenaro").code == 2


# ---------------------------------------------------------------------------------- list, doctor, new


def test_every_list_has_entries_and_a_json_form(simtool: Call) -> None:
    for row in json.loads(simtool("list", "--json").out):
        entries = json.loads(simtool("list", row["list"], "--json").out)
        assert len(entries) == row["entries"] > 0
        assert all(entry["name"] for entry in entries)


@pytest.mark.parametrize("what", ["nodes", "effects", "methods", "tasks", "series", "scenarios"])
def test_a_list_is_a_narrow_table(what: str, simtool: Call) -> None:
    entries = json.loads(simtool("list", what, "--json").out)
    shown = simtool("list", what).out
    assert all(entry["name"] in shown for entry in entries)
    assert max(len(line) for line in shown.splitlines()) <= 80


def test_a_list_may_be_asked_for_in_other_words(simtool: Call) -> None:
    assert simtool("list", "gpus").out == simtool("list", "hardware").out
    called = simtool("list", "hardwear")
    assert called.code == 2
    assert "'hardware'" in called.err


def test_doctor_finds_this_installation(simtool: Call) -> None:
    report = json.loads(simtool("doctor", "--json").out)
    assert report["needed"]["numpy"]
    assert report["profile_folders"][-1]["num_accelerators"] > 50
    told = simtool("doctor").out.splitlines()
    for path in (
        report["package"],
        report["executable"],
        report["scenarios"],
        report["profile_folders"][0]["path"],
    ):
        assert any(path in line for line in told), f"{path} was broken"


def test_a_new_scenario_passes_the_check_and_runs(simtool: Call) -> None:
    assert simtool("new", "scenario", "My run.yaml").code == 0
    assert simtool("check", "My run.yaml").code == 0
    called = simtool("run", "My run.yaml")
    assert called.code == 0
    assert called.out.startswith("my-run: ")


def test_what_a_new_scenario_offers_in_comments_is_valid(simtool: Call, tmp_path: Path) -> None:
    simtool("new", "scenario", "a.yaml")
    text = (tmp_path / "a.yaml").read_text("utf-8")
    rent, own = text.index("economics:  "), text.index("# economics:")
    end = text.index("# observed:")
    commented = [line.removeprefix("# ").removeprefix("#") for line in text[own:end].splitlines()]
    text = text[:rent] + "\n".join(commented) + "\n" + text[end:]
    text = text.replace("method: none ", "# ").replace("# method: {", "method: {")
    text = text.replace("layout: auto ", "# ").replace("# layout: {", "layout: {")
    text = text.replace("# power_cap:", "  power_cap:")
    text = text.replace("# observed:", "observed:").replace("#   source:", "  source:")
    text = text.replace("#   accelerator_hours:", "  accelerator_hours:")
    (tmp_path / "b.yaml").write_text(text, "utf-8")
    called = simtool("check", "b.yaml")
    assert called.err == ""
    assert called.code == 0


def test_new_overwrites_nothing_unasked(simtool: Call, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("mine", "utf-8")
    called = simtool("new", "scenario", "a.yaml")
    assert called.code == 2
    assert "--force" in called.err
    assert (tmp_path / "a.yaml").read_text("utf-8") == "mine"
    assert simtool("new", "scenario", "a.yaml", "--force").code == 0
    assert simtool("new", "scenario", "a.txt").code == 2
    assert simtool("new", "scenaro", "b.yaml").code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]


# ---------------------------------------------------------------------------------------- the terminal


def test_quiet_and_verbose_change_no_result(simtool: Call, tmp_path: Path) -> None:
    simtool("run", "megatron-22b", "-o", "a", "-q")
    simtool("run", "megatron-22b", "-o", "b", "-vv")
    (first,) = (tmp_path / "a" / "megatron-22b").iterdir()
    (second,) = (tmp_path / "b" / "megatron-22b").iterdir()
    assert (first / "summary.json").read_bytes() == (second / "summary.json").read_bytes()


def on_terminal(arguments: list[str], cwd: Path, **environment: str) -> str:
    """What a command writes where stdout and stderr are a terminal of 100 columns."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-c", CODE, *arguments]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100", **environment}
    running = subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, cwd=cwd, env=variables
    )
    os.close(follower)
    written = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        written += piece
    os.close(leader)
    assert running.wait() == 0
    return written.decode()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("simtool")
@pytest.mark.parametrize(("verbose", "quiet", "told"), [(0, False, True), (0, True, False)])
def test_long_work_shows_one_line_on_a_terminal_and_wipes_it(
    verbose: int, quiet: bool, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(console, "PATIENCE_S", 0.0)
    monkeypatch.setattr(sys, "stderr", terminal)
    console.configure(verbose, quiet)
    with console.progress() as follow:
        follow("simulating", 0.5)
        follow("simulating", 0.6)  # at most ten times a second
    assert terminal.getvalue() == ("\rsimulating  50 %\r" + " " * 16 + "\r" if told else "")


@pytest.mark.usefixtures("simtool")
def test_short_work_and_files_see_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr(console, "PATIENCE_S", 60.0 if stream.isatty() else 0.0)
        monkeypatch.setattr(sys, "stderr", stream)
        console.configure(0, False)
        with console.progress() as follow:
            follow("simulating", 0.5)
        assert stream.getvalue() == ""


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_gets_emphasis_and_no_color_is_respected(
    environment: dict[str, str], coloured: bool, tmp_path: Path
) -> None:
    written = on_terminal(["list", "effects"], tmp_path, **environment)
    assert "fewer-operations" in written
    assert "\x1b[1m" in written or not coloured
    assert not [code for code in ("\x1b[3", "\x1b[4", "\x1b[9") if code in written]


def test_a_shipped_scenario_is_extended_by_its_name(simtool: Callable[..., Called], tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: quickstart\nname: mine\ncluster: {num_nodes: 2}\n", "utf-8")
    assert simtool("check", "mine.yaml").out == "mine.yaml: ok (16 h100-sxm, tp 2 x pp 1 x dp 8)\n"
    assert simtool("run", "mine.yaml", "--dry-run").code == 0
    (tmp_path / "site.yaml").write_text(
        "extends: campus.yaml\nname: site\nscheduler: {name: fcfs}\n", "utf-8"
    )
    assert simtool("check", "site.yaml").code == 0
    (tmp_path / "quickstart.yaml").write_text("extends: quickstart\nname: same-name\n", "utf-8")
    assert simtool("check", "quickstart.yaml").code == 0
    (tmp_path / "wrong.yaml").write_text("extends: quickstrt\n", "utf-8")
    assert "did you mean 'quickstart' or 'quickstart.yaml'?" in simtool("run", "wrong.yaml").err
    (tmp_path / "wrong.yaml").write_text("extends: ../quickstart.yaml\n", "utf-8")
    assert simtool("run", "wrong.yaml").code == 2
