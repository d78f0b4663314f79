"""What all tests share: the reference data, the rule about skips, and hypothesis without chance."""

from __future__ import annotations

import os
from collections.abc import Generator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import hypothesis
import pytest

REFERENCE_DATA_VARIABLE = "SIMTOOL_REFERENCE_DATA"
ABSENT = "no reference data"
"""How the reason of a skip begins that is allowed without being named."""
ALLOWED_SKIPS = Path(__file__).with_name("allowed_skips.txt")

hypothesis.settings.register_profile(
    "house",
    deadline=None,  # a shared machine pauses; slow code is found by the budgets, not by a deadline
    max_examples=50,
    derandomize=True,
    database=None,
    print_blob=True,
)
hypothesis.settings.register_profile(
    "explore", hypothesis.settings.get_profile("house"), derandomize=False, max_examples=1000
)
hypothesis.settings.load_profile(os.environ.get("SIMTOOL_HYPOTHESIS_PROFILE", "house"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-reference-data",
        action="store_true",
        help=f"fail, rather than skip, what needs the folder named by {REFERENCE_DATA_VARIABLE}",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--require-reference-data") and (missing := _missing_reference_data()):
        raise pytest.UsageError(f"--require-reference-data: {missing}")


def _missing_reference_data() -> str:
    """Why there is no reference data, or an empty string when there is."""
    named = os.environ.get(REFERENCE_DATA_VARIABLE, "")
    if not named:
        return f"{ABSENT}: {REFERENCE_DATA_VARIABLE} is not set"
    for part in ("data", "validation"):
        if not (Path(named) / part).is_dir():
            return f"{ABSENT}: {named} has no folder {part!r}"
    return ""


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """The folder that holds ``data/`` and ``validation/``; the test is skipped without it."""
    if missing := _missing_reference_data():
        pytest.skip(missing)
    return Path(os.environ[REFERENCE_DATA_VARIABLE])


def allowed_skips() -> list[str]:
    """Patterns of the node ids that may skip, or fail as expected."""
    lines = ALLOWED_SKIPS.read_text("utf-8").splitlines() if ALLOWED_SKIPS.is_file() else []
    return [name for line in lines if (name := line.partition("#")[0].strip())]


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(getattr(report, "wasxfail", report.longrepr))


def _refuse_unnamed_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """A skip that is neither for want of reference data nor named becomes a failure."""
    if not report.skipped or _reason(report).startswith(ABSENT):
        return
    if any(fnmatchcase(report.nodeid, pattern) for pattern in allowed_skips()):
        return
    why = _reason(report)
    report.outcome = "failed"
    report.longrepr = f"{report.nodeid} was skipped ({why}) and is not named in tests/{ALLOWED_SKIPS.name}"
    if hasattr(report, "wasxfail"):
        del report.wasxfail


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_unnamed_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_unnamed_skip(report)
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    skipped = [
        report for report in terminalreporter.stats.get("skipped", []) if _reason(report).startswith(ABSENT)
    ]
    if skipped:
        terminalreporter.write_line(
            f"{len(skipped)} tests were skipped for want of reference data: "
            f"set {REFERENCE_DATA_VARIABLE} to the folder that holds data/ and validation/",
            yellow=True,
        )
