"""`simtool doctor`: what is installed and found here, for a report of a problem."""

from __future__ import annotations

import os
import platform
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from simtool import __version__
from simtool.cli import console, options

if TYPE_CHECKING:
    from simtool.profiles.find import ProfileLibrary

EPILOG = options.example("simtool doctor", "simtool doctor --json")
NEEDED = (
    "numpy",
    "scipy",
    "simpy",
    "PyYAML",
    "matplotlib",
    "pydantic",
    "pint",
    "typer",
    "rich",
    "pyarrow",
    "jinja2",
)
EXTRAS = {
    "engine": ("torch", "nvidia-ml-py", "scikit-learn"),
    "data": ("pandas",),
    "cluster": ("dask", "dask-jobqueue"),
    "site": ("pvlib", "psychrolib"),
    "report": ("altair", "vl-convert-python"),
}
DISTRIBUTION = "simtool-planner"
DEVICE_HINTS = {
    "nvidia": (Path("/proc/driver/nvidia/version"), Path("/dev/nvidiactl")),
    "amd": (Path("/dev/kfd"),),
    "habana": (Path("/dev/accel/accel0"),),
}
"""Files by which a driver shows itself; looking at them loads nothing."""


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("doctor", epilog=EPILOG, short_help="what is installed and found here")(doctor)


def doctor(
    profiles: options.Profiles = None,
    as_json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Show versions, paths, profile folders, optional packages and devices; imports none of them."""
    console.configure(verbose, quiet)
    from simtool.cli import inputs

    report = examine(inputs.library(profiles))
    if as_json:
        console.say_json(report)
        return
    for what, found in _rows(report):
        console.line(f"{what:<14}  {found}")


def _rows(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What was looked at and what was found, a line each: paths are never broken."""
    yield "what", "found"
    yield "-" * 14, "-" * 60
    yield "simtool", f"{report['simtool']} in {report['package']}"
    yield "python", f"{report['python']} ({report['executable']})"
    yield "platform", report["platform"]
    yield "processors", str(report["num_processors"])
    yield "devices", ", ".join(report["devices"]) or "no driver of an accelerator was seen"
    for folder in report["profile_folders"]:
        yield "profiles", f"{folder['path']} ({folder['num_accelerators']} accelerators)"
    yield "scenarios", report["scenarios"]
    shown = [f"{name} {version}" for name, version in report["needed"].items() if version]
    for index, line in enumerate(textwrap.wrap(", ".join(shown), 62)):
        yield "" if index else "libraries", line
    missing = [name for name, version in report["needed"].items() if version is None]
    if missing:
        yield "MISSING", f"{', '.join(missing)}; pip install {DISTRIBUTION}"
    for extra, found in report["extras"].items():
        have = ", ".join(f"{name} {version}" for name, version in found.items() if version)
        lacks = [name for name, version in found.items() if version is None]
        hint = f"lacks {', '.join(lacks)}: pip install {_source(extra)}" if lacks else ""
        yield f"extra {extra}", "; ".join(part for part in (have, hint) if part)


def _source(extra: str) -> str:
    """What to install for an extra: the clone that this is, or the distribution."""
    clone = Path(__file__).resolve().parents[2]
    if (clone / "pyproject.toml").is_file():
        return f"-e '{clone}[{extra}]'"
    return f"'{DISTRIBUTION}[{extra}]'"


def examine(library: ProfileLibrary) -> dict[str, Any]:
    """Everything that `doctor` shows, as plain data."""
    from simtool.profiles.find import shipped_folder

    return {
        "simtool": __version__,
        "package": str(Path(__file__).resolve().parents[1]),
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "num_processors": os.cpu_count(),
        "devices": [name for name, hints in DEVICE_HINTS.items() if any(hint.exists() for hint in hints)],
        "profile_folders": [
            {"path": str(folder), "num_accelerators": len(list(folder.glob("*.yaml")))}
            for folder in library.folders
        ],
        "scenarios": str(shipped_folder("scenarios")),
        "needed": _versions(NEEDED),
        "extras": {extra: _versions(names) for extra, names in EXTRAS.items()},
    }


def _versions(names: Sequence[str]) -> dict[str, str | None]:
    from importlib import metadata

    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found
