"""A bill as rows of a table, and as the page that a utility would send."""

from __future__ import annotations

import math

from simtool.account.bill import Bill

COLUMNS = (
    "month",
    "line",
    "kind",
    "quantity",
    "unit",
    "rate_usd_per_unit",
    "month_frac",
    "amount_usd",
    "note",
)
_WIDTHS = (34, 16, 6, 13, 16)


def bill_rows(bill: Bill) -> list[dict[str, str | float]]:
    """One mapping for every line, by `COLUMNS`."""
    return [
        dict(
            zip(
                COLUMNS,
                (
                    line.month,
                    line.name,
                    line.kind,
                    line.quantity,
                    line.unit,
                    line.rate_usd,
                    line.month_frac,
                    line.amount_usd,
                    line.note,
                ),
                strict=True,
            )
        )
        for line in bill.lines
    ]


def bill_text(bill: Bill, month: str | None = None) -> str:
    """The bill in text of fixed width: lines, a total for every month, a total of all.

    Args:
        bill: the bill.
        month: one month alone, ``2025-07``; all if not given.
    """
    months = [month] if month else list(dict.fromkeys(line.month for line in bill.lines))
    head = _row("", "quantity", "", "USD per unit", "USD")
    pages = []
    for label in months:
        lines = [line for line in bill.lines if line.month == label]
        rows = [
            _row(
                line.name + (f" ({line.month_frac:.1%} of a month)" if line.month_frac != 1.0 else ""),
                f"{line.quantity:,.1f}",
                line.unit,
                f"{line.rate_usd:,.5f}",
                f"{line.amount_usd:,.2f}",
            )
            + (f"  {line.note}" if line.note else "")
            for line in lines
        ]
        total = math.fsum(line.amount_usd for line in lines)
        pages.append(
            "\n".join([f"{bill.tariff}, {label}", head, *rows, _row("total", "", "", "", f"{total:,.2f}")])
        )
    if not month and len(months) > 1:
        pages.append(_row("total of all months", "", "", "", f"{bill.total_usd:,.2f}"))
    if bill.after and not bill.after_is_charged:
        pages.append(
            f"not charged: {bill.after_usd:,.2f} USD that ratchets ask for from {bill.after[0].month} to "
            f"{bill.after[-1].month}, if no other load takes the place of this one"
        )
    return "\n\n".join(pages)


def _row(name: str, *cells: str) -> str:
    first, *widths = _WIDTHS
    return (
        f"{name:<{first}}" + "".join(f" {cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
    ).rstrip()
