"""The fit finds factors that were put in, and stays at its priors where nothing says otherwise."""

from __future__ import annotations

from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simtool.calibrate.transfers import calibrated, main, text_of
from simtool.errors import InputError
from simtool.profiles.find import ProfileLibrary
from simtool.transfer.fit import STACK_PRIOR, Observation, fit_factors
from simtool.transfer.pairs import Pair, Side, leave_one_out, read_pairs
from simtool.transfer.roofline import Roofline
from simtool.transfer.work import work_of
from tests.transfer.ops import LIBRARY, attention, elementwise, product, traced

DEVICES = ("h100-sxm", "mi300x")


def seen(
    model: str, architecture: str, work_frac: float, deviation: float, part: str = "memory"
) -> Observation:
    key = f"{part} {work_frac}"
    return Observation(
        model=model, key=key, architecture=architecture, model_class=part, work_frac=work_frac,  # type: ignore[arg-type]
        deviation=deviation, count=1000.0,
    )  # fmt: skip


def test_nothing_seen_leaves_the_priors() -> None:
    found = fit_factors([], ["hopper"])
    assert set(found.middle) == {
        ("gemm", ""),
        ("attention", ""),
        ("attention", "hopper"),
        ("conv", ""),
        ("memory", ""),
    }
    assert all(middle == (0.0, 0.0) for middle in found.middle.values())
    assert found.spread["gemm", ""] == STACK_PRIOR["gemm"]


def test_factors_that_are_there_are_found() -> None:
    floor, work = log(2.0), log(1.2)
    rows = [
        seen(model, device, share, (1 - share) * floor + share * work)
        for model in map(str, range(60))
        for device in ("hopper", "cdna3")
        for share in (0.0, 0.3, 0.6, 1.0)
    ]
    found = fit_factors(rows, ["cdna3", "hopper"])
    assert np.exp(found.middle["memory", ""]) == pytest.approx((2.0, 1.2), rel=0.03)
    assert max(found.spread["memory", ""]) < 0.1


def test_many_kernels_of_one_model_are_not_many_facts() -> None:
    few = fit_factors([seen("a", "hopper", 1.0, 0.4)], ["hopper"])
    many = fit_factors([seen("a", "hopper", 1.0, 0.4)] * 500, ["hopper"])
    assert many.middle["memory", ""][1] < 0.35
    assert many.spread["memory", ""][1] > 0.6 * few.spread["memory", ""][1]


def test_devices_of_one_class_share_the_stack_and_differ_in_attention() -> None:
    rows = [
        seen(str(model), device, share, sign * 0.4, "attention")
        for model in range(20)
        for device, sign in (("hopper", -1), ("cdna3", 1))
        for share in (0.1, 0.9)
    ]
    found = fit_factors(rows, ["cdna3", "hopper"])
    assert found.middle["attention", ""] == pytest.approx((0.0, 0.0), abs=1e-6)
    assert found.middle["attention", "cdna3"][1] == pytest.approx(0.4, abs=0.1)
    assert found.middle["attention", "hopper"][1] == pytest.approx(-0.4, abs=0.1)


def exact_pairs() -> list[Pair]:
    """Models whose kernels take what the machine model says, on both devices."""
    pairs = []
    for number in range(1, 4):
        ops = (product(1024 * number), attention(), elementwise(1e8 * number), elementwise(1e3, count=50.0))
        sides = []
        for name in DEVICES:
            side = Roofline(LIBRARY.get("accelerator", name))
            timed = []
            for op in ops:
                work = work_of(op)
                assert work is not None
                timed.append(
                    type(op)(
                        **{
                            **{n: getattr(op, n) for n in op.__slots__},
                            "duration_s": side.modelled(work).time_s,
                        }
                    )
                )
            sides.append(Side(accelerator=side.accelerator, traced=traced(*timed)))
        pairs.append(Pair(model=str(number), sides=tuple(sides)))
    return pairs


def test_models_that_follow_the_machine_model_are_projected_exactly() -> None:
    held_out = list(leave_one_out(exact_pairs(), LIBRARY))
    assert len(held_out) == 6
    for one in held_out:
        assert one.error_frac == pytest.approx(0.0, abs=1e-9)


def values(part: Any) -> list[float]:
    """Every value of a profile as its file tells it, in order."""
    if not isinstance(part, dict):
        return []
    return [part["value"]] if "value" in part else [one for below in part.values() for one in values(below)]


def test_the_shipped_constants_are_those_of_the_reference_pairs(reference_data: Path) -> None:
    found = values(calibrated(reference_data, LIBRARY).model_dump())
    shipped = values(LIBRARY.data("transfer", "eager"))
    assert len(found) > 15
    assert found == pytest.approx(shipped, rel=0.02), "python -m simtool.calibrate.transfers writes them anew"


def test_the_command_writes_what_the_profile_reader_reads(reference_data: Path, tmp_path: Path) -> None:
    file = tmp_path / "transfers" / "eager.yaml"
    file.parent.mkdir()
    assert main(["--reference", str(reference_data), "-o", str(file)]) == 0
    read = ProfileLibrary((tmp_path,)).get("transfer", "eager")
    assert read == calibrated(reference_data, LIBRARY)
    assert file.read_text("utf-8") == text_of(read)


def test_a_folder_without_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model on two devices"):
        read_pairs(tmp_path, LIBRARY)
    assert main(["--reference", str(tmp_path), "-o", str(tmp_path / "x.yaml")]) == 2
    assert main(["--reference", str(tmp_path), "-o", str(tmp_path)]) == 2
