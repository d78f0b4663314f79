"""The only conversions. Written quantities carry their unit; inside, floats are in base units.

Base units are SI (s, J, W, m, kg) plus four that SI lacks: byte, FLOP, token, USD, and kgCO2e for
greenhouse gas. A number without a unit is refused unless the quantity is dimensionless.
"""

from __future__ import annotations

import math
import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pint

SECONDS_PER_MINUTE = 60.0
SECONDS_PER_HOUR = 3600.0
SECONDS_PER_DAY = 86400.0
HOURS_PER_YEAR = 8760.0
SECONDS_PER_YEAR = HOURS_PER_YEAR * SECONDS_PER_HOUR
JOULES_PER_KWH = 3.6e6
BYTES_PER_GIB = 2.0**30
KILOGRAMS_PER_TONNE = 1000.0
KELVIN_AT_ZERO_CELSIUS = 273.15
"""A point on the Celsius scale is a unit of its own in files: 5 K is a difference, 5 degC is a temperature."""
MEGA, GIGA, TERA = 1e6, 1e9, 1e12
"""SI prefixes, for columns and axes that name them."""

_DEFINITIONS = """
exa- = 1e18 = E-
peta- = 1e15 = P-
tera- = 1e12 = T-
giga- = 1e9 = G-
mega- = 1e6 = M-
kilo- = 1e3 = k-
milli- = 1e-3 = m-
micro- = 1e-6 = µ- = μ- = u-
nano- = 1e-9 = n-
kibi- = 1024 = Ki-
mebi- = 1048576 = Mi-
gibi- = 1073741824 = Gi-
tebi- = 1099511627776 = Ti-
pebi- = 1125899906842624 = Pi-
percent = 0.01
second = [time] = s = sec
minute = 60 * second = min
hour = 60 * minute = h = hr
day = 24 * hour = d
week = 7 * day
year = 365 * day = yr
hertz = 1 / second = Hz
meter = [length] = m = metre
gram = [mass] = g
tonne = 1000 * kilogram = t
kelvin = [temperature] = K
degC = [celsius]
newton = kilogram * meter / second ^ 2 = N
joule = newton * meter = J
watt = joule / second = W
watt_hour = watt * hour = Wh
liter = 0.001 * meter ^ 3 = L = l = litre
bit = [information] = b
byte = 8 * bit = B
bit_per_second = bit / second = bps
FLOP = [computation] = FLOP = flop
FLOPS = FLOP / second = FLOPS = flops
token = [text] = token = tok
USD = [money] = USD = usd = dollar
gCO2e = [greenhouse_gas]
tCO2e = 1e6 * gCO2e
"""
"""All units that a file may use. Our own list, since pint's takes half a second to read, half of it
unknown to this trade, and makes a year 365.25 days long, where prices and rates mean 8,760 hours."""

MAX_LENGTH = 80

_COUNT = re.compile(r"\s*([-+]?[\d._]+(?:[eE][-+]?\d+)?)\s*([kKMGBTP]?)\s*\Z")
_COUNT_SCALE = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12, "P": 1e15}
_COUNT_UNITS = frozenset({"token", "USD", "FLOP", ""})

# One unit by which people read a quantity, by base unit; the scale is chosen with the value.
_DISPLAY: dict[str, tuple[tuple[float, str], ...]] = {
    "s": ((SECONDS_PER_DAY, "d"), (SECONDS_PER_HOUR, "h"), (1.0, "s"), (1e-3, "ms"), (1e-6, "us")),
    "J": ((3.6e15, "TWh"), (3.6e12, "GWh"), (3.6e9, "MWh"), (JOULES_PER_KWH, "kWh"), (1.0, "J")),
    "W": ((1e9, "GW"), (1e6, "MW"), (1e3, "kW"), (1.0, "W")),
    "W/s": ((1e9, "GW/s"), (1e6, "MW/s"), (1e3, "kW/s"), (1.0, "W/s")),
    "byte": ((2.0**40, "TiB"), (BYTES_PER_GIB, "GiB"), (2.0**20, "MiB"), (1.0, "byte")),
    "kgCO2e": ((1000.0, "tCO2e"), (1.0, "kgCO2e")),
}
_SCALE_NAMES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


# What may stand after the number. pint works out powers, so a tower of them (9^9^9) would never end: a unit
# is names, each with at most a one-digit power, and products and quotients of them.
_UNIT = re.compile(r"(?:[A-Za-z%µμ][A-Za-z0-9_µμ]*(?:\^-?[0-9](?![0-9]))?|1(?![0-9])|[()*/\s])*\Z")
_POWER_WORD = re.compile(r"\b(?:squared|cubed|square|cubic|sq|cu)\b")


def is_unit(text: str) -> bool:
    """Whether a text is made like a unit, so that pint may look at it.

    >>> is_unit("USD/kWh"), is_unit("9^9^9")
    (True, False)
    """
    return bool(_UNIT.match(text)) and not _POWER_WORD.search(text)


class UnitError(ValueError):
    """A written quantity that cannot be read: `found` and how to `mend` it."""

    def __init__(self, found: str, mend: str) -> None:
        super().__init__(found, mend)
        self.found, self.mend = found, mend

    def __str__(self) -> str:
        return f"{self.found}; {self.mend}"


@cache
def _pint() -> pint.UnitRegistry[float]:
    import pint as pint_module

    registry: pint.UnitRegistry[float] = pint_module.UnitRegistry(None)
    registry.load_definitions(_DEFINITIONS.strip().splitlines())
    return registry


def parse(written: object, unit: str) -> float:
    """The value of a written quantity in `unit`.

    Args:
        written: ``"989.4 TFLOP/s"``, a count such as ``"15 T"`` where `unit` counts something, or a
            plain number where `unit` is dimensionless (``""``).
        unit: base unit of the result, e.g. ``"FLOP/s"``, ``"USD/h"``, ``""``.

    Raises:
        UnitError: not a finite number, no unit, an unknown unit, or a unit of another dimension.

    >>> parse("2 h", "s")
    7200.0
    >>> parse("15 T", "token")
    15000000000000.0
    """
    if isinstance(written, bool) or not isinstance(written, int | float | str):
        raise UnitError(f"found {_shown(written)}", f"write a number with a unit, e.g. '{_example(unit)}'")
    if isinstance(written, int | float):
        if unit:
            raise UnitError(f"found {written!r} without a unit", f"write a unit, e.g. '{written} {unit}'")
        return _finite(_as_float(written), written)
    if unit in _COUNT_UNITS and (match := _COUNT.match(written)):
        if unit and not match[2]:
            raise UnitError(f"found {written!r} without a unit", f"write '{written} {unit}'")
        try:
            return _finite(float(match[1]) * _COUNT_SCALE[match[2]], written)
        except ValueError:
            raise UnitError(f"found {written!r}", "write a number") from None
    return _finite(_convert(written, unit), written)


def _convert(written: str, unit: str) -> float:
    if len(written) > MAX_LENGTH:
        raise UnitError(f"found {_shown(written)}", f"write a number and a unit, e.g. '{_example(unit)}'")
    number = re.match(r"\s*[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", written)
    if number is None:
        raise UnitError(f"found {_shown(written)}", f"begin with a number, e.g. '{_example(unit)}'")
    rest = written[number.end() :].strip()
    if not is_unit(rest):
        raise UnitError(
            f"found {_shown(written)}: unknown unit {_shown(rest)}", f"write e.g. '{_example(unit)}'"
        )
    try:
        value = float(number[0].replace("_", ""))
        from_unit = _pint().Unit("percent" if rest == "%" else rest)
        factor = float(_pint().Quantity(1.0, from_unit).to(unit or "dimensionless").magnitude)
    except Exception as error:  # pint raises a zoo of types; each means that the text is not a unit
        if type(error).__name__ == "DimensionalityError":
            what = f"found {written!r}, which is not {'dimensionless' if not unit else f'in {unit}'}"
            raise UnitError(what, f"write e.g. '{_example(unit)}'") from None
        raise UnitError(
            f"found {written!r}: unknown unit {rest!r}", f"write e.g. '{_example(unit)}'"
        ) from None
    if unit and not rest:
        raise UnitError(f"found {written!r} without a unit", f"write '{written.strip()} {unit}'")
    return value * factor


def display(value: float, unit: str, digits: int = 4) -> str:
    """A quantity as people read it, in a unit that suits its size.

    >>> display(7.2e9, "J")
    '2 MWh'
    >>> display(2e15, "FLOP/s")
    '2 PFLOP/s'
    """
    if not math.isfinite(value):
        return f"{value} {unit}".strip()
    magnitude = abs(value)
    if unit in _DISPLAY:
        scales = _DISPLAY[unit]
        scale, name = next((pair for pair in scales if magnitude >= _begin(*pair)), scales[-1])
        if value == 0:
            scale, name = 1.0, unit
        return f"{_significant(value / scale, digits)} {name}"
    if unit.startswith(("FLOP", "token", "byte/")):
        scale, prefix = next((pair for pair in _SCALE_NAMES if magnitude >= pair[0]), (1.0, ""))
        return f"{_significant(value / scale, digits)} {prefix}{unit}"
    return f"{_significant(value, digits)} {unit}".rstrip()


def _as_float(number: int | float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _begin(scale: float, name: str) -> float:
    """Size from which a scale is used: hours and days from two of them on, 36 h and not 1.5 d."""
    return 2.0 * scale if name in ("h", "d") else scale


def _significant(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(decimals, 12)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _finite(value: float, written: object) -> float:
    if not math.isfinite(value):
        raise UnitError(f"found {_shown(written)}", "write a finite number")
    return value


def _shown(written: object) -> str:
    text = repr(written)
    return text if len(text) <= 60 else text[:57] + "..."


def _example(unit: str) -> str:
    return {"s": "24 h", "token": "300 Gtoken", "": "0.5", "byte": "80 GB"}.get(unit, f"1.5 {unit}")
