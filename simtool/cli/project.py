"""`simtool project`: the device work of a trace on another device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simtool.cli import console, options
from simtool.units import display

if TYPE_CHECKING:
    from simtool.transfer.projection import Amount, Projection

EPILOG = options.example(
    "simtool project trace.json.gz --to mi300x",
    "simtool project out/my-trace --to h200-sxm --json",
    "simtool project trace.json --from a100-sxm-80 --to b200-sxm --rank 0",
)
TOP = 8


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("project", epilog=EPILOG, short_help="a trace's time and energy on another device")(project)


def project(
    trace: Annotated[
        Path,
        typer.Argument(
            metavar="TRACE",
            help="Trace of the PyTorch profiler or Chakra, or a trace folder.",
            show_default=False,
        ),
    ],
    to: Annotated[
        str, typer.Option("--to", metavar="NAME", help="Accelerator to project to.", show_default=False)
    ],
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="NAME", help="Accelerator that was measured; else the trace tells."),
    ] = None,
    rank: Annotated[
        int | None, typer.Option("--rank", min=0, metavar="N", help="Project this rank alone.")
    ] = None,
    power_limit: Annotated[
        float | None,
        typer.Option(
            "--power-limit", metavar="W", help="Power limit of the target; its profile's if not given."
        ),
    ] = None,
    profiles: options.Profiles = None,
    as_json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Carry measured device work, op by op, to an accelerator that was not measured.

    Each operation's time scales as the machine models of both devices say, and keeps a part of what it deviated by
    where it was measured. The interval goes from the 10th to the 90th percentile.
    """
    console.configure(verbose, quiet)
    from simtool.transfer.api import project as project_trace

    found = project_trace(
        trace, to, source=source, rank=rank, power_limit_w=power_limit, profiles=tuple(profiles or ())
    )
    if as_json:
        console.say_json(found.as_json())
        return
    _show(found)


def _show(found: Projection) -> None:
    whole = found.whole
    console.say(f"{found.source} to {found.target}: {whole.num_ops:,.0f} device ops", style="bold")
    console.line("")
    table = console.table(
        ["figure", found.source, found.target, "p10 to p90"], right=[found.source, found.target]
    )
    table.add_row(
        "device time", display(whole.measured_s, "s", 4), display(whole.device_time_s, "s", 4),
        _between(whole.device_time_interval_s, "s"),
    )  # fmt: skip
    metered = found.measured_energy_j
    if whole.energy_j is not None:
        table.add_row(
            "energy, accelerator", "-" if metered is None else display(metered, "J", 4),
            display(whole.energy_j, "J", 4), _between(whole.energy_interval_j, "J"),
        )  # fmt: skip
    console.show(table)
    _classes(found)
    _ops(found)
    for note in found.notes:
        console.say(f"note: {note}")


def _classes(found: Projection) -> None:
    headings = ["op class", "ops", "measured", "projected", "p10 to p90", "energy", "direct"]
    table = console.table(headings, right=[*headings[1:4], *headings[5:]])
    for name, one in sorted(found.by_class.items(), key=lambda item: -item[1].device_time_s):
        table.add_row(
            name, f"{one.num_ops:,.0f}", display(one.measured_s, "s", 3), display(one.device_time_s, "s", 3),
            _between(one.device_time_interval_s, "s"), _energy(one), f"{one.shares['direct']:.0%}",
        )  # fmt: skip
    console.show(table)


def _ops(found: Projection) -> None:
    from simtool.cli.show_import import short

    headings = ["operation", "ops", "measured", "projected", "basis"]
    table = console.table(headings, right=headings[1:4])
    for one in found.ops[:TOP]:
        table.add_row(
            short(one.op.name, one.op.operator), f"{one.op.count:,.0f}", display(one.op.total_s, "s", 3),
            display(one.total_s, "s", 3), one.basis,
        )  # fmt: skip
    console.show(table)


def _energy(one: Amount) -> str:
    return "-" if one.energy_j is None else display(one.energy_j, "J", 3)


def _between(interval: tuple[float, float] | None, unit: str) -> str:
    return "-" if interval is None else " to ".join(display(bound, unit, 3) for bound in interval)
