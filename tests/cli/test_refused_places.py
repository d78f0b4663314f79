"""Where nothing can be written, and words that are empty: one clear error each, and nothing half-written."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from simtool.errors import output_error
from tests.cli.conftest import Called
from tests.trace.kineto_files import two_steps, write
from tests.trace.power_files import dcgm, dmon, nvidia_smi, put, rocm_csv

Simtool = Callable[..., Called]

WRITING = [
    ("run", "quickstart", "-o", "{}/a"),
    ("plot", "quickstart", "--only", "step-timeline", "-o", "{}/a"),
    ("compare", "quickstart", "bloom-176b", "--figure", "{}/a"),
    ("import", "trace.json", "-o", "{}/a"),
    ("import", "trace.json", "-o", "{}/a/b"),
    ("calibrate", "example", "-o", "{}/a.yaml"),
    ("schema", "-o", "{}/a"),
    ("new", "scenario", "{}/a.yaml"),
]
"""What writes where it is told."""


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def here(tmp_path: Path) -> Path:
    write(tmp_path / "trace.json", two_steps())
    (tmp_path / "afile").write_text("mine", "utf-8")
    return tmp_path


@pytest.mark.parametrize("words", WRITING, ids=" ".join)
def test_a_file_in_place_of_a_folder_is_the_reason(
    words: tuple[str, ...], simtool: Simtool, here: Path
) -> None:
    called = simtool(*(word.format("afile") for word in words))
    assert called.code == 2
    assert (
        "a file stands where a folder is needed: afile" in called.err or "'afile' is no folder" in called.err
    )
    assert "free space" not in called.err
    assert len(called.err.splitlines()) == 1
    assert (here / "afile").read_text("utf-8") == "mine"


@pytest.mark.parametrize("words", WRITING, ids=" ".join)
def test_a_full_disk_leaves_nothing(
    words: tuple[str, ...], simtool: Simtool, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "full").mkdir()
    real_open = Path.open

    def full(path: Path, mode: str = "r", *rest: object, **named: object) -> object:
        if "w" in mode and "full" in path.parts:
            real_open(path, mode, *rest, **named).close()  # type: ignore[call-overload]
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return real_open(path, mode, *rest, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", full)
    called = simtool(*(word.format("full") for word in words))
    assert called.code == 2
    assert "the disk is full; free space" in called.err
    assert len(called.err.splitlines()) == 1
    assert names(here / "full") == []


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "free space"),
        (errno.EFBIG, "File too large"),
        (errno.EROFS, "may not be written to"),
        (errno.EACCES, "may not be written to"),
        (errno.ENOENT, "no folder can be made there"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_the_refusal_of_the_file_system_is_told_in_plain_words(
    number: int, said: str, tmp_path: Path
) -> None:
    import os

    told = str(output_error(OSError(number, os.strerror(number)), tmp_path / "a" / "b"))
    assert said in told
    assert "choose another place" in told


@pytest.mark.parametrize(
    "words",
    [
        ("run", ""),
        ("check", ""),
        ("import", ""),
        ("import", "trace.json", "-o", ""),
        ("calibrate", "example", "--name", ""),
        ("calibrate", "example", "--name="),
        ("run", "quickstart", "--set", ""),
        ("run", "quickstart", "--profiles", ""),
    ],
    ids=" ".join,
)
def test_an_empty_word_is_neither_the_current_folder_nor_left_out(
    words: tuple[str, ...], simtool: Simtool, here: Path
) -> None:
    before = names(here)
    called = simtool(*words)
    assert called.code == 2
    assert called.err.startswith("command line: found ")
    assert "an empty word" in called.err or "without a value" in called.err
    assert names(here) == before


@pytest.mark.parametrize("verb", ["run", "plot", "compare"])
def test_the_number_of_seeds_has_a_limit(verb: str, simtool: Simtool, here: Path) -> None:
    before = names(here)
    called = simtool(verb, "quickstart", "--seeds", "99999999999")
    assert called.code == 2
    assert "--seeds" in called.err
    assert "10000" in called.err.replace(",", "")
    assert names(here) == before


@pytest.fixture
def trace(here: Path) -> Path:
    """The shipped trace, to be damaged."""
    import shutil

    from simtool.profiles.find import shipped_folder

    copied = here / "trace"
    shutil.copytree(shipped_folder("hardware_profiles") / "traces" / "cpu-example", copied)
    return copied


@pytest.mark.parametrize("name", ["manifest.yaml", "ops.parquet", "kernels.parquet", "steps.parquet"])
@pytest.mark.parametrize("kept", [0, 200])
def test_a_trace_that_was_cut_is_no_profile(
    name: str, kept: int, simtool: Simtool, here: Path, trace: Path
) -> None:
    (trace / name).write_bytes((trace / name).read_bytes()[:kept])
    called = simtool("calibrate", "trace", "-o", "new/mine.yaml")
    assert called.code == 2
    assert called.err.startswith(f"trace/{name}:")
    assert len(called.err.splitlines()) == 1
    assert not (here / "new").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("300.00 W", "-5.00 W"), "negative"),
        (lambda text: text.replace("300.00 W", "9e99 W"), "no unit makes a power of that"),
        (lambda text: text.replace("300.00 W", "300000 W"), "milliwatts"),
        (lambda text: text.replace("300.00 W", "nan W"), "no reading of power"),
        (lambda text: text.replace("300.00 W", "0.00 W"), "does not measure"),
        (lambda text: text.replace("2023", "9999"), "no time that can be read"),
        (lambda text: text.partition("\n")[2], "no format that is known"),
    ],
    ids=["negative", "huge", "milliwatts", "nan", "zero", "far", "no header"],
)
def test_a_bad_power_log_is_told_by_its_cause(
    change: Callable[[str], str], said: str, simtool: Simtool, here: Path
) -> None:
    put(here / "power.csv", change(nvidia_smi([0.1 * place for place in range(50)], [300.0] * 50)))
    called = simtool("calibrate", "trace.json", "power.csv", "--hardware", "h100-sxm", "-o", "new/mine.yaml")
    assert called.code == 2
    assert said in called.err
    assert called.err.startswith("power.csv: ")
    assert len(called.err.splitlines()) == 1
    assert not (here / "new").exists()


@pytest.mark.parametrize("form", [dcgm, dmon, rocm_csv])
def test_a_gpu_of_thirty_digits_is_the_reason(form: Callable[..., str], simtool: Simtool, here: Path) -> None:
    long = "1" + "0" * 30
    text = form([0.1 * place for place in range(50)], [300.0] * 50)
    for short in ("GPU 0", "card0", "      0    300"):
        text = text.replace(short, short.replace("0", long, 1))
    put(here / "power.csv", text)
    called = simtool("import", "power.csv")
    assert called.code == 2
    assert f"of a GPU '{long}', no number" in called.err
