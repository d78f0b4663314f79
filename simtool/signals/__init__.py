"""Values that change over time: prices, carbon intensity, later weather.

`Signal` is the value; `load_series` reads one from a CSV or Parquet file, `list_series` names those
that travel with simtool, and `find_series` takes either a shipped name or a path. `local_time`, `holidays` and
`windows` are the calendar and the clock of a site.
"""

from simtool.signals.files import load_series
from simtool.signals.shipped import ShippedSeries, find_series, list_series
from simtool.signals.signal import Basis, Signal, same_basis

__all__ = [
    "Basis",
    "ShippedSeries",
    "Signal",
    "find_series",
    "list_series",
    "load_series",
    "same_basis",
]
