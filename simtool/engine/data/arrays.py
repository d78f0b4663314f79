"""Inputs and classes as arrays: NPZ files, and labels as numbers from 0."""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simtool.engine.data.files import MAX_BYTES, check_file, data_error
from simtool.engine.plan import IntArray

MAX_CLASSES = 1000
INPUT_NAMES = ("x", "features", "images", "data", "inputs", "x_train")
LABEL_NAMES = ("y", "labels", "label", "target", "targets", "y_train")


def classes(raw: NDArray[Any], where: str) -> tuple[IntArray, int]:
    """Labels as numbers from 0, and how many classes there are.

    Raises:
        InputError: one class, or so many values that they are no classes.
    """
    known, labels = np.unique(raw, return_inverse=True)
    if len(known) < 2:
        raise data_error(where, "every sample has the same class", "two classes or more", "name other data")
    if len(known) > min(MAX_CLASSES, len(raw) // 2):
        raise data_error(
            where,
            f"the column of classes has {len(known)} values in {len(raw)} rows",
            f"at most {MAX_CLASSES} classes, and two rows of each",
            "name another column with label=NAME",
        )
    return labels.reshape(-1).astype(np.int64), len(known)


def read_arrays(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Inputs and labels from an NPZ file: by the usual names, or the only two arrays.

    Raises:
        InputError: no NPZ file, pickled objects, or arrays that do not fit each other.
    """
    check_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            size_bytes = sum(entry.file_size for entry in archive.infolist())
        if size_bytes > MAX_BYTES:
            raise data_error(
                path, f"unpacks to {size_bytes:,} bytes", f"at most {MAX_BYTES:,}", "name a part of it"
            )
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise data_error(path, f"cannot be read: {error}", "an NPZ file of plain arrays", "") from None
    folded = {re.sub(r"\W", "_", name).lower(): array for name, array in arrays.items()}
    inputs = next((folded[name] for name in INPUT_NAMES if name in folded), None)
    labels = next((folded[name] for name in LABEL_NAMES if name in folded), None)
    if (inputs is None or labels is None) and len(arrays) == 2:
        one, other = arrays.values()
        inputs, labels = (one, other) if one.ndim > other.ndim else (other, one)
    if inputs is None or labels is None:
        found = ", ".join(arrays) or "no array"
        raise data_error(path, f"found {found}", "arrays x (inputs) and y (classes)", "rename them")
    if inputs.ndim < 2 or labels.ndim != 1 or len(inputs) != len(labels) or inputs.dtype.kind not in "biuf":
        raise data_error(
            path,
            f"found inputs {inputs.dtype}{inputs.shape} and labels {labels.dtype}{labels.shape}",
            "numbers, with one label a sample",
            "",
        )
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise data_error(path, "some labels are missing or not finite", "finite labels", "mend them")
    return inputs, labels
