"""How far predictions made with a profile were from what was published."""

from __future__ import annotations

from simtool.config.fields import Fraction, Ratio
from simtool.profiles.section import Count, Section


class Accuracy(Section):
    """Error of predicted step times, ``|log(predicted / measured)|``, rows of one family averaged first."""

    num_rows: Count
    """Published rows that were compared."""
    num_families: Count
    """Families they belong to: sweeps of one model on one cluster."""
    median_error: Fraction
    p90_error: Ratio
    """Nine families in ten are nearer."""
