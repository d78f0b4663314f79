"""A step-wise constant function of time with exact integrals.

Time is seconds since the scenario's start, UTC. Between two steps the value is constant, so an
integral is a difference of prefix sums plus two partial steps: no sampling interval, no event.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simtool.errors import InputError, Problem
from simtool.provenance import Kind, Sourced

FloatArray = NDArray[np.float64]
CarbonQuestion = Literal["average", "marginal", "market-based"]


class Basis(Enum):
    """What a carbon intensity counts. Two bases answer two questions and are never added."""

    AVERAGE = "average"
    """Of all plants of the grid; whether plant building and fuel supply count is not stated."""
    AVERAGE_DIRECT = "average direct"
    """Of all plants, what leaves their stacks."""
    AVERAGE_LIFE_CYCLE = "average life cycle"
    """Of all plants, with plant building and fuel supply."""
    MARGINAL = "marginal"
    """Of the plants that one more unit of load calls on."""
    MARKET = "market-based"
    """Of the power that was contracted."""

    @property
    def question(self) -> CarbonQuestion:
        """Which of the carbon accounts this belongs to."""
        if self is Basis.MARGINAL:
            return "marginal"
        return "market-based" if self is Basis.MARKET else "average"


def same_basis(bases: Iterable[Basis]) -> Basis:
    """The one basis that all numbers share.

    Raises:
        InputError: they differ, or there is none.

    >>> same_basis([Basis.MARGINAL, Basis.MARGINAL]).value
    'marginal'
    """
    found = list(dict.fromkeys(bases))
    if len(found) == 1:
        return found[0]
    shown = " and ".join(basis.value for basis in found) or "none"
    raise InputError(
        Problem("", "site.carbon", f"found {shown}", "one basis", "report each basis as its own total")
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Signal:
    """A value over time, constant inside each step.

    >>> price = Signal.from_steps([0.0, 10.0], [2.0, 4.0], end_s=20.0, unit="USD/kWh")
    >>> float(price.integral(5.0, 15.0))  # 5 s at 2 and 5 s at 4
    30.0
    >>> float(price.mean(0.0, 20.0))
    3.0
    """

    unit: str
    edges_s: FloatArray
    """Begin of every step, rising [s]."""
    values: FloatArray
    """Value in every step."""
    begin_s: float
    end_s: float
    """The covered range; infinite both ways for a constant."""
    kind: Kind = "assumed"
    source: str = ""
    name: str = ""
    """What messages call it: a shipped name or a file."""
    field_name: str = ""
    """The scenario's field it was read for, e.g. ``site.price``."""
    start: datetime | None = None
    """The moment of second 0, for messages."""
    basis: Basis | None = None
    """Of a carbon intensity; None for anything else."""
    _prefix: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        edges = np.array(self.edges_s, dtype=np.float64)
        values = np.array(self.values, dtype=np.float64)
        if edges.ndim != 1 or edges.shape != values.shape or edges.size == 0:
            raise ValueError(f"edges and values differ in shape: {edges.shape}, {values.shape}")
        if not (np.isfinite(edges).all() and np.isfinite(values).all() and (np.diff(edges) > 0).all()):
            raise ValueError("edges must rise, and edges and values must be finite")
        if (self.basis is not None) != self.unit.startswith("kgCO2e"):
            raise ValueError(f"a carbon intensity, and nothing else, has a basis; unit {self.unit!r}")
        prefix = np.concatenate(([0.0], np.cumsum(values[:-1] * np.diff(edges))))
        for array in (edges, values, prefix):
            array.setflags(write=False)
        object.__setattr__(self, "edges_s", edges)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "_prefix", prefix)

    @classmethod
    def constant(
        cls, number: float | Sourced, unit: str = "", *, basis: Basis | None = None, name: str = ""
    ) -> Signal:
        """The same value for ever; `number` as a `Sourced` brings its own unit and source."""
        if isinstance(number, Sourced):
            kind, source, unit = number.kind, number.source, number.unit
        else:
            kind, source = "assumed", ""
        return cls(
            unit=unit,
            edges_s=np.zeros(1),
            values=np.array([float(number)]),
            begin_s=-np.inf,
            end_s=np.inf,
            kind=kind,
            source=source,
            name=name,
            basis=basis,
        )

    @classmethod
    def from_steps(
        cls,
        edges_s: ArrayLike,
        values: ArrayLike,
        *,
        end_s: float,
        unit: str,
        kind: Kind = "assumed",
        source: str = "",
        basis: Basis | None = None,
    ) -> Signal:
        """Steps that begin at `edges_s`; the last one ends at `end_s`."""
        edges = np.array(edges_s, dtype=np.float64)
        if edges.size and end_s <= edges[-1]:
            raise ValueError(f"the last step must end after {edges[-1]}, not at {end_s}")
        return cls(
            unit=unit,
            edges_s=edges,
            values=np.array(values, dtype=np.float64),
            begin_s=float(edges[0]) if edges.size else 0.0,
            end_s=float(end_s),
            kind=kind,
            source=source,
            basis=basis,
        )

    @property
    def is_constant(self) -> bool:
        """Whether it has one value for ever."""
        return bool(np.isinf(self.end_s)) and self.values.size == 1

    def scaled(self, factor: float) -> Signal:
        """The same steps with every value times `factor`."""
        return replace(self, values=self.values * factor)

    def covers(self, begin_s: ArrayLike, end_s: ArrayLike) -> bool:
        """Whether all of these spans lie inside the known range."""
        low, high = np.minimum(begin_s, end_s), np.maximum(begin_s, end_s)
        return bool(np.all(low >= self.begin_s) and np.all(high <= self.end_s))

    def at(self, time_s: ArrayLike) -> FloatArray:
        """Value at each time; the end of the range has the value of the last step."""
        self.require(time_s, time_s)
        return np.asarray(self.values[self._step(np.asarray(time_s, dtype=np.float64))])

    def integral(self, begin_s: ArrayLike, end_s: ArrayLike) -> FloatArray:
        """Integral over each span [unit x s]; negative where a span runs backwards. Broadcasts.

        Inside one step the product is taken directly, so short spans late in a long series lose no digits.
        """
        self.require(begin_s, end_s)
        begin, end = np.asarray(begin_s, dtype=np.float64), np.asarray(end_s, dtype=np.float64)
        first, last = self._step(begin), self._step(end)
        whole = self._prefix[last] - self._prefix[first]
        tail = self.values[last] * (end - self.edges_s[last])
        head = self.values[first] * (begin - self.edges_s[first])
        inside = self.values[first] * (end - begin)
        return np.asarray(np.where(first == last, inside, whole + (tail - head)))[()]

    def mean(self, begin_s: ArrayLike, end_s: ArrayLike) -> FloatArray:
        """Time average over each span; the value itself where a span is empty."""
        begin, end = np.asarray(begin_s, dtype=np.float64), np.asarray(end_s, dtype=np.float64)
        span = end - begin
        total = self.integral(begin, end)
        return np.asarray(np.where(span == 0, self.at(begin), total / np.where(span == 0, 1.0, span)))[()]

    def integrate_product(self, breakpoints_s: ArrayLike, steps: ArrayLike) -> FloatArray:
        """Integral of this signal times a step function, exactly.

        Args:
            breakpoints_s: n + 1 rising times [s].
            steps: value between each pair of breakpoints, the last axis of length n; further axes broadcast.

        >>> price = Signal.from_steps([0.0, 10.0], [2.0, 4.0], end_s=20.0, unit="USD/kWh")
        >>> float(price.integrate_product([0.0, 15.0, 20.0], [1.0, 3.0]))  # 40 + 3 x 20
        100.0
        """
        times = np.asarray(breakpoints_s, dtype=np.float64)
        return np.asarray(np.sum(np.asarray(steps) * self.integral(times[:-1], times[1:]), axis=-1))

    def sourced(self, begin_s: float, end_s: float) -> Sourced:
        """Its mean over a span as a number with kind and source, for an explanation."""
        where = self.source or self.name
        note = where if self.is_constant else f"{where}, mean over the run"
        return Sourced(value=float(self.mean(begin_s, end_s)), unit=self.unit, kind=self.kind, source=note)

    def _step(self, time_s: FloatArray) -> NDArray[np.intp]:
        found = np.searchsorted(self.edges_s, time_s, side="right") - 1
        return np.asarray(np.clip(found, 0, self.values.size - 1))

    def require(self, begin_s: ArrayLike, end_s: ArrayLike) -> None:
        """Refuse spans outside the known range.

        Raises:
            InputError: what the run takes, what the series covers, and how to mend it.
        """
        if self.covers(begin_s, end_s):
            return
        low = float(np.min(np.minimum(begin_s, end_s)))
        high = float(np.max(np.maximum(begin_s, end_s)))
        raise InputError(
            Problem(
                self.name,
                self.field_name,
                f"the run takes {self._moment(low)} to {self._moment(high)}",
                f"the series covers {self._moment(self.begin_s)} to {self._moment(self.end_s)}",
                "move site.start, give a longer series, or add 'repeat: yearly' to use its years again",
            )
        )

    def _moment(self, time_s: float) -> str:
        if self.start is None or not np.isfinite(time_s):
            return f"{time_s:g} s"
        try:
            return f"{self.start + timedelta(seconds=time_s):%Y-%m-%dT%H:%MZ}"
        except OverflowError:
            return f"{time_s:g} s after the start, beyond the calendar"
