"""`simtool compare`: runs beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from simtool import units
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
    """Compare two or more runs: how they differ, and each quantity with its ratio to the first.

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
        set_ups = {label: set_up(answer.manifest) for label, answer in zip(labels, answers, strict=True)}
        console.say_json({"runs": folders, "setup": set_ups, "quantities": rows})
    else:
        _show_set_ups(labels, [set_up(answer.manifest) for answer in answers])
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
        first = runs[0][1].get(name, {})
        base, lacks = first.get("value"), first.get("lacks")
        values = {label: entry["value"] for label, entry in entries.items()}
        ratios = {
            label: entry["value"] / base if base and entry.get("lacks") == lacks else None
            for label, entry in entries.items()
        }
        unit = next(iter(entries.values()))["unit"]
        row = {"quantity": name, "unit": unit, "value": values, "ratio": ratios}
        if incomplete := {label: entry["lacks"] for label, entry in entries.items() if entry.get("lacks")}:
            row["lacks"] = incomplete
        rows.append(row)
    return rows


ALWAYS = ("method", "economics")
"""What is told of the runs even where it is the same."""


def set_up(manifest: dict[str, Any]) -> dict[str, str]:
    """What was run, as words: all that explains why two runs differ."""
    setup, method, layout = manifest["setup"], manifest["method"], manifest["setup"]["layout"]
    money = setup["money"]
    spare = f" + {setup['spare_nodes']} spare" if setup["spare_nodes"] else ""
    return {
        "method": "none" if method is None else str(method["profile"]),
        "economics": str(setup["economics"]),
        "money": f"{money['kind']} {money['year']} USD",
        "model": str(setup["model"]),
        "tokens": units.display(setup["tokens"], "token"),
        "sequence": f"{setup['seq_len']:,} tokens",
        "global batch": f"{setup['global_batch']:,} sequences",
        "precision": f"{setup['precision']}, recompute {setup['recompute']}",
        "accelerators": f"{setup['num_devices']:,} {setup['accelerator']}",
        "nodes": f"{setup['num_nodes']:,}{spare}",
        "layout": f"tp {layout['tp']} pp {layout['pp']} dp {layout['dp']} ZeRO {layout['zero']}",
        "framework": str(setup["framework"]),
        "seeds": str(manifest["seeds"]),
    }


def _show_set_ups(labels: list[str], set_ups: list[dict[str, str]]) -> None:
    """The method and who owns the hardware, and whatever else differs."""
    names = [name for name in set_ups[0] if name in ALWAYS or len({set_up[name] for set_up in set_ups}) > 1]
    per_run = max(1, (console.stdout().width - 16) // 24 - 1)
    for begin in range(1, len(labels), per_run):
        shown = [0, *range(begin, min(begin + per_run, len(labels)))]
        headings = ["set-up", *(labels[index] for index in shown)]
        table = console.table(headings, fold=headings)
        for name in names:
            table.add_row(name, *(set_ups[index][name] for index in shown))
        console.show(table)
    moneys = {set_up["money"] for set_up in set_ups}
    if len(moneys) > 1:
        console.say(f"note: the bills are in {' and '.join(sorted(moneys))}: their ratio mixes moneys")
        console.line("")


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

    known = {row["quantity"]: {"lacks": row.get("lacks")} for row in rows}
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
            cells = [words.row(row["quantity"], known), _value(row, labels[0])]
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
