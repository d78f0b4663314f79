"""`simtool calibrate`: a hardware profile from the trace of a suite of measurements."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simtool.cli import console, options
from simtool.errors import InputError, Problem

if TYPE_CHECKING:
    from simtool.calibrate.fit import Fit, Residuals
    from simtool.calibrate.trace_profile import Calibration

EPILOG = options.example(
    "simtool calibrate example",
    "simtool calibrate out/my-gpu -o hardware_profiles/my-gpu.yaml",
    "simtool calibrate out/my-gpu -o my-h100.yaml --like h100-sxm",
)
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("calibrate", epilog=EPILOG, short_help="a hardware profile from measurements")(calibrate)


def calibrate(
    trace: Annotated[
        str,
        typer.Argument(
            metavar="TRACE",
            help="Trace folder of a suite, or 'example' for the shipped one.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="FILE", help="Profile to write; its curves go to efficiency/ beside it."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the profile; that of the file.")
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            "--like", metavar="PROFILE", help="Take the maker's figures from this accelerator's profile."
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
    """Fit efficiency curves, launch floor and power to measurements, and write a hardware profile.

    Whole shapes are held out in turn: the residuals are those of shapes that the curves never saw, beside
    those of one constant efficiency.
    """
    console.configure(verbose, quiet)
    chosen = _name(name, out)
    from simtool.calibrate.trace_profile import calibrate_trace, find_trace
    from simtool.cli import inputs
    from simtool.trace import read_trace

    library = inputs.library(profiles)
    found = calibrate_trace(read_trace(find_trace(trace)), chosen, library, like=like, seed=draw)
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
                "held_out_training": _pair(fit.training),
                "held_out_all": _pair(fit.everywhere),
                "constant_training": _pair(fit.constant_training),
                "constant_all": _pair(fit.constant_everywhere),
            }
            for what, fit in _fits(calibration).items()
        },
        "notes": list(calibration.notes),
    }


def _pair(residuals: Residuals) -> dict[str, float]:
    return {"p50": residuals.p50, "p90": residuals.p90}


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
