"""The append-only record of what every device did, and what it drew, over time.

A `Pattern` says what devices do in one activity at constant rates; a segment applies it to some
devices over an interval. Because all rates are constant inside a segment, every sum is exact.
"""

from simtool.ledger.pattern import COMPONENTS, LEDGER_STATES, WORK_STATES, Pattern, Share, lost
from simtool.ledger.record import Ledger, Where
from simtool.ledger.table import QUANTITIES

__all__ = [
    "COMPONENTS",
    "LEDGER_STATES",
    "QUANTITIES",
    "WORK_STATES",
    "Ledger",
    "Pattern",
    "Share",
    "Where",
    "lost",
]
