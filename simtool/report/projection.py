"""Tables of projections: the scenario with more tokens, on other numbers of accelerators, in other years.

Each is anchored at the simulated run, so that at the scenario's own point it gives the run's own
numbers, and elsewhere what the models say changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from simtool.account.carbon import CarbonLine
from simtool.account.costs import CostLine
from simtool.account.defaults import default_trends, economics
from simtool.account.projection import Rates, project_start_year, project_tokens
from simtool.account.projection import trends_of as trends_that_move
from simtool.config.scenario import Cluster, Layout, Scenario
from simtool.errors import InfeasibleError, InputError
from simtool.profiles.find import ProfileLibrary
from simtool.provenance import Sourced
from simtool.report.figures.projections import NEWEST, SAME
from simtool.report.table import Cell, Table, from_rows
from simtool.result.plan import build_plan
from simtool.result.prepare import Prepared, prepare
from simtool.result.result import Result
from simtool.signals import Basis
from simtool.sim.theory import expected_goodput_frac

TOKEN_RATIOS = tuple(np.geomspace(0.1, 10.0, 13).tolist())
DEVICE_RATIOS = (1 / 8, 1 / 4, 1 / 2, 3 / 4, 1.0, 3 / 2, 2.0, 3.0, 4.0, 8.0)
NUM_YEARS = 6
"""How far ahead the start is projected; the trends were seen over about as many years."""
PROJECTED = {
    "cost_usd": "cost_total_usd",
    "energy_facility_j": "energy_facility_j",
    "carbon_kgco2e": "carbon_total_kgco2e",
    "carbon_marginal_kgco2e": "carbon_electricity_marginal_kgco2e",
    "duration_s": "duration_s",
}
"""Column of a projection, and the quantity of a result."""
Z_P90 = 1.2815515655446004
"""90th percentile of the standard normal distribution."""


def runs_of(result: Result) -> Iterator[tuple[str, Result]]:
    """The run, and the one without its method, each with its name."""
    if result.reference is None:
        yield "run", result
    else:
        yield "without method", result.reference
        yield "with method", result


def carbon_accounts(run: Result) -> dict[str, tuple[CarbonLine, ...]]:
    """Lines of the average account, with the making of the hardware, and of the marginal one; never mixed."""
    electricity = [line for line in run.carbon if line.basis is not None]
    average = tuple(line for line in electricity if line.basis is not Basis.MARGINAL)
    marginal = tuple(line for line in electricity if line.basis is Basis.MARGINAL)
    making = tuple(line for line in run.carbon if line.basis is None)
    accounts = {"carbon_kgco2e": average and (*average, *making), "carbon_marginal_kgco2e": marginal}
    return {column: lines for column, lines in accounts.items() if lines}


def over_tokens(result: Result) -> Table:
    """The run with a tenth to ten times its tokens: all grows in proportion."""
    tokens = result.scenario.workload.tokens.value
    rows: list[dict[str, Cell]] = []
    for name, run in runs_of(result):
        bands = {
            column: project_tokens(
                run.value(quantity),
                tokens,
                np.array(TOKEN_RATIOS) * tokens,
                _interval(run, quantity),
            )
            for column, quantity in PROJECTED.items()
            if quantity in run.quantities
        }
        for index, ratio in enumerate(TOKEN_RATIOS):
            row: dict[str, Cell] = {
                "run": name,
                "tokens": ratio * tokens,
                "is_scenario": int(abs(ratio - 1) < 1e-9),
            }
            for column, band in bands.items():
                row |= {
                    column: float(band.median[index]),
                    f"{column}_p10": float(band.p10[index]),
                    f"{column}_p90": float(band.p90[index]),
                }
            rows.append(row)
    return from_rows(rows)


def _interval(run: Result, quantity: str) -> tuple[float, float] | None:
    if quantity not in run.intervals:
        return None
    low, _, high = run.intervals[quantity]
    return low, high


def over_devices(result: Result, library: ProfileLibrary) -> Table:
    """The same training on an eighth to eight times the nodes, as far as a layout exists and fits.

    The step model prices each size with the same global batch; failures and checkpoints enter in their
    expected number. Accelerator-hours and energy are paid at the rates of the run itself.
    """
    rows: list[dict[str, Cell]] = []
    num_nodes = result.scenario.cluster.num_nodes
    sizes = sorted({round(ratio * num_nodes) for ratio in DEVICE_RATIOS if ratio * num_nodes >= 1})
    for name, run in runs_of(result):
        base = _priced(run, library, num_nodes)
        points = {size: _priced(run, library, size) for size in sizes}
        for size, point in points.items():
            if base is not None and point is not None:
                rows.append(_anchored(name, run, base, point) | {"is_scenario": int(size == num_nodes)})
    return from_rows(rows)


def _anchored(
    name: str, run: Result, base: Mapping[str, float], point: Mapping[str, float]
) -> dict[str, Cell]:
    """The run's own numbers, changed in the ratio of two priced points."""
    ratio = {key: point[key] / base[key] for key in base}
    has_energy = "energy_it_j" in run.quantities
    energy_it_j = run.value("energy_it_j") if has_energy else 0.0
    own_hours = run.value("accelerator_hours")
    hours = own_hours * ratio["duration_s"] * ratio["num_devices"]
    rates = Rates.of(run.costs, own_hours, energy_it_j)
    cost_usd = float(rates.cost_usd(hours, energy_it_j * ratio["energy_j"])) if run.costs else None
    facility_j = run.value("energy_facility_j") * ratio["energy_j"] if has_energy else None
    return {
        "run": name,
        "num_devices": point["num_devices"],
        "cost_usd": cost_usd,
        "energy_facility_j": facility_j,
        **{
            column: math.fsum(
                line.amount_kgco2e * (ratio["energy_j"] if line.driver == "energy" else hours / own_hours)
                for line in lines
            )
            for column, lines in carbon_accounts(run).items()
        },
        "duration_s": run.value("duration_s") * ratio["duration_s"],
        "accelerator_hours": hours,
        "goodput_frac": point["goodput_frac"],
    }


def _priced(run: Result, library: ProfileLibrary, num_nodes: int) -> dict[str, float] | None:
    """Expected duration and training energy on some number of nodes; None where it cannot be run."""
    loaded = replace(run.loaded, scenario=_resized(run, num_nodes))
    try:
        prepared = prepare(loaded, library, with_method=run.reference is not None)
        goodput = expected_goodput(prepared)
    except (InputError, InfeasibleError):
        return None
    work_s = sum(phase.num_steps * float(phase.estimate.step_time_s) for phase in prepared.phases)
    energy_j = sum(phase.num_steps * float(phase.estimate.energy_it_j) for phase in prepared.phases)
    return {
        "num_devices": float(prepared.layouts.num_devices),
        "duration_s": work_s / goodput,
        "energy_j": energy_j / goodput,
        "goodput_frac": goodput,
    }


def _resized(run: Result, num_nodes: int) -> Scenario:
    """The scenario on another number of nodes; an explicit layout keeps all but its replicas."""
    scenario = run.scenario
    cluster = scenario.cluster
    spares = math.ceil(cluster.spare_nodes * num_nodes / cluster.num_nodes)
    resized: Cluster = cluster.model_copy(update={"num_nodes": num_nodes, "spare_nodes": spares})
    layout = scenario.layout
    if isinstance(layout, Layout):
        layout = layout.model_copy(update={"dp": None})
    return scenario.model_copy(update={"cluster": resized, "layout": layout})


def trends_of(result: Result, hardware: str) -> dict[str, Sourced]:
    """The trends behind the projection over years: the scenario's own before simtool's."""
    shipped = default_trends("newest" if hardware == NEWEST else "same")
    own = result.scenario.projection
    written = {name: getattr(own, name) for name in shipped}
    return {
        name: trend if written[name] is None else written[name].per_year for name, trend in shipped.items()
    }


def over_start_years(result: Result) -> Table:
    """Cost, energy and carbon if the run began in a later year, on the same or that year's accelerators.

    The trend of the grid is that of its average intensity, so the marginal account is not projected.
    """
    first = result.scenario.site.start.year
    years = np.arange(first, first + NUM_YEARS + 1, dtype=np.float64)
    rows: list[dict[str, Cell]] = []
    for hardware in (SAME, NEWEST):
        trends = trends_of(result, hardware)
        for name, run in runs_of(result):
            cost = project_start_year(
                run.costs,
                trends,
                years,
                base_year=float(first),  # the scenario states the prices of the run that it describes
                inflation_per_year=economics().inflation_per_year,
                seed=result.scenario.seed,
            )
            energy = _energy(run, trends.get("hardware_efficiency"), years - first)
            energy |= _carbon(run, trends, years)
            for index, year in enumerate(years):
                rows.append(
                    {
                        "hardware": hardware,
                        "run": name,
                        "start_year": float(year),
                        "cost_usd": float(cost.median[index]),
                        "cost_usd_p10": float(cost.p10[index]),
                        "cost_usd_p90": float(cost.p90[index]),
                        **{column: values[index] for column, values in energy.items()},
                    }
                )
    return from_rows(rows)


def _energy(
    run: Result, trend: Sourced | None, ahead: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> dict[str, list[float]]:
    """Energy of the facility when hardware that needs less of it does the work; lognormal in the trend."""
    if "energy_facility_j" not in run.quantities:
        return {}
    amount = run.value("energy_facility_j")
    rate, spread = (0.0, 0.0) if trend is None else (trend.value, trend.spread or 0.0)
    mean, error = np.log1p(rate) * ahead, Z_P90 * spread / (1.0 + rate) * ahead
    return {
        "energy_facility_j": (amount * np.exp(mean)).tolist(),
        "energy_facility_j_p10": (amount * np.exp(mean - error)).tolist(),
        "energy_facility_j_p90": (amount * np.exp(mean + error)).tolist(),
    }


def _carbon(
    run: Result, trends: Mapping[str, Sourced], years: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> dict[str, list[float]]:
    """Greenhouse gas of the average account; the intensity of the grid is that of the first year."""
    lines = carbon_accounts(run).get("carbon_kgco2e", ())
    if not lines:
        return {}
    band = project_start_year(lines, trends, years, base_year=float(years[0]), seed=run.scenario.seed)
    return {
        "carbon_kgco2e": band.median.tolist(),
        "carbon_kgco2e_p10": band.p10.tolist(),
        "carbon_kgco2e_p90": band.p90.tolist(),
    }


def trend_sources(result: Result) -> str:
    """The trends that move something of a projection over years: change a year, spread, kind, source."""
    shown: dict[str, str] = {}
    lines: tuple[CostLine | CarbonLine, ...] = (
        *result.costs,
        *carbon_accounts(result).get("carbon_kgco2e", ()),
    )
    moving = {name for line in lines for name in trends_that_move(line)}
    for hardware in (SAME, NEWEST):
        for name, trend in trends_of(result, hardware).items():
            if name not in moving:
                continue
            spread = f" +-{100 * trend.spread:.3g}" if trend.spread else ""
            rate = f"{100 * trend.value:+.3g}" if trend.value else "0"
            shown[name] = f"{name.replace('_', ' ')} {rate}{spread} % a year ({trend.kind}: {trend.source})"
    return "\n".join(f"Trend: {one}" for one in shown.values())


def expected_goodput(prepared: Prepared) -> float:
    """Expected share of the wall time that ends up in the model, by the closed form."""
    plan = build_plan(prepared)
    return expected_goodput_frac(plan.job, plan.cluster, plan.checkpoint, plan.failures)
