"""Streams of events against the distributions that they are drawn from."""

from __future__ import annotations

import math
from collections import Counter
from itertools import islice, takewhile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from simtool.errors import InputError
from simtool.rng import stream
from simtool.sim.hazards import HAZARDS, Arrivals, HazardEvent, Spell
from simtool.sim.hazards.durations import Duration, Either, sampler
from simtool.sim.hazards.events import hazard_events, job_events, lemon_nodes
from simtool.sim.hazards.kinds.exponential import Exponential
from simtool.sim.hazards.kinds.lognormal import Lognormal
from simtool.sim.hazards.kinds.periodic import Periodic
from simtool.sim.hazards.kinds.weibull import Weibull
from simtool.sim.hazards.means import interruption_rate_per_s
from simtool.sim.hazards.plan import Cause, Cordon, HazardPlan, JobCause, Lemons
from simtool.sim.hazards.renewals import shuffled

RANDOM = [
    Exponential(rate_per_unit_s=1e-3),
    Weibull(rate_per_unit_s=1e-3, shape=0.6),
    Weibull(rate_per_unit_s=1e-3, shape=0.6, age_s=500.0),
    Weibull(rate_per_unit_s=1e-3, shape=2.0, renews=False),
    Lognormal(rate_per_unit_s=1e-3, sigma=1.2),
    Lognormal(rate_per_unit_s=1e-3, sigma=1.2, start="new"),
]


def failing(arrivals: Arrivals, **changes: object) -> Cause:
    fields: dict[str, object] = {"name": "cause", "effect": "failure", "arrivals": arrivals} | changes
    return Cause(**fields)  # type: ignore[arg-type]


def until(end_s: float, plan: HazardPlan, num_nodes: int, seed: int = 1, run: int = 0) -> list[HazardEvent]:
    events = hazard_events(plan, num_nodes, seed, run)
    return list(takewhile(lambda event: event.time_s < end_s, events))


def only(cause: Cause) -> HazardPlan:
    return HazardPlan(causes=(cause,))


def gaps_of_nodes(events: list[HazardEvent]) -> list[float]:
    """Times from the end of a node's repair to its next failure."""
    back: dict[int, float] = {}
    found = []
    for event in events:
        node = event.nodes[0][0]
        if node in back:
            found.append(event.time_s - back[node])
        back[node] = event.time_s + max(event.detection_s, event.repair_s)
    return found


@pytest.mark.parametrize("arrivals", RANDOM, ids=repr)
def test_streams_rise_and_repeat_themselves(arrivals: Arrivals) -> None:
    cause = failing(arrivals, repair=Duration(mean_s=50.0, distribution="lognormal", sigma=1.0))
    first = list(islice(hazard_events(only(cause), 20, 3, 1), 500))
    assert first == list(islice(hazard_events(only(cause), 20, 3, 1), 500))
    assert first != list(islice(hazard_events(only(cause), 20, 3, 2), 500))
    times = [event.time_s for event in first]
    assert times == sorted(times)
    assert all(0 <= event.nodes[0][0] < 20 and event.num_nodes == 1 for event in first)


@pytest.mark.parametrize("arrivals", RANDOM[:3] + RANDOM[4:], ids=repr)
def test_the_long_run_rate_counts_lives_and_repairs(arrivals: Arrivals) -> None:
    """A node fails once in 1,000 s of life and 200 s of repair; without memory the stream knows no repair."""
    cycle_s = 1000.0 if isinstance(arrivals, Exponential) else 1200.0
    events = until(4e6, only(failing(arrivals, repair=Duration(mean_s=200.0))), 10)
    expected = 10 * 4e6 / cycle_s
    variation = 2.5  # of a life, at most
    assert abs(len(events) - expected) < 5.0 * variation * math.sqrt(expected)


@pytest.mark.parametrize("shape", [0.5, 0.8, 1.0, 3.0])
def test_lives_after_repair_are_weibull(shape: float) -> None:
    cause = failing(Weibull(rate_per_unit_s=1e-3, shape=shape), repair=Duration(mean_s=30.0))
    gaps = gaps_of_nodes(list(islice(hazard_events(only(cause), 5, 7), 4000)))
    scale_s = 1000.0 / math.gamma(1.0 + 1.0 / shape)
    assert stats.kstest(gaps, stats.weibull_min(shape, scale=scale_s).cdf).pvalue > 1e-3


def test_lives_after_repair_are_lognormal() -> None:
    cause = failing(Lognormal(rate_per_unit_s=1e-3, sigma=0.9), repair=Duration(mean_s=30.0))
    gaps = gaps_of_nodes(list(islice(hazard_events(only(cause), 5, 7), 4000)))
    law = stats.lognorm(0.9, scale=1000.0 * math.exp(-(0.9**2) / 2))
    assert stats.kstest(gaps, law.cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("arrivals", "law"),
    [
        (
            Weibull(rate_per_unit_s=1e-3, shape=0.7),
            stats.weibull_min(0.7, scale=1000.0 / math.gamma(1 + 1 / 0.7)),
        ),
        (
            Lognormal(rate_per_unit_s=1e-3, sigma=1.5, start="new"),
            stats.lognorm(1.5, scale=1000.0 * math.exp(-(1.5**2) / 2)),
        ),
        (Exponential(rate_per_unit_s=1e-3), stats.expon(scale=1000.0)),
    ],
    ids=repr,
)
def test_first_failures_drawn_in_order_are_those_of_independent_nodes(
    arrivals: Arrivals, law: object
) -> None:
    cause = failing(arrivals, repair=Duration(mean_s=1e12))
    firsts: dict[int, float] = {}
    for event in hazard_events(only(cause), 2000, 11):
        firsts.setdefault(event.nodes[0][0], event.time_s)
        if len(firsts) == 2000:
            break
    assert stats.kstest(list(firsts.values()), law.cdf).pvalue > 1e-3  # type: ignore[attr-defined]


def test_a_stationary_start_begins_at_the_long_run_rate() -> None:
    """The time to the first failure of a fleet that has run for long: density P(life > t) / mean."""
    sigma = 1.0
    life = stats.lognorm(sigma, scale=1000.0 * math.exp(-(sigma**2) / 2))
    cause = failing(Lognormal(rate_per_unit_s=1e-3, sigma=sigma), repair=Duration(mean_s=1e12))
    firsts = [event.time_s for event in islice(hazard_events(only(cause), 3000, 5), 3000)]
    grid_s = np.linspace(0.0, 60_000.0, 60_001)
    survival = life.sf(grid_s)
    cdf = np.concatenate([[0.0], np.cumsum((survival[1:] + survival[:-1]) / 2.0) / 1000.0])
    assert stats.kstest(firsts, lambda time_s: np.interp(time_s, grid_s, cdf)).pvalue > 1e-3


def test_age_goes_on_where_repair_does_not_renew() -> None:
    """Minimal repair: the number up to t is Poisson of mean n ((a + t)^k - a^k) / scale^k."""
    law = Weibull(rate_per_unit_s=1e-3, shape=0.5, age_s=300.0, renews=False)
    scale_s, end_s, nodes = law.scale_s(), 2000.0, 40
    expected = nodes * (math.sqrt((300.0 + end_s) / scale_s) - math.sqrt(300.0 / scale_s))
    counts = [len(until(end_s, only(failing(law)), nodes, run=run)) for run in range(300)]
    assert np.mean(counts) == pytest.approx(expected, abs=4.0 * math.sqrt(expected / 300))
    assert np.var(counts, ddof=1) == pytest.approx(expected, rel=0.35)


def test_infant_mortality_wanes() -> None:
    events = until(2000.0, only(failing(Weibull(rate_per_unit_s=1e-4, shape=0.5))), 1000)
    early = sum(event.time_s < 500.0 for event in events)
    assert early > 0.4 * len(events)  # sqrt(500 / 2000) = half of the first failures


def test_a_group_is_hit_as_a_whole_and_once() -> None:
    cause = failing(Exponential(rate_per_unit_s=1e-3), group_nodes=8)
    events = until(1e5, only(cause), 20)
    assert {event.nodes for event in events} == {((0, 8),), ((8, 16),), ((16, 20),)}
    assert len(events) == pytest.approx(3 * 100.0, abs=5 * math.sqrt(300.0))


def test_the_mean_rate_of_interruptions_is_that_of_the_stream() -> None:
    """A job on nodes 3 to 10 of 24, with groups of 4: it touches three of them."""
    switch = failing(Exponential(rate_per_unit_s=1e-3), group_nodes=4, name="switch")
    node = failing(Exponential(rate_per_unit_s=5e-4), name="node")
    plan = HazardPlan(causes=(switch, node))
    touched = []
    for first in range(4):  # all alignments
        mine = range(4 + first, 12 + first)
        touched += [
            event
            for event in until(5e4, plan, 24)
            if any(n in mine for a, b in event.nodes for n in range(a, b))
        ]
    expected = interruption_rate_per_s(plan, 8) * 4 * 5e4
    assert len(touched) == pytest.approx(expected, abs=5 * 2 * math.sqrt(expected))


def test_lemons_take_their_share_and_leave_the_mean_alone() -> None:
    """At 5 of 100 nodes and a factor of 19, half of the failures: 95 and 95 in 190."""
    plan = HazardPlan(
        causes=(failing(Exponential(rate_per_unit_s=1e-3)),), lemons=Lemons(share_frac=0.05, factor=19.0)
    )
    events = until(1e4, plan, 2000)
    lemons = set(lemon_nodes(plan, 2000, 1))
    assert 60 < len(lemons) < 140
    expected = 1e-3 * 1e4 * (2000 - len(lemons) + 19 * len(lemons)) / (0.95 + 0.05 * 19)
    assert len(events) == pytest.approx(expected, abs=5 * math.sqrt(expected))
    of_lemons = sum(event.nodes[0][0] in lemons for event in events)
    share = 19 * len(lemons) / (2000 - len(lemons) + 19 * len(lemons))
    assert of_lemons / len(events) == pytest.approx(share, abs=0.02)


def test_a_cordon_replaces_what_fails_again_and_again() -> None:
    """One failure in 2,000 s of a good node, one in 40 s of a lemon: only lemons fail three times in 300 s."""
    cause = failing(Exponential(rate_per_unit_s=1e-3), repair=Duration(mean_s=1.0))
    lemons = Lemons(share_frac=0.02, factor=50.0)
    cordon = Cordon(num_failures=3, window_s=300.0, repair=Duration(mean_s=77.0))
    without = until(2e5, HazardPlan(causes=(cause,), lemons=lemons), 100)
    plan = HazardPlan(causes=(cause,), lemons=lemons, cordon=cordon)
    events = until(2e5, plan, 100)
    bad = lemon_nodes(plan, 100, 1)
    assert bad
    replaced = [event for event in events if event.repair_s == 77.0]
    assert {event.nodes[0][0] for event in replaced} >= set(bad)
    late = Counter(event.nodes[0][0] for event in events if event.time_s > 1e4)
    before = Counter(event.nodes[0][0] for event in without if event.time_s > 1e4)
    good = 1.9e5 * 1e-3 / (0.98 + 0.02 * 50.0)
    for node in bad:
        assert before[node] > 30 * good
        assert late[node] == pytest.approx(good, abs=6 * math.sqrt(good))
    assert [event for event in events if event.nodes[0][0] not in bad and event.repair_s == 1.0] == [
        event
        for event in without
        if event.nodes[0][0] not in bad and event.time_s not in {one.time_s for one in replaced}
    ]


def test_maintenance_rolls_or_takes_all() -> None:
    rolling = failing(
        Periodic(first_s=100.0, period_s=1000.0, stagger_s=30.0),
        effect="maintenance",
        group_nodes=2,
        repair=Duration(mean_s=30.0),
    )
    found = [(event.time_s, event.nodes[0]) for event in until(1200.0, only(rolling), 5)]
    assert found == [
        (100.0, (0, 2)),
        (130.0, (2, 4)),
        (160.0, (4, 5)),
        (1100.0, (0, 2)),
        (1130.0, (2, 4)),
        (1160.0, (4, 5)),
    ]
    whole = failing(Periodic(first_s=7.0), effect="maintenance", group_nodes=None)
    assert [(event.time_s, event.nodes) for event in hazard_events(only(whole), 5, 1)] == [(7.0, ((0, 5),))]


def test_a_round_that_outlasts_its_period_is_refused() -> None:
    rolling = failing(Periodic(first_s=0.0, period_s=50.0, stagger_s=30.0), effect="maintenance")
    with pytest.raises(InputError, match="one round takes all 5 units"):
        next(hazard_events(only(rolling), 5, 1))


def test_jobs_have_streams_of_their_own() -> None:
    plan = HazardPlan(job_causes=(JobCause(name="bug", rate_per_job_s=1e-2),))
    one, same, other = (list(islice(job_events(plan, name, 1), 1000)) for name in ("a", "a", "b"))
    assert one == same != other
    assert stats.kstest(np.diff([event.time_s for event in one]), stats.expon(scale=100.0).cdf).pvalue > 1e-3
    assert one[0].nodes == ()


def test_one_cause_does_not_move_another() -> None:
    node = failing(Exponential(rate_per_unit_s=1e-3), name="node")
    switch = failing(Exponential(rate_per_unit_s=1e-3), name="switch", group_nodes=4)
    both = until(1e4, HazardPlan(causes=(node, switch)), 16)
    assert [event for event in both if event.cause == "node"] == until(1e4, only(node), 16)
    assert [event.time_s for event in both] == sorted(event.time_s for event in both)


def test_nothing_fails_at_no_rate() -> None:
    for kind in (Exponential(rate_per_unit_s=0.0), Weibull(rate_per_unit_s=0.0, shape=0.5)):
        assert list(hazard_events(only(failing(kind)), 10, 1)) == []
    assert list(hazard_events(HazardPlan(), 10, 1)) == []


def test_a_rate_next_to_nothing_never_comes() -> None:
    assert list(hazard_events(only(failing(Exponential(rate_per_unit_s=1e-308))), 1, 1)) == []


@given(st.integers(0, 60), st.integers(0, 100))
def test_a_lazy_shuffle_is_a_shuffle(num: int, seed: int) -> None:
    assert sorted(shuffled(num, stream(seed, "a", "b"))) == list(range(num))


def test_a_lazy_shuffle_is_uniform() -> None:
    random = stream(1, "a", "b")
    found = Counter(tuple(shuffled(3, random)) for _ in range(6000))
    assert len(found) == 6
    assert stats.chisquare(list(found.values())).pvalue > 1e-3


@pytest.mark.parametrize(
    ("duration", "law"),
    [
        (Duration(mean_s=50.0, distribution="exponential"), stats.expon(scale=50.0)),
        (
            Duration(mean_s=50.0, distribution="lognormal", sigma=1.3),
            stats.lognorm(1.3, scale=50.0 * math.exp(-(1.3**2) / 2)),
        ),
    ],
)
def test_durations_are_of_their_distribution_and_mean(duration: Duration, law: object) -> None:
    draw = sampler(duration, stream(1, "a", "b"))
    assert law.mean() == pytest.approx(50.0)  # type: ignore[attr-defined]
    assert stats.kstest([draw() for _ in range(3000)], law.cdf).pvalue > 1e-3  # type: ignore[attr-defined]


def test_a_share_is_replaced() -> None:
    either = Either(usual=Duration(mean_s=1.0), rare=Duration(mean_s=9.0), rare_frac=0.25)
    drawn = either.draw_s(stream(1, "a", "b"), 4000)
    assert np.mean(drawn == 9.0) == pytest.approx(0.25, abs=0.03)
    assert either.mean_s == 3.0


def test_cost_does_not_grow_with_nodes() -> None:
    """Events of a million nodes, without a number for each."""
    for arrivals in RANDOM[:4] + RANDOM[5:]:
        events = list(islice(hazard_events(only(failing(arrivals)), 10**9, 1), 50))
        assert len(events) == 50


BAD = [
    lambda: Exponential(rate_per_unit_s=-1.0),
    lambda: Weibull(rate_per_unit_s=math.inf, shape=1.0),
    lambda: Weibull(rate_per_unit_s=1.0, shape=0.0),
    lambda: Weibull(rate_per_unit_s=1.0, shape=1.0, age_s=-1.0),
    lambda: Lognormal(rate_per_unit_s=1.0, sigma=0.0),
    lambda: Periodic(first_s=-1.0),
    lambda: Periodic(first_s=0.0, period_s=0.0),
    lambda: Duration(mean_s=-1.0),
    lambda: Duration(mean_s=1.0, sigma=1.0),
    lambda: Either(usual=Duration(mean_s=1.0), rare=Duration(mean_s=1.0), rare_frac=1.5),
    lambda: Lemons(share_frac=1.1, factor=2.0),
    lambda: Lemons(share_frac=0.1, factor=0.5),
    lambda: Cordon(num_failures=0, window_s=1.0, repair=Duration(mean_s=1.0)),
    lambda: failing(Exponential(rate_per_unit_s=1.0), effect="earthquake"),
    lambda: failing(Exponential(rate_per_unit_s=1.0), slowdown=2.0),
    lambda: failing(Exponential(rate_per_unit_s=1.0), effect="straggler"),
    lambda: failing(Exponential(rate_per_unit_s=1.0), group_nodes=0),
    lambda: failing(Exponential(rate_per_unit_s=1.0), effect="corruption", group_nodes=2),
    lambda: HazardPlan(causes=(failing(Exponential(rate_per_unit_s=1.0)),) * 2),
    lambda: JobCause(name="x", rate_per_job_s=math.nan),
]


@pytest.mark.parametrize("make", BAD)
def test_nonsense_is_refused(make: object) -> None:
    with pytest.raises(InputError):
        make()  # type: ignore[operator]


EXAMPLES: dict[str, Arrivals] = {
    "exponential": Exponential(rate_per_unit_s=1e-3),
    "weibull": Weibull(rate_per_unit_s=1e-3, shape=0.7),
    "lognormal": Lognormal(rate_per_unit_s=1e-3, sigma=1.0),
    "periodic": Periodic(first_s=1.0, period_s=100.0, stagger_s=1.0),
}


class TestContract:
    """What every kind keeps, whoever adds one."""

    def test_every_kind_has_an_example(self) -> None:
        assert set(EXAMPLES) == set(HAZARDS)

    @pytest.mark.parametrize("name", EXAMPLES)
    def test_times_rise_and_units_exist(self, name: str) -> None:
        kind = EXAMPLES[name]
        streams = lambda purpose: stream(1, "unit", purpose)  # noqa: E731
        found = list(islice(kind.arrivals(7, 1.0, streams, lambda: Spell(1.0, 2.0)), 200))
        assert [one[0] for one in found] == sorted(one[0] for one in found)
        assert {one[1] for one in found} <= set(range(7))
        assert kind.rate_per_unit_s > 0.0

    @pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "periodic"])
    def test_twice_the_pace_is_half_the_time(self, name: str) -> None:
        kind = EXAMPLES[name]
        streams = lambda purpose: stream(1, "unit", purpose)  # noqa: E731
        slow, quick = (
            [one[0] for one in islice(kind.arrivals(7, pace, streams, lambda: Spell(0.0, 0.0)), 50)]
            for pace in (1.0, 2.0)
        )
        assert quick == pytest.approx([time_s / 2.0 for time_s in slow])
