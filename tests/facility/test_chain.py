"""Conversion losses: Frontier from its parts, and what holds for any chain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.errors import InfeasibleError, InputError
from simtool.facility import AffineStage, PowerChain, UpsStage, build_facility
from simtool.facility.chain import scaled
from simtool.profiles.find import default_library

NUM_NODES = 9472
"""74 cabinets of 8 chassis of 16 nodes."""
PUMPS_W = 25 * 8473.0
IDLE_NODE_W = 4 * 88.0 + 90.0 + 74.26 + 4 * 20.0 + 30.0
PEAK_NODE_W = 4 * 560.0 + 280.0 + 74.26 + 4 * 20.0 + 30.0
"""Accelerators, processor, memory, network cards, drives: constants of RAPS."""


def frontier() -> PowerChain:
    node = AffineStage(name="node", efficiency_frac=0.98, fixed_w=13.0, num_units=NUM_NODES)
    rectifier = AffineStage(
        name="rectifier",
        efficiency_frac=0.96,
        fixed_w=17.0,
        num_units=NUM_NODES / 4,
        joined_w=NUM_NODES / 16 * 4 * 250.0,
    )
    return PowerChain(stages=(node, rectifier))


@pytest.mark.parametrize(
    ("node_w", "published_w", "simulated_w"),
    [(IDLE_NODE_W, 7.24e6, 7.31e6), (PEAK_NODE_W, 28.2e6, 28.23e6)],
    ids=["idle", "peak"],
)
def test_frontier_follows_from_its_parts(node_w: float, published_w: float, simulated_w: float) -> None:
    total_w = float(frontier().input_w(NUM_NODES * node_w)) + PUMPS_W
    assert total_w == pytest.approx(published_w, rel=0.03)
    assert total_w == pytest.approx(simulated_w, rel=0.001)


def test_the_shipped_profile_is_the_same_chain() -> None:
    facility = build_facility(default_library().get("facility", "frontier-like"), NUM_NODES * PEAK_NODE_W)
    assert facility.other_w == pytest.approx(PUMPS_W, rel=1e-4)
    for node_w in (IDLE_NODE_W, 1500.0, PEAK_NODE_W):
        expected_w = float(frontier().input_w(NUM_NODES * node_w))
        assert float(facility.chain.input_w(NUM_NODES * node_w)) == pytest.approx(expected_w, rel=1e-5)


def test_efficiency_falls_at_low_load() -> None:
    """RAPS prints 92.2 % idle and 93.6 % at peak for components and switches over the rectifiers' input."""
    found = []
    for node_w in (IDLE_NODE_W, PEAK_NODE_W):
        used_w = NUM_NODES * node_w + NUM_NODES / 16 * 4 * 250.0
        found.append(used_w / float(frontier().input_w(NUM_NODES * node_w)))
    assert found == pytest.approx([0.922, 0.936], abs=0.003)


shares = st.floats(0.0, 0.2)
affine = st.builds(
    AffineStage,
    name=st.just("affine"),
    efficiency_frac=st.floats(0.5, 1.0),
    fixed_w=st.floats(0.0, 100.0),
    num_units=st.integers(1, 50),
    joined_w=st.floats(0.0, 1e4),
)
ups = st.builds(
    UpsStage,
    name=st.just("ups"),
    rating_w=st.just(1e9),
    constant_frac=shares,
    linear_frac=shares,
    quadratic_frac=shares,
)
chains = st.builds(lambda stages: PowerChain(stages=tuple(stages)), st.lists(affine | ups, max_size=5))


@given(chain=chains, low_w=st.floats(0.0, 5e6), more_w=st.floats(1.0, 5e6))
def test_a_chain_takes_more_than_it_gives_and_ever_more(
    chain: PowerChain, low_w: float, more_w: float
) -> None:
    taken_w = chain.input_w([low_w, low_w + more_w])
    assert (taken_w >= [low_w, low_w + more_w]).all()
    assert taken_w[1] - taken_w[0] >= more_w * (1 - 1e-9)


@given(chain=chains, it_w=st.floats(1e3, 5e6))
def test_the_marginal_watt_is_the_slope(chain: PowerChain, it_w: float) -> None:
    step_w = 1e-3 * it_w
    slope = float(chain.input_w(it_w + step_w) - chain.input_w(it_w - step_w)) / (2 * step_w)
    assert float(chain.marginal(it_w)) == pytest.approx(slope, rel=1e-6)


@given(chain=chains, it_w=st.floats(0.0, 5e6))
def test_stages_account_for_the_whole_loss(chain: PowerChain, it_w: float) -> None:
    names = tuple(f"{index}" for index in range(len(chain.stages)))
    named = PowerChain(
        stages=tuple(
            type(stage)(**{field: getattr(stage, field) for field in stage.__slots__} | {"name": name})
            for name, stage in zip(names, chain.stages, strict=True)
        )
    )
    total_w = float(np.sum(list(named.by_stage_w(it_w).values())))
    assert total_w == pytest.approx(float(named.loss_w(it_w)), rel=1e-9, abs=1e-6)


@given(stage=affine | ups, num=st.integers(1, 20), load_w=st.floats(0.0, 1e6))
def test_n_sites_side_by_side_are_one_site_of_n_times_the_size(
    stage: AffineStage | UpsStage, num: int, load_w: float
) -> None:
    together_w = float(scaled(stage, num).input_w(num * load_w))
    assert together_w == pytest.approx(num * float(stage.input_w(load_w)), rel=1e-12)


def test_a_load_above_the_rating_is_infeasible() -> None:
    stage = UpsStage(
        name="ups", rating_w=1e6, constant_frac=0.02, linear_frac=0.01, quadratic_frac=0.02, num_units=2
    )
    assert float(stage.input_w(2e6)) == pytest.approx(2.1e6)
    with pytest.raises(InfeasibleError, match=r"rating of ups.*2,400,000 W pass through 2 units") as caught:
        stage.input_w([1e6, 2.4e6])
    assert "3 units" in caught.value.alternatives


@pytest.mark.parametrize("efficiency", [0.0, -0.1, 1.01, float("nan")])
def test_an_efficiency_beyond_one_is_refused(efficiency: float) -> None:
    with pytest.raises(InputError, match=r"stage 'psu': efficiency_frac: found .*allowed: above 0, to 1"):
        AffineStage(name="psu", efficiency_frac=efficiency)
