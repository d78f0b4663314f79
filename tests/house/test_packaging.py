"""What is installed, with what, and from where."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import simtool
from tests.house.tree import ROOT, fenced_blocks

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PINS = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
PIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][A-Za-z0-9.!+]*")
PINNED_EXTRAS = ("engine", "test", "dev")
"""What the guards install; the other extras are chosen by the user."""


def requirements() -> list[Requirement]:
    """Everything that the guards install by name."""
    extras = PROJECT["project"]["optional-dependencies"]
    lines = PROJECT["build-system"]["requires"] + PROJECT["project"]["dependencies"]
    lines += [line for extra in PINNED_EXTRAS for line in extras[extra]]
    return [found for line in lines if (found := Requirement(line)).name != "simtool-planner"]


def test_constraints_are_exact_versions_and_nothing_else() -> None:
    assert [line for line in PINS if not PIN.fullmatch(line)] == []
    names = [canonicalize_name(line.partition("==")[0]) for line in PINS]
    assert names == sorted(set(names))


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_requirement_is_pinned_to_a_version_that_satisfies_it(requirement: Requirement) -> None:
    pins = {canonicalize_name(line.partition("==")[0]): line.partition("==")[2] for line in PINS}
    assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])


def test_torch_comes_with_the_engine_only() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    with_torch = [extra for extra, lines in extras.items() if any(line.startswith("torch") for line in lines)]
    assert with_torch == ["engine"]
    assert not any(line.startswith(("torch", "pandas")) for line in PROJECT["project"]["dependencies"])


def test_there_is_one_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == simtool.__version__
    assert importlib.metadata.version("simtool-planner") == simtool.__version__


def test_the_package_tells_type_checkers_that_it_is_typed() -> None:
    assert (ROOT / "simtool" / "py.typed").is_file()


@pytest.mark.parametrize("mark", ["install", "test"])
def test_the_readme_has_one_line_to_install_and_one_to_test(mark: str) -> None:
    (block,) = fenced_blocks((ROOT / "README.md").read_text("utf-8"), f"sh {mark}")
    assert len(block.splitlines()) == 1
    assert subprocess.run(["bash", "-n", "-c", block], stdin=subprocess.DEVNULL).returncode == 0


def test_the_continuous_check_is_a_valid_script() -> None:
    script = ROOT / ".ci" / "run"
    assert subprocess.run(["bash", "-n", str(script)], stdin=subprocess.DEVNULL).returncode == 0
