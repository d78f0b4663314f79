"""What a constant share of the peak rate predicts, fitted on the same families as the constants are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from simtool.validate.vision.cases import VisionCase
from simtool.validate.vision.fit import FOLDS, Floats, folds_of

Key = tuple[str, ...]


def at_peak_s(case: VisionCase) -> float:
    """Time of the model's work at the peak rate of the precision [s]."""
    tokens = case.case.tokens / case.case.num_devices
    return tokens * case.case.token_flop / case.mfu_flop_per_s


def by_accelerator(case: VisionCase) -> tuple[Key, ...]:
    """Accelerator and precision, then the precision, then all."""
    config = case.config
    return (config.accelerator, config.precision), (config.precision,), ()


def by_model(case: VisionCase) -> tuple[Key, ...]:
    """The model on the accelerator at the precision, then the model at it, then as `by_accelerator`."""
    config = case.config
    preset = config.model.preset
    return (
        (preset, config.accelerator, config.precision),
        (preset, config.precision),
        *by_accelerator(case),
    )


def constant_mfu_s(
    cases: Sequence[VisionCase], keys: Callable[[VisionCase], tuple[Key, ...]]
) -> NDArray[np.float64]:
    """Step times if every step ran at the median share of the peak of the fitting families of its kind [s].

    Args:
        cases: all rows.
        keys: kinds that a row belongs to, the narrowest first; the first that the fitting part has is taken.
    """
    families = np.array([case.config.family for case in cases])
    folds = folds_of(families)
    peak = np.array([at_peak_s(case) for case in cases])
    mfu = peak / np.array([case.measured_s for case in cases])
    found: Floats = np.zeros(len(cases))
    for fold in range(FOLDS):
        seen: dict[Key, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for row in np.flatnonzero(folds != fold):
            for key in keys(cases[int(row)]):
                seen[key][str(families[row])].append(float(mfu[row]))
        typical = {
            key: float(np.median([np.mean(values) for values in by_family.values()]))
            for key, by_family in seen.items()
        }
        for row in np.flatnonzero(folds == fold):
            share = next((typical[key] for key in keys(cases[int(row)]) if key in typical), float(mfu[row]))
            found[row] = peak[row] / share
    return found
