"""How like a trace the jobs of a generator are: Kolmogorov-Smirnov distances, and what they mean.

Jobs of a trace are no independent draws: whole batches run alike, and batches of a week do. A test that takes
them as independent finds every month different from every other. So a distance is judged three ways: by that plain
test, of all jobs and of one job a batch; and by a Monte Carlo test whose draws have the batches and weeks of the
trace. `month_distances` adds what real months are apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from simtool.jobs.batches import batches_of
from simtool.jobs.fit import fit_generator
from simtool.jobs.generate import generate
from simtool.jobs.generator import Generator
from simtool.jobs.table import JobTable
from simtool.rng import stream

QUANTITIES = ("arrival", "size", "duration")
"""Time between submissions [s], number of accelerators, run time [s]."""
LONG_RUN = 12
"""Stretches of the generator that stand for its long run."""
_RUNS_PER_DRAW = 1000
Samples = dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Of every quantity the values of all jobs, and of one job a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """One quantity of a held-out stretch against the generator."""

    quantity: str
    distance: float
    """Of all jobs: greatest difference of the two cumulative distributions."""
    p_value: float
    """Monte Carlo: share of the generator's own stretches that lie at least as far from its long run."""
    critical: float
    """Distance that one in twenty of these exceeds."""
    num_jobs: int
    plain_p_value: float
    """Of all jobs, taken as independent."""
    batch_distance: float
    """Of one job a batch, or of the time between the starts of batches."""
    batch_p_value: float
    """Of these, taken as independent."""
    num_batches: int
    batch_monte_carlo_p_value: float
    """Of these, as `p_value`."""


def ks_distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Greatest difference between two empirical cumulative distributions.

    >>> ks_distance(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
    0.5
    """
    one, other = np.sort(one), np.sort(other)
    both = np.concatenate([one, other])
    gap = np.searchsorted(one, both, side="right") / len(one) - np.searchsorted(
        other, both, side="right"
    ) / len(other)
    return float(np.abs(gap).max())


def plain_p_value(distance: float, num_one: int, num_other: int) -> float:
    """Chance of at least this distance between two independent samples of one distribution, for large samples.

    Kolmogorov's limit with Stephens' correction; on discrete values it is an upper bound.
    """
    from scipy.special import kolmogorov

    size = np.sqrt(num_one * num_other / (num_one + num_other))
    return float(kolmogorov((size + 0.12 + 0.11 / size) * distance))


def samples(tables: Sequence[JobTable], seed: int = 0) -> Samples:
    """Of every quantity the values of all jobs, and those of batches: one job of each drawn by chance."""
    jobs: dict[str, list[NDArray[np.float64]]] = {quantity: [] for quantity in QUANTITIES}
    batches: dict[str, list[NDArray[np.float64]]] = {quantity: [] for quantity in QUANTITIES}
    for place, table in enumerate(tables):
        cut = batches_of(table)
        shuffled = stream(seed, "likeness", "member", place).permutation(len(table))
        member = shuffled[np.unique(cut.of_job[shuffled], return_index=True)[1]]
        begin_s = cut.begin_s
        for quantity, all_jobs, members in (
            ("arrival", np.diff(table.submit_s), np.diff(np.sort(begin_s))),
            ("size", table.num_devices.astype(float), table.num_devices[member].astype(float)),
            ("duration", table.run_s, table.run_s[member]),
        ):
            jobs[quantity].append(all_jobs)
            batches[quantity].append(members)
    return {q: (np.concatenate(jobs[q]), np.concatenate(batches[q])) for q in QUANTITIES}


def likeness(
    generator: Generator,
    held_out: JobTable | Sequence[JobTable],
    fitted_to: Sequence[JobTable] = (),
    *,
    seed: int = 1,
    num_draws: int = 100,
) -> tuple[Likeness, ...]:
    """Compare stretches of a trace that the generator was not fitted to with the generator.

    Args:
        generator: fitted to others.
        held_out: one or more stretches; the generator draws as many, each as long and beginning at the same moment.
        fitted_to: the stretches behind the generator. With them every draw of the Monte Carlo test repeats the
            whole experiment: jobs for the fit and jobs to hold out are both drawn, and these are compared
            with a generator fitted to those. So the few weeks behind a fit count as few. Without them the
            generator is taken as the truth.
        seed: of all draws.
        num_draws: of the Monte Carlo test.

    Returns:
        One for each of `QUANTITIES`.
    """
    real = [held_out] if isinstance(held_out, JobTable) else list(held_out)
    found = samples(real)
    reference = _long_run(generator, real, seed, 0)
    own: dict[str, list[tuple[float, float]]] = {quantity: [] for quantity in QUANTITIES}
    for draw in range(num_draws):
        first = (1 + draw) * _RUNS_PER_DRAW
        against = reference
        if fitted_to:
            drawn = _like(generator, fitted_to, seed, first + LONG_RUN * len(real) + len(real))
            against = _long_run(
                fit_generator(drawn, name="draw", source="drawn"), real, seed, first + len(real)
            )
        for quantity, values in samples(_like(generator, real, seed, first)).items():
            apart = [ks_distance(one, other) for one, other in zip(values, against[quantity], strict=True)]
            own[quantity].append((apart[0], apart[1]))
    return tuple(
        _judge(quantity, found[quantity], reference[quantity], np.array(own[quantity]))
        for quantity in QUANTITIES
    )


def _like(generator: Generator, stretches: Sequence[JobTable], seed: int, first_run: int) -> list[JobTable]:
    """Drawn jobs for each stretch, as long and on the same days."""
    drawn = [
        generate(
            generator,
            seed,
            span_s=table.span_s,
            start=None if table.start is None else table.start + timedelta(seconds=float(table.submit_s[0])),
            run=first_run + place,
        )
        for place, table in enumerate(stretches)
    ]
    return [table for table in drawn if len(table) > 1]


def _long_run(generator: Generator, stretches: Sequence[JobTable], seed: int, first_run: int) -> Samples:
    """Samples of many drawn stretches together."""
    many = [
        samples(_like(generator, stretches, seed, first_run + n * len(stretches))) for n in range(LONG_RUN)
    ]
    return {
        quantity: (
            np.concatenate([one[quantity][0] for one in many]),
            np.concatenate([one[quantity][1] for one in many]),
        )
        for quantity in QUANTITIES
    }


def month_distances(months: Mapping[str, Sequence[JobTable]]) -> dict[str, dict[tuple[str, str], float]]:
    """Distances among real stretches, by quantity and pair: of all jobs."""
    found = {name: samples(tables) for name, tables in months.items()}
    return {
        quantity: {
            (one, other): ks_distance(found[one][quantity][0], found[other][quantity][0])
            for one, other in combinations(months, 2)
        }
        for quantity in QUANTITIES
    }


def _judge(
    quantity: str,
    found: tuple[NDArray[np.float64], NDArray[np.float64]],
    reference: tuple[NDArray[np.float64], NDArray[np.float64]],
    own: NDArray[np.float64],
) -> Likeness:
    distance, batch_distance = (ks_distance(a, b) for a, b in zip(found, reference, strict=True))
    beyond = (1.0 + (own >= [distance, batch_distance]).sum(axis=0)) / (1.0 + len(own))
    return Likeness(
        quantity=quantity,
        distance=distance,
        p_value=float(beyond[0]),
        critical=float(np.quantile(own[:, 0], 0.95)),
        num_jobs=len(found[0]),
        plain_p_value=plain_p_value(distance, len(found[0]), len(reference[0])),
        batch_distance=batch_distance,
        batch_p_value=plain_p_value(batch_distance, len(found[1]), len(reference[1])),
        num_batches=len(found[1]),
        batch_monte_carlo_p_value=float(beyond[1]),
    )
