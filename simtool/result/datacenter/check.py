"""What can be found wrong with a datacenter and its jobs before anything is simulated."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from simtool.errors import InfeasibleError, InputError, Problem
from simtool.result.datacenter.jobs import SiteJobs
from simtool.result.datacenter.prepare import MAX_DURATION_S, PreparedSite
from simtool.result.datacenter.signals import Place, SiteSignals, site_signals
from simtool.result.datacenter.supply import supplied
from simtool.signals import Signal
from simtool.sim.fleet.plan import FleetPlan
from simtool.sim.fleet.run import refuse_too_large
from simtool.units import SECONDS_PER_YEAR, display


def check_site(site: PreparedSite, jobs: SiteJobs) -> None:
    """Read every series and every tariff, and find what no run can keep, whatever the scheduler does.

    Where no length is given, it is looked as far as the last submission: how long jobs then go on is not known.

    Raises:
        InputError: a series or a tariff that cannot be read, or does not cover the time; plants that do not fit
            together; a building too small for idle servers.
        InfeasibleError: a job does not fit any of its pools, or a power limit is below what idle devices draw.
    """
    _refuse_endless(site, jobs)
    end_s = site.end_s if site.end_s < math.inf else max(1.0, float(jobs.table.submit_s[-1]))
    _refuse_low_limits(site, end_s)
    for name in site.loaded.datacenter.terms:
        place = Place(site.loaded, name)
        signals = site_signals(place, site.library, end_s)
        for field, signal in _read(place, signals, end_s):
            try:
                signal.require(0.0, end_s)
            except InputError as error:
                raise _at(place, field, error) from None
        _check_plants(site, place, signals, end_s)
    plan = FleetPlan(pools=tuple(pool.fleet for pool in site.pools), kinds=jobs.kinds)
    refuse_too_large(jobs.table, plan, jobs.kind)


def _refuse_endless(site: PreparedSite, jobs: SiteJobs) -> None:
    """Without a length the last job ends the run."""
    ends_s = jobs.table.submit_s + jobs.table.run_s
    if site.end_s < math.inf or ends_s.max() <= MAX_DURATION_S:
        return
    last = int(ends_s.argmax())
    found = f"found none, and job {jobs.table.name[last]!r} goes on for {ends_s[last] / SECONDS_PER_YEAR:.4g} years"
    mend = "add e.g. 'duration: 30 d', or correct the job"
    raise InputError(Problem(site.loaded.locate("duration"), "duration", found, "up to 100 years", mend))


def _read(place: Place, signals: SiteSignals, end_s: float) -> Iterator[tuple[str, Signal]]:
    """Everything that changes over time at a site, and the field that it stands in."""
    field = "electricity.price" if place.terms.electricity.tariff is None else "electricity.tariff"
    try:
        yield field, signals.tariff.marginal_price(signals.clock, 0.0, end_s)
    except InputError as error:
        raise _at(place, "start" if error.problems[0].field == "start" else field, error) from None
    for question, signal in signals.carbon.items():
        yield f"carbon.{'market' if question == 'market-based' else question}", signal
    if signals.weather is not None:
        yield "facility.weather", signals.weather.dry_bulb
        yield "facility.weather", signals.weather.wet_bulb


def _check_plants(site: PreparedSite, place: Place, signals: SiteSignals, end_s: float) -> None:
    """The building with idle servers, and its supply with no load at all, which none is too weak for."""
    idle_w = sum(
        pool.fleet.total_devices * pool.fleet.idle.power_w
        for pool in site.pools
        if pool.fleet.site == place.name
    )
    times = np.array([0.0, end_s])
    facility = site.facilities[place.name]
    try:
        facility.over(times, np.array([idle_w]), signals.dry_bulb, signals.wet_bulb)
    except InputError as error:
        raise _at(place, "facility.it_capacity", error) from None
    supplied(place, facility.over(times, np.zeros(1), signals.dry_bulb, signals.wet_bulb), signals)


def _refuse_low_limits(site: PreparedSite, end_s: float) -> None:
    idle_w = sum(pool.fleet.total_devices * pool.fleet.idle.power_w for pool in site.pools)
    for limit in site.limits:
        if limit.time_s < end_s and limit.power_w < idle_w:
            field = _field_of(site, limit.power_w)
            raise InfeasibleError(
                "power limit",
                f"{site.loaded.locate(field)}: {field}: {display(limit.power_w, 'W')} from "
                f"{display(limit.time_s, 's')} on is less than the {display(idle_w, 'W')} that devices draw without "
                "any work",
                ("a limit above that",),
            )


def _field_of(site: PreparedSite, power_w: float) -> str:
    """Where a limit was written."""
    power = site.loaded.datacenter.power
    written = [(f"changes[{index}]", one.power) for index, one in enumerate(power.changes)]
    written += [(f"curtailments[{index}]", one.power) for index, one in enumerate(power.curtailments)]
    for name, limit in written:
        if not isinstance(limit, str) and float(limit) == power_w:
            return f"power.{name}.power"
    return "power.limit"


def _at(place: Place, field: str, error: InputError) -> InputError:
    """The same problems, at the field of the datacenter; what names a file goes on naming it."""
    where = place.loaded.locate(field) if field == "start" else place.locate(field)
    name = field if field == "start" else place.field(field)
    return InputError(
        [
            Problem(
                where,
                name,
                f"{one.where}: {one.found}" if one.where and one.where != where else one.found,
                one.allowed,
                one.mend.replace("site.start", "start"),
            )
            for one in error.problems
        ]
    )
