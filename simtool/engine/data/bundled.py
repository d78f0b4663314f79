"""The handwritten digits that come with scikit-learn: 1,797 images of 8 x 8 grey values.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository, 1998 (its test part).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simtool.engine.data.files import data_error
from simtool.engine.plan import IntArray


def digits() -> tuple[NDArray[Any], IntArray]:
    """Images, shape (1797, 8, 8), and the digit that each shows.

    Raises:
        InputError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise data_error(
            "scikit-learn",
            "is not installed, and holds the default images",
            "",
            "pip install 'simtool-planner[engine]', or name data of your own with --data",
        ) from None
    loaded = load_digits()
    return loaded.images, loaded.target.astype(np.int64)
