"""Points in time: UTC inside, an offset is required where people write one."""

from __future__ import annotations

from datetime import UTC, datetime

from simtool.config.marks import shown
from simtool.config.refusals import Complaint, refusal

_ALLOWED = "allowed: a date and time with its zone"
_EXAMPLE = "write e.g. 2025-01-01T00:00Z"


def parse_utc(written: object) -> datetime:
    """A written time as an aware UTC datetime.

    >>> parse_utc("2022-01-01T01:00+01:00").isoformat()
    '2022-01-01T00:00:00+00:00'
    """
    found = f"found {shown(written)}"
    if isinstance(written, datetime):
        moment = written
    elif isinstance(written, str):
        try:
            moment = datetime.fromisoformat(written)
        except ValueError:
            raise refusal(Complaint(found=found, allowed=_ALLOWED, mend=_EXAMPLE)) from None
    else:
        raise refusal(Complaint(found=found, allowed=_ALLOWED, mend=_EXAMPLE, fits=False))
    if moment.tzinfo is None:
        clock = "Z" if "T" in str(written) or " " in str(written) else "T00:00Z"
        mend = f"write {written}{clock} for UTC"
        raise refusal(Complaint(found=f"{found} without a time zone", allowed=_ALLOWED, mend=mend))
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise refusal(Complaint(found=found, allowed="allowed: years 1 to 9999 in UTC")) from None
