"""The numbers behind a figure: named columns of equal length, with units in their names."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simtool.result.summary import rounded

Cell = str | float | int | None


@dataclass(frozen=True, slots=True)
class Table:
    """Columns by name; a number's unit is part of its column's name.

    >>> table = Table({"time_s": [0.0, 1.0], "label": ["a", "b"]})
    >>> table.num_rows
    2
    >>> table.to_csv().splitlines()[1]
    '0,a'
    """

    columns: Mapping[str, Sequence[Cell]]

    def __post_init__(self) -> None:
        if len({len(column) for column in self.columns.values()}) > 1:
            lengths = {name: len(column) for name, column in self.columns.items()}
            raise ValueError(f"columns of different length: {lengths}")

    @property
    def num_rows(self) -> int:
        """Rows of the table."""
        return len(next(iter(self.columns.values()), ()))

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column as floats; what is absent is NaN."""
        return np.array([np.nan if cell is None else float(cell) for cell in self.columns[name]])

    def texts(self, name: str) -> list[str]:
        """A column as text."""
        return [str(cell) for cell in self.columns[name]]

    def where(self, name: str, value: Cell) -> Table:
        """The rows whose column `name` holds `value`."""
        keep = [row for row, cell in enumerate(self.columns[name]) if cell == value]
        return Table({key: [column[row] for row in keep] for key, column in self.columns.items()})

    def unique(self, name: str) -> list[Cell]:
        """The values of a column in the order of their first appearance."""
        return list(dict.fromkeys(self.columns[name]))

    def to_csv(self) -> str:
        """Comma-separated text with one header line; numbers have 12 digits."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        for row in range(self.num_rows):
            writer.writerow(_written(column[row]) for column in self.columns.values())
        return text.getvalue()


def from_rows(rows: Sequence[Mapping[str, Cell]]) -> Table:
    """A table of rows that all have the same keys."""
    return Table({name: [row[name] for row in rows] for name in (rows[0] if rows else ())})


def _written(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    number = rounded(cell)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
