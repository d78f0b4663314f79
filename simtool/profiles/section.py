"""The ground of all profile sections: what is inconsistent in itself is refused, and told at its place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, TypeVar

from pydantic import Field, model_validator

from simtool.config.fields import Strict
from simtool.config.refusals import Complaint, refusal
from simtool.provenance import Sourced

Count = Annotated[int, Field(gt=0)]
Names = Annotated[tuple[str, ...], Field(strict=False)]
S = TypeVar("S", bound="Section")


class Section(Strict):
    """A part of a profile. Every assumed number in it says how far it may be off."""

    @model_validator(mode="after")
    def _is_consistent(self: S) -> S:
        if complaints := tuple(self.complaints()):
            raise refusal(*complaints)
        return self

    def complaints(self) -> Iterator[Complaint]:
        """What is wrong with the section as a whole; subclasses add to it."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            members = value if isinstance(value, dict) else {"": value}
            for key, number in members.items():
                if isinstance(number, Sourced) and number.kind == "assumed" and number.spread is None:
                    yield Complaint(
                        member=name,
                        found=f"found {key or 'a number'} assumed without a spread",
                        allowed="an assumption says how far it may be off",
                        mend="add its relative standard deviation, e.g. 'spread: 0.2'",
                    )


class Profile(Section):
    """What all profiles share."""

    schema_: str = Field(alias="schema")
    name: str
    """Same as the file's, without ``.yaml``."""
    title: str
    """Full name as people write it."""
    notes: str = ""
