"""`simtool compare`: runs beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from simtool.cli import console, options
from simtool.errors import InputError, Problem

EPILOG = options.example(
    "simtool compare gpt3-175b bloom-176b",
    "simtool compare out/quickstart/1a2b3c4d out/quickstart/5e6f7a8b",
    "simtool compare llama2-70b llama3-405b opt-175b --json",
)


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("compare", epilog=EPILOG, short_help="runs beside each other")(compare)


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN", help="Run folders or scenarios; the first is the base.", show_default=False
        ),
    ],
    out: options.Out = Path("out"),
    changes: options.Set = None,
    seeds: options.Seeds = None,
    figure: Annotated[
        Path | None,
        typer.Option("--figure", metavar="DIR", help="Also draw the comparison into this folder."),
    ] = None,
    profiles: options.Profiles = None,
    force: options.Force = False,
    as_json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Compare two or more runs, quantity by quantity, with ratios to the first.

    Scenarios are run first; their run folders go to OUT.
    """
    console.configure(verbose, quiet)
    if len(runs) < 2:
        raise InputError(
            Problem("compare", "", "found one run", "two or more", "name another run or scenario")
        )
    from simtool.cli import inputs

    answers = []
    for name in runs:
        changed = None if inputs.is_run_folder(name) else changes
        chosen = inputs.target(name, profiles, changed, None, None if inputs.is_run_folder(name) else seeds)
        with console.progress() as progress:
            answers.append(inputs.answer(chosen, out, force=force, progress=progress))
    labels = _labels(runs, [answer.manifest for answer in answers])
    rows = compared([(label, answer.summary) for label, answer in zip(labels, answers, strict=True)])
    if as_json:
        folders = {label: str(answer.folder) for label, answer in zip(labels, answers, strict=True)}
        console.say_json({"runs": folders, "quantities": rows})
    else:
        _show(labels, rows)
    if figure is not None:
        _draw(figure, labels, answers)


def compared(runs: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Every quantity that any run has: value and ratio to the first run, by run."""
    from simtool.report import words

    names = words.in_order(list(dict.fromkeys(name for _, summary in runs for name in summary)))
    rows = []
    for name in names:
        entries = {label: summary[name] for label, summary in runs if name in summary}
        base = runs[0][1].get(name, {}).get("value")
        values = {label: entry["value"] for label, entry in entries.items()}
        ratios = {label: value / base if base else None for label, value in values.items()}
        unit = next(iter(entries.values()))["unit"]
        rows.append({"quantity": name, "unit": unit, "value": values, "ratio": ratios})
    return rows


def _labels(names: list[str], manifests: list[dict[str, Any]]) -> list[str]:
    """Scenario names; with the hash where two runs share one."""
    scenarios = [str(manifest["scenario"]["name"]) for manifest in manifests]
    labels = [
        f"{scenario}@{str(manifest['hash'])[:8]}" if scenarios.count(scenario) > 1 else scenario
        for scenario, manifest in zip(scenarios, manifests, strict=True)
    ]
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        first, second = [name for name, label in zip(names, labels, strict=True) if label == twice][:2]
        found = f"{first!r} and {second!r} are the same run"
        raise InputError(Problem("compare", "", f"found {found}", "different runs", "change one of them"))
    return labels


def _show(labels: list[str], rows: list[dict[str, Any]]) -> None:
    from simtool.report import words

    others = labels[1:]
    per_run = max(1, (console.stdout().width - 40) // 24)
    for begin in range(0, len(others), per_run):
        shown = others[begin : begin + per_run]
        headings = ["quantity", labels[0]]
        for label in shown:
            headings += [label, "ratio" + " " * (headings.count("ratio"))]
        table = console.table(headings, right=headings[1:], fold=headings)
        for row in rows:
            if row["quantity"] not in words.WORDS and not console.is_verbose():
                continue
            cells = [words.label(row["quantity"]), _value(row, labels[0])]
            for label in shown:
                ratio = row["ratio"].get(label)
                cells += [_value(row, label), "" if ratio is None else f"{ratio:.3g}"]
            table.add_row(*cells)
        console.show(table, below=begin + per_run < len(others))


def _value(row: dict[str, Any], label: str) -> str:
    from simtool.report import words

    value = row["value"].get(label)
    return "" if value is None else words.shown(value, row["unit"])


def _draw(folder: Path, labels: list[str], answers: list[Any]) -> None:
    from simtool.report import writer
    from simtool.report.figures import comparison

    numbers = comparison.table([(label, one.summary) for label, one in zip(labels, answers, strict=True)])
    hashes = ", ".join(
        f"{label} {one.manifest['hash'][:8]}" for label, one in zip(labels, answers, strict=True)
    )
    source = f"Source: simtool {answers[0].manifest['simtool']}; runs {hashes}"
    for path in writer.write(folder, "comparison", numbers, lambda: comparison.draw(numbers, source=source)):
        console.line(str(path))
