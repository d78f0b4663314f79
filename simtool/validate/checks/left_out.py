"""Published steps of a framework, predicted by constants that saw none of its rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from simtool.profiles.find import ProfileLibrary
from simtool.validate.case import Case, express
from simtool.validate.check import CHECKS, Outcome
from simtool.validate.fit.constants import software
from simtool.validate.fit.cross import is_evidence, left_out
from simtool.validate.fit.stored import fitted_step_time_s, load
from simtool.validate.table import SHIPPED, read_rows

VTRAIN_SINGLE = SHIPPED.with_name("vtrain_single.csv.gz")
"""825 more rows of one sweep on 2 to 8 A100, none of which is fitted to."""
VTRAIN_MULTI = "vtrain-multi"

NOTE = (
    "mean, max: |predicted/measured - 1| over rows; rank: correlation of throughputs over all rows. For vTrain on one "
    "node these are 825 rows that no fit saw, while 75 others of that sweep were fitted to."
)


class LeftOut:
    """Published steps of a framework, or of a sweep, predicted without any of its rows."""

    needs_reference = False

    def __call__(self, reference: Path, library: ProfileLibrary) -> Outcome:
        """Fit without each framework, and without the multi-node sweep of vTrain, and predict them."""
        found = [express(row, library) for row in read_rows(SHIPPED)]
        cases = [one for one in found if isinstance(one, Case) and is_evidence(one)]
        rows, figures = [], {}

        def add(name: str, own: list[Case], times: np.ndarray) -> None:
            measured = np.array([case.measured_s or np.nan for case in own])
            errors = np.abs(times / measured - 1.0)
            tokens = np.array([case.tokens / case.num_devices for case in own])
            rank = float(spearmanr(tokens / times, tokens / measured).statistic) if len(own) > 2 else np.nan
            bias = float(np.mean(np.log(times / measured)))
            rows.append(
                (
                    name,
                    str(len(own)),
                    f"{errors.mean():.1%}",
                    f"{errors.max():.0%}",
                    f"{bias:+.1%}",
                    f"{rank:.3f}",
                )
            )
            key = name.replace(" ", "_").replace("-", "_")
            figures.update({f"{key}_mean_frac": float(errors.mean()), f"{key}_max_frac": float(errors.max())})
            figures[f"{key}_rank"] = rank

        for name in sorted({software(case) for case in cases}):
            out = np.array([software(case) == name for case in cases])
            _, times, _ = left_out(cases, out)
            add(name, [case for case, left in zip(cases, out, strict=True) if left], times)
        out = np.array([case.row["family"].startswith(VTRAIN_MULTI) for case in cases])
        _, times, _ = left_out(cases, out)
        add("vTrain, several nodes", [case for case, left in zip(cases, out, strict=True) if left], times)
        extra = [express(row, library) for row in read_rows(VTRAIN_SINGLE)]
        single = [one for one in extra if isinstance(one, Case)]
        add("vTrain, one node", single, fitted_step_time_s(load().whole, single))
        return Outcome(
            title="Published steps, predicted by constants that were fitted without the framework or the sweep",
            columns=("left out", "n", "mean", "max", "bias", "rank"),
            rows=tuple(rows),
            figures=figures,
            notes=(NOTE,),
        )


CHECKS.register("left-out")(LeftOut())
