"""`simtool jobs`: what a file of jobs holds, and a source of jobs like them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simtool.cli import console, options
from simtool.errors import InputError, OutputError, Problem, output_error

if TYPE_CHECKING:
    from simtool.jobs.table import JobTable

EPILOG = options.example(
    "simtool jobs sacct.txt --time-zone America/Chicago",
    "simtool jobs sacct.txt -o my-jobs.yaml",
    "simtool jobs trace.parquet --format philly -o jobs.csv",
    "simtool run my-site.yaml --set jobs.generator.profile=my-jobs.yaml",
)
GENERATOR, TABLE = (".yaml", ".yml"), (".csv", ".parquet")


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("jobs", epilog=EPILOG, short_help="what a file of jobs holds, and jobs like them")(jobs)


def jobs(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A trace, Slurm's accounts, or a table of your own.", show_default=False
        ),
    ],
    job_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="'simtool list job-readers'; known by the columns if not given.",
            show_default=False,
        ),
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(
            "--time-zone",
            metavar="NAME",
            help="Where times without an offset were written; UTC if not given.",
        ),
    ] = None,
    drop_zero_length: Annotated[
        bool, typer.Option("--drop-zero-length", help="Leave out jobs that ran for 0 s, and count them.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help="NAME.yaml: a source of such jobs, fitted. NAME.csv, NAME.parquet: the jobs in simtool's columns.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of -o.")] = False,
    as_json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Describe a file of jobs: how many, how large, how long, how they ended. With -o, fit a source of such jobs.

    A datacenter runs the file itself (jobs.trace.file), or jobs drawn from the fitted source
    (jobs.generator.profile).
    """
    console.configure(verbose, quiet)
    _refuse(out, force=force)
    from simtool.jobs.files import read_jobs
    from simtool.jobs.summary import describe

    table = read_jobs(file, job_format, time_zone=time_zone, drop_zero_length=drop_zero_length)
    notes = list(table.notes)
    written = None if out is None else _write(out, table, file, notes)
    told = {**describe(table), "notes": notes}
    if as_json:
        console.say_json({"file": str(file), **told, "written": None if written is None else str(written)})
        return
    _show(file, told)
    if written is not None:
        use = (
            f"now: jobs: {{generator: {{profile: {written}}}}}"
            if written.suffix in GENERATOR
            else f"now: jobs: {{trace: {{file: {written}}}}}"
        )
        console.line("")
        console.line(f"{written} ({use})")


def _refuse(out: Path | None, *, force: bool) -> None:
    """Before any work: a name that says nothing, a file that is there."""
    if out is None:
        return
    if out.suffix not in (*GENERATOR, *TABLE):
        mend = "write e.g. -o my-jobs.yaml"
        raise InputError(
            Problem(
                "jobs",
                "--out",
                f"found {str(out)!r}",
                f"a name ending in {', '.join((*GENERATOR, *TABLE))}",
                mend,
            )
        )
    if out.exists() and not force:
        raise OutputError(str(out), "exists already", "choose another name, or use --force")
    if not out.parent.is_dir():
        raise OutputError(
            str(out), f"there is no folder {str(out.parent)!r}", "make it, or choose another place"
        )


def _write(out: Path, table: JobTable, source: Path, notes: list[str]) -> Path:
    """Write what -o asks for; what is to be said of a fit is added to the notes."""
    from simtool.jobs.files import write_jobs
    from simtool.result.place import write_whole

    if out.suffix in TABLE:
        partial = out.with_name(f".{out.stem}.partial{out.suffix}")
        try:
            write_jobs(partial, table)
            partial.replace(out)
        except OSError as error:
            raise output_error(error, out) from error
        finally:
            partial.unlink(missing_ok=True)
        return out
    from simtool.jobs.fit import fit_generator
    from simtool.jobs.shipped import generator_yaml

    name = re.sub(r"[^a-z0-9._-]+", "-", out.stem.lower()).strip("-._") or "jobs"
    title = f"Jobs like those of {source.name}"
    try:
        fitted = fit_generator(table, name=name, title=title, source=source.name)
    except InputError as error:  # said of the table as a whole
        raise InputError([replace(one, where=str(source), field="") for one in error.problems]) from None
    notes += [fitted.notes] if fitted.notes else []
    try:
        write_whole(out, generator_yaml(fitted, f"Fitted to {source.name} by 'simtool jobs'."))
    except OSError as error:
        raise output_error(error, out) from error
    return out


QUANTILES = ("p50", "p90", "p99")


def _show(file: Path, told: dict[str, Any]) -> None:
    from simtool.units import SECONDS_PER_DAY, display

    console.say(
        f"{file}: {told['num_jobs']:,.0f} jobs of {told['num_users']:,.0f} users in "
        f"{display(told['span_d'] * SECONDS_PER_DAY, 's')}, "
        f"{told['gpu_hours']:,.0f} accelerator-hours",
        style="bold",
    )
    console.line("")
    headings = ["", "mean", *QUANTILES, "most"]
    table = console.table(headings, right=headings[1:])
    sizes = [told["mean_devices"], *(told[f"devices_{one}"] for one in QUANTILES), told["largest_devices"]]
    table.add_row("accelerators of a job", *(f"{value:,.4g}" for value in sizes))
    times = [told["mean_run_s"], *(told[f"run_s_{one}"] for one in QUANTILES), told["longest_run_s"]]
    table.add_row("run time", *(display(value, "s", 3) for value in times))
    console.show(table)
    headings = ["outcome", "of the jobs", "of the accelerator-hours"]
    table = console.table(headings, right=headings[1:])
    for word in ("completed", "failed", "cancelled"):
        shares = (told[f"{word}_{what}_frac"] for what in ("jobs", "gpu_hours"))
        table.add_row(word, *(f"{100 * share:.1f} %" for share in shares))
    console.show(table)
    if "jobs_per_day" in told:
        console.say(
            f"{told['jobs_per_day']:,.4g} jobs a day; {told['mean_devices_busy']:,.0f} accelerators without idle time "
            "keep up with them"
        )
    else:
        console.say("too few jobs, or too short a time, for rates a day")
    limited = told["limited_jobs_frac"]
    factor = (
        f", half of them for more than {told['limit_over_run_p50']:.3g} x their run time" if limited else ""
    )
    console.say(f"{100 * limited:.1f} % of the jobs asked for a limit{factor}")
    for note in told["notes"]:
        console.say(f"note: {note}")
