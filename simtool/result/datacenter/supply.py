"""Who supplies a site, as its file says: grid, panels, turbines, battery, generator."""

from __future__ import annotations

from dataclasses import replace

from simtool.config import datacenter_site as written
from simtool.config.scenario import Series
from simtool.errors import InputError, Problem
from simtool.facility.battery import Battery
from simtool.facility.generation import SolarPlant, WindPlant, solar_power, wind_power
from simtool.facility.generator import NATURAL_GAS_KGCO2E_PER_J, Generator
from simtool.facility.policies import OwnUse, PeakShaving, Policy, Reserve, TwoThresholds
from simtool.facility.series import FacilitySeries
from simtool.facility.site_balance import SiteBalance, site_balance
from simtool.result.datacenter.signals import Place, SiteSignals, located, series_of
from simtool.signals import Signal


def supplied(place: Place, series: FacilitySeries, signals: SiteSignals) -> SiteBalance | None:
    """What the grid and the site's own plants give in every interval; None where the grid gives all.

    Raises:
        InputError: a plant without the weather or the series that it needs.
        InfeasibleError: the load cannot be supplied, and a shortage is refused.
    """
    supply = place.terms.supply
    if supply is None:
        return None
    end_s = float(series.breakpoints_s[-1])
    limit = supply.import_limit
    battery, policy = _battery(place, supply.battery, signals, end_s)
    return site_balance(
        series.breakpoints_s,
        series.total_w,
        solar=_solar(place, supply.solar, signals, end_s),
        wind=_wind(place, supply.wind, signals, end_s),
        battery=battery,
        policy=policy,
        generator=generator_of(supply.backup),
        import_limit=None if limit is None else series_of(place, limit, "W", "supply.import_limit", end_s),
        export_limit_w=0.0 if supply.export_limit is None else float(supply.export_limit),
        shortage=supply.shortage,
    )


def generator_of(backup: written.Backup | None) -> Generator | None:
    """The site's generator."""
    if backup is None:
        return None
    generator = Generator(rated_w=float(backup.rated))
    if backup.fuel == "natural-gas":
        return replace(generator, carbon_kgco2e_per_j=float(NATURAL_GAS_KGCO2E_PER_J))
    return generator


def _battery(
    place: Place, battery: written.Battery | None, signals: SiteSignals, end_s: float
) -> tuple[Battery | None, Policy | None]:
    if battery is None:
        return None, None
    # Empty at the begin: all that it gives was bought or generated within the run.
    found = Battery.lithium(float(battery.energy), initial_frac=0.0)
    found = replace(found, calendar_life_s=float(battery.calendar_life))
    if battery.power is not None:
        power_w = float(battery.power)
        found = replace(
            found, charge_w=min(power_w, found.charge_w), discharge_w=min(power_w, found.discharge_w)
        )
    match battery.policy:
        case "peak-shaving":
            return found, PeakShaving(threshold_w=_number(battery.threshold))
        case "own-use":
            return found, OwnUse()
        case "reserve":
            return found, Reserve()
        case "price":
            signal = signals.tariff.marginal_price(signals.clock, 0.0, end_s)
        case "carbon":
            if "average" not in signals.carbon:
                field = "supply.battery.policy"
                found_text, mend = "found 'carbon' without an average intensity", "add carbon.average"
                raise InputError(Problem(place.locate(field), place.field(field), found_text, "", mend))
            signal = signals.carbon["average"]
    return found, TwoThresholds(signal=signal, low=_number(battery.low), high=_number(battery.high))


def _number(quantity: object) -> float:
    return float(quantity)  # type: ignore[arg-type]  # the schema asks for it under this policy


def _solar(place: Place, solar: written.Solar | None, signals: SiteSignals, end_s: float) -> Signal | None:
    if solar is None:
        return None
    rated_w = float(solar.rated)
    if solar.series is not None:
        return _share(place, solar.series, rated_w, "supply.solar.series", end_s)
    if signals.weather is None:
        raise _no_weather(place, "supply.solar")
    if signals.weather.latitude_deg is None:
        field, found = "facility.weather.latitude", f"found none for {signals.weather.name}"
        mend = "add latitude and longitude of the place, which the position of the sun needs, or supply.solar.series"
        raise InputError(Problem(place.locate(field), place.field(field), found, "degrees", mend))
    plant = SolarPlant(rated_w=rated_w, azimuth_deg=180.0 if signals.weather.latitude_deg >= 0.0 else 0.0)
    if solar.azimuth is not None:
        plant = replace(plant, azimuth_deg=float(solar.azimuth))
    if solar.tilt is not None:
        plant = replace(plant, tilt_deg=float(solar.tilt))
    try:
        return solar_power(plant, signals.weather, place.loaded.datacenter.start, end_s)
    except InputError as error:
        raise located(place, "supply.solar", error) from None


def _wind(place: Place, wind: written.Wind | None, signals: SiteSignals, end_s: float) -> Signal | None:
    if wind is None:
        return None
    if wind.series is not None:
        return _share(place, wind.series, float(wind.rated), "supply.wind.series", end_s)
    if signals.weather is None:
        raise _no_weather(place, "supply.wind")
    return wind_power(WindPlant(rated_w=float(wind.rated)), signals.weather)


def _share(place: Place, series: Series, rated_w: float, field: str, end_s: float) -> Signal:
    """Power of a plant from a series of its output per watt of rating."""
    share = series_of(place, series, "", field, end_s)
    if share.values.min() < 0.0:
        found = f"found an output of {share.values.min():g}"
        raise InputError(
            Problem(place.locate(field), place.field(field), found, "at least 0", "generation is positive")
        )
    return replace(share, values=share.values * rated_w, unit="W")


def _no_weather(place: Place, field: str) -> InputError:
    found, mend = "found a plant at a site without weather", "add facility.weather, or a series"
    return InputError(Problem(place.locate(field), place.field(field), found, "", mend))
