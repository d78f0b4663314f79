"""A skip is either for want of reference data and counted, or named, or a failure."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"


@pytest.fixture
def house(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An empty project with this project's conftest, and no reference data."""
    monkeypatch.delenv("SIMTOOL_REFERENCE_DATA", raising=False)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makeconftest(CONFTEST.read_text("utf-8"))
    pytester.makepyfile(
        test_some="""
        import pytest

        def test_plain(): pass
        def test_with_data(reference_data): assert (reference_data / "data").is_dir()
        """
    )
    return pytester


def run(house: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return house.runpytest_inprocess("-p", "no:cacheprovider", *arguments)


def test_absent_reference_data_is_skipped_and_counted(house: pytest.Pytester) -> None:
    result = run(house)
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["1 test* skipped for want of reference data: set SIMTOOL_REFERENCE_DATA*"])
    assert result.ret == pytest.ExitCode.OK


def test_absent_reference_data_fails_where_it_is_required(house: pytest.Pytester) -> None:
    result = run(house, "--require-reference-data")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*SIMTOOL_REFERENCE_DATA is not set*"])


def test_a_folder_without_the_data_counts_as_absent(
    house: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMTOOL_REFERENCE_DATA", str(house.path))
    result = run(house, "--require-reference-data")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*has no folder 'data'*"])


def test_present_reference_data_is_used(house: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    house.mkdir("data")
    house.mkdir("validation")
    monkeypatch.setenv("SIMTOOL_REFERENCE_DATA", str(house.path))
    run(house, "--require-reference-data").assert_outcomes(passed=2)


SKIPS = {
    "call": "import pytest\ndef test_it(): pytest.skip('not today')",
    "mark": "import pytest\n@pytest.mark.skip(reason='not today')\ndef test_it(): pass",
    "fixture": "import pytest\n@pytest.fixture\ndef it(): pytest.skip('not today')\ndef test_it(it): pass",
    "module": "import pytest\npytest.skip('not today', allow_module_level=True)",
    "import": "import pytest\npytest.importorskip('no_such_module', reason='not today')",
    "xfail": "import pytest\n@pytest.mark.xfail(reason='not today')\ndef test_it(): assert False",
}


@pytest.mark.parametrize("code", SKIPS.values(), ids=SKIPS)
def test_an_unnamed_skip_fails_the_run(house: pytest.Pytester, code: str) -> None:
    house.makepyfile(test_other=code)
    result = run(house)
    assert result.ret not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    result.stdout.fnmatch_lines(["*test_other.py* was skipped (*not today*) and is not named in*"])


@pytest.mark.parametrize("code", SKIPS.values(), ids=SKIPS)
def test_a_named_skip_is_allowed(house: pytest.Pytester, code: str) -> None:
    house.makepyfile(test_other=code)
    (house.path / "allowed_skips.txt").write_text("# reasons follow\ntest_other.py*  # needs another day\n")
    assert run(house).ret == pytest.ExitCode.OK
