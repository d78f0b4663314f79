"""No method: whole steps on whole batches, the learning rate decayed to 0 within the budget.

Skips nothing. It is the baseline of every comparison, and the strongest method in the literature's
own terms: most published savings vanish against a tuned baseline whose learning rate reaches 0
inside the same budget. Run at several budgets it gives the frontier that the others are read against.
"""

from __future__ import annotations

from simtool.engine.method import METHODS, Method
from simtool.engine.settings import Settings


@METHODS.register("none")
def none(settings: dict[str, str]) -> Method:
    """No method: the baseline."""
    Settings("none", settings).done()
    return Method()
