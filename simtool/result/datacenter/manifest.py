"""What went into a datacenter's run, so that it can be cited and repeated, and what a reader asks first."""

from __future__ import annotations

import platform
import sys
from typing import Any

from simtool import __version__
from simtool.config.datacenter_site import Supply
from simtool.config.scenario import Series
from simtool.provenance import Sourced
from simtool.result.datacenter.accounts import SiteAccounts
from simtool.result.datacenter.digests import all_digests, site_hash
from simtool.result.datacenter.files import DATACENTER, FILES, MAX_POINTS, MAX_SLICES
from simtool.result.datacenter.history import pool_names
from simtool.result.datacenter.overview import bill_lines, by_cause, by_size, by_state
from simtool.result.datacenter.prepare import PreparedSite
from simtool.result.datacenter.result import DatacenterResult
from simtool.result.datacenter.tables import interruption_columns
from simtool.result.manifest import MANIFEST_SCHEMA, NOT_BUILT, OPTIONAL, versions
from simtool.result.summary import rounded
from simtool.units import KILOGRAMS_PER_TONNE


def digests_of(site: PreparedSite) -> dict[str, str]:
    """Digests of all that went in."""
    return all_digests(site.loaded, site.library, site.profile_digests)


def hash_of(site: PreparedSite, seeds: int) -> str:
    """What names the run folder of a prepared datacenter."""
    return site_hash(site.loaded, digests_of(site), seeds)


def manifest(result: DatacenterResult, *, command: str, seeds: int = 1) -> dict[str, Any]:
    """The content of ``manifest.json``; no clock and no host name, so it repeats byte by byte."""
    datacenter = result.datacenter
    digests = digests_of(result.site)
    return {
        "schema": MANIFEST_SCHEMA,
        "kind": DATACENTER,
        "hash": site_hash(result.loaded, digests, seeds),
        "simtool": __version__,
        "versions": versions(),
        "platform": f"{sys.platform}-{platform.machine()}",
        "command": command,
        "scenario": {
            "name": datacenter.name,
            "question": datacenter.question,
            "path": str(result.loaded.path.absolute()),
        },
        "seed": datacenter.seed,
        "seeds": seeds,
        "profiles": dict(sorted(digests.items())),
        "setup": set_up(result),
        "by_state": by_state(result),
        "by_size": by_size(result),
        "by_cause": by_cause(interruption_columns(result)),
        "bill": bill_lines(result),
        "bill_after": [
            {
                "site": one.name,
                "amount_usd": rounded(one.bill.after_usd),
                "charged": one.bill.after_is_charged,
            }
            for one in result.sites
            if one.bill.after
        ],
        "notes": list(result.notes),
        "ledger": {
            "form": "one row for every interval, pool, job and state; num_devices is the share in that state",
            "num_segments": sum(len(ledger) for ledger in result.outcome.ledgers.values()),
        },
        "timeline": {"max_slices": MAX_SLICES, "max_points": MAX_POINTS},
        "files": dict(FILES),
        "optional": dict(OPTIONAL),
        "not_built": dict(NOT_BUILT),
    }


def set_up(result: DatacenterResult) -> dict[str, Any]:
    """What was run where, as executed."""
    datacenter = result.datacenter
    return {
        "start": datacenter.start.isoformat().replace("+00:00", "Z"),
        "end_s": result.outcome.end_s,
        "pools": [
            {
                "name": pool.name,
                "accelerator": pool.machine.accelerator.name,
                "node": pool.machine.node.name,
                "num_nodes": pool.fleet.num_nodes,
                "spare_nodes": pool.fleet.spare_nodes,
                "num_devices": pool.fleet.total_devices,
            }
            for pool in result.site.pools
        ],
        "campaign": [run.row.name for run in result.site.campaign],
        "scheduler": datacenter.scheduler.name,
        "placement": datacenter.scheduler.placement,
        "reliability": _reliability(result),
        "power_limits": _limits(result),
        "sites": [_site(one) for one in result.sites],
        "economics": None if datacenter.economics is None else datacenter.economics.mode,
        "money": None if datacenter.economics is None else datacenter.economics.money.model_dump(mode="json"),
        "num_jobs": len(result.outcome.names),
        "num_events": result.outcome.num_events,
    }


def _limits(result: DatacenterResult) -> dict[str, Any]:
    """The standing limit of all servers [W], and how often it changes or the grid calls."""
    power = result.datacenter.power
    return {
        "limit_w": None if power.limit is None else float(power.limit),
        "num_changes": len(power.changes),
        "num_curtailments": len(power.curtailments),
    }


def _reliability(result: DatacenterResult) -> str:
    written = result.datacenter.reliability
    return "none" if isinstance(written, str) else written.preset or "of its own"


def _site(one: SiteAccounts) -> dict[str, Any]:
    terms = one.place.terms
    facility, electricity = terms.facility, terms.electricity
    weather = facility.weather
    return {
        "name": one.name,
        "pools": pool_names(one),
        "time_zone": one.bill.timezone,
        "facility": facility.profile or f"PUE {float(facility.pue or 1.0):g}",
        "weather": None if weather is None else weather.place,
        "electricity": electricity.tariff or _price(electricity.price),
        "shadow_price": None if terms.carbon.shadow_price is None else _rate(terms.carbon.shadow_price),
        "supply": [] if terms.supply is None else _supply(terms.supply),
    }


def _price(price: Sourced | Series | None) -> str:
    """What a kWh costs where no tariff says so: the file or the name of a series, or that it is one price."""
    return price.series if isinstance(price, Series) else "one price"


def _rate(price: Sourced) -> str:
    return f"{float(price) * KILOGRAMS_PER_TONNE:,.4g} USD/tCO2e"


def _supply(supply: Supply) -> list[str]:
    """What the site has beside the grid."""
    return [name for name in ("battery", "solar", "wind", "backup") if getattr(supply, name) is not None]
