"""What a site pays for without having it: terms that outlast the run, contracted power that nobody draws."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from simtool.config.datacenter_hire import Hire
from simtool.config.load_datacenter import LoadedDatacenter
from simtool.result.datacenter.accounts import SiteAccounts
from simtool.units import display

OVERSIZED = 2.0
"""Contracted over highest drawn power from which on a note says so."""
_ROUNDING = 1e-9


def cost_notes(loaded: LoadedDatacenter, end_s: float, sites: Sequence[SiteAccounts]) -> Iterator[str]:
    """One sentence each.

    Args:
        loaded: the datacenter.
        end_s: end of the run [s].
        sites: with their bills.
    """
    hire = loaded.datacenter.economics
    if isinstance(hire, Hire) and hire.reserved is not None and hire.reserved.commitment == "whole terms":
        term_s = float(hire.reserved.term)
        terms = max(1, math.ceil(end_s / term_s - _ROUNDING))
        if terms * term_s > end_s * (1.0 + _ROUNDING):
            billed = f"{terms} whole terms of" if terms > 1 else "a whole term of"
            is_are = "are" if terms > 1 else "is"
            yield (
                f"economics.reserved: {billed} {display(term_s, 's')} {is_are} billed for a run of "
                f"{display(end_s, 's')}; 'commitment: span' bills the run's own time alone"
            )
    for one in sites:
        tariff = one.signals.tariff
        contract_w = tariff.contract_power_w or 0.0
        billed_w = contract_w * max(
            (getattr(part, "contract_minimum_frac", 0.0) for part in tariff.parts), default=0.0
        )
        highest_w = float(one.grid[1].max(initial=0.0))
        if contract_w > OVERSIZED * highest_w and billed_w > highest_w:
            field, billed = one.place.field("electricity.contract_power"), display(billed_w, "W")
            yield (
                f"{field}: {tariff.name} bills {billed} of the contract's {display(contract_w, 'W')} in any case, "
                f"while at most {display(highest_w, 'W')} were drawn"
            )
