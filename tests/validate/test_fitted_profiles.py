"""The fitted halves of software profiles are what the shipped constants say."""

from __future__ import annotations

from pathlib import Path

import pytest

from simtool.profiles.find import default_library, shipped_folder
from simtool.validate.case import Case, express
from simtool.validate.fit.__main__ import main
from simtool.validate.fit.profiles import FOLDER, write_profiles
from simtool.validate.fit.stored import load
from simtool.validate.table import SHIPPED, read_rows


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("software")
    found = [express(row, default_library()) for row in read_rows(SHIPPED)]
    return write_profiles(load(), [one for one in found if isinstance(one, Case)], folder)


def test_shipped_halves_are_those_of_the_shipped_constants(written: list[Path]) -> None:
    shipped = shipped_folder("hardware_profiles") / "software" / FOLDER
    assert {path.name for path in written} <= {path.name for path in shipped.iterdir()}
    for path in written:
        assert path.read_text() == (shipped / path.name).read_text(), path.name


def test_every_number_of_a_half_states_its_spread(written: list[Path]) -> None:
    library = default_library()
    for path in written:
        software = library.get("software", path.stem)
        assert software.launch_floor.kind == "calibrated"
        assert all(0.0 < one.spread < 1.0 for one in software.product_ratio.values())
        assert {"default"} <= set(software.product_ratio) & set(software.attention_ratio)


def test_a_table_that_cannot_be_fitted_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "few.csv"
    table.write_text("id,accelerator,n_accel\none,H100-SXM-80GB,8\n")
    assert main(["--table", str(table), "-o", str(tmp_path / "out.json")]) == 2
    assert "at least" in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()
