"""What is imported when: the borders that are seen only at run time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "pandas", "matplotlib", "scipy", "simpy", "pint", "pyarrow", "jinja2", "altair", "dask")
HELP_BUDGET_S = 0.5


def python(code: str, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs code in a new interpreter, optionally with a folder of modules that come first."""
    prelude = "" if path is None else f"import sys; sys.path.insert(0, {str(path)!r})\n"
    return subprocess.run(
        [sys.executable, "-c", prelude + code],
        cwd=cwd,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def loaded_after(code: str, cwd: Path) -> set[str]:
    """Top-level modules that are loaded after some code ran."""
    ran = python(code + "\nimport sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))", cwd)
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.splitlines()[-1].split())


def cli(*arguments: str) -> str:
    """Code that calls the command line in the same interpreter and swallows its exit."""
    return (
        "import sys\nfrom simtool.cli.main import main\n"
        f"sys.argv = ['simtool', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
    )


def test_import_simtool_loads_nothing_heavy(tmp_path: Path) -> None:
    assert loaded_after("import simtool", tmp_path).isdisjoint((*HEAVY, "numpy", "pydantic", "typer"))


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    assert loaded_after(cli("--help"), tmp_path).isdisjoint((*HEAVY, "numpy", "pydantic"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "hardware"),
        ("check", "quickstart"),
        ("run", "quickstart"),
        ("explain", "cost.total", "quickstart"),
    ],
    ids=" ".join,
)
def test_no_verb_that_simulates_tries_to_import_torch(arguments: tuple[str, ...], tmp_path: Path) -> None:
    caught, cwd = trap(tmp_path), tmp_path / "empty"
    cwd.mkdir()
    ran = python(cli(*arguments), cwd, tmp_path / "trap")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert not caught.exists()


def trap(folder: Path) -> Path:
    """A torch that cannot be imported; the file that is returned exists once somebody tried, excused or not."""
    caught = folder / "caught"
    (folder / "trap").mkdir()
    code = f"open({str(caught)!r}, 'w').close()\nraise ImportError('torch is not for this verb')\n"
    (folder / "trap" / "torch.py").write_text(code, "utf-8")
    return caught


def test_the_trap_catches_even_an_import_that_is_excused(tmp_path: Path) -> None:
    caught = trap(tmp_path)
    code = "import contextlib\nwith contextlib.suppress(ImportError):\n    import torch"
    assert python(code, tmp_path, tmp_path / "trap").returncode == 0
    assert caught.exists()


def test_help_is_quick(tmp_path: Path) -> None:
    """Processor time, best of five: on an idle machine that is the time one waits, on a busy one it stays."""
    durations_s = []
    for _ in range(5):
        before = os.times()
        ran = python(cli("--help"), tmp_path)
        after = os.times()
        assert ran.returncode == 0, ran.stderr
        durations_s.append(
            after.children_user + after.children_system - before.children_user - before.children_system
        )
    assert 0.0 < min(durations_s) < HELP_BUDGET_S
