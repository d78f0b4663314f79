"""The names that a notebook or a script may rely on; a change here is a change for every user."""

from __future__ import annotations

import subprocess
import sys

import pytest

import simtool

SURFACE = {
    "DatacenterResult",
    "Derived",
    "InfeasibleError",
    "InputError",
    "LoadedScenario",
    "OutputError",
    "Problem",
    "ProfileLibrary",
    "Projection",
    "Result",
    "Scenario",
    "SimtoolError",
    "Sourced",
    "__version__",
    "default_library",
    "load_scenario",
    "project",
    "run",
    "run_site",
}


def test_the_public_names_are_these() -> None:
    assert set(simtool.__all__) == SURFACE
    assert simtool.__all__ == sorted(simtool.__all__)


@pytest.mark.parametrize("public", sorted(SURFACE))
def test_every_public_name_exists_and_is_listed(public: str) -> None:
    assert getattr(simtool, public) is not None
    assert public in dir(simtool)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        simtool.nonsense  # noqa: B018


def test_star_import_gives_what_is_listed() -> None:
    code = "from simtool import *; assert run and load_scenario and Result"
    assert subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL).returncode == 0


def test_run_takes_a_name_a_path_or_what_was_loaded() -> None:
    by_name = simtool.run("quickstart")
    assert by_name.value("cost_total_usd") > 0
    loaded = simtool.load_scenario("quickstart")
    assert simtool.run(loaded).value("cost_total_usd") == by_name.value("cost_total_usd")
    assert simtool.run(loaded.path).value("duration_s") == by_name.value("duration_s")
    with pytest.raises(TypeError, match="a loaded scenario never changes"):
        simtool.run(loaded, ["seed=2"])


def test_overrides_reach_the_scenario() -> None:
    assert simtool.load_scenario("quickstart", ["seed=7"]).scenario.seed == 7
