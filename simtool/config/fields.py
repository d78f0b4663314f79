"""Field types of files that people write: quantities with units, as pydantic sees them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from simtool import units
from simtool.config.marks import shown
from simtool.config.refusals import Complaint, refusal
from simtool.errors import did_you_mean
from simtool.provenance import KINDS, Kind, Sourced

_MEMBERS = ("value", "kind", "source", "date", "spread")
_MAX_SPREAD = 10.0
_SMALLEST, _LARGEST = 1e-30, 1e30
"""Beyond them nothing in this trade lies, and arithmetic overflows."""
_EXAMPLES = {"s": "24 h", "h": "1 Mh", "W": "700 W", "byte": "80 GB", "token": "300 Gtoken"}

_NUMBER_FIRST = re.compile(r"\s*[-+]?(?:[0-9][0-9_]*\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


def _accept_lists(part: Any) -> None:
    """Relax the tuples of a core schema, at any depth."""
    if isinstance(part, dict):
        if part.get("type") == "tuple":
            part["strict"] = False
        for below in part.values():
            _accept_lists(below)
    elif isinstance(part, list | tuple):
        for below in part:
            _accept_lists(below)


class Strict(BaseModel):
    """Base of every file section: unknown keys are errors, nothing is coerced, nothing changes.

    One thing is: YAML has lists only, so a list is accepted where a field is a tuple.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        _accept_lists(schema)
        return schema


@dataclass(frozen=True, slots=True)
class Quantity:
    """Marks a `Sourced` field: base unit and allowed range.

    Written as ``700 W`` (where the file allows it) or as
    ``{value: 700 W, kind: datasheet, source: "...", spread: 0.05}``. The validation context decides
    about the short form: ``{"bare_kind": "assumed"}`` allows it, and `simtool.config.validate` then
    fills in the place where it was written as the source. Without `bare_kind` the long form is
    required, so a profile never holds an unsourced number.
    """

    unit: str
    minimum: float | None = 0.0
    maximum: float | None = None
    above: float | None = None
    """Exclusive lower bound."""

    def words(self) -> str:
        """What may be written, in words.

        >>> Quantity("s").words(), Quantity("", above=0, maximum=1).words()
        ('a quantity in s of at least 0', 'a number above 0 and at most 1')
        """
        what = f"a quantity in {self.unit}" if self.unit else "a number"
        if self.above is None and self.minimum is not None and self.maximum is not None:
            return f"{what} from {self.minimum:g} to {self.maximum:g}"
        lowest = f" of at least {self.minimum:g}" if self.minimum is not None else ""
        bounds = f" above {self.above:g}" if self.above is not None else lowest
        return what + bounds + (f" and at most {self.maximum:g}" if self.maximum is not None else "")

    def example(self) -> str:
        """A quantity of this unit as it would be written."""
        if self.unit:
            return _EXAMPLES.get(self.unit, f"1.5 {self.unit}")
        return next((f"{value:g}" for value in (0.5, 1.5) if self._within(value)), f"{self.minimum or 0.0:g}")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(self._serialize),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        value: JsonSchemaValue = {"type": "string", "description": self.words(), "examples": [self.example()]}
        if not self.unit:
            value |= {"type": ["number", "string"], "examples": [float(self.example())]}
            limits = {"exclusiveMinimum": self.above, "minimum": self.minimum, "maximum": self.maximum}
            value |= {key: limit for key, limit in limits.items() if limit is not None}
        full = {
            "type": "object",
            "properties": {
                "value": value,
                "kind": {"enum": list(KINDS), "description": "where the number comes from"},
                "source": {"type": "string", "minLength": 1, "description": "document, table, page, or file"},
                "date": {"type": "string", "description": "when it was read or measured, ISO 8601"},
                "spread": {
                    "type": "number",
                    "minimum": 0,
                    "exclusiveMaximum": _MAX_SPREAD,
                    "description": "relative standard deviation, 0.1 = 10 %",
                },
            },
            "required": ["value", "kind", "source"],
            "additionalProperties": False,
        }
        # The comments tell a quantity from plain text: here what it is, in both forms that it is one.
        forms = [{"$comment": "quantity", **form} for form in (value, full)]
        return {"$comment": self.words(), "oneOf": forms}

    def _validate(self, written: Any, info: core_schema.ValidationInfo) -> Sourced:
        if isinstance(written, Sourced):
            return written
        context = cast("dict[str, str]", info.context or {})
        if isinstance(written, dict):
            return self._long(written)
        if "bare_kind" not in context:
            if isinstance(number := self._number(written), Complaint):
                raise refusal(number)
            raise refusal(
                Complaint(
                    found=f"found {shown(written)} without a source",
                    allowed="allowed: a sourced quantity",
                    mend=f"write {{value: {written}, kind: {' | '.join(KINDS)}, source: ...}}",
                )
            )
        if isinstance(number := self._number(written), Complaint):
            raise refusal(number)
        return Sourced(
            value=number,
            unit=self.unit,
            kind=cast("Kind", context["bare_kind"]),
            source=context.get("bare_source", ""),
        )

    def _long(self, written: dict[str, Any]) -> Sourced:
        number = self._number(written["value"], "value") if "value" in written else 0.0
        complaints = [*_unknown(written), *self._missing(written), *_wrong(written)]
        if isinstance(number, Complaint):
            complaints.append(number)
        if complaints:
            raise refusal(*complaints)
        spread = written.get("spread")
        return Sourced(
            value=cast("float", number),
            unit=self.unit,
            kind=written["kind"],
            source=written["source"],
            date=written.get("date", ""),
            spread=None if spread is None else float(spread),
        )

    def _missing(self, written: dict[str, Any]) -> list[Complaint]:
        allowed = {"value": self.words(), "kind": ", ".join(KINDS), "source": "text"}
        return [
            Complaint(
                found="found no such key",
                allowed=f"allowed: {words}",
                mend=f"add '{key}: ...'",
                member=key,
                code="missing",
            )
            for key, words in allowed.items()
            if key not in written
        ]

    def _number(self, written: Any, member: str = "") -> float | Complaint:
        """The value in base units, or why there is none."""
        found, example = f"found {shown(written)}", f"write e.g. {self.example()}"

        def complaint(found: str, mend: str = example, *, fits: bool = True) -> Complaint:
            allowed = f"allowed: {self.words()}"
            return Complaint(found=found, allowed=allowed, mend=mend, member=member, fits=fits)

        number = _NUMBER_FIRST.match(written) if isinstance(written, str) else None
        unit = written[number.end() :].strip() if number else ""
        if not isinstance(written, str) and (not _is_number(written) or self.unit):
            without = " without a unit" if _is_number(written) else ""
            return complaint(found + without, fits=False)
        if not units.is_unit(unit):
            return complaint(f"{found} with the unknown unit {shown(unit)}")
        if number and self.unit and not unit:
            return complaint(f"{found} without a unit", f"write e.g. {written.strip()} {self.unit}")
        try:
            value = units.parse(written, self.unit)
        except units.UnitError as error:
            mend = error.mend if "finite" in error.mend else example
            return complaint(error.found, mend, fits=number is not None)
        except OverflowError:
            return complaint(found, "write a smaller number")
        return value if self._within(value) else complaint(found)

    def _within(self, value: float) -> bool:
        return (
            abs(value) <= _LARGEST
            and (self.above is None or abs(value) >= _SMALLEST)  # elsewhere tiny is as good as zero
            and (self.above is None or value > self.above)
            and (self.minimum is None or value >= self.minimum)
            and (self.maximum is None or value <= self.maximum)
        )

    def _serialize(self, number: Sourced) -> dict[str, Any]:
        return written_long(number)


def written_long(number: Sourced) -> dict[str, Any]:
    """A sourced number as the long form that reads back to an equal one."""
    written: dict[str, Any] = {
        "value": f"{number.value!r} {number.unit}" if number.unit else number.value,
        "kind": number.kind,
        "source": number.source,
    }
    if number.date:
        written["date"] = number.date
    if number.spread is not None:
        written["spread"] = number.spread
    return written


def _unknown(written: dict[str, Any]) -> list[Complaint]:
    return [
        Complaint(
            found=f"found the unknown key {shown(key)}",
            allowed=f"allowed: {', '.join(_MEMBERS)}",
            mend=_near(key, _MEMBERS),
            member=key,
            code="unknown",
        )
        for key in written
        if key not in _MEMBERS
    ]


def _wrong(written: dict[str, Any]) -> list[Complaint]:
    complaints = []
    if (kind := written.get("kind", KINDS[0])) not in KINDS:
        complaints.append(
            Complaint(
                found=f"found {shown(kind)}",
                allowed=f"allowed: {', '.join(KINDS)}",
                mend=_near(kind, KINDS) if isinstance(kind, str) else "",
                member="kind",
            )
        )
    if not isinstance(source := written.get("source", "?"), str) or not source.strip():
        mend = "write where the number can be looked up"
        complaints.append(
            Complaint(found=f"found {shown(source)}", allowed="allowed: text", mend=mend, member="source")
        )
    if not isinstance(date := written.get("date", ""), str):
        mend = "put it in quotes, e.g. '2025-01-31'"
        complaints.append(
            Complaint(found=f"found {shown(date)}", allowed="allowed: text", mend=mend, member="date")
        )
    spread = written.get("spread")
    if spread is not None and not (_is_number(spread) and 0 <= spread < _MAX_SPREAD):
        complaints.append(
            Complaint(
                found=f"found {shown(spread)}",
                allowed=f"allowed: a relative standard deviation from 0 to below {_MAX_SPREAD:g}",
                mend="write e.g. 0.1 for 10 %",
                member="spread",
            )
        )
    return complaints


def _is_number(written: object) -> bool:
    return isinstance(written, int | float) and not isinstance(written, bool)


def _near(word: str, known: tuple[str, ...]) -> str:
    hint = did_you_mean(word, known)
    return hint if hint.startswith("did") else ""


Seconds = Annotated[Sourced, Quantity("s")]
Watts = Annotated[Sourced, Quantity("W")]
Bytes = Annotated[Sourced, Quantity("byte", above=0)]
BytesPerSecond = Annotated[Sourced, Quantity("byte/s", above=0)]
FlopPerSecond = Annotated[Sourced, Quantity("FLOP/s", above=0)]
Tokens = Annotated[Sourced, Quantity("token", above=0)]
Usd = Annotated[Sourced, Quantity("USD")]
UsdPerHour = Annotated[Sourced, Quantity("USD/h")]
UsdPerKwh = Annotated[Sourced, Quantity("USD/kWh", minimum=None)]
Kgco2ePerKwh = Annotated[Sourced, Quantity("kgCO2e/kWh")]
Kgco2e = Annotated[Sourced, Quantity("kgCO2e")]
Fraction = Annotated[Sourced, Quantity("", maximum=1.0)]
Ratio = Annotated[Sourced, Quantity("")]
Pue = Annotated[Sourced, Quantity("", minimum=1.0, maximum=10.0)]
