"""Every way to fail has its exit code and one clear message; none shows a traceback unasked."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from simtool.cli import failure, inputs
from simtool.errors import InfeasibleError, InputError, OutputError, Problem, SimtoolError
from tests.cli.conftest import Called

CODE = "from simtool.cli.main import main; main()"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _own_package_in_new_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def fails_with(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            InputError(Problem("a.yaml:3:5", "seed", "found 'x'", "a number", "write 1")),
            2,
            "a.yaml:3:5: seed: found 'x'",
        ),
        (InfeasibleError("memory", "90 of 80 GiB", ["tp 2"]), 3, "nearest that does: tp 2"),
        (OutputError("out", "the disk is full"), 2, "out: the disk is full"),
        (SimtoolError("no scenarios"), 1, "no scenarios"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 3, "memory of this machine"),
        (RecursionError("maximum recursion depth exceeded"), 1, "this is a bug in simtool"),
        (ZeroDivisionError("division by zero"), 1, "ZeroDivisionError: division by zero"),
        (OSError(errno.ENOSPC, "x"), 2, "No space left on device"),
        (PermissionError(errno.EACCES, "x", "results"), 2, "results: Permission denied"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_every_error_has_its_code_and_message(
    error: BaseException,
    code: int,
    said: str,
    simtool: Callable[..., Called],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inputs, "target", fails_with(error))
    called = simtool("run", "quickstart")
    assert called.code == code
    assert said in called.err
    assert "Traceback" not in called.err
    assert called.out == ""


def test_all_problems_are_told_one_a_line(
    simtool: Callable[..., Called], monkeypatch: pytest.MonkeyPatch
) -> None:
    problems = [Problem(f"a.yaml:{line}:1", "x", "found y") for line in (1, 2, 3)]
    monkeypatch.setattr(inputs, "target", fails_with(InputError(problems)))
    assert len(simtool("run", "quickstart").err.splitlines()) == 3


def test_verbose_shows_where_a_bug_arose(
    simtool: Callable[..., Called], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "target", fails_with(ZeroDivisionError("division by zero")))
    assert "Traceback" in simtool("run", "quickstart", "-v").err
    assert "-v shows where" in simtool("run", "quickstart").err


def test_a_reader_that_has_seen_enough_is_no_error(
    simtool: Callable[..., Called], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failure, "_forget_stdout", lambda: None)
    monkeypatch.setattr(inputs, "target", fails_with(BrokenPipeError(errno.EPIPE, "Broken pipe")))
    assert simtool("run", "quickstart") == Called(0, "", "")


def process(*arguments: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CODE, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )


def test_a_closed_pipe_in_a_real_process(tmp_path: Path) -> None:
    ran = subprocess.run(
        f'"{sys.executable}" -c "{CODE}" list series | true; echo "${{PIPESTATUS[0]}}"',
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert ran.stderr == ""
    assert ran.stdout == "0\n"


def test_a_full_disk_behind_stdout_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-c", CODE, "list", "series"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert ran.returncode == 2
    assert "No space left on device" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_control_c_leaves_nothing_and_says_so(tmp_path: Path) -> None:
    running = process("run", "llama3-405b", "--seeds", "1000", cwd=tmp_path)
    time.sleep(2.5)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert out == ""
    assert "interrupted" in err
    assert "Traceback" not in err
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("verb", ["run", "check", "plot"])
@pytest.mark.parametrize("kind", ["folder", "binary", "empty", "text", "missing"])
def test_what_is_not_a_scenario_is_bad_input(
    verb: str, kind: str, simtool: Callable[..., Called], tmp_path: Path
) -> None:
    path = tmp_path / "thing.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes({"binary": bytes(range(256)), "empty": b"", "text": b"hello"}[kind])
    called = simtool(verb, str(path))
    assert called.code == 2
    assert "thing.yaml" in called.err
    assert "Traceback" not in called.err
    assert {file.name for file in tmp_path.iterdir()} <= {"thing.yaml"}


def test_an_unknown_scenario_has_near_matches(simtool: Callable[..., Called]) -> None:
    called = simtool("run", "quikstart")
    assert called.code == 2
    assert "quickstart" in called.err


def test_a_folder_that_may_not_be_written(simtool: Callable[..., Called], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    called = simtool("run", "quickstart", "-o", "file")
    assert called.code == 2
    assert "a file stands where a folder is needed" in called.err
    if os.geteuid() != 0:
        (tmp_path / "closed").mkdir(mode=0o500)
        assert "may not be written to" in simtool("run", "quickstart", "-o", "closed").err
