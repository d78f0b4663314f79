"""`simtool compare`: runs beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simtool import units
from simtool.cli import console, options
from simtool.errors import InputError, Problem, output_error

if TYPE_CHECKING:
    from simtool.cli.inputs import Answer

EPILOG = options.example(
    "simtool compare gpt3-175b bloom-176b",
    "simtool compare out/quickstart/1a2b3c4d out/quickstart/5e6f7a8b",
    "simtool compare quickstart llama3-405b --side without",
    "simtool compare llama2-70b llama3-405b opt-175b --json",
    "simtool compare my-site.yaml my-site-with-battery.yaml --figure figures",
)


class Side(StrEnum):
    """Which half of a run with a method is compared."""

    WITH = "with"
    WITHOUT = "without"


PER_TOKEN = (
    "duration_s",
    "accelerator_hours",
    "energy_facility_j",
    "cost_total_usd",
    "carbon_total_kgco2e",
)
"""What grows with the tokens that are trained, and is therefore compared by the token too."""


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("compare", epilog=EPILOG, short_help="runs beside each other")(compare)


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Run folders, scenarios or datacenters; the first is the base.",
            show_default=False,
        ),
    ],
    out: options.Out = Path("out"),
    changes: options.Set = None,
    seeds: options.Seeds = None,
    side: Annotated[
        Side,
        typer.Option("--side", help="Of runs with a method: the run with it, or the same run without it."),
    ] = Side.WITH,
    figure: Annotated[
        Path | None,
        typer.Option(
            "--figure",
            metavar="DIR",
            help="Also draw the comparison into this folder, as bars relative to the first.",
        ),
    ] = None,
    profiles: options.Profiles = None,
    force: options.Force = False,
    as_json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Compare two or more runs: how they differ, and each quantity with its ratio to the first.

    Scenarios and datacenters are run first; their run folders go to OUT. Training runs of unequal tokens are
    compared by the token too.
    """
    console.configure(verbose, quiet)
    if len(runs) < 2:
        raise InputError(
            Problem("compare", "", "found one run", "two or more", "name another run or scenario")
        )
    from simtool.cli import compare_sites, inputs, sites

    are_sites = [sites.is_datacenter(name) for name in runs]
    if any(are_sites):
        asked = compare_sites.Asked(
            out=out,
            changes=changes,
            seeds=seeds,
            profiles=profiles,
            force=force,
            figure=figure,
        )
        compare_sites.compare(runs, are_sites, asked, as_json=as_json)
        return
    answers = []
    for name in runs:
        changed = None if inputs.is_run_folder(name) else changes
        chosen = inputs.target(name, profiles, changed, None, None if inputs.is_run_folder(name) else seeds)
        with console.progress() as progress:
            answers.append(inputs.answer(chosen, out, force=force, progress=progress))
    labels = run_labels(runs, [answer.manifest for answer in answers])
    runs_shown = [
        (label, of_side(answer.summary, side)) for label, answer in zip(labels, answers, strict=True)
    ]
    rows = compared(runs_shown)
    tokens = {
        label: float(one.manifest["setup"]["tokens"]) for label, one in zip(labels, answers, strict=True)
    }
    by_token = per_token(rows, tokens)
    set_ups = [set_up(answer.manifest, side) for answer in answers]
    if as_json:
        console.say_json(
            {
                "runs": {label: str(answer.folder) for label, answer in zip(labels, answers, strict=True)},
                "setup": dict(zip(labels, set_ups, strict=True)),
                "side": side.value,
                "quantities": rows,
                "per_token": by_token,
            }
        )
    else:
        _show_set_ups(labels, set_ups)
        if methods := [label for label, one in zip(labels, answers, strict=True) if one.manifest["method"]]:
            other = next(one for one in Side if one is not side)
            console.say(
                f"note: {' and '.join(methods)} {'is' if len(methods) == 1 else 'are'} compared {side} the method; "
                f"--side {other} compares {other} it"
            )
            console.line("")
        unequal = len(set(tokens.values())) > 1
        if unequal:
            worked = ", ".join(
                f"{label} {units.display(number, 'token')}" for label, number in tokens.items()
            )
            console.say(
                f"note: the runs do unequal work ({worked}): ratios of whole runs mix that in, those of the rows "
                "'per Mtoken' do not"
            )
            console.line("")
        _show(labels, [*rows, *by_token] if unequal else rows)
    if figure is not None:
        worked = ", ".join(f"{label} {units.display(number, 'token')}" for label, number in tokens.items())
        note = f"Unequal work: {worked}." if len(set(tokens.values())) > 1 else ""
        draw(figure, labels, answers, runs_shown, note=note)


def of_side(summary: Mapping[str, Any], side: Side) -> dict[str, Any]:
    """The quantities of one half of a run with a method; all of them of a run without.

    >>> both = {"cost_total_usd": {"value": 6.0, "unit": "USD", "without_method": 10.0, "p10": 5.0}}
    >>> of_side(both, Side.WITHOUT)["cost_total_usd"]["value"]
    10.0
    """
    if side is Side.WITH or not any("without_method" in entry for entry in summary.values()):
        return dict(summary)
    return {
        name: {**entry, "value": entry["without_method"], "p10": None, "p90": None}
        for name, entry in summary.items()
        if "without_method" in entry
    }


def per_token(rows: list[dict[str, Any]], tokens: Mapping[str, float]) -> list[dict[str, Any]]:
    """What a token costs in each run, and its ratio to the first.

    Args:
        rows: of `compared`.
        tokens: that each run trains, by label.
    """
    by_token = []
    for row in rows:
        if row["quantity"] not in PER_TOKEN:
            continue
        values = {label: value / tokens[label] for label, value in row["value"].items()}
        first = next(iter(tokens))
        ratios = {
            label: None if ratio is None else ratio * tokens[first] / tokens[label]
            for label, ratio in row["ratio"].items()
        }
        changed = {"quantity": f"{row['quantity']}_per_token", "unit": f"{row['unit']}/token"}
        by_token.append({**row, **changed, "value": values, "ratio": ratios})
    return by_token


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


def set_up(manifest: dict[str, Any], side: Side = Side.WITH) -> dict[str, str]:
    """What was run, as words: all that explains why two runs differ."""
    setup, method, layout = manifest["setup"], manifest["method"], manifest["setup"]["layout"]
    money = setup["money"]
    spare = f" + {setup['spare_nodes']} spare" if setup["spare_nodes"] else ""
    return {
        "method": _method(method, side),
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


def _method(method: Mapping[str, Any] | None, side: Side) -> str:
    if method is None:
        return "none"
    return str(method["profile"]) if side is Side.WITH else f"{method['profile']}, left out"


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


def run_labels(names: list[str], manifests: list[dict[str, Any]]) -> list[str]:
    """Names of what was run; with the hash where two runs share one."""
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
            name = row["quantity"].removesuffix("_per_token")
            if name not in words.WORDS and not console.is_verbose():
                continue
            whole = name == row["quantity"]
            called = words.row(name, known) if whole else f"{words.label(name)} per Mtoken"
            cells = [called, _value(row, labels[0])]
            for label in shown:
                ratio = row["ratio"].get(label)
                cells += [_value(row, label), "" if ratio is None else f"{ratio:.3g}"]
            table.add_row(*cells)
        console.show(table, below=begin + per_run < len(others))


def _value(row: dict[str, Any], label: str) -> str:
    from simtool.report import words

    value, unit = row["value"].get(label), str(row["unit"])
    if value is None:
        return ""
    if unit.endswith("/token"):
        return words.shown(units.MEGA * value, unit.removesuffix("/token"))
    return words.shown(value, unit)


def draw(
    folder: Path,
    labels: list[str],
    answers: Sequence[Answer],
    runs: list[tuple[str, dict[str, Any]]],
    *,
    names: Sequence[str] = (),
    note: str = "",
) -> None:
    """Draw runs relative to the first, and print the files.

    Args:
        folder: of the figure.
        labels: of the runs.
        answers: their run folders.
        runs: their quantities, by label.
        names: quantities; those that cost something in a training run if none are given.
        note: what is said above the source.
    """
    from simtool.report import writer
    from simtool.report.figures import comparison

    numbers = comparison.table(runs, names or comparison.COMPARED)
    hashes = ", ".join(
        f"{label} {one.manifest['hash'][:8]}" for label, one in zip(labels, answers, strict=True)
    )
    source = f"Source: simtool {answers[0].manifest['simtool']}; runs {hashes}"
    source = f"{note}\n{source}" if note else source
    try:
        paths = writer.write(folder, "comparison", numbers, lambda: comparison.draw(numbers, source=source))
    except OSError as error:
        raise output_error(error, folder, "choose another folder with --figure") from error
    for path in paths:
        console.line(str(path))
