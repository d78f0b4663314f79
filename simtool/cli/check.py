"""`simtool check`: everything that is wrong with some files, without running them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simtool.cli import console, options
from simtool.errors import EXIT_INPUT, InfeasibleError, InputError, SimtoolError

if TYPE_CHECKING:
    pass

EPILOG = options.example(
    "simtool check my-scenario.yaml",
    "simtool check quickstart --resolved",
    "simtool check my-site.yaml --set duration=30d",
    "simtool check scenarios/*.yaml hardware_profiles/my-gpu.yaml",
)


QUESTIONS = ("scenario", "datacenter")
"""Kinds of files that are run; all others are profiles."""


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("check", epilog=EPILOG, short_help="everything that is wrong with some files")(check)


def check(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE",
            help="Scenarios and datacenters by name or path; profile and effect files.",
            show_default=False,
        ),
    ],
    resolved: Annotated[
        bool,
        typer.Option(
            "--resolved", help="Print the scenario with every default, and where each value came from."
        ),
    ] = False,
    changes: options.Set = None,
    profiles: options.Profiles = None,
    as_json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Check files: names, units, layout, memory. All problems of all files at once.

    Exit code 2 where something is wrong with a file, 3 where a scenario has no answer, e.g. because
    the model does not fit.
    """
    console.configure(verbose, quiet)

    reports = [_check(name, profiles, changes) for name in files]
    if as_json:
        console.say_json(
            [{key: value for key, value in report.items() if key != "error"} for report in reports]
        )
    for report in reports:
        error = report["error"]
        if error is not None and not as_json:
            console.complain(str(error))
        elif resolved and not as_json:
            console.line(report["resolved"] or f"# {report['file']}: not a scenario, nothing to resolve")
        elif not as_json and not quiet:
            console.line(f"{report['file']}: ok{report['what']}")
    codes = [report["error"].exit_code for report in reports if report["error"] is not None]
    if codes:
        raise typer.Exit(EXIT_INPUT if EXIT_INPUT in codes else max(codes))


def _check(name: str, profiles: list[Path] | None, changes: list[str] | None) -> dict[str, Any]:
    """What is to be said of one file."""
    report: dict[str, Any] = {
        "file": name,
        "ok": True,
        "exit_code": 0,
        "problems": [],
        "error": None,
        "what": "",
    }
    try:
        report |= _profile(Path(name)) or _site(name, profiles, changes) or _scenario(name, profiles, changes)
    except SimtoolError as error:
        if not isinstance(error, InputError | InfeasibleError):
            raise
        report |= {"ok": False, "exit_code": error.exit_code, "problems": _problems(error), "error": error}
    return report


def _problems(error: InputError | InfeasibleError) -> list[dict[str, Any]]:
    if isinstance(error, InfeasibleError):
        return [{"limit": error.limit, "detail": error.detail, "alternatives": list(error.alternatives)}]
    names = ("where", "field", "found", "allowed", "mend")
    return [{name: getattr(problem, name) for name in names} for problem in error.problems]


def _scenario(name: str, profiles: list[Path] | None, changes: list[str] | None) -> dict[str, Any]:
    from simtool.cli import inputs, show_plan
    from simtool.config.resolved import resolved_yaml
    from simtool.result.prepare import prepare

    loaded, library = inputs.scenario(name, profiles, changes)
    plan = show_plan.describe(prepare(loaded, library))
    layout = plan["layout"]
    spread = f"tp {layout['tp']} x pp {layout['pp']} x dp {layout['dp']}"
    what = f" ({plan['num_devices']:,} {plan['accelerator']}, {spread})"
    return {"plan": plan, "resolved": resolved_yaml(loaded.scenario, loaded.origins), "what": what}


def _site(name: str, profiles: list[Path] | None, changes: list[str] | None) -> dict[str, Any] | None:
    """The report on a datacenter; None for anything else."""
    from simtool.cli import run_site, sites
    from simtool.config.resolved import resolved_yaml

    if not sites.is_datacenter(name):
        return None
    chosen = sites.target(name, profiles, changes)
    plan, _ = run_site.describe(chosen)
    devices = sum(pool["num_devices"] for pool in plan["pools"])
    what = f" (datacenter: {plan['jobs']['num_jobs']:,.0f} jobs on {devices:,} accelerators)"
    return {
        "plan": plan,
        "resolved": resolved_yaml(chosen.loaded.datacenter, chosen.loaded.origins),
        "what": what,
    }


def _profile(path: Path) -> dict[str, Any] | None:
    """The report on a profile or effect file; None for anything else."""
    if not path.is_file():
        return None
    from simtool.config.kinds import KINDS
    from simtool.config.load import validate
    from simtool.config.yaml12 import load_yaml
    from simtool.profiles.find import borrowed, load_profile

    if _kind(load_yaml(path).data) in QUESTIONS or _extends_a_question(path):
        return None
    document = load_profile(path)
    kind = _kind(document.data)
    if kind not in KINDS or kind in QUESTIONS:
        return None
    validate(document, KINDS[kind].load(), {})
    shipped = borrowed(document)
    extended = f", extends {', '.join(shipped)} as shipped" if shipped else ""
    return {"resolved": "", "what": f" ({kind} profile{extended})"}


def _extends_a_question(path: Path) -> bool:
    """Whether a file that says nothing of its kind extends a scenario or datacenter, perhaps a shipped one."""
    from simtool.config.load import load_document
    from simtool.profiles.find import extendable

    try:
        return _kind(load_document(path, elsewhere=extendable()).data) in QUESTIONS
    except InputError:
        return False  # a profile, or wrong: told where it is read


def _kind(data: Mapping[str, Any]) -> str:
    return str(data.get("schema")).removeprefix("simtool/").partition("/")[0]
