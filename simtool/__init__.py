"""What a training run of an AI model costs, in time, energy, money and carbon, before it is started.

This namespace is a convenience for notebooks and scripts; each name lives in a room of its own::

    import simtool as st

    result = st.run("quickstart")  # a shipped scenario, or the path of a file
    result.quantities["cost_total_usd"].value
    st.run_site("campus").value("pue")  # a datacenter, shipped or the path of a file

Nothing is imported before it is used, so ``import simtool`` costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # from typing it would take half of the time until the command line has its guard
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from simtool.config.load import LoadedScenario
    from simtool.config.scenario import Scenario
    from simtool.errors import InfeasibleError, InputError, OutputError, Problem, SimtoolError
    from simtool.profiles.find import ProfileLibrary, default_library
    from simtool.provenance import Derived, Sourced
    from simtool.result.datacenter.result import DatacenterResult
    from simtool.result.result import Result
    from simtool.transfer.api import project
    from simtool.transfer.projection import Projection

__version__ = "0.1.0"

__all__ = [
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
]

_HOMES = {
    "DatacenterResult": "simtool.result.datacenter.result",
    "Derived": "simtool.provenance",
    "InfeasibleError": "simtool.errors",
    "InputError": "simtool.errors",
    "LoadedScenario": "simtool.config.load",
    "OutputError": "simtool.errors",
    "Problem": "simtool.errors",
    "ProfileLibrary": "simtool.profiles.find",
    "Projection": "simtool.transfer.projection",
    "Result": "simtool.result.result",
    "Scenario": "simtool.config.scenario",
    "SimtoolError": "simtool.errors",
    "Sourced": "simtool.provenance",
    "default_library": "simtool.profiles.find",
    "project": "simtool.transfer.api",
}
"""Module of every name that is looked up on first use."""


def load_scenario(scenario: str | Path, overrides: Sequence[str] = ()) -> LoadedScenario:
    """A scenario, checked, with the origin of every field.

    Args:
        scenario: name of a shipped scenario, or path of a file.
        overrides: changes as ``--set`` takes them, e.g. ``["cluster.num_nodes=64"]``.

    Raises:
        InputError: everything that is wrong with it, each with file, line and column.
    """
    from dataclasses import replace

    from simtool.config import load
    from simtool.profiles.find import extendable, find_scenario
    from simtool.result.saved import written_at

    path = find_scenario(str(scenario))
    return replace(load.load_scenario(path, overrides, elsewhere=extendable()), path=written_at(path))


def run(
    scenario: str | Path | LoadedScenario,
    overrides: Sequence[str] = (),
    *,
    profiles: Sequence[Path] = (),
    seeds: int = 1,
) -> Result:
    """What the training run of a scenario costs; nothing is written to disk.

    Args:
        scenario: name of a shipped scenario, path of a file, or what `load_scenario` returned.
        overrides: changes as ``--set`` takes them; for a name or a path only.
        profiles: folders with profiles of your own, searched before the shipped ones.
        seeds: number of simulated runs; from two on, quantities have intervals.

    Raises:
        TypeError: overrides were given for a scenario that is loaded already, which never changes.
        InputError: the scenario cannot be read.
        InfeasibleError: no run can be made of it; names the limit that binds.
    """
    from simtool.config.load import LoadedScenario
    from simtool.profiles.find import default_library
    from simtool.result.run import run as run_loaded

    if isinstance(scenario, LoadedScenario) and overrides:
        raise TypeError("overrides belong to load_scenario: a loaded scenario never changes")
    loaded = scenario if isinstance(scenario, LoadedScenario) else load_scenario(scenario, overrides)
    return run_loaded(loaded, default_library(profiles, loaded.path), seeds=seeds)


def run_site(
    datacenter: str | Path,
    overrides: Sequence[str] = (),
    *,
    profiles: Sequence[Path] = (),
    seeds: int = 1,
) -> DatacenterResult:
    """What a site with its jobs does and costs; nothing is written to disk.

    Args:
        datacenter: name of a shipped datacenter, or path of a file.
        overrides: changes as ``--set`` takes them, e.g. ``["scheduler.name=fcfs"]``.
        profiles: folders with profiles of your own, searched before the shipped ones.
        seeds: number of simulated runs; from two on, quantities have intervals.

    Raises:
        InputError: the datacenter cannot be read.
        InfeasibleError: it cannot be run; names the limit that binds.
    """
    from dataclasses import replace

    from simtool.config.load_datacenter import load_datacenter
    from simtool.profiles.find import default_library, extendable, find_scenario
    from simtool.result.datacenter.run import run_datacenter
    from simtool.result.saved import written_at

    path = find_scenario(str(datacenter))
    loaded = replace(load_datacenter(path, overrides, elsewhere=extendable()), path=written_at(path))
    return run_datacenter(loaded, default_library(profiles, loaded.path), seeds=seeds)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
