"""`simtool validate`: predictions beside published results, and the score."""

from __future__ import annotations

import csv
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simtool.cli import console, options
from simtool.errors import InputError, OutputError, Problem, did_you_mean, output_error

if TYPE_CHECKING:
    from simtool.profiles.find import ProfileLibrary
    from simtool.validate.predict import Prediction
    from simtool.validate.score import Score, Validation

EPILOG = options.example(
    "simtool validate",
    "simtool validate --predictions predictions.csv --by accelerator",
    "simtool validate --table my-results.csv --json",
    "simtool validate --check power-caps --reference measurements",
)
ERRORS = ("median", "p90", "rows", "bias", "rank", "base", "p90 ")
"""Headings; the last is the baseline's."""


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("validate", epilog=EPILOG, short_help="predictions beside published results")(validate)


def validate(
    table: Annotated[
        Path | None,
        typer.Option(
            "--table",
            metavar="FILE",
            help="Results as CSV, plain or gzipped: docs/how-to/score-your-own-runs.md; else the shipped ones.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--predictions",
            metavar="FILE",
            help="Write one line for every row of the table as CSV.",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="WHAT",
            help="Group scores by framework, accelerator, precision, source, scale or family.",
        ),
    ] = "framework",
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="DIR", help="Draw predicted against measured.", show_default=False),
    ] = None,
    check: Annotated[
        str | None,
        typer.Option(
            "--check",
            metavar="NAME",
            help="Score against other measurements instead: kernels, power, memory; see 'simtool list checks'.",
            show_default=False,
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            metavar="DIR",
            envvar="SIMTOOL_REFERENCE_DATA",
            help="Folder with data/ and validation/ that --check reads.",
            show_default=False,
        ),
    ] = None,
    profiles: options.Profiles = None,
    as_json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Predict published training runs from their configuration alone, and show the errors.

    Families of rows count once each, so that a large sweep does not dominate. Beside every score stands
    that of one constant MFU per accelerator, fitted on the other families.
    """
    console.configure(verbose, quiet)
    from simtool.cli import inputs

    if check is not None:
        if table is not None or out is not None or plot is not None:
            found = "found with --table, --predictions or --plot"
            raise InputError(
                Problem("", "--check", found, "a check reads its own tables", "drop one of them")
            )
        _check(check, reference, inputs.library(profiles), as_json)
        return
    from simtool.validate.score import BY, validate_table
    from simtool.validate.table import SHIPPED

    if by not in BY:
        raise InputError(
            Problem("", "--by", f"found {by!r}", f"allowed: {', '.join(BY)}", did_you_mean(by, BY))
        )
    if out is not None and table is not None and _is_same(out, table):
        raise OutputError(str(out), "is the table that is read", "name another file with --predictions")
    result = validate_table(inputs.library(profiles), table or SHIPPED, by)
    if out is not None:
        _write(result, out)
    if plot is not None:
        from simtool.report.figures.validation import draw_validation

        try:
            written = draw_validation(result, plot)
        except OSError as error:
            raise output_error(error, plot, "choose another folder with --plot") from error
    if as_json:
        console.say_json(_as_json(result))
        return
    _show(result, by, is_own=table is not None)
    for path in [*([] if out is None else [out]), *([] if plot is None else written)]:
        console.line(str(path))


def _check(name: str, reference: Path | None, library: ProfileLibrary, as_json: bool) -> None:
    from simtool.validate.check import CHECKS

    check = CHECKS[name]
    if not getattr(check, "needs_reference", True):
        reference = Path()
    elif reference is None or not reference.is_dir():
        found = "is missing" if reference is None else f"found {reference}, which is no folder"
        mend = "give a folder that holds data/ and validation/, or set SIMTOOL_REFERENCE_DATA"
        raise InputError(Problem("", "--reference", found, "", mend))
    outcome = check(reference, library)
    if as_json:
        console.say_json(
            {
                "check": name,
                "title": outcome.title,
                "figures": dict(outcome.figures),
                "notes": list(outcome.notes),
            }
        )
        return
    console.say(outcome.title)
    shown = console.table(list(outcome.columns), right=list(outcome.columns[1:]))
    for row in outcome.rows:
        shown.add_row(*row)
    console.show(shown)
    for note in outcome.notes:
        console.say(note)


def _show(found: Validation, by: str, *, is_own: bool) -> None:
    scored = found.scored
    console.say(
        f"{len(found.predictions)} {'' if is_own else 'published '}rows predicted from their configuration, "
        f"{found.coverage_frac:.0%} of the table; {len(scored)} rows of {len({one.family for one in scored})} families "
        "are scored"
    )
    shown = console.table([by, "n", "fam", *ERRORS], right=["n", "fam", *ERRORS], fold=[by])
    for score in found.scores:
        shown.add_row(score.name, str(score.num_rows), str(score.num_families), *_errors(score))
    console.show(shown)
    if found.skipped:
        reasons = Counter(skipped.reason for skipped in found.skipped)
        left = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(6))
        console.say(f"Not expressed: {left}.")
    if unknown := sum("R-eager" in one.rules for one in found.predictions):
        console.say(
            f"Framework not known of {unknown} {'row' if unknown == 1 else 'rows'}: predicted as hf-eager; write a "
            "name of 'simtool list software'."
        )
    console.say(
        "median, p90: |log(predicted/measured)| as a percentage, averaged inside a family first; rows: median over "
        "rows; bias above 0: predicted too slow; rank: median rank correlation inside sweeps. "
        + (
            "Rows are predicted with constants fitted to the shipped table, those of it without their family. "
            if is_own
            else "No row is predicted with constants that saw its family: they are fitted five times, each time "
            "without a fifth of the families. "
        )
        + "base, and the p90 beside it: one constant MFU per accelerator and precision, fitted on the same rows. "
        "Rows of low quality, recalled ones and accelerator-hours of whole runs are predicted and not scored."
    )


def _errors(score: Score) -> list[str]:
    return [
        f"{score.median_frac:.1%}",
        f"{score.p90_frac:.0%}",
        f"{score.row_median_frac:.1%}",
        f"{score.bias_frac:+.1%}",
        "" if score.rank is None else f"{score.rank:.2f}",
        f"{score.baseline_median_frac:.0%}",
        f"{score.baseline_p90_frac:.0%}",
    ]


COLUMNS = (
    *(
        "id",
        "predicted_step_time_s",
        "p10_step_time_s",
        "p90_step_time_s",
        "predicted_tokens_per_s_per_accel",
    ),
    *("predicted_tflops_per_accel", "predicted_samples_per_s", "predicted_mem_gb", "predicted_node_power_w"),
    *("stack_seen", "rule_ids", "reason", "family", "accelerator", "software", "num_devices", "scored"),
    *("measured_step_time_s", "error_frac", "constant_mfu_step_time_s"),
)
"""Of the file of predictions: one line for every row of the table."""


def _columns(one: Prediction, found: Validation) -> dict[str, Any]:
    return {
        "id": one.row_id,
        "predicted_step_time_s": one.predicted_s,
        "p10_step_time_s": one.low_s,
        "p90_step_time_s": one.high_s,
        "predicted_tokens_per_s_per_accel": one.tokens_per_s,
        "predicted_tflops_per_accel": one.tflop_per_s,
        "predicted_samples_per_s": one.samples_per_s,
        "predicted_mem_gb": one.memory_gb,
        "predicted_node_power_w": one.node_power_w,
        "stack_seen": one.stack_seen,
        "rule_ids": " ".join(one.rules),
        "reason": "",
        "family": one.family,
        "accelerator": one.accelerator,
        "software": one.software,
        "num_devices": int(one.num_devices),
        "scored": one.is_evidence,
        "measured_step_time_s": one.measured_s,
        "error_frac": one.ratio - 1.0 if one.measured_s else None,
        "constant_mfu_step_time_s": found.baseline.get(one.row_id),
    }


def _rows(found: Validation) -> list[dict[str, Any]]:
    """One for every row of the table, those that cannot be expressed with the reason alone."""
    rows = [_columns(one, found) for one in found.predictions]
    return rows + [{"id": one.row_id, "reason": one.reason} for one in found.skipped]


def _as_json(found: Validation) -> dict[str, Any]:
    return {
        "coverage_frac": found.coverage_frac,
        "scores": [{name: getattr(score, name) for name in score.__slots__} for score in found.scores],
        "predictions": _rows(found),
    }


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there
        return False


def _write(found: Validation, out: Path) -> None:
    if out.exists() and not out.is_file():  # a device would be replaced, were that allowed
        raise OutputError(str(out), "is a folder, a device or a pipe", "name a file with --predictions")
    partial = out.with_name(out.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(_rows(found))
        partial.replace(out)
    except OSError as error:
        raise output_error(error, out, "choose another file") from None
    finally:  # Ctrl-C as well
        with suppress(OSError):
            partial.unlink()
