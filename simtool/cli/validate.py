"""`simtool validate`: predictions beside published results, and the score."""

from __future__ import annotations

import csv
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simtool.cli import console, options
from simtool.errors import InputError, OutputError, Problem

if TYPE_CHECKING:
    from simtool.profiles.find import ProfileLibrary
    from simtool.validate.predict import Prediction
    from simtool.validate.score import Score, Validation

EPILOG = options.example(
    "simtool validate",
    "simtool validate -o predictions.csv",
    "simtool validate --table my-results.csv --json",
    "simtool validate --check power-caps --reference measurements",
)
ERRORS = ("median", "p90", "bias", "base median", "base p90")


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("validate", epilog=EPILOG, short_help="predictions beside published results")(validate)


def validate(
    table: Annotated[
        Path | None,
        typer.Option(
            "--table",
            metavar="FILE",
            help="Published results as CSV, plain or gzipped; the shipped one if not given.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="FILE", help="Write every prediction as CSV.", show_default=False
        ),
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
    from simtool.validate.score import SHIPPED, validate_table

    if check is not None:
        if table is not None or out is not None:
            raise InputError(
                Problem(
                    "",
                    "--check",
                    "found with --table or -o",
                    "a check reads its own tables",
                    "drop one of them",
                )
            )
        _check(check, reference, inputs.library(profiles), as_json)
        return
    found = validate_table(inputs.library(profiles), table or SHIPPED)
    if out is not None:
        _write(found, out)
    if as_json:
        console.say_json(_as_json(found))
        return
    _show(found)
    if out is not None:
        console.line(str(out))


def _check(name: str, reference: Path | None, library: ProfileLibrary, as_json: bool) -> None:
    from simtool.validate.check import CHECKS

    check = CHECKS[name]
    if reference is None or not reference.is_dir():
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


def _show(found: Validation) -> None:
    console.say(
        f"{len(found.predictions)} published rows of {len({p.family for p in found.predictions})} families predicted "
        f"from their configuration; {found.coverage_frac:.0%} of the table can be expressed"
    )
    shown = console.table(["stack", "rows", "families", *ERRORS], right=["rows", "families", *ERRORS])
    for score in found.scores:
        shown.add_row(score.name, str(score.num_rows), str(score.num_families), *_errors(score))
    console.show(shown)
    reasons = Counter(skipped.reason for skipped in found.skipped)
    left = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(6))
    console.say(f"Left out: {left}.")
    console.say(
        "The errors are |log(predicted/measured)| as a percentage, averaged inside a family first; bias above 0: "
        "predicted too slow. base: one constant MFU per accelerator, fitted on the other families. The software "
        "profiles' constants come from a fit to public rows of this table: for the stacks seen this is not blind."
    )


def _errors(score: Score) -> list[str]:
    return [
        f"{score.median_frac:.1%}",
        f"{score.p90_frac:.0%}",
        f"{score.bias_frac:+.1%}",
        f"{score.baseline_median_frac:.1%}",
        f"{score.baseline_p90_frac:.0%}",
    ]


def _columns(prediction: Prediction, found: Validation) -> dict[str, Any]:
    return {
        "id": prediction.row_id,
        "family": prediction.family,
        "accelerator": prediction.accelerator,
        "software": prediction.software,
        "stack_seen": prediction.stack_seen,
        "quality": prediction.quality,
        "num_devices": prediction.num_devices,
        "measured_s": prediction.measured_s,
        "predicted_s": prediction.predicted_s,
        "error_frac": prediction.ratio - 1.0,
        "constant_mfu_s": found.baseline[prediction.row_id],
        "rules": " ".join(prediction.rules),
    }


def _as_json(found: Validation) -> dict[str, Any]:
    names = (
        "name",
        "num_rows",
        "num_families",
        "median_frac",
        "p90_frac",
        "bias_frac",
        "baseline_median_frac",
        "baseline_p90_frac",
    )
    return {
        "coverage_frac": found.coverage_frac,
        "scores": [{name: getattr(score, name) for name in names} for score in found.scores],
        "predictions": [_columns(prediction, found) for prediction in found.predictions],
        "skipped": {skipped.row_id: skipped.reason for skipped in found.skipped},
    }


def _write(found: Validation, out: Path) -> None:
    rows = [_columns(prediction, found) for prediction in found.predictions]
    if out.exists() and not out.is_file():  # a device would be replaced, were that allowed
        raise OutputError(str(out), "is a folder, a device or a pipe", "name a file with -o")
    partial = out.with_name(out.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        partial.replace(out)
    except OSError as error:
        raise OutputError(str(out), error.strerror or "cannot be written", "choose another -o") from None
    finally:  # Ctrl-C as well
        with suppress(OSError):
            partial.unlink()
