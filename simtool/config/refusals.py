"""What a validator says when it refuses a value, in the three parts that every message has."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from pydantic_core import PydanticCustomError

REFUSAL = "refusal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """One reason to refuse a value."""

    found: str
    allowed: str = ""
    mend: str = ""
    member: str = ""
    """The key inside the value that is meant; empty for the value itself."""
    code: Literal["value", "missing", "unknown"] = "value"
    """Whether `member` holds a wrong value, is missing, or is not known."""
    fits: bool = True
    """Whether a value of the right type was written, e.g. a quantity, but of a wrong unit."""

    def __str__(self) -> str:
        parts = "; ".join(part for part in (self.found, self.allowed, self.mend) if part)
        return f"{self.member}: {parts}" if self.member else parts


def refusal(*complaints: Complaint) -> PydanticCustomError:
    """The exception that a validator raises; `simtool.config.validate` unpacks it."""
    words = " | ".join(str(complaint) for complaint in complaints)
    return PydanticCustomError(
        REFUSAL, "{words}", {"words": words, "complaints": [asdict(complaint) for complaint in complaints]}
    )
