"""Kernels and collectives that no fit saw: the errors that the project states, with a margin."""

from __future__ import annotations

import pytest

from simtool.profiles.find import default_library
from simtool.validate.check import CHECKS, Outcome


@pytest.fixture(scope="module")
def kernels(reference_data) -> Outcome:
    return CHECKS["kernels"](reference_data, default_library())


@pytest.fixture(scope="module")
def collectives(reference_data) -> Outcome:
    return CHECKS["collectives"](reference_data, default_library())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "p50", "p90"),
    [
        ("products", 0.040, 0.125),
        ("attention", 0.036, 0.125),
        ("fp8_products", 0.036, 0.105),
        ("experts", 0.075, 0.37),
        ("beyond_range", 0.085, 0.30),
        ("other_stacks", 0.10, 0.30),
    ],
)
def test_kernels_of_shapes_unseen_are_near(kernels: Outcome, what: str, p50: float, p90: float) -> None:
    assert kernels.figures[f"{what}_p50_frac"] < p50
    assert kernels.figures[f"{what}_p90_frac"] < p90


@pytest.mark.slow
def test_every_table_has_its_row_and_every_row_its_cells(kernels: Outcome, collectives: Outcome) -> None:
    for outcome in (kernels, collectives):
        assert {len(row) for row in outcome.rows} == {len(outcome.columns)}
        assert len({row[0] + row[2] for row in outcome.rows}) == len(outcome.rows)
    assert len(kernels.rows) == 16 + 5 + 12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "p50", "p90"),
    [
        ("all_sizes", 0.03, 0.12),
        ("nvlink3_sizes", 0.03, 0.13),
        ("nvlink4_sizes", 0.035, 0.12),
        ("nvlink5_sizes", 0.035, 0.12),
        ("nvlink5_nvl72_sizes", 0.02, 0.09),
        ("all_groups", 0.065, 0.21),
    ],
)
def test_collectives_of_sizes_unseen_are_near(
    collectives: Outcome, what: str, p50: float, p90: float
) -> None:
    assert collectives.figures[f"{what}_p50_frac"] < p50
    assert collectives.figures[f"{what}_p90_frac"] < p90
