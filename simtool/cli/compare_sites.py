"""`simtool compare` for datacenters: quantities side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simtool.cli import console, inputs, show_site, sites
from simtool.errors import InputError, Problem

DRAWN = (
    "accelerator_hours",
    "energy_it_j",
    "energy_facility_j",
    "cost_total_usd",
    "carbon_average_kgco2e",
    "carbon_marginal_kgco2e",
)
"""Quantities of the figure, as far as all runs have them."""
COLUMN = 24
"""Width of a value and a ratio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Options of the verb."""

    out: Path
    changes: Sequence[str] | None
    seeds: int | None
    profiles: Sequence[Path] | None
    force: bool
    figure: Path | None


def compare(runs: Sequence[str], are_sites: Sequence[bool], asked: Asked, *, as_json: bool) -> None:
    """Compare datacenters with each other.

    Raises:
        InputError: one of the runs is a scenario.
    """
    from simtool.cli.compare import compared, draw, run_labels

    if not all(are_sites):
        site, other = runs[are_sites.index(True)], runs[are_sites.index(False)]
        found = f"found a datacenter ({site}) and a scenario ({other})"
        mend = "compare runs of one kind: a site's jobs, queue and bill are not those of one training run"
        raise InputError(Problem("compare", "", found, "", mend))
    answers = []
    for name in runs:
        is_folder = inputs.is_run_folder(name)
        chosen = sites.target(
            name,
            asked.profiles,
            None if is_folder else asked.changes,
            None,
            None if is_folder else asked.seeds,
        )
        with console.progress() as progress:
            answers.append(sites.answer(chosen, asked.out, force=asked.force, progress=progress))
    labels = run_labels(list(runs), [answer.manifest for answer in answers])
    summaries = [(label, dict(one.summary)) for label, one in zip(labels, answers, strict=True)]
    rows = compared(summaries)
    set_ups = [set_up(answer.manifest) for answer in answers]
    if as_json:
        console.say_json(
            {
                "runs": {label: str(one.folder) for label, one in zip(labels, answers, strict=True)},
                "setup": dict(zip(labels, set_ups, strict=True)),
                "quantities": rows,
            }
        )
    else:
        _show_set_ups(labels, set_ups)
        _show(labels, rows)
    if asked.figure is not None:
        draw(asked.figure, labels, answers, summaries, names=DRAWN)


def set_up(manifest: dict[str, Any]) -> dict[str, str]:
    """What ran where, as words: all that explains why two runs differ."""
    setup, money = manifest["setup"], manifest["setup"]["money"]
    one = setup["sites"]
    return {
        "pools": show_site.pools_words(setup["pools"]),
        "jobs": f"{setup['num_jobs']:,}",
        "start": str(setup["start"]),
        "scheduler": str(setup["scheduler"]),
        "placement": str(setup["placement"]),
        "power": show_site.limit_words(setup["power_limits"]) or "no limit",
        "failures": str(setup["reliability"]),
        "building": ", ".join(str(site["facility"]) for site in one),
        "weather": ", ".join(str(site["weather"] or "none") for site in one),
        "electricity": ", ".join(str(site["electricity"]) for site in one),
        "own supply": ", ".join(" and ".join(site["supply"]) or "none" for site in one),
        "economics": "electricity alone" if money is None else f"{setup['economics']}, {money['year']} USD",
        "seed": f"{manifest['seed']}, {manifest['seeds']} runs",
    }


def _show_set_ups(labels: list[str], set_ups: list[dict[str, str]]) -> None:
    names = [name for name in set_ups[0] if len({one[name] for one in set_ups}) > 1]
    if not names:
        console.say("the runs have the same set-up as far as tables tell it; their files differ elsewhere")
        console.line("")
        return
    table = console.table(["set-up", *labels], fold=["set-up", *labels])
    for name in names:
        table.add_row(name, *(one[name] for one in set_ups))
    console.show(table)


def _show(labels: list[str], rows: list[dict[str, Any]]) -> None:
    from simtool.report import site_words

    others = labels[1:]
    known = {row["quantity"]: {"value": 1.0} for row in rows}
    shown_rows = [row for group in site_words.GROUPS for row in group.rows]
    shown_rows += site_words.cost_rows(known)
    shown_rows += [site_words.Row(one.name, f"bill, {one.label}") for one in site_words.bill_rows(known)]
    for question in site_words.QUESTIONS:
        prefix = f"carbon, {question.replace('_', '-')}"
        for one in site_words.carbon_rows(question, known):
            called = prefix if one.name == f"carbon_{question}_kgco2e" else one.label
            shown_rows.append(site_words.Row(one.name, called, one.depth))
    by_name = {row["quantity"]: row for row in rows}
    per_run = max(1, (console.stdout().width - 46) // COLUMN)
    for begin in range(0, len(others), per_run):
        shown = others[begin : begin + per_run]
        headings = ["quantity", labels[0]]
        for label in shown:
            headings += [label, "ratio" + " " * headings.count("ratio")]
        table = console.table(headings, right=headings[1:], fold=headings)
        told: set[str] = set()
        same = 0
        for one in shown_rows:
            row = by_name.get(one.name)
            if row is None or one.name in told or not any(row["value"].values()):
                continue
            told.add(one.name)
            if _is_same(row, [labels[0], *shown]) and not console.is_verbose():
                same += 1
                continue
            cells = ["  " * one.depth + one.label, _value(row, labels[0])]
            for label in shown:
                ratio = row["ratio"].get(label)
                cells += [_value(row, label), "" if ratio is None else f"{ratio:.3g}"]
            table.add_row(*cells)
        console.show(table, below=begin + per_run < len(others))
        if same:
            console.say(f"{same} more quantities are the same; -v shows them")


def _is_same(row: dict[str, Any], labels: Sequence[str]) -> bool:
    return all(row["value"].get(label) == row["value"].get(labels[0]) for label in labels)


def _value(row: dict[str, Any], label: str) -> str:
    value = row["value"].get(label)
    return "" if value is None else show_site.value_words({"value": value, "unit": row["unit"]})
