"""Rental prices from a CSV in the columns of SkyPilot's catalogue.

Columns: ``InstanceType, AcceleratorName, AcceleratorCount, vCPUs, MemoryGiB, Price, SpotPrice, Region`` and, where they
are there, ``AvailabilityZone``; prices in USD an hour for the whole row. Three traps are known of these files:

- 700.0 stands where something is not offered at all. Such a price is taken as absent, and counted.
- Google's GPUs are listed apart from their hosts: a row without an instance is the accelerators alone, and a row of the
  same accelerator with an instance is then the host alone. The two are added.
- A TPU slice is one accelerator by name; its chips are read off the name (``tpu-v5p-12288`` has 6,144, since v2 to v5p
  count cores, two a chip; ``tpu-v6e-8`` has 8).
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from simtool.errors import InputError, Problem, did_you_mean
from simtool.provenance import Sourced

NEEDED = ("InstanceType", "AcceleratorName", "AcceleratorCount", "Price", "SpotPrice", "Region")
NOT_OFFERED_USD = 700.0
"""What the catalogue writes for a price that does not exist."""
MAX_BYTES = 64 * 2**20
MAX_PROBLEMS = 20
CORES_PER_CHIP = {"v2": 2, "v3": 2, "v4": 2, "v5p": 2}
"""TPU generations whose slices are named by cores; the later ones and v5e are named by chips."""
_TPU = re.compile(r"tpu-(v[0-9]+[a-z]*)-([0-9]+)\Z")
Market = Literal["on demand", "spot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One row."""

    instance: str
    """Empty where accelerators are listed without their host."""
    accelerator: str
    """Empty for a host without accelerators."""
    num_accelerators: float
    """Chips, for a TPU slice."""
    price_usd_per_hour: float | None
    """Of the whole row; None where it is not offered."""
    spot_usd_per_hour: float | None
    region: str
    zone: str
    row: int
    """Line in the file."""

    def usd_per_hour(self, market: Market) -> float | None:
        """Its price in a market."""
        return self.price_usd_per_hour if market == "on demand" else self.spot_usd_per_hour


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTable:
    """All rows of a file."""

    path: str
    offers: tuple[Offer, ...]
    notes: tuple[str, ...] = ()
    """What was left out of the file, and why."""

    def accelerators(self) -> list[str]:
        """Names of all accelerators, sorted."""
        return sorted({offer.accelerator for offer in self.offers if offer.accelerator})

    def price(
        self,
        accelerator: str,
        *,
        count: float | None = None,
        region: str | None = None,
        host: str | None = None,
        market: Market = "on demand",
    ) -> Sourced:
        """The lowest price of an accelerator-hour among the rows that fit, its host included [USD/h].

        Args:
            accelerator: as the file writes it; a TPU also without its size (``tpu-v6e``).
            count: accelerators of the instance; any if not given.
            region: any if not given.
            host: instance that carries accelerators which are listed apart; the host of the same accelerator
                if there is one.
            market: on demand or spot.

        Raises:
            InputError: no such accelerator, no row that fits, not offered in this market, or a host is missing.
        """
        rows = [offer for offer in self.offers if _is_named(offer.accelerator, accelerator)]
        if not rows:
            self._refuse(
                "accelerator",
                f"found no row of {accelerator!r}",
                did_you_mean(accelerator, self.accelerators()),
            )
        rows = [
            offer
            for offer in rows
            if count in (None, offer.num_accelerators) and region in (None, offer.region)
        ]
        if not rows:
            self._refuse(
                "accelerator",
                f"found no {count or ''} {accelerator} in {region or 'any region'}".replace("  ", " "),
                "leave count or region open",
            )
        priced = [
            (usd / offer.num_accelerators, offer, note)
            for offer in rows
            for usd, note in self._whole(offer, rows, host, market)
        ]
        if not priced:
            self._refuse(
                "price", f"{accelerator} is not offered {market} there", "ask for another region or market"
            )
        usd, offer, note = min(priced, key=lambda found: found[0])
        where = offer.zone or offer.region
        return Sourced(
            value=usd,
            unit="USD/h",
            kind="published",
            source=f"{self.path}:{offer.row}, {offer.instance or accelerator} in {where}, {market}{note}",
        )

    def _whole(
        self, offer: Offer, rows: list[Offer], host: str | None, market: Market
    ) -> list[tuple[float, str]]:
        """Price of a row with whatever it lacks; nothing where it is not offered, or is a host alone."""
        usd = offer.usd_per_hour(market)
        apart = [
            other for other in self.offers if other.accelerator == offer.accelerator and not other.instance
        ]
        if usd is None or (offer.instance and apart and not _is_tpu(offer.accelerator)):
            return []
        if offer.instance or _is_tpu(offer.accelerator):
            return [(usd, "")]
        hosts = [
            other
            for other in self.offers
            if other.instance
            and other.region == offer.region
            and (
                other.instance == host
                if host
                else (other.accelerator, other.num_accelerators)
                == (offer.accelerator, offer.num_accelerators)
            )
        ]
        if not hosts:
            self._refuse(
                "host",
                f"line {offer.row} lists {offer.accelerator} without its host, and no host in {offer.region} is "
                + (f"called {host!r}" if host else "of the same accelerator"),
                "name the instance that carries it, e.g. host='n1-standard-8'",
            )
        return [
            (usd + cost, f", with {other.instance} of line {other.row}")
            for other in hosts
            if (cost := other.usd_per_hour(market)) is not None
        ]

    def _refuse(self, field: str, found: str, mend: str) -> None:
        raise InputError(Problem(self.path, field, found, "", mend))


def read_price_table(path: Path) -> PriceTable:
    """Read a price list.

    Raises:
        InputError: it cannot be read, columns are missing, or rows are wrong; each is named with its line.
    """
    text = _text(path)
    reader = csv.DictReader(io.StringIO(text, newline=""))
    header = [name.strip() for name in reader.fieldnames or []]
    missing = [name for name in NEEDED if name not in header]
    if missing:
        found = f"found columns {', '.join(header[:10]) or 'none'}"
        mend = f"add {', '.join(missing)}"
        raise InputError(Problem(str(path), missing[0], found, f"the columns {', '.join(NEEDED)}", mend))
    reader.fieldnames = header
    offers, problems, absent = [], [], 0
    for row in reader:
        line = reader.line_num
        try:
            offer, num_absent = _offer(row, line)
        except ValueError as error:
            field, found, allowed = error.args
            problems.append(Problem(f"{path}:{line}", field, found, allowed, "correct the row"))
            continue
        absent += num_absent
        offers.append(offer)
    if not offers and not problems:
        problems.append(Problem(str(path), "", "found no rows", "at least one offer", ""))
    if problems:
        more = [Problem(str(path), "", f"and {len(problems) - MAX_PROBLEMS} rows more")]
        raise InputError(problems[:MAX_PROBLEMS] + (more if len(problems) > MAX_PROBLEMS else []))
    note = f"{absent} prices of {NOT_OFFERED_USD:g} USD were taken as not offered"
    return PriceTable(path=str(path), offers=tuple(offers), notes=(note,) if absent else ())


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise OSError("it is no file")
        content = path.read_bytes()
        if len(content) > MAX_BYTES:
            raise OSError(f"it is longer than {MAX_BYTES // 2**20} MiB")
        return content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise InputError(Problem(str(path), "", f"cannot be read: {reason}", "a CSV file", "")) from None


def _offer(row: Mapping[str | None, str | None], line: int) -> tuple[Offer, int]:
    cells = {name: (value or "").strip() for name, value in row.items() if isinstance(name, str)}
    if None in row or any(value is None for value in row.values()):
        raise ValueError("", "found another number of values than columns", "one value per column")
    accelerator = cells["AcceleratorName"]
    price, spot = _usd(cells, "Price"), _usd(cells, "SpotPrice")
    written = [price == NOT_OFFERED_USD, spot == NOT_OFFERED_USD]
    instance = "" if cells["InstanceType"] == "TPU-VM" else cells["InstanceType"]
    if not instance and not accelerator:
        raise ValueError("InstanceType", "found neither an instance nor an accelerator", "one of them")
    offer = Offer(
        instance=instance,
        accelerator=accelerator,
        num_accelerators=_count(cells, accelerator),
        price_usd_per_hour=None if written[0] else price,
        spot_usd_per_hour=None if written[1] else spot,
        region=cells["Region"],
        zone=cells.get("AvailabilityZone", ""),
        row=line,
    )
    return offer, sum(written)


def _usd(cells: Mapping[str, str], name: str) -> float | None:
    text = cells[name]
    if text.lower() in ("", "nan"):
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise ValueError(name, f"found {text!r}", "USD per hour of at least 0, or nothing")
    return number


def _count(cells: Mapping[str, str], accelerator: str) -> float:
    text = cells["AcceleratorCount"]
    if not accelerator:
        return 0.0
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError("AcceleratorCount", f"found {text!r}", "a number above 0")
    match = _TPU.match(accelerator.lower())
    return number * int(match[2]) / CORES_PER_CHIP.get(match[1], 1) if match else number


def _is_tpu(accelerator: str) -> bool:
    return accelerator.lower().startswith("tpu-")


def _is_named(accelerator: str, wanted: str) -> bool:
    if accelerator.lower() == wanted.lower():
        return True
    match = _TPU.match(accelerator.lower())
    return bool(match) and f"tpu-{match[1] if match else ''}" == wanted.lower()
