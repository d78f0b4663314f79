"""What a software profile rests on: counted from its numbers, its error as the validation page prints it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from simtool.config.load import load_document
from simtool.profiles.find import ProfileLibrary, shipped_folder
from simtool.result.standing import UNSEEN_MEDIAN, UNSEEN_P90, standing

LIBRARY = ProfileLibrary((shipped_folder("hardware_profiles"),))
PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "validation.md"
ROW = re.compile(r"^(\S+) +(\d+) +(\d+) +([\d.]+)% +(\d+)% +[\d.]+% +[+-]", re.MULTILINE)
PRINTED = {row[1]: row.groups()[1:] for row in ROW.finditer(PAGE.read_text("utf-8"))}


@pytest.mark.parametrize("name", LIBRARY.names("software"))
def test_the_error_of_a_profile_is_the_one_of_the_validation_page(name: str) -> None:
    accuracy = LIBRARY.get("software", name).accuracy
    if accuracy is None:
        assert name not in PRINTED
        return
    if "--check" in accuracy.median_error.source:  # another table; the check's own test compares
        assert name not in PRINTED
        return
    shown = (
        str(accuracy.num_rows),
        str(accuracy.num_families),
        f"{100 * float(accuracy.median_error):.1f}",
        f"{100 * float(accuracy.p90_error):.0f}",
    )
    assert PRINTED[name] == shown, "write into the profile what `simtool validate` prints of it"


def test_numbers_are_counted_by_kind_with_their_spreads() -> None:
    software = LIBRARY.get("software", "megatron-core")
    found = standing(software, LIBRARY.get("accelerator", "h100-sxm"))
    assert found.is_fitted_here
    assert not standing(software, LIBRARY.get("accelerator", "tpu-v4")).is_fitted_here
    written = load_document(LIBRARY.path("software", "megatron-core")).data
    tables = {
        "product_ratio": 1,
        "attention_ratio": 1,
        "low_precision_ratio": 3,
        "accuracy": 0,
        "release_ratio": 0,
    }
    expected = sum(tables.get(name, numbers_in(value)) for name, value in written.items())
    assert sum(found.num_by_kind.values()) == expected
    assert found.spread_low is not None
    assert found.spread_high is not None
    assert 0 < found.spread_low <= found.spread_high < 1


def numbers_in(data: object) -> int:
    """Mappings that state a value and its kind."""
    if not isinstance(data, dict):
        return 0
    return 1 if {"value", "kind"} <= data.keys() else sum(numbers_in(below) for below in data.values())


def test_a_profile_that_was_compared_with_nothing_says_so() -> None:
    found = standing(LIBRARY.get("software", "vision-examples"), LIBRARY.get("accelerator", "h100-sxm"))
    assert (found.num_rows, found.median_error_frac, found.p90_error_frac) == (0, None, None)


def test_an_architecture_that_is_new_to_a_framework_has_the_error_of_such_rows() -> None:
    unseen = re.search(r"^stack unseen +\d+ +\d+ +([\d.]+)% +(\d+)% ", PAGE.read_text("utf-8"), re.MULTILINE)
    assert unseen
    assert (f"{100 * float(UNSEEN_MEDIAN):.1f}", f"{100 * float(UNSEEN_P90):.0f}") == unseen.groups()
    software = LIBRARY.get("software", "megatron-core")
    seen = standing(software, LIBRARY.get("accelerator", "h100-sxm"))
    assert (seen.expected_median_frac, seen.expected_p90_frac) == (
        seen.median_error_frac,
        seen.p90_error_frac,
    )
    new = standing(software, LIBRARY.get("accelerator", "mi300x"))
    assert (new.expected_median_frac, new.expected_p90_frac) == (float(UNSEEN_MEDIAN), float(UNSEEN_P90))
    worse = LIBRARY.get("software", "dle-tensorflow-1-encoder")
    own = standing(worse, LIBRARY.get("accelerator", "h100-sxm"))
    assert own.expected_median_frac == own.median_error_frac, "its own error is the larger one"
    uncompared = standing(LIBRARY.get("software", "vision-examples"), LIBRARY.get("accelerator", "h100-sxm"))
    assert uncompared.expected_p90_frac is None
