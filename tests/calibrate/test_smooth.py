"""Smooth corrections: what made a table is found, folds stay apart, what no kernel touches stays the model."""

from __future__ import annotations

import numpy as np
import pytest

from simtool.calibrate.corrections import correction_from, is_enough, section
from simtool.calibrate.smooth import TILE, Solver, Term, design, penalty
from simtool.calibrate.tables import gemm_table
from simtool.profiles.curves import Table
from simtool.rng import stream

TERM = Term(name="sizes", axes={"m": (1, 4, 16, 64), "n": (1, 8, 64)}, roughness=(0.01, 0.01), ridge=1e-4)


def kernels(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = stream(3, "kernels", "sizes")
    return 2.0 ** rng.uniform(0, 6, count), 2.0 ** rng.uniform(0, 6, count)


def test_a_plane_in_the_logarithms_is_found():
    m, n = kernels(500)
    log_ratio = 0.1 * np.log2(m) - 0.05 * np.log2(n)
    solver = Solver(design(TERM, (m, n)), penalty([TERM]), np.arange(500) % 5)
    anchors = solver.solve(log_ratio)
    grid = TERM.grid(anchors)
    assert float(grid.at(16, 8)) == pytest.approx(0.4 - 0.15, abs=0.01)
    assert float(grid.at(3, 20)) == pytest.approx(0.1 * np.log2(3) - 0.05 * np.log2(20), abs=0.01)


def test_what_is_left_out_takes_no_part():
    m, n = kernels(400)
    fold = np.arange(400) % 4
    wild = np.where(fold == 2, 50.0, 0.1)
    solver = Solver(design(TERM, (m, n)), penalty([TERM]), fold)
    assert solver.solve(wild, 2) == pytest.approx(0.1, abs=0.02)
    assert solver.solve(np.where(fold == 2, np.nan, 0.1), 2) == pytest.approx(solver.solve(wild, 2))


def test_odd_kernels_pull_little():
    m, n = kernels(500)
    log_ratio = np.full(500, 0.1)
    log_ratio[::25] = 3.0
    anchors = Solver(design(TERM, (m, n)), penalty([TERM]), np.zeros(500, int)).solve(log_ratio)
    assert np.median(anchors) == pytest.approx(0.1, abs=0.05)


def test_what_no_kernel_touches_follows_its_neighbours():
    m, n = kernels(300)
    m = np.minimum(m, 4.0)
    anchors = Solver(design(TERM, (m, n)), penalty([TERM]), np.zeros(300, int)).solve(np.full(300, 0.2))
    assert np.all(anchors > 0.0)
    assert np.all(anchors < 0.25)


def test_tables_of_tiles_are_summed():
    term = Term(name="idle", axes={TILE: (1, 2), "waves": (1, 2)}, roughness=(0, 0), ridge=1e-6)
    waves, factor = np.ones((2, 3)), np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 2.0]])
    matrix = design(term, (waves,), factor).toarray()
    assert matrix == pytest.approx(np.array([[1, 0, 0, 0], [0, 0, 1, 0], [2, 0, 2, 0]]))


def test_a_profile_holds_what_was_fitted():
    values = np.linspace(-0.5, 0.5, TERM.num_values)
    idle = Term(name="idle", axes={TILE: (1, 2), "waves": (1, 2)}, roughness=(0, 0))
    both = np.concatenate([values, [0.1, 0.2, 0.3, 0.4]])
    written = section([TERM, idle], both, "a table")
    assert written["source"] == "a table"
    assert written["idle"]["rows"] == ["100 200", "300 400"]
    assert len(written["sizes"]["rows"]) == 4
    assert Table.model_validate(written["sizes"]).rows[0].split()[0] == "-500"
    found = correction_from([TERM, idle], both)
    assert float(found.sizes.at(64, 64)) == pytest.approx(0.5)
    assert found.idle.at(np.array([1.0, 2.0])) == pytest.approx([0.1, 0.4])


@pytest.mark.parametrize(
    ("axes", "rows", "found"),
    [
        ({"m": "1 1"}, ["1 2"], "ascending"),
        ({"m": "0 1"}, ["1 2"], "ascending"),
        ({"m": "1 b"}, ["1 2"], "ascending"),
        ({"m": "1 nan"}, ["1 2"], "ascending"),
        ({"m": "1 2", "n": "1 2"}, ["1 2"], "2 rows of 2"),
        ({"m": "1 2"}, ["1 2 3"], "1 rows of 2"),
        ({"m": "1 2"}, ["1 x"], "1 rows of 2"),
        ({"m": "1 2"}, ["1 inf"], "1 rows of 2"),
    ],
)
def test_a_table_that_does_not_fill_its_grid_is_refused(axes, rows, found):
    with pytest.raises(ValueError, match=found):
        Table.model_validate({"axes": axes, "rows": rows})


def test_small_tables_show_no_more_than_the_coefficients():
    size = 2.0 ** np.arange(5, 15)
    assert not is_enough(gemm_table(size, size, size, size))
