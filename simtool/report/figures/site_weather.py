"""PUE and water against the weather, hour by hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simtool.report import style
from simtool.report.table import Cell, Table
from simtool.result.datacenter.columns import Words
from simtool.result.datacenter.history import Holdings
from simtool.result.datacenter.result import DatacenterResult
from simtool.result.datacenter.tables import hour_columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure

COLUMNS = ("begin_s", "energy_it_kwh", "energy_facility_kwh", "pue", "water_kg", "dry_bulb_c", "wet_bulb_c")


def lacks(result: DatacenterResult) -> str:
    """Why there is nothing to draw; empty if there is."""
    if all(one.signals.weather is None for one in result.sites):
        return "the building is a constant PUE, which knows no weather"
    return ""


def table(result: DatacenterResult, held: Holdings) -> Table:
    """Energy, water and weather of every hour of the sites that stand in the weather."""
    hours = hour_columns(result, held)
    site = hours["site"]
    if not isinstance(site, Words):
        raise TypeError("the column of sites holds words")
    weather = np.asarray(hours["dry_bulb_c"])
    keep = np.flatnonzero(~np.isnan(weather) & (np.asarray(hours["energy_it_kwh"]) > 0.0))
    columns: dict[str, list[Cell]] = {"site": [site.words[site.codes[row]] for row in keep.tolist()]}
    columns |= {name: np.asarray(hours[name])[keep].tolist() for name in COLUMNS}
    water, energy = (np.asarray(hours[name])[keep] for name in ("water_kg", "energy_it_kwh"))
    columns["wue_kg_per_kwh"] = (water / energy).tolist()
    return Table(columns)


def draw(numbers: Table, *, source: str, several: bool = False) -> Figure:
    """The figure of a table made by `table`; `several` sites run, of which some may not stand in the weather."""
    sites = [str(site) for site in numbers.unique("site")]
    has_water = bool(numbers.numbers("water_kg").any())
    drawing = style.new_figure(3.0)
    places = drawing.subplots(1, 2, squeeze=False)[0]
    _cloud(places[0], numbers, "dry_bulb_c", "pue")
    places[0].set_xlabel("dry bulb (°C)")
    places[0].set_ylabel("PUE")
    style.panel(places[0], "a", "PUE against the temperature")
    if has_water:
        _cloud(places[1], numbers, "wet_bulb_c", "wue_kg_per_kwh")
        places[1].set_xlabel("wet bulb (°C)")
        places[1].set_ylabel("WUE (kg/kWh)")
        style.panel(places[1], "b", "water against the wet bulb")
    else:
        # The colour tells the temperature where it need not tell the site.
        colour = "dry_bulb_c" if len(sites) == 1 else ""
        scatter = _cloud(places[1], numbers, "energy_it_kwh", "pue", colour=colour)
        places[1].set_xlabel("IT power (kW)")
        places[1].set_ylabel("PUE")
        style.plain_ticks(places[1].xaxis, 5)
        style.panel(places[1], "b", "PUE against the load")
        if scatter is not None and colour:
            drawing.colorbar(scatter, ax=places[1], label="dry bulb (°C)", pad=0.02)
    if len(sites) > 1:
        _key(places[-1], {site: _means(numbers.where("site", site), ",\n") for site in sites})
    whose = f" of {sites[0]}" if several and len(sites) == 1 else ""
    over = f": {_means(numbers)} over the run" if len(sites) == 1 else ""
    style.headline(drawing, f"Building and weather{whose}{over}")
    style.footer(drawing, f"A point an hour.\n{source}")
    return drawing


def _means(rows: Table, between: str = ", ") -> str:
    """PUE and WUE over the whole run."""
    energy = rows.numbers("energy_it_kwh").sum()
    pue = rows.numbers("energy_facility_kwh").sum() / energy
    wue = float(rows.numbers("water_kg").sum() / energy)
    return f"PUE {pue:.3f}{between}WUE {wue:.3g} kg/kWh"


def _key(axes: Axes, sites: dict[str, str]) -> None:
    """Sites by colour, as dots that are larger than those of the cloud, with what is said of each."""
    from matplotlib.lines import Line2D

    dots = [
        Line2D([], [], linestyle="", marker="o", color=colour, label=f"{site}\n{words}")
        for (site, words), colour in zip(sites.items(), style.CYCLE, strict=False)
    ]
    title = "over the run"
    axes.legend(
        handles=dots,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        title=title,
        alignment="left",
        labelspacing=1.0,
    )


def _cloud(axes: Axes, numbers: Table, across: str, up: str, colour: str = "") -> PathCollection | None:
    scatter = None
    for site, own in zip(numbers.unique("site"), style.CYCLE, strict=False):
        rows = numbers.where("site", site)
        how = {"c": rows.numbers(colour), "cmap": "viridis"} if colour else {"color": own}
        scatter = axes.scatter(
            rows.numbers(across), rows.numbers(up), s=3.0, alpha=0.5, linewidths=0.0, label=str(site), **how
        )
    style.rule(axes, "y")
    return scatter
