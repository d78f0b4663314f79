"""`simtool explain`: from a number to its formula, its inputs and their sources."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simtool.cli import console, options

if TYPE_CHECKING:
    from simtool.provenance import Derived, Input

EPILOG = options.example(
    "simtool explain quickstart",
    "simtool explain energy.total quickstart",
    "simtool explain cost.total out/quickstart/1a2b3c4d",
    "simtool explain pue my-datacenter.yaml",
)


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("explain", epilog=EPILOG, short_help="from a number to its formula and its sources")(explain)


def explain(
    quantity: Annotated[
        str,
        typer.Argument(
            metavar="QUANTITY",
            help="A quantity by name or alias; without one, all are listed.",
            show_default=False,
        ),
    ] = "",
    scenario: Annotated[
        str,
        typer.Argument(
            metavar="SCENARIO", help="A scenario, a datacenter or a run folder.", show_default="quickstart"
        ),
    ] = "",
    changes: options.Set = None,
    seed: options.Seed = None,
    profiles: options.Profiles = None,
    as_json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Walk from a number of the result to its formula, its inputs, and where each comes from."""
    console.configure(verbose, quiet)
    from simtool.report import words

    wanted, name = _sort(quantity, scenario)
    with console.progress() as progress:
        title, quantities = _solved(name, profiles, changes, seed, progress)
    if not wanted:
        _list_all(title, quantities, as_json=as_json)
        return
    number = quantities[words.resolve(wanted, list(quantities))]
    if as_json:
        console.say_json(tree(number))
        return
    console.line(f"{title}: {words.label(number.name)}")
    console.line("")
    for text in lines(number, console.stdout().width):
        console.line(text)


def _sort(first: str, second: str) -> tuple[str, str]:
    """Which word is the quantity and which the scenario; either may come first or be absent."""
    if second and (_is_target(first) and not _is_target(second)):
        first, second = second, first
    if not second and _is_target(first):
        return "", first
    return first, second or "quickstart"


def _is_target(word: str) -> bool:
    from simtool.profiles.find import shipped_scenarios

    return bool(word) and (Path(word).exists() or word in {path.stem for path in shipped_scenarios()})


def _solved(
    name: str,
    profiles: list[Path] | None,
    changes: list[str] | None,
    seed: int | None,
    progress: console.Progress,
) -> tuple[str, Mapping[str, Derived]]:
    """The name and the quantities of a scenario, a datacenter, or what a run folder holds."""
    from simtool.cli import inputs, sites

    if sites.is_datacenter(name):
        site = sites.solve(sites.target(name, profiles, changes, seed), progress)
        return site.datacenter.name, site.quantities
    result = inputs.solve(inputs.target(name, profiles, changes, seed), progress)
    return result.scenario.name, result.quantities


def _list_all(title: str, quantities: Mapping[str, Derived], *, as_json: bool) -> None:
    from simtool.report import words

    names = words.in_order(list(quantities))
    if as_json:
        console.say_json({name: tree(quantities[name]) for name in names})
        return
    console.line(f"{title}: 'simtool explain QUANTITY' explains one of these")
    table = console.table(["quantity", "alias", "value", "origin"], right=("value",), fold=("quantity",))
    for name in names:
        number = quantities[name]
        alias = words.WORDS[name].alias if name in words.WORDS else ""
        table.add_row(name, alias, words.shown(number.value, number.unit), number.weakest())
    console.show(table, below=False)


def tree(number: Derived | Input) -> dict[str, Any]:
    """A number and all below it as plain data."""
    from simtool.provenance import Derived

    if isinstance(number, Derived):
        return {
            "name": number.name,
            "value": number.value,
            "unit": number.unit,
            "formula": number.formula,
            "provenance": number.weakest(),
            "inputs": [tree(below) for below in number.inputs],
        }
    leaf = number.number
    return {
        "name": number.name,
        "value": leaf.value,
        "unit": leaf.unit,
        "provenance": leaf.kind,
        "source": leaf.source,
        "date": leaf.date or None,
        "spread": leaf.spread,
    }


def lines(number: Derived, width: int) -> list[str]:
    """The tree as indented text; what was explained above is not explained again."""
    from simtool.provenance import Derived
    from simtool.report import words

    told: set[Derived] = set()
    text: list[str] = []

    def tell(node: Derived | Input, depth: int) -> None:
        margin = "  " * min(depth, 12)
        if isinstance(node, Derived):
            head = f"{node.name} = {words.shown(node.value, node.unit)}  [{node.weakest()}]"
            if node in told and node.inputs:
                text.extend(_wrapped(f"{head}  (see above)", margin, width))
                return
            told.add(node)
            text.extend(_wrapped(head, margin, width))
            text.extend(_wrapped(f"= {node.formula}", margin + "  ", width))
            for below in node.inputs:
                tell(below, depth + 1)
            return
        leaf = node.number
        spread = f" +-{100 * leaf.spread:.3g} %" if leaf.spread else ""
        date = f", {leaf.date}" if leaf.date else ""
        head = f"{node.name} = {words.shown(leaf.value, leaf.unit)}{spread}  [{leaf.kind}]"
        text.extend(_wrapped(head, margin, width))
        text.extend(_wrapped(f"{leaf.source}{date}", margin + "    ", width))

    tell(number, 0)
    return text


def _wrapped(text: str, margin: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, max(width, 40), initial_indent=margin, subsequent_indent=margin + "    ", break_on_hyphens=False
    )
