"""Files of the user's: read back as written, or refused with a sentence that helps."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pyarrow import parquet

from simtool.engine.data import arrays as arrays_module
from simtool.engine.data import files, tables
from simtool.engine.data.idx import read_idx
from simtool.engine.data.images import load_images
from simtool.engine.data.series import load_series
from simtool.engine.data.tables import load_table, read_columns
from simtool.engine.data.text import load_text
from simtool.engine.task import TASKS, TaskOptions
from simtool.errors import InputError

RANDOM = np.random.default_rng(0)


def write_idx(path: Path, array: np.ndarray) -> Path:
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    content = head + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write_csv(path: Path, rows: list[list[object]], header: str = "") -> Path:
    lines = [header] if header else []
    path.write_text("\n".join(lines + [",".join(map(str, row)) for row in rows]) + "\n")
    return path


def rows_of(num_rows: int, num_classes: int = 3) -> list[list[object]]:
    return [[*np.round(RANDOM.normal(size=3), 3), "abc"[index % num_classes]] for index in range(num_rows)]


# ------------------------------------------------------------------------------------------- round trips


@given(arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4))))
def test_idx_reads_back(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    folder = tmp_path_factory.mktemp("idx")
    for name in ("a.idx", "a.gz"):
        assert np.array_equal(read_idx(write_idx(folder / name, array)), array)


def test_images_by_idx_with_a_test_file_of_their_own(tmp_path: Path) -> None:
    for part, number in (("train", 60), ("t10k", 20)):
        kind = ".gz" if part == "train" else ""
        write_idx(tmp_path / f"{part}-images-idx3-ubyte{kind}", RANDOM.integers(0, 256, (number, 8, 8)))
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte{kind}", np.arange(number) % 5)
    images = load_images(tmp_path, 1000)
    assert images.pixels.shape == (80, 1, 8, 8)
    assert (len(images.split.train), len(images.split.validation), len(images.split.test)) == (51, 9, 20)
    assert images.num_classes == 5
    assert float(images.pixels.min()) == 0.0
    assert float(images.pixels.max()) == 1.0
    assert TASKS["image-cnn"](TaskOptions(data=tmp_path)).num_samples == 51


@pytest.mark.parametrize("layout", ["last", "first", "grey"])
def test_images_by_npz(tmp_path: Path, layout: str) -> None:
    shape = {"last": (40, 12, 12, 3), "first": (40, 3, 12, 12), "grey": (40, 12, 12)}[layout]
    np.savez(tmp_path / "a.npz", images=RANDOM.random(shape), labels=np.arange(40) % 4)
    images = load_images(tmp_path / "a.npz", 1000)
    assert images.pixels.shape == (40, 1 if layout == "grey" else 3, 12, 12)


def test_images_by_folder(tmp_path: Path) -> None:
    from PIL import Image

    for index in range(20):
        folder = tmp_path / ("cat" if index % 2 else "dog")
        folder.mkdir(exist_ok=True)
        pixels = np.full((16, 16, 3), 200 if index % 2 else 20, np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.{'png' if index < 10 else 'jpg'}")
    images = load_images(tmp_path, 1000)
    assert images.num_classes == 2
    bright = images.pixels.mean(axis=(1, 2, 3)) > 0.5
    assert np.array_equal(images.labels == 0, bright)  # "cat" comes before "dog"
    assert "mirror" in str(TASKS["image-cnn"](TaskOptions(data=tmp_path)).describe())


def test_tables_read_alike_in_every_format(tmp_path: Path) -> None:
    features, labels = RANDOM.normal(size=(30, 3)), np.arange(30) % 3
    names = ["a", "b", "c"]
    np.savez(tmp_path / "t.npz", x=features, y=labels)
    columns = {name: features[:, index] for index, name in enumerate(names)} | {"class": labels}
    parquet.write_table(arrow.table(columns), tmp_path / "t.parquet")
    rows = [[*map(repr, map(float, row)), label] for row, label in zip(features, labels, strict=True)]
    write_csv(tmp_path / "t.csv", rows, "a,b,c,class")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress((tmp_path / "t.csv").read_bytes()))
    for name in ("t.npz", "t.parquet", "t.csv", "t.csv.gz"):
        table = load_table(tmp_path / name)
        assert np.array_equal(table.features, features), name
        assert np.array_equal(table.labels, labels), name


def test_the_column_of_texts_holds_the_classes(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "t.csv", [["x" if index % 2 else "y", index % 7, 2.5 * index] for index in range(20)]
    )
    table = load_table(path)
    assert table.features.shape == (20, 2)
    assert table.labels.tolist() == [1, 0] * 10
    named = load_table(path, label="column 2", drop=["column 1"])
    assert named.num_classes == 7


def test_a_column_that_counts_rows_is_left_out(tmp_path: Path) -> None:
    rows = [[index, *row] for index, row in enumerate(rows_of(20))]
    table = load_table(write_csv(tmp_path / "t.csv", rows, "row,a,b,c,class"))
    assert table.left_out == ("row",)
    assert table.features.shape == (20, 3)


def test_a_series_leaves_dates_out_and_counts_by_logarithm(tmp_path: Path) -> None:
    rows = [
        [index + 1, f"2020-01-{1 + index % 28:02}", index % 24, RANDOM.integers(0, 90)]
        for index in range(400)
    ]
    series = load_series(write_csv(tmp_path / "s.csv", rows, "instant,day,hour,count"))
    assert set(series.left_out) == {"instant", "day"}
    assert series.inputs.shape == (400, 2)
    assert series.is_logarithm
    assert series.target_name == "count"
    assert float(series.target[:280].std()) == pytest.approx(1.0)
    plain = load_series(tmp_path / "s.csv", log="no", target="hour")
    assert not plain.is_logarithm


@pytest.mark.parametrize("num_documents", [1, 3, 40])
def test_text_by_folder_loses_nothing(tmp_path: Path, num_documents: int) -> None:
    for index in range(num_documents):
        (tmp_path / f"{index}.txt").write_text(f"document {index} " + "äöü " * 500)
    (tmp_path / "picture.bin").write_bytes(bytes(range(256)))
    (tmp_path / ".hidden").write_text("no")
    text = load_text(tmp_path, 10**9)
    whole = "\n".join(part.decode() for part in (text.train, text.validation, text.test))
    assert all(f"document {index} " in whole for index in range(num_documents))
    assert text.num_documents == num_documents


def test_a_text_is_never_cut_inside_a_character(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    for extra in range(4):
        path.write_text("a" * extra + "漢字仮名" * 400)
        for num_bytes in (2000, 2001, 2002, 10**6):
            text = load_text(path, num_bytes)
            for part in (text.train, text.validation, text.test):
                part.decode("utf-8")


# -------------------------------------------------------------------------------------------- hostile files

LOADERS = {
    "idx": lambda path: load_images(path.rename(path.with_name("train-images-idx3")), 100),
    "table": load_table,
    "series": load_series,
    "columns": read_columns,
    "bytes": files.read_bytes,
}


def refused(path: Path, loader: str, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        LOADERS[loader](path)
    assert str(path.parent.name) in str(caught.value)


@pytest.mark.parametrize("name", list(TASKS))
def test_no_task_takes_what_is_no_data(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "folder").mkdir()
    for found, match in (
        ("missing.csv", "cannot be opened"),
        ("pipe", "device or pipe"),
        ("empty.csv", "empty"),
        ("folder", "folder"),
    ):
        with pytest.raises(InputError, match=match):
            TASKS[name](TaskOptions(data=tmp_path / found))
    with pytest.raises(InputError, match="device or pipe"):
        TASKS[name](TaskOptions(data=Path("/dev/zero")))


def test_gzip_that_is_cut_or_damaged(tmp_path: Path) -> None:
    whole = gzip.compress(RANDOM.bytes(5000))
    (tmp_path / "cut.gz").write_bytes(whole[:-2000])
    refused(tmp_path / "cut.gz", "bytes", "cut short")
    (tmp_path / "damaged.gz").write_bytes(whole[:50] + bytes(100) + whole[150:])
    refused(tmp_path / "damaged.gz", "bytes", "cannot be read")
    (tmp_path / "none.gz").write_bytes(b"plain text")
    refused(tmp_path / "none.gz", "bytes", "cannot be read")


def test_a_small_file_that_unpacks_to_more_than_is_read(tmp_path: Path) -> None:
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(10**6)))
    with pytest.raises(InputError, match="unpacks to more than"):
        files.read_bytes(tmp_path / "bomb.gz", max_bytes=10**5)


def test_files_of_absurd_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(files.MAX_BYTES + 1)
    refused(tmp_path / "huge.csv", "table", "GiB")
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((100, 100)), y=np.zeros(100))
    monkeypatch.setattr(arrays_module, "MAX_BYTES", 1000)
    refused(tmp_path / "a.npz", "table", "unpacks to")
    parquet.write_table(arrow.table({"a": RANDOM.random(1000), "b": np.zeros(1000)}), tmp_path / "a.parquet")
    monkeypatch.setattr(tables, "MAX_BYTES", 1000)
    refused(tmp_path / "a.parquet", "table", "unpacks to")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"\x00\x00\x07\x01\x00\x00\x00\x01\x00", "magic"),
        (b"\x89PNG\r\n\x1a\n", "magic"),
        (b"\x00\x00\x08\x03\x00\x00", "ends inside its header"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x05abc", "5 for the shape 5"),
        (b"\x00\x00\x08\x03" + b"\xff" * 12 + b"abc", "for the shape"),
    ],
)
def test_idx_that_is_none(tmp_path: Path, content: bytes, match: str) -> None:
    path = tmp_path / "train-images-idx3"
    path.write_bytes(content)
    with pytest.raises(InputError, match=match):
        read_idx(path)


def test_idx_with_the_wrong_labels(tmp_path: Path) -> None:
    write_idx(tmp_path / "train-images-idx3", RANDOM.integers(0, 9, (30, 8, 8)))
    with pytest.raises(InputError, match="cannot be opened"):
        load_images(tmp_path, 100)
    write_idx(tmp_path / "train-labels-idx1", np.arange(7) % 2)
    with pytest.raises(InputError, match="one label an image"):
        load_images(tmp_path, 100)
    write_idx(tmp_path / "train-labels-idx1", np.zeros(30))
    with pytest.raises(InputError, match="same class"):
        load_images(tmp_path, 100)


@pytest.mark.parametrize(
    ("images", "match"),
    [
        (np.zeros((40, 8, 8)), "same value"),
        (np.full((40, 8, 8), np.nan), "not finite"),
        (RANDOM.random((40, 8, 9)), "squares"),
        (RANDOM.random((40, 2, 2)), "squares"),
        (RANDOM.random((40, 5, 8, 8)), "1 or 3 channels"),
        (RANDOM.random((40, 600, 4)), "at most 512"),
    ],
)
def test_images_that_are_none(tmp_path: Path, images: np.ndarray, match: str) -> None:
    np.savez(tmp_path / "a.npz", x=images, y=np.arange(40) % 2)
    with pytest.raises(InputError, match=match):
        load_images(tmp_path / "a.npz", 100)


def test_too_few_images(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=RANDOM.random((5, 8, 8)), y=[0, 1, 0, 1, 0])
    with pytest.raises(InputError, match="found 5 samples"):
        load_images(tmp_path / "a.npz", 100)


def test_folders_of_pictures_that_are_none(tmp_path: Path) -> None:
    from PIL import Image

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(10):
            Image.fromarray(np.full((8, 8), index, np.uint8)).save(tmp_path / name / f"{index}.png")
    Image.fromarray(np.zeros((9, 8), np.uint8)).save(tmp_path / "b" / "odd.png")
    with pytest.raises(InputError, match="one size"):
        load_images(tmp_path, 100)
    (tmp_path / "b" / "odd.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(InputError, match=r"odd\.png"):
        load_images(tmp_path, 100)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("a,b,class\n1,2,x\n1,2\n3,4,y\n", "line 3"),
        ("a,b,class\n", "no row"),
        ("a,a,class\n1,2,x\n", "twice"),
        ("a,b,class\n" + "1,2,x\n" * 20, "same class"),
        ("a,b,class\n" + "1,oops,2\n3,4,1\n" * 10, "column b: found 'oops'"),
        ("a,b,class\n" + "1,,x\n3,4,y\n" * 10, "missing or not finite, the first in row 1"),
        ("a,b,class\n" + "1,inf,x\n3,4,y\n" * 10, "not finite"),
        ("class\n" + "x\ny\n" * 10, "beside the classes"),
        ("a,class\n" + "".join(f"{index % 3},{index / 7}\n" for index in range(40)), "label=NAME"),
        ('a,b\n"1,2\n', "values|CSV|row"),
        ("a,b\n1,\0\n", "not text"),
    ],
)
def test_tables_that_are_none(tmp_path: Path, content: str, match: str) -> None:
    (tmp_path / "t.csv").write_text(content)
    refused(tmp_path / "t.csv", "table", match)


def test_every_column_of_texts_is_named(tmp_path: Path) -> None:
    rows = [[f"n{index}", f"m{index}", index % 5, index % 2] for index in range(20)]
    path = write_csv(tmp_path / "t.csv", rows, "first,second,third,class")
    with pytest.raises(InputError) as caught:
        load_table(path)
    assert [problem.field for problem in caught.value.problems] == ["column first", "column second"]
    assert "drop=first" in str(caught.value)
    assert load_table(path, drop=["first", "second"]).features.shape == (20, 1)
    with pytest.raises(InputError, match="did you mean 'third'"):
        load_table(path, label="thrid")


def test_bytes_that_are_no_table(tmp_path: Path) -> None:
    for name in ("t.csv", "t.parquet", "t.npz"):
        (tmp_path / name).write_bytes(bytes(range(256)) * 4)
        refused(tmp_path / name, "table", "cannot be read|not UTF-8")


def test_npz_runs_no_code(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.array([{"a": 1}] * 20, dtype=object), y=np.arange(20) % 2)
    refused(tmp_path / "t.npz", "table", "cannot be read")


def test_npz_with_the_wrong_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", one=np.zeros((4, 2)))
    refused(tmp_path / "t.npz", "table", "found one")
    np.savez(tmp_path / "t.npz", x=np.zeros((4, 2)), y=np.zeros(5))
    refused(tmp_path / "t.npz", "table", "one label a sample")


def test_series_that_are_none(tmp_path: Path) -> None:
    short = write_csv(tmp_path / "short.csv", [[RANDOM.random(), RANDOM.random()] for _ in range(50)], "a,b")
    with pytest.raises(InputError, match="found 50 steps"):
        TASKS["series-gru"](TaskOptions(data=short))
    flat = write_csv(tmp_path / "flat.csv", [[RANDOM.random(), 1.5] for _ in range(50)], "a,b")
    refused(flat, "series", "never changes")
    with pytest.raises(InputError, match="logarithm"):
        load_series(
            write_csv(tmp_path / "n.csv", [[RANDOM.random(), -2.0 * index] for index in range(50)]), log="yes"
        )
    texts = write_csv(tmp_path / "t.csv", [[RANDOM.random(), "sunny"] for _ in range(50)], "a,weather")
    refused(texts, "series", "sunny")


def test_text_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "noise.txt").write_bytes(RANDOM.bytes(20_000))
    with pytest.raises(InputError, match="byte-gpt"):
        TASKS["char-gpt"](TaskOptions(data=tmp_path / "noise.txt"))
    assert TASKS["byte-gpt"](TaskOptions(data=tmp_path / "noise.txt")).num_samples > 100
    (tmp_path / "short.txt").write_text("too short")
    for name in ("char-gpt", "byte-gpt", "masked-encoder"):
        with pytest.raises(InputError, match="more than one context"):
            TASKS[name](TaskOptions(data=tmp_path / "short.txt"))


# -------------------------------------------------------------------------------------------- reference data


def test_real_files_are_read(reference_data: Path) -> None:
    folder = reference_data / "data" / "datasets"
    digits = TASKS["image-cnn"](TaskOptions(data=folder / "mnist", max_samples=500))
    assert digits.sizes == (14, 20, 28)
    assert digits.num_samples == 500
    smaller = digits.right_sized()
    assert smaller is not None
    assert smaller.sizes[-1] == 14
    letters = TASKS["tabular-mlp"](
        TaskOptions(data=folder / "letter_recognition" / "letter-recognition.data")
    )
    assert (letters.describe()["features"], letters.describe()["classes"]) == (16, 26)
    bikes = TASKS["series-gru"](
        TaskOptions(data=folder / "bike_sharing" / "hour.csv", settings={"window": "72"})
    )
    assert bikes.describe()["target"] == "cnt"
    assert bikes.describe()["logarithm"]
    assert bikes.describe()["left_out"] == "dteday+instant"
    shakespeare = TASKS["char-gpt"](TaskOptions(data=folder / "tinyshakespeare" / "input.txt"))
    assert (
        shakespeare.describe()["vocabulary"] == 65
    )  # of 65 characters one is too rare to be known; id 0 stands for it
