"""`simtool calibrate`: a hardware profile from the trace of a suite of measurements."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simtool.cli import console, options
from simtool.errors import InputError, Problem, output_error

if TYPE_CHECKING:
    from simtool.calibrate.fit import Fit
    from simtool.calibrate.trace_profile import Calibration
    from simtool.profiles.find import ProfileLibrary
    from simtool.trace import Trace

EPILOG = options.example(
    "simtool calibrate trace.json.gz power.csv -o profiles/my-h100.yaml",
    "simtool calibrate out/a out/b --hardware h100-sxm -o profiles/my-h100.yaml",
    "simtool calibrate out/my-gpu -o hardware_profiles/my-gpu.yaml",
    "simtool calibrate example",
)
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
FIGURES = "-figures"
"""What the folder of a profile's figures is called behind the profile's name."""


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("calibrate", epilog=EPILOG, short_help="a hardware profile from measurements")(calibrate)


def calibrate(
    traces: Annotated[
        list[str],
        typer.Argument(
            metavar="TRACE...",
            help="Traces of profilers, with a power log, or as imported; a suite's folder; or 'example'.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help="Profile to write; beside it its curves in efficiency/ and figures in NAME-figures/.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the profile; that of the file.")
    ] = None,
    hardware: Annotated[
        str | None,
        typer.Option(
            "--hardware",
            "--like",
            metavar="NAME",
            help="Accelerator with the maker's figures, and what the traces do not tell; or its family.",
        ),
    ] = None,
    software: Annotated[
        str | None,
        typer.Option(
            "--software",
            metavar="NAME",
            help="Framework that ran: its launch floor is fitted too, from traces.",
        ),
    ] = None,
    draw: Annotated[
        int, typer.Option("--seed", min=0, metavar="N", help="Seed of the draw of shapes that are held out.")
    ] = 0,
    profiles: options.Profiles = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a profile that is there.")] = False,
    as_json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Fit efficiency curves and power to measurements, and write a hardware profile.

    From traces of a profiler the fits begin at an existing profile, that of --hardware or of the device's own
    name, and only what the traces tell leaves it; the rest is named. Whole shapes are held out in turn: the
    errors are those of shapes that the curves never saw, beside those of one constant efficiency.
    """
    console.configure(verbose, quiet)
    chosen = _name(name, out)
    from simtool.calibrate.profiled_runs import suite_of
    from simtool.cli import inputs

    library = inputs.library(profiles)
    suite = suite_of(traces)
    if suite is None:
        _from_profilers(traces, chosen, library, hardware, software, draw, out, force=force, as_json=as_json)
    elif software is not None:
        found, mend = "a suite of measurements ran in no framework", "leave the option out"
        raise InputError(Problem("--software", "", found, "", mend))
    else:
        _from_suite(suite, chosen, library, hardware, draw, out, force=force, as_json=as_json)


def _from_profilers(
    traces: list[str], name: str, library: ProfileLibrary, hardware: str | None, software: str | None, seed: int,
    out: Path | None, *, force: bool, as_json: bool,
) -> None:  # fmt: skip
    from simtool.calibrate.profiled_calibration import calibrate_runs
    from simtool.calibrate.profiled_runs import read_runs
    from simtool.cli import show_calibration

    found = calibrate_runs(read_runs(traces), name, library, hardware=hardware, software=software, seed=seed)
    written: list[Path] = []
    skipped: dict[str, str] = {}
    if out is not None:
        from simtool.report.calibration import write_figures

        written = found.write(out.parent, force=force)
        folder = out.parent / f"{name}{FIGURES}"
        try:
            figures, skipped = write_figures(found, folder)
        except OSError as error:
            raise output_error(error, folder) from error
        written += figures
    if as_json:
        told = {"files": [str(path) for path in written], "not_drawn": skipped}
        console.say_json({**show_calibration.profiled_figures(found), **told})
        return
    show_calibration.show_profiled(found, skipped)
    for path in written:
        console.line(str(path))


def _from_suite(
    trace: Trace, name: str, library: ProfileLibrary, hardware: str | None, seed: int, out: Path | None,
    *, force: bool, as_json: bool,
) -> None:  # fmt: skip
    from simtool.calibrate.trace_profile import calibrate_trace

    found = calibrate_trace(trace, name, library, like=hardware, seed=seed)
    written = found.write(out.parent, force=force) if out is not None else []
    if as_json:
        console.say_json({**_figures(found), "files": [str(path) for path in written]})
        return
    _show(found)
    for path in written:
        console.line(str(path))


def _name(name: str | None, out: Path | None) -> str:
    """The profile's name, which is its file's."""
    if out is not None and out.suffix != ".yaml":
        mend = f"write {out}.yaml"
        raise InputError(Problem("--out", "", f"found file {str(out)!r}", "a name ending in .yaml", mend))
    chosen = name or (out.stem if out is not None else "measured")
    if not NAME.match(chosen):
        allowed = "lower-case letters, digits, '.', '-' and '_'"
        raise InputError(Problem("--name", "", f"found {chosen!r}", allowed, "choose another name"))
    if out is not None and out.stem != chosen:
        mend = f"write -o {out.with_name(chosen + '.yaml')}"
        raise InputError(
            Problem("--name", "", f"found {chosen!r} for {out.name}", "a file of that name", mend)
        )
    return chosen


def _fits(found: Calibration) -> dict[str, Fit]:
    fits = {"gemm": found.found.gemm, "attention": found.found.attention, "memory": found.found.memory}
    return {what: fit for what, fit in fits.items() if fit is not None}


def _figures(calibration: Calibration) -> dict[str, Any]:
    from simtool.cli.show_calibration import pair

    found = calibration.found
    return {
        "name": calibration.name,
        "source": calibration.source,
        "rates_flop_per_s": dict(found.rates),
        "bandwidth_bytes_per_s": found.bandwidth_bytes_per_s,
        "launch_floor_s": dict(found.launch_floor_s),
        "power": {
            "idle_w": found.power.idle_w,
            "limit_w": found.power.limit_w,
            "compute_w": list(found.power.compute_w),
            "memory_w": list(found.power.memory_w),
        },
        "curves": {
            what: {
                "coefficients": fit.values,
                "spreads": fit.spreads,
                "num_measured": fit.num_measured,
                "held_out_training": pair(fit.training),
                "held_out_all": pair(fit.everywhere),
                "constant_training": pair(fit.constant_training),
                "constant_all": pair(fit.constant_everywhere),
            }
            for what, fit in _fits(calibration).items()
        },
        "notes": list(calibration.notes),
    }


def _show(calibration: Calibration) -> None:
    from simtool.units import display

    found = calibration.found
    console.say(f"{calibration.name}: {calibration.source}")
    console.line("")
    figures = {f"peak {dtype}": display(rate, "FLOP/s") for dtype, rate in found.rates.items()}
    figures["bandwidth"] = display(found.bandwidth_bytes_per_s, "byte/s")
    figures |= {f"call: {what}": display(seconds, "s", 3) for what, seconds in found.launch_floor_s.items()}
    if found.power.idle_w is not None:
        figures["idle"] = display(found.power.idle_w, "W")
    for what, powers_w in (("compute", found.power.compute_w), ("memory", found.power.memory_w)):
        if powers_w:
            figures[f"power, {what}"] = display(sum(powers_w) / len(powers_w), "W")
    table = console.table(["best sustained", "value"], right=["value"])
    for what, value in figures.items():
        table.add_row(what, value)
    console.show(table)
    headings = ["error on held-out shapes", "kernels", "p50", "p90", "constant p50", "constant p90"]
    table = console.table(headings, right=headings[1:])
    for what, fit in _fits(calibration).items():
        for size, own, constant in (
            ("training size", fit.training, fit.constant_training),
            ("all sizes", fit.everywhere, fit.constant_everywhere),
        ):
            cells = [f"{share:.1%}" for share in (own.p50, own.p90, constant.p50, constant.p90)]
            table.add_row(f"{what}, {size}", str(fit.num_measured), *cells)
    console.show(table)
    for note in calibration.notes:
        console.say(f"note: {note}")
