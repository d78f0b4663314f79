"""Profiles of failures: what broke in a cluster that published it, cause by cause."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import BaseModel, Field

from simtool.config.refusals import Complaint
from simtool.config.reliability import CauseSpec, CordonSpec, LemonSpec
from simtool.profiles.section import Profile
from simtool.provenance import Sourced


class ReliabilityProfile(Profile):
    """Failures of a cluster by cause. File kind ``simtool/reliability/1``."""

    causes: Annotated[dict[str, CauseSpec], Field(min_length=1)]
    lemons: LemonSpec | None = None
    cordon: CordonSpec | None = None

    def complaints(self) -> Iterator[Complaint]:
        """An assumed number, at any depth, without a spread."""
        yield from super().complaints()
        for path, number in _numbers(self, ""):
            if number.kind == "assumed" and number.spread is None:
                yield Complaint(
                    member=path.split(".", maxsplit=1)[0],
                    found=f"found {path} assumed without a spread",
                    allowed="an assumption says how far it may be off",
                    mend="add its relative standard deviation, e.g. 'spread: 0.2'",
                )


def _numbers(section: BaseModel, path: str) -> Iterator[tuple[str, Sourced]]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        for key, item in value.items() if isinstance(value, dict) else [("", value)]:
            at = ".".join(part for part in (path, name, key) if part)
            if isinstance(item, Sourced):
                yield at, item
            elif isinstance(item, BaseModel):
                yield from _numbers(item, at)
