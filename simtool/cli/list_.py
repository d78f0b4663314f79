"""`simtool list`: what simtool knows by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simtool.cli import console, options
from simtool.cli.list_site import SITE_ALIASES, SITE_KINDS, SITE_LISTS, SITE_MEANING
from simtool.errors import InputError, Problem, did_you_mean

if TYPE_CHECKING:
    from simtool.profiles.find import ProfileLibrary
    from simtool.provenance import Sourced

Row = dict[str, Any]
EPILOG = options.example(
    "simtool list", "simtool list hardware", "simtool list tariffs", "simtool list models --json"
)


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("list", epilog=EPILOG, short_help="what can be named in a scenario or a datacenter")(
        list_names
    )


def list_names(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="hardware, models, methods, schedulers, tariffs, facilities, ...",
            show_default=False,
        ),
    ] = "",
    profiles: options.Profiles = None,
    as_json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """List what can be named in a scenario or a datacenter; without WHAT, which lists there are."""
    console.configure(verbose, quiet)
    from simtool.cli import inputs

    library = inputs.library(profiles)
    if not what:
        rows = [{"list": name, "entries": _count(name, library), "what": MEANING[name]} for name in LISTS]
    else:
        name = ALIASES.get(what, what)
        if name not in LISTS:
            hint = did_you_mean(what, [*LISTS, *ALIASES])
            raise InputError(
                Problem("list", "", f"unknown list {what!r}", hint, "'simtool list' shows all lists")
            )
        rows = LISTS[name](library)
    if as_json:
        console.say_json(rows)
    elif not rows:
        console.line(f"no {what} yet")
    else:
        _show(rows)


def _count(name: str, library: ProfileLibrary) -> int:
    """Entries of a list; profiles are counted without being read."""
    if name == "models":
        from simtool.workload.families import PRESET_KINDS

        return sum(len(library.names(kind)) for kind in PRESET_KINDS)
    return len(library.names(KINDS[name]) if name in KINDS else LISTS[name](library))


def _show(rows: Sequence[Row]) -> None:
    shown = [name for name in rows[0] if not name.startswith("_")]
    right = [name for name in shown if all(isinstance(row[name], int | float | None) for row in rows)]
    table = console.table(
        [_heading(name) for name in shown],
        right=[_heading(name) for name in right],
        fold=[_heading(name) for name in shown if name in ("title", "what", "zone")],
    )
    for row in rows:
        table.add_row(
            *(
                "" if row[name] is None else _figure(row[name]) if name in right else str(row[name])
                for name in shown
            )
        )
    console.show(table, below=False)


def _figure(number: float) -> str:
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:,.4g}"


def _heading(name: str) -> str:
    return HEADINGS.get(name, name)


def _number(number: Sourced | None, per: float) -> float | None:
    return None if number is None else float(f"{number.value / per:.4g}")


def _accelerators(library: ProfileLibrary) -> list[Row]:
    from simtool.units import BYTES_PER_GIB, TERA

    rows = []
    for name in library.names("accelerator"):
        one = library.get("accelerator", name)
        dtype = next((dtype for dtype in ("bf16", "fp16", "fp32") if dtype in one.peak), next(iter(one.peak)))
        rows.append(
            {
                "name": name,
                "title": one.title,
                "dtype": dtype,
                "peak_tflop_per_s": _number(one.peak[dtype], TERA),
                "memory_gib": _number(one.memory.size, BYTES_PER_GIB),
                "bandwidth_gb_per_s": _number(one.memory.bandwidth, 1e9),
                "power_limit_w": _number(one.power.limit, 1.0),
                "_efficiency": {
                    "gemm": one.efficiency.gemm.basis,
                    "attention": one.efficiency.attention.basis,
                    "grouped_gemm": one.efficiency.grouped_gemm,
                    "convolution": one.efficiency.convolution,
                    "memory": one.efficiency.memory.basis,
                },
            }
        )
    return rows


def _nodes(library: ProfileLibrary) -> list[Row]:
    return [
        {
            "name": name,
            "accelerators": one.num_accelerators,
            "accelerator": one.accelerator,
            "network": one.network,
            "bandwidth_gb_per_s": _number(one.scale_out_bandwidth, 1e9),
            "power_max_w": _number(one.power_max, 1.0),
        }
        for name in library.names("node")
        for one in [library.get("node", name)]
    ]


def _networks(library: ProfileLibrary) -> list[Row]:
    return [
        {
            "name": name,
            "title": one.title,
            "layer": one.layer,
            "bandwidth_gb_per_s": _number(one.bandwidth, 1e9),
            "latency_us": _number(one.latency, 1e-6),
        }
        for name in library.names("network")
        for one in [library.get("network", name)]
    ]


def _titled(kind: str) -> Callable[[ProfileLibrary], list[Row]]:
    def rows(library: ProfileLibrary) -> list[Row]:
        return [
            {"name": name, "title": getattr(library.get(kind, name), "title", "")}
            for name in library.names(kind)
        ]

    return rows


def _models(library: ProfileLibrary) -> list[Row]:
    from simtool.workload.families import PRESET_KINDS

    rows = []
    for kind in PRESET_KINDS:
        for name in library.names(kind):
            one = library.get(kind, name)
            family, title = getattr(one, "family", ""), getattr(one, "title", "")
            rows.append({"name": name, "family": family, "title": title})
    return rows


def _effects(library: ProfileLibrary) -> list[Row]:
    return [
        {
            "name": name,
            "title": getattr(one, "title", ""),
            "method": getattr(one, "method", ""),
            "evidence": getattr(one, "evidence", ""),
        }
        for name in library.names("effect")
        for one in [library.get("effect", name)]
    ]


def _scenarios(library: ProfileLibrary) -> list[Row]:  # noqa: ARG001 - every list has one signature
    from simtool.config.load import load_document
    from simtool.profiles.find import shipped_folder

    rows = []
    for path in sorted(shipped_folder("scenarios").glob("*.yaml")):
        data = load_document(path).data
        rows.append({"name": path.stem, "what": " ".join(str(data.get("question", "")).split())})
    return rows


def _series(library: ProfileLibrary) -> list[Row]:  # noqa: ARG001
    """All but weather, whose places have a list of their own."""
    from simtool.facility.weather import SHIPPED
    from simtool.signals import list_series

    return [
        {
            "name": one.name,
            "title": one.title,
            "unit": one.unit,
            "begin": one.begin[:10],
            "end": one.end[:10],
            "_basis": one.basis.value if one.basis else None,
            "_source": one.source,
            "_licence": one.licence,
        }
        for one in list_series()
        if not one.name.startswith(SHIPPED)
    ]


def _registered(module: str, name: str) -> Callable[[ProfileLibrary], list[Row]]:
    def rows(library: ProfileLibrary) -> list[Row]:  # noqa: ARG001
        import importlib

        registry = getattr(importlib.import_module(module), name)
        return [{"name": entry, "what": summary} for entry, summary in registry.summaries().items()]

    return rows


def _tasks(library: ProfileLibrary) -> list[Row]:  # noqa: ARG001
    """Read from the source, so that nothing of the engine is imported."""
    import ast
    from pathlib import Path

    rows = []
    for path in sorted((Path(__file__).parents[1] / "engine" / "tasks").glob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        summary = (ast.get_docstring(tree) or "").partition("\n")[0]
        for node in ast.walk(tree):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="TASKS"), attr="register"),
                    args=[ast.Constant(value=str(name)), *_],
                ):
                    rows.append({"name": name, "what": summary.removeprefix(f"`{name}`: ")})
    return rows


LISTS: Mapping[str, Callable[[ProfileLibrary], list[Row]]] = {
    "hardware": _accelerators,
    "nodes": _nodes,
    "networks": _networks,
    "software": _titled("software"),
    "models": _models,
    "effects": _effects,
    "tasks": _tasks,
    "methods": _registered("simtool.methods.rewrite", "METHODS"),
    "scenarios": _scenarios,
    "series": _series,
    **SITE_LISTS,
    "tariff-kinds": _registered("simtool.account.tariff", "TARIFFS"),
    "schedulers": _registered("simtool.sim.schedulers", "SCHEDULERS"),
    "placements": _registered("simtool.sim.fleet.placement", "PLACEMENTS"),
    "job-readers": _registered("simtool.jobs.readers", "JOB_READERS"),
    "collectives": _registered("simtool.machine.collectives", "ALGORITHMS"),
    "topologies": _registered("simtool.machine.topologies", "TOPOLOGIES"),
    "checks": _registered("simtool.validate.check", "CHECKS"),
}
KINDS = {
    "hardware": "accelerator",
    "nodes": "node",
    "networks": "network",
    "software": "software",
    "models": "model",
    "effects": "effect",
    **SITE_KINDS,
}
"""Kind of profile, for the lists that show profiles."""
MEANING = {
    "hardware": "accelerators, for cluster.accelerator",
    "nodes": "servers, for cluster.node",
    "networks": "links, for cluster.network",
    "software": "training frameworks, for software.framework",
    "models": "presets, for workload.model",
    "effects": "what efficiency methods do, for method.profile",
    "tasks": "what 'simtool measure' trains",
    "methods": "efficiency methods, for 'simtool measure --method' and 'method:' of an effect file",
    "scenarios": "shipped scenarios, for 'simtool run'",
    "series": "prices and carbon intensities over time, for site.price and site.carbon",
    **SITE_MEANING,
    "tariff-kinds": "ways in which electricity is charged, for parts of a tariff",
    "schedulers": "ways in which waiting jobs are chosen, for scheduler.name",
    "placements": "where chosen jobs are put, for scheduler.placement",
    "job-readers": "formats of files of jobs, for jobs.trace.format",
    "collectives": "algorithms of collective communication",
    "topologies": "shapes of a scale-up domain",
    "checks": "measurements to score against, for 'simtool validate --check'",
}
ALIASES = {
    "accelerators": "hardware",
    "accelerator": "hardware",
    "gpus": "hardware",
    "node": "nodes",
    "network": "networks",
    "frameworks": "software",
    "model": "models",
    "task": "tasks",
    "method": "methods",
    "effect": "effects",
    "scenario": "scenarios",
    **SITE_ALIASES,
}
HEADINGS = {
    "peak_tflop_per_s": "TFLOP/s",
    "memory_gib": "GiB",
    "bandwidth_gb_per_s": "GB/s",
    "power_limit_w": "W",
    "power_max_w": "W",
    "latency_us": "us",
}
