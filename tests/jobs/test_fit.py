"""How many jobs a fit takes, and what it says of few."""

from __future__ import annotations

import numpy as np
import pytest

from simtool.errors import InputError
from simtool.jobs.fit import fit_generator
from simtool.jobs.table import JobTable


def test_a_handful_of_jobs_is_refused() -> None:
    three = JobTable.of(submit_s=[0, 60, 200_000], num_devices=1, run_s=60.0)
    with pytest.raises(
        InputError, match=r"found 3 jobs in 2 batches; at least 30 batches .* hours of the day"
    ):
        fit_generator(three, name="x", source="x")


@pytest.mark.parametrize(("num", "is_said"), [(40, True), (300, False)])
def test_a_fit_to_few_batches_says_so(num: int, is_said: bool) -> None:
    submit_s = np.sort(np.random.Generator(np.random.PCG64(1)).uniform(0, 2e6, num))
    fitted = fit_generator(JobTable.of(submit_s=submit_s, num_devices=1, run_s=60.0), name="x", source="x")
    assert ("fewer than one for every hour of the week" in fitted.notes) == is_said
