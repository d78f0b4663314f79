"""Series: columns over time, cut into windows with a target some steps ahead; parts follow in time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simtool.engine.data.files import data_error
from simtool.engine.data.tables import Columns, read_columns
from simtool.engine.plan import FloatArray, IntArray
from simtool.signals import list_series
from simtool.signals.rows import read_csv

DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?")
TRAIN_FRAC, VALIDATION_FRAC = 0.7, 0.1
TARGET = "carbon-caiso"
"""Column of the shipped series that is predicted."""
HOURS_A_DAY = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Standardised columns over time, and the value to predict at every step."""

    inputs: FloatArray
    """Shape (steps, columns); mean 0 and standard deviation 1 over the training part."""
    target: FloatArray
    """Shape (steps,), likewise."""
    source: str
    target_name: str
    is_logarithm: bool
    left_out: tuple[str, ...] = ()


def load_columns(path: Path | None) -> Columns:
    """The columns of a CSV or Parquet file, or the shipped hourly carbon intensities of 2022.

    The shipped columns are eight North American grids and the hour of the day [UTC] on a circle.

    Raises:
        InputError: not readable.
    """
    if path is not None:
        return read_columns(path)
    shipped = [series for series in list_series() if series.name.startswith("carbon-")]
    values = {}
    for series in shipped:
        header, _, columns = read_csv(series.path, series.name)
        values[series.name] = np.array(columns[header[1]], dtype=np.float64)
    num_steps = min(map(len, values.values()))
    angle = 2.0 * np.pi * np.arange(num_steps) / HOURS_A_DAY
    values = {name: column[:num_steps] for name, column in values.items()}
    return Columns(
        values=values | {"hour-sine": np.sin(angle), "hour-cosine": np.cos(angle)}, path=Path(TARGET)
    )


def load_series(
    path: Path | None, *, target: str | None = None, drop: Sequence[str] = (), log: str = "auto"
) -> Series:
    """A series ready for windows.

    Columns of dates and columns that only count the rows are left out: they tell where in the file
    a step is, which no later step repeats.

    Args:
        path: a CSV or Parquet file; None takes the shipped carbon intensities.
        target: column to predict; by default the last one.
        drop: columns that are left out.
        log: ``"yes"`` predicts log(1 + target), ``"no"`` the target, ``"auto"`` the logarithm where the
            target counts something: whole numbers, none negative.

    Raises:
        InputError: not readable, or a column that is no number.
    """
    columns = load_columns(path).without(drop)
    where = path or "series"
    dates = [
        name
        for name, column in columns.values.items()
        if column.dtype.kind != "f" and all(DATE.fullmatch(value) for value in column)
    ]
    left_out = [*drop, *dates, *columns.row_numbers()]
    columns = columns.without([name for name in left_out if name in columns.values])
    if not columns.values:
        raise data_error(where, "holds no column of numbers", "at least one", "")
    name = columns.check(target) if target else (TARGET if path is None else list(columns.values)[-1])
    inputs = columns.numbers(list(columns.values))
    wanted = columns.numbers([name])[:, 0]
    counts = bool((wanted >= 0.0).all() and (wanted == np.round(wanted)).all())
    is_logarithm = log == "yes" or (log == "auto" and counts)
    if is_logarithm:
        if (wanted <= -1.0).any():
            raise data_error(
                where, f"column {name} has values of -1 or less", "a logarithm needs more", "set log=no"
            )
        wanted = np.log1p(wanted)
    seen = slice(0, int(TRAIN_FRAC * len(wanted)))
    if len(wanted[seen]) < 2 or float(wanted[seen].std()) == 0.0:
        raise data_error(where, f"column {name} never changes in the training part", "", "name other data")
    return Series(
        inputs=_standardised(inputs, seen),
        target=_standardised(wanted[:, None], seen)[:, 0],
        source="simtool's hourly carbon intensities of 2022" if path is None else path.name,
        target_name=name,
        is_logarithm=is_logarithm,
        left_out=tuple(left_out),
    )


def _standardised(values: FloatArray, seen: slice) -> FloatArray:
    deviation = values[seen].std(axis=0)
    scaled: FloatArray = (values - values[seen].mean(axis=0)) / np.where(deviation > 0.0, deviation, 1.0)
    return scaled


def windows(num_steps: int, window: int, horizon: int, where: str) -> dict[str, IntArray]:
    """First steps of the windows of each part; the target of a window is `horizon` after its last step.

    No step of a held-out window, target included, belongs to a training window.

    Raises:
        InputError: the series is too short.

    >>> {part: (int(begin[0]), int(begin[-1])) for part, begin in windows(100, 5, 2, "example").items()}
    {'train': (0, 63), 'validation': (70, 73), 'test': (80, 93)}
    """
    reach = window + horizon
    bounds = [0, int(TRAIN_FRAC * num_steps), int((TRAIN_FRAC + VALIDATION_FRAC) * num_steps), num_steps]
    parts = {
        name: np.arange(begin, end - reach + 1, dtype=np.int64)
        for name, begin, end in zip(("train", "validation", "test"), bounds[:-1], bounds[1:], strict=True)
    }
    if min(map(len, parts.values())) < 2:
        needed = int((reach + 2) / VALIDATION_FRAC) + 1
        raise data_error(
            where, f"found {num_steps} steps", f"at least {needed}", "name a longer series or window=.."
        )
    return parts
