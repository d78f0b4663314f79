"""The ledger: append segments, then ask for columns, sums and power over time.

Segments are kept compact and expanded only for `Ledger.columns`: one row for every segment, share and
quantity. Sums are grouped by job and pattern before they are multiplied by rates.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from simtool.errors import SimtoolError, did_you_mean
from simtool.ledger.pattern import LEDGER_STATES, Pattern
from simtool.ledger.sums import FloatArray, IntArray, sum_by_key
from simtool.ledger.table import QUANTITIES, RECORD_COMPONENTS, Block, Table

if TYPE_CHECKING:
    import pyarrow as pa

Where = str | Collection[str] | None
"""A filter: one name, several names, or None for all."""
Key = Literal["state", "component", "job"]

CONSERVATION_TOLERANCE = 1e-9
"""Relative; what sums of device time and of energy may miss by rounding."""


class Ledger:
    """Segments of device time; grows by `append`, never changes what it holds.

    >>> from simtool.ledger import Share
    >>> idle = Pattern(name="idle", shares=(Share(state="idle", device_frac=1.0, power_w=(70.0, 25.0, 5.0)),))
    >>> ledger = Ledger()
    >>> ledger.append(0.0, 10.0, "", idle, 8)
    >>> ledger.energy_j(), ledger.energy_j(component="host"), ledger.device_s(state="idle")
    (8000.0, 2000.0, 80.0)
    """

    def __init__(self) -> None:
        self._jobs: dict[str, int] = {"": 0}
        self._patterns: dict[Pattern, int] = {}
        self._known: dict[int, tuple[Pattern, int]] = {}  # by identity: quicker than by value
        self._watts: list[float] = []
        self._rows: list[tuple[float, float, int, int, int]] = []
        self._latest: dict[tuple[int, int], int] = {}
        self._blocks: list[Block] = []
        self._meter: list[float] = []
        self._table: Table | None = None

    def append(self, t0_s: float, t1_s: float, job: str, pattern: Pattern, num_devices: int) -> None:
        """Record that `num_devices` devices followed `pattern` from `t0_s` to `t1_s`.

        An interval without length or without devices leaves no trace; one that begins where the latest
        of the same job, pattern and number of devices ended prolongs it.

        Args:
            t0_s: begin, since the scenario's start [s].
            t1_s: end [s].
            job: whose devices; empty for devices that no job holds.
            pattern: what they did.
            num_devices: how many.

        Raises:
            SimtoolError: the interval runs backwards or the number of devices is negative.
        """
        if not (t0_s <= t1_s < math.inf and num_devices >= 0):
            raise SimtoolError(f"ledger: {job!r}: {num_devices} devices from {t0_s} s to {t1_s} s")
        if t0_s == t1_s or num_devices == 0:
            return
        key = self._codes(job, pattern)
        self._meter.append(num_devices * self._watts[key[1]] * (t1_s - t0_s))
        latest = self._latest.get(key)
        if latest is not None and self._rows[latest][1] == t0_s and self._rows[latest][4] == num_devices:
            self._rows[latest] = (self._rows[latest][0], t1_s, *key, num_devices)
        else:
            self._latest[key] = len(self._rows)
            self._rows.append((t0_s, t1_s, *key, num_devices))
        self._table = None

    def append_many(
        self, t0_s: FloatArray, t1_s: FloatArray, job: str, pattern: Pattern, num_devices: int
    ) -> None:
        """Record many intervals of one activity at once; `t0_s` and `t1_s` have equal length.

        Raises:
            SimtoolError: an interval does not run forwards or the number of devices is negative.
        """
        length_s = t1_s - t0_s
        if len(length_s) == 0 or num_devices == 0:
            return
        if not (length_s.min() > 0 and math.isfinite(t1_s[-1]) and num_devices > 0):
            raise SimtoolError(f"ledger: {job!r}: an interval of {pattern.name!r} does not run forwards")
        key = self._codes(job, pattern)
        self._meter.append(num_devices * self._watts[key[1]] * math.fsum(length_s.tolist()))
        self._blocks.append((t0_s, t1_s, *key, num_devices))
        self._table = None

    def append_columns(
        self,
        t0_s: FloatArray,
        t1_s: FloatArray,
        jobs: Sequence[str],
        job: IntArray,
        patterns: Sequence[Pattern],
        pattern: IntArray,
        num_devices: IntArray,
    ) -> None:
        """Record many intervals of many jobs at once; the arrays have equal length.

        Args:
            t0_s: begins [s].
            t1_s: ends [s].
            jobs: names that `job` counts through; an empty one stands for devices that no job holds.
            job: whose devices, an index of `jobs`.
            patterns: what `pattern` counts through.
            pattern: what they did, an index of `patterns`.
            num_devices: how many.

        Raises:
            SimtoolError: an interval does not run forwards, or a number of devices is not positive.
        """
        if len(t0_s) == 0:
            return
        length_s = t1_s - t0_s
        if not (length_s.min() > 0 and math.isfinite(t1_s.max()) and num_devices.min() > 0):
            raise SimtoolError("ledger: among many intervals, one without length or without devices")
        names = np.array([self._jobs.setdefault(name, len(self._jobs)) for name in jobs], np.int64)
        codes = np.array([self._codes("", one)[1] for one in patterns], np.int64)
        watts = np.array(self._watts)[codes]
        self._meter.append(float(np.sum(num_devices * watts[pattern] * length_s)))
        self._blocks.append((t0_s, t1_s, names[job], codes[pattern], num_devices))
        self._table = None

    def _codes(self, job: str, pattern: Pattern) -> tuple[int, int]:
        known = self._known.get(id(pattern))
        if known is not None and known[0] is pattern:
            code = known[1]
        else:
            code = self._patterns.setdefault(pattern, len(self._patterns))
            if code == len(self._watts):
                self._watts.append(pattern.power_w)
            self._known[id(pattern)] = (pattern, code)
        return self._jobs.setdefault(job, len(self._jobs)), code

    def __len__(self) -> int:
        return len(self._rows) + sum(len(block[0]) for block in self._blocks)

    @property
    def jobs(self) -> tuple[str, ...]:
        """Names of the jobs, in order of first appearance."""
        return tuple(self._jobs)[1:]

    @property
    def meter_j(self) -> float:
        """Energy as a meter at the IT plug reads it: total power x time, one segment after the other."""
        return math.fsum(self._meter)

    def segments(self) -> dict[str, NDArray[Any]]:
        """The compact record by begin: t0_s, t1_s, job, pattern (its name), num_devices."""
        table = self._finished()
        return {
            "t0_s": table.t0_s,
            "t1_s": table.t1_s,
            "job": _named(self._jobs, table.job),
            "pattern": _named([pattern.name for pattern in self._patterns], table.pattern),
            "num_devices": table.num_devices,
        }

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """What `table` counts through, in order of first appearance."""
        return tuple(self._patterns)

    @property
    def table(self) -> Table:
        """The compact record by begin, in numbers: index of `patterns`; 0 for no job, else 1 + index of `jobs`."""
        return self._finished()

    def by_job_and_state(self, quantity: Literal["device_s", "energy_j"]) -> FloatArray:
        """Sums of one quantity for every job and state, without a name for each: for a million jobs.

        Returns:
            Shape (1 + jobs, states): row 0 is of devices that no job holds, the others are of `jobs`; columns are in
            the order of `LEDGER_STATES`.
        """
        table = self._finished()
        rates = table.rates
        keep = rates.quantity == QUANTITIES.index(quantity)
        pattern = np.repeat(np.arange(len(rates.num)), rates.num)[keep]
        width = len(LEDGER_STATES)
        of_pattern = sum_by_key(
            pattern * width + rates.state[keep], rates.rate[keep], len(rates.num) * width
        ).reshape(-1, width)
        sums = np.zeros((len(self._jobs), width))
        for state in np.flatnonzero(of_pattern.any(axis=0)):
            amounts = table.pair_device_s * of_pattern[table.pair_pattern, state]
            sums[:, state] = sum_by_key(table.pair_job, amounts, len(self._jobs))
        return sums

    def columns(self) -> dict[str, NDArray[Any]]:
        """The full record by begin: t0_s, t1_s, quantity, component, job, state, rate, amount.

        ``device_s`` rows give devices (`rate`) and device-seconds (`amount`), their component is
        ``device``; ``energy_j`` rows give watts and joules. amount = rate x (t1_s - t0_s).
        """
        rows, codes, rate = self._expanded()
        table, vocabulary = self._finished(), self._vocabulary()
        return {
            "t0_s": table.t0_s[rows],
            "t1_s": table.t1_s[rows],
            **{name: _named(vocabulary[name], codes[name]) for name in vocabulary},
            "rate": rate,
            "amount": rate * (table.t1_s - table.t0_s)[rows],
        }

    def to_arrow(self) -> pa.Table:
        """`columns` as an Arrow table with dictionary-encoded names, for a Parquet writer."""
        import pyarrow as pa

        rows, codes, rate = self._expanded()
        table = self._finished()
        names = {
            name: pa.DictionaryArray.from_arrays(
                pa.array(codes[name].astype(np.int32)), pa.array(list(words))
            )
            for name, words in self._vocabulary().items()
        }
        times = {"t0_s": pa.array(table.t0_s[rows]), "t1_s": pa.array(table.t1_s[rows])}
        amount = rate * (table.t1_s - table.t0_s)[rows]
        return pa.table({**times, **names, "rate": pa.array(rate), "amount": pa.array(amount)})

    def device_s(self, *, state: Where = None, job: Where = None) -> float:
        """Device-seconds that pass the filter."""
        return self.group("device_s", (), state=state, job=job).get((), 0.0)

    def energy_j(self, *, state: Where = None, component: Where = None, job: Where = None) -> float:
        """Energy that passes the filter [J]."""
        return self.group("energy_j", (), state=state, component=component, job=job).get((), 0.0)

    def device_s_by(self, key: Literal["state", "job"], **where: Where) -> dict[str, float]:
        """Device-seconds by state or by job, of those that pass the filters `where`."""
        return {name: amount for (name,), amount in self.group("device_s", (key,), **where).items()}

    def energy_j_by(self, key: Key, **where: Where) -> dict[str, float]:
        """Energy by state, component or job [J], of what passes the filters `where`."""
        return {name: amount for (name,), amount in self.group("energy_j", (key,), **where).items()}

    def group(
        self,
        quantity: Literal["device_s", "energy_j"],
        by: Sequence[Key],
        *,
        state: Where = None,
        component: Where = None,
        job: Where = None,
    ) -> dict[tuple[str, ...], float]:
        """Sum of one quantity for every combination of the keys `by` that occurs.

        Args:
            quantity: ``"device_s"`` or ``"energy_j"``.
            by: any of ``state``, ``component``, ``job``; the result's keys have this order.
            state: only these states.
            component: only these components.
            job: only these jobs; the empty name stands for devices that no job held.

        Returns:
            Amount by names; states and components in their own order, jobs by first appearance.

        Raises:
            SimtoolError: a filter or `by` names what does not exist.
        """
        table, vocabulary = self._finished(), self._vocabulary()
        if unknown := [key for key in by if key not in ("state", "component", "job")]:
            raise SimtoolError(f"ledger: cannot group by {unknown[0]!r}")
        rows, entries = table.rates.expand(table.pair_pattern)
        codes = self._entry_codes(entries, table.pair_job[rows])
        keep = codes["quantity"] == QUANTITIES.index(quantity)
        for name, wanted in (("state", state), ("component", component), ("job", job)):
            if wanted is not None:
                keep &= np.isin(codes[name], _codes_of(name, wanted, vocabulary[name]))
        amounts = table.pair_device_s[rows[keep]] * table.rates.rate[entries[keep]]
        keys = np.zeros(len(amounts), np.int64)
        for name in by:
            keys = keys * len(vocabulary[name]) + codes[name][keep]
        found, place = np.unique(keys, return_inverse=True)
        sums = sum_by_key(place, amounts, len(found)).tolist()
        names: list[list[str]] = []
        for name in reversed(by):
            words = tuple(vocabulary[name])
            names.insert(0, [words[code] for code in found % len(words)])
            found = found // len(words)
        labels: Iterable[tuple[str, ...]] = zip(*names, strict=True) if by else [()] * len(sums)
        return dict(zip(labels, sums, strict=True))

    @property
    def breakpoints_s(self) -> FloatArray:
        """Every time at which a segment begins or ends, rising [s]."""
        return self._finished().breakpoints_s

    def power_w(self, *, component: Where = None, state: Where = None, job: Where = None) -> FloatArray:
        """Power over time as a right-continuous step function [W].

        Value i holds from ``breakpoints_s[i]`` up to, not including, ``breakpoints_s[i + 1]``: there is
        one value fewer than breakpoints, and sum(power_w() x diff(breakpoints_s)) is the energy.
        """
        table, vocabulary = self._finished(), self._vocabulary()
        rates = table.rates
        keep = rates.quantity == QUANTITIES.index("energy_j")
        if state is not None:
            keep &= np.isin(rates.state, _codes_of("state", state, LEDGER_STATES))
        if component is not None:
            keep &= np.isin(rates.component, _codes_of("component", component, RECORD_COMPONENTS))
        per_device_w = sum_by_key(
            np.repeat(np.arange(len(rates.num)), rates.num), np.where(keep, rates.rate, 0.0), len(rates.num)
        )
        power_w = table.num_devices * per_device_w[table.pattern]
        if job is not None:
            power_w = np.where(np.isin(table.job, _codes_of("job", job, vocabulary["job"])), power_w, 0.0)
        return table.step_function(power_w)

    def check_conservation(self, wall_s: float, num_devices: int) -> None:
        """Prove that every device did exactly one thing at every moment, and that the parts sum up.

        Args:
            wall_s: length of the record, from 0 [s].
            num_devices: devices of the cluster, spares and failed ones included.

        Raises:
            SimtoolError: states do not sum to wall time x devices, devices are missing or counted twice
                at some moment, or the components' energy differs from the meter.
        """
        expected_s = wall_s * num_devices
        states = self.device_s_by("state")
        _demand("device-seconds by state", math.fsum(states.values()), "wall time x devices", expected_s)
        components = self.energy_j_by("component")
        _demand("energy by component", math.fsum(components.values()), "the meter", self.meter_j)
        table = self._finished()
        if len(table.breakpoints_s) == 0:
            return
        edges_s = np.concatenate([[0.0], table.breakpoints_s, [wall_s]])
        devices = np.concatenate([[0.0], table.step_function(table.num_devices.astype(np.float64)), [0.0]])
        astray_s = np.abs(devices - num_devices) * np.diff(edges_s)
        if np.abs(astray_s).sum() > CONSERVATION_TOLERANCE * expected_s:
            worst = int(np.abs(astray_s).argmax())
            raise SimtoolError(
                f"ledger: {devices[worst]:.0f} of {num_devices} devices are recorded from "
                f"{edges_s[worst]} s to {edges_s[worst + 1]} s"
            )

    def _finished(self) -> Table:
        if self._table is None:
            self._table = Table.of(self._rows, self._blocks, tuple(self._patterns))
        return self._table

    def _vocabulary(self) -> dict[str, Collection[str]]:
        return {
            "quantity": QUANTITIES,
            "component": RECORD_COMPONENTS,
            "job": self._jobs,
            "state": LEDGER_STATES,
        }

    def _entry_codes(self, entries: IntArray, job: IntArray) -> dict[str, IntArray]:
        rates = self._finished().rates
        return {
            "quantity": rates.quantity[entries],
            "component": rates.component[entries],
            "job": job,
            "state": rates.state[entries],
        }

    def _expanded(self) -> tuple[IntArray, dict[str, IntArray], FloatArray]:
        table = self._finished()
        rows, entries = table.rates.expand(table.pattern)
        rate = table.num_devices[rows] * table.rates.rate[entries]
        return rows, self._entry_codes(entries, table.job[rows]), rate


def _named(words: Iterable[str], codes: IntArray) -> NDArray[Any]:
    return np.array(list(words), np.str_)[codes]


def _codes_of(what: str, wanted: str | Collection[str], words: Collection[str]) -> list[int]:
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    known = {word: code for code, word in enumerate(words)}
    for name in names:
        if name not in known:
            raise SimtoolError(f"ledger: unknown {what} {name!r}; {did_you_mean(name, words)}")
    return [known[name] for name in names]


def _demand(what: str, found: float, than: str, expected: float) -> None:
    if not math.isclose(found, expected, rel_tol=CONSERVATION_TOLERANCE, abs_tol=0.0):
        raise SimtoolError(f"ledger: {what} sum to {found!r}, {than} is {expected!r}")
