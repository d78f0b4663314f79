"""What the command line does as a process: closed streams, paths that are no text, Ctrl-C, pipes as files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from simtool.cli import main
from tests.cli.conftest import Called
from tests.cli.test_errors import CODE, ROOT

Call = Callable[..., Called]


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)


def shell(command: str) -> subprocess.CompletedProcess[bytes]:
    """A command of bash in which SIMTOOL stands for the tool."""
    script = command.replace("SIMTOOL", f"'{sys.executable}' -c '{CODE}'")
    return subprocess.run(["/bin/bash", "-c", script], capture_output=True, timeout=60)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("SIMTOOL run quickstart -q >&-", 0),
        ("SIMTOOL run quickstart -q 2>&-", 0),
        ("SIMTOOL run quickstart -q <&- >&- 2>&-", 0),
        ("SIMTOOL run nothing >&-", 2),
        ("SIMTOOL run nothing 2>&-", 2),
        ("SIMTOOL check nothing >&- 2>&-", 2),
        ("SIMTOOL list series --json 2>&1 | head -c 1 >/dev/null; exit ${PIPESTATUS[0]}", 0),
        ("SIMTOOL run nothing 2> >(exec true); exit $?", 2),
    ],
)
def test_closed_streams_change_no_exit_code(command: str, code: int) -> None:
    ran = shell(command)
    assert ran.returncode == code
    assert b"Traceback" not in ran.stderr + ran.stdout
    assert b"bug in simtool" not in ran.stderr + ran.stdout


def test_a_closed_stdout_does_not_let_output_into_files(tmp_path: Path) -> None:
    assert shell("SIMTOOL run quickstart -q >&- 2>&-").returncode == 0
    (folder,) = (tmp_path / "out" / "quickstart").iterdir()
    assert json.loads((folder / "manifest.json").read_text("utf-8"))["schema"] == "simtool/run/1"


def test_paths_that_are_no_text(tmp_path: Path) -> None:
    ran = shell(r"SIMTOOL new scenario $'caf\xe9.yaml' && SIMTOOL run $'caf\xe9.yaml' -o $'out\xff'")
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"out\xff/caf" in ran.stdout
    (folder,) = Path(os.fsdecode(bytes(tmp_path) + b"/out\xff/caf")).iterdir()
    told = subprocess.run(
        [sys.executable, "-c", CODE, "run", b"caf\xe9.yaml", "-o", b"out\xff", "--json"], capture_output=True
    )
    assert json.loads(told.stdout)["folder"] == f"out\udcff/caf/{folder.name}"
    assert json.loads(told.stdout)["reused"] is True
    explained = subprocess.run(
        [sys.executable, "-c", CODE, "explain", "cost", os.fsencode(folder)], capture_output=True
    )
    assert explained.returncode == 0


def test_a_terminal_that_cannot_show_a_letter_is_shown_another(tmp_path: Path) -> None:
    (tmp_path / "é.yaml").write_text("schema: simtool/scenario/1\n", "utf-8")
    ran = shell("PYTHONIOENCODING=ascii SIMTOOL new scenario ü.yaml")
    assert ran.returncode == 0
    assert ran.stdout.startswith(b"\\xfc.yaml")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["simtool.cli.app", "pydantic_core", "numpy"])
def test_control_c_while_something_is_imported(module: str, number: signal.Signals, tmp_path: Path) -> None:
    """The signal comes exactly when a module is looked for: no timing, no luck."""
    code = (
        "import os, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        f"            os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from simtool.cli.main import main\n"
        "sys.argv = ['simtool', 'run', 'quickstart']\n"
        "main()\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 130
    assert ran.stderr == "interrupted; nothing was left half-written\n"
    assert ran.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_control_c_that_a_library_turned_into_another_error(
    simtool: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def translated(*_: object) -> int:
        raise ValueError("SchemaError: KeyboardInterrupt")

    monkeypatch.setattr(main, "_invoke", translated)
    assert simtool("run", "quickstart").code == 1
    monkeypatch.setattr(main, "_STOPS", [2])
    assert simtool("run", "quickstart").code == 130


def test_the_entry_point_imports_next_to_nothing() -> None:
    code = "import sys; before = set(sys.modules); import simtool.cli.main; print(*set(sys.modules) - before)"
    loaded = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True).stdout.split()
    assert {name for name in loaded if name.startswith("simtool")} == {
        "simtool",
        "simtool.cli",
        "simtool.cli.main",
    }
    assert not {"typer", "rich", "dataclasses", "typing", "logging"} & set(loaded)


@pytest.fixture
def pipe(tmp_path: Path) -> Callable[[str], Path]:
    def made(name: str) -> Path:
        os.mkfifo(tmp_path / name)
        return tmp_path / name

    return made


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("a.yaml", "run PIPE"),
        ("a.yaml", "check PIPE"),
        ("a.yaml", "explain cost PIPE"),
        ("a.yaml", "compare PIPE quickstart"),
        ("a.csv", "check quickstart --set site.price={series:\\ PIPE}"),
        ("a.csv.gz", "check quickstart --set site.carbon.average={series:\\ PIPE}"),
        ("a.parquet", "run quickstart --set site.price={series:\\ PIPE}"),
        ("a.json", "check quickstart --set workload.model=PIPE"),
        ("a.yaml", "check quickstart --set method.profile=PIPE"),
        ("a.csv", "validate --table PIPE"),
        ("a.csv.gz", "validate --table PIPE"),
    ],
)
def test_a_pipe_is_refused_and_not_waited_for(name: str, command: str, pipe: Callable[[str], Path]) -> None:
    path = pipe(name)
    began_s = time.monotonic()
    ran = shell(f"SIMTOOL {command.replace('PIPE', str(path))}")
    assert ran.returncode == 2
    assert b"pipe" in ran.stderr
    assert ran.stderr.count(b"\n") == 1
    assert time.monotonic() - began_s < 30


def test_a_profile_that_is_a_pipe_is_no_profile(simtool: Call, pipe: Callable[[str], Path]) -> None:
    path = pipe("own-gpu.yaml")
    called = simtool(
        "check", "quickstart", "--profiles", str(path.parent), "--set", "cluster.accelerator=own-gpu"
    )
    assert called.code == 2
    assert "own-gpu" in called.err


def test_new_makes_no_folders(simtool: Call, tmp_path: Path) -> None:
    called = simtool("new", "scenario", "a/b/c.yaml")
    assert called.code == 2
    assert "there is no folder 'a/b'; make it" in called.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["price", "carbon.average"])
@pytest.mark.parametrize("what", ["no-such-series", "missing.csv", "price-fr", "short.csv"])
def test_mistakes_of_series_are_told_at_their_line(
    what: str, key: str, simtool: Call, tmp_path: Path
) -> None:
    rows = "time_utc,price_usd_per_mwh,carbon_average_gco2e_per_kwh\n2025-01-01T00:00Z,1,1\n"
    (tmp_path / "short.csv").write_text(rows, "utf-8")
    simtool("new", "scenario", "mine.yaml")
    text = (tmp_path / "mine.yaml").read_text("utf-8").splitlines()
    line = next(
        number for number, one in enumerate(text) if f"{key.partition('.')[0]}:" in one and "kWh" in one
    )
    series = f"{{series: {what}}}"
    text[line] = f"  price: {series}" if key == "price" else f"  carbon: {{average: {series}}}"
    (tmp_path / "mine.yaml").write_text("\n".join(text), "utf-8")
    called = simtool("check", "mine.yaml")
    assert called.code == 2
    assert called.err.startswith(f"mine.yaml:{line + 1}:")
    assert f": site.{key}: " in called.err
    assert what in called.err


def test_what_is_written_beside_a_full_disk_is_whole_or_absent(tmp_path: Path) -> None:
    for command in ("schema -o schemas", "validate -o scores.csv", "new scenario mine.yaml"):
        ran = shell(f"ulimit -f 1; SIMTOOL {command}")
        assert ran.returncode == 2
        assert b"File too large" in ran.stderr
    ran = shell("ulimit -f 1; SIMTOOL plot quickstart -o made/figures --only step-timeline")
    assert ran.returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_output_that_nobody_can_take_says_what_is_full() -> None:
    ran = shell("SIMTOOL list methods > /dev/full")
    assert (ran.returncode, ran.stderr) == (2, b"output: No space left on device\n")


def test_a_device_is_not_replaced_by_a_file(simtool: Call, pipe: Callable[[str], Path]) -> None:
    path = pipe("scores.csv")
    assert simtool("validate", "-o", str(path)).code == 2
    assert path.is_fifo()


def test_a_link_to_itself_is_told(simtool: Call, tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    called = simtool("run", "loop.yaml")
    assert called.code == 2
    assert "symbolic links" in called.err
