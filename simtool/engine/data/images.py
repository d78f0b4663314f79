"""Images with classes: scikit-learn's digits, IDX files, NPZ, or a folder with one subfolder a class."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simtool.engine.data.arrays import classes, read_arrays
from simtool.engine.data.bundled import digits
from simtool.engine.data.files import MAX_BYTES, check_path, data_error
from simtool.engine.data.idx import read_idx
from simtool.engine.data.split import Split, split
from simtool.engine.plan import IntArray
from simtool.rng import stream

MAX_HELD_OUT = 2000
"""Images of the validation part, and of the test part, at most: evaluation is not what a run is for."""
MAX_SIDE = 512
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Square images of one size, and which of them belong to which part."""

    pixels: NDArray[np.float32]
    """Shape (images, channels, side, side), 0 to 1."""
    labels: IntArray
    num_classes: int
    split: Split
    source: str

    @property
    def side(self) -> int:
        """Pixels along one side."""
        return int(self.pixels.shape[-1])


def load_images(path: Path | None, max_train: int) -> Images:
    """Images at a path, or scikit-learn's handwritten digits (1,797 of 8 x 8).

    Args:
        path: a folder with IDX files or with one subfolder a class, one IDX file of images (its labels
            beside it), or an NPZ file; None takes the digits.
        max_train: training images at most.

    Raises:
        InputError: not readable as images with classes.
    """
    if path is None:
        return _images(*digits(), "scikit-learn digits", max_train)
    check_path(path)
    if path.is_dir():
        pairs = _idx_pairs(path)
        return _from_idx(pairs, path, max_train) if pairs else _from_folder(path, max_train)
    if path.suffix == ".npz":
        pixels, labels = read_arrays(path)
        return _images(pixels, labels, path.name, max_train)
    return _from_idx([(path, _labels_beside(path))], path, max_train)


def _labels_beside(path: Path) -> Path:
    name = path.name.replace("images", "labels").replace("idx3", "idx1")
    if name == path.name:
        raise data_error(
            path,
            "is no file of images that has its labels beside it",
            "IDX, NPZ or a folder",
            "name the folder",
        )
    return path.with_name(name)


def _idx_pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Images and labels, the training files before the test files."""
    found = sorted(
        (
            path
            for path in folder.iterdir()
            if "images" in path.name and "idx" in path.name and path.is_file()
        ),
        key=lambda path: ("train" not in path.name, path.name),
    )
    return [(path, _labels_beside(path)) for path in found]


def _from_idx(pairs: Sequence[tuple[Path, Path]], path: Path, max_train: int) -> Images:
    stacks, labels = [], []
    for images, names in pairs:
        pixels, raw = read_idx(images), read_idx(names)
        if raw.ndim != 1 or len(raw) != len(pixels):
            raise data_error(
                names, f"holds labels of shape {raw.shape} for {len(pixels)} images", "one label an image", ""
            )
        stacks.append(pixels)
        labels.append(raw)
    if len({stack.shape[1:] for stack in stacks}) > 1:
        raise data_error(path, "its files hold images of different sizes", "one size", "name one file")
    own_test = len(stacks[0]) if len(stacks) == 2 else None
    return _images(np.concatenate(stacks), np.concatenate(labels), path.name, max_train, own_test)


def _from_folder(folder: Path, max_train: int) -> Images:
    from PIL import Image, UnidentifiedImageError

    names = sorted(
        path for path in folder.glob("*/*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()
    )
    if not names:
        raise data_error(
            folder,
            "holds neither IDX files nor subfolders with PNG or JPEG files",
            "one subfolder a class",
            "name such a folder",
        )
    pixels, shapes = [], set()
    for name in names:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(name, formats=("PNG", "JPEG")) as picture:
                    if max(picture.size) > MAX_SIDE:
                        _refuse_side(name, picture.size)
                    pixels.append(np.asarray(picture.convert("RGB")))
        except (
            OSError,
            ValueError,
            SyntaxError,
            UnidentifiedImageError,
            Image.DecompressionBombError,
            Image.DecompressionBombWarning,
        ) as error:
            raise data_error(name, f"cannot be read: {error}", "a PNG or JPEG file", "remove it") from None
        shapes.add(pixels[-1].shape)
    if len(shapes) > 1:
        shown = ", ".join(f"{width} x {height}" for height, width, _ in sorted(shapes)[:4])
        raise data_error(folder, f"holds images of {shown}", "one size", "scale them to one size")
    labels = np.array([name.parent.name for name in names])
    return _images(np.stack(pixels), labels, folder.name, max_train)


def _refuse_side(where: Path | str, size: tuple[int, ...]) -> None:
    shown = " x ".join(map(str, size))
    raise data_error(
        where, f"the images have {shown} pixels", f"at most {MAX_SIDE} a side", "scale them down"
    )


def _images(
    pixels: NDArray[Any], raw: NDArray[Any], source: str, max_train: int, own_test: int | None = None
) -> Images:
    """Checked, scaled to 0 to 1, channels first; from `own_test` on they are the test part."""
    labels, num_classes = classes(raw, source)
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    elif pixels.ndim == 4 and pixels.shape[-1] in (1, 3) and pixels.shape[1] not in (1, 3):
        pixels = np.moveaxis(pixels, -1, 1)
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3):
        raise data_error(
            source, f"found images of shape {pixels.shape[1:]}", "side x side, with 1 or 3 channels", ""
        )
    height, width = pixels.shape[2:]
    if max(height, width) > MAX_SIDE or math.prod(pixels.shape) * 4 > 4 * MAX_BYTES:
        _refuse_side(source, (height, width))
    if height != width or height < 4:
        raise data_error(
            source, f"the images have {height} x {width} pixels", "squares of 4 x 4 or more", "cut them"
        )
    parts = _parts(len(labels), source, max_train, own_test)
    order = np.concatenate([parts.train, parts.validation, parts.test])
    chosen = pixels[order].astype(np.float32)
    if not np.isfinite(chosen).all():
        raise data_error(source, "some pixels are missing or not finite", "finite numbers", "mend them")
    low, high = float(chosen.min()), float(chosen.max())
    if low == high:
        raise data_error(source, "every pixel has the same value", "", "name other images")
    first, second = len(parts.train), len(parts.train) + len(parts.validation)
    return Images(
        pixels=(chosen - low) / (high - low),
        labels=labels[order],
        num_classes=num_classes,
        split=Split(
            train=np.arange(first), validation=np.arange(first, second), test=np.arange(second, len(order))
        ),
        source=source,
    )


def _parts(num_images: int, source: str, max_train: int, own_test: int | None) -> Split:
    if own_test is None:
        return split(num_images, source, max_train=max_train, max_held_out=MAX_HELD_OUT)
    parts = split(own_test, source, max_train=max_train, max_held_out=MAX_HELD_OUT)
    test = own_test + stream(0, "data", "test").permutation(num_images - own_test)[:MAX_HELD_OUT]
    # what a separate test file frees goes back to training
    train = np.concatenate([parts.train, parts.test])[:max_train]
    return Split(train=train, validation=parts.validation, test=test)
