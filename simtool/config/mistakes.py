"""What pydantic found, told in our words: one mistake, one place, what may stand there, how to mend it.

pydantic's locations hold labels of unions beside keys, and every branch of a union that failed is
reported. Here a location becomes a path in the document, the branch that fits what was written is
kept, and each mistake becomes a `Problem`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from simtool.config.marks import Document, Keys, Mark, dotted, holds, item, shown, value_at
from simtool.config.phrases import Shape, listed
from simtool.config.refusals import REFUSAL
from simtool.config.scalars import resolve
from simtool.errors import Problem, did_you_mean

Tag = tuple[int, str]
"""A branch of a union: the depth of the union in the document, and pydantic's label of the branch."""
Place = tuple[Keys, tuple[Tag, ...]]

_CODES = {"missing": "missing", "extra_forbidden": "unknown"}
_LIMITS = frozenset(
    {
        "finite_number",
        "greater_than",
        "greater_than_equal",
        "less_than",
        "less_than_equal",
        "multiple_of",
        "string_pattern_mismatch",
        "string_too_long",
        "string_too_short",
        "too_long",
        "too_short",
    }
)
"""pydantic's complaints about a value of the right type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """One mistake, before it is put into words."""

    keys: Keys
    tags: tuple[Tag, ...] = ()
    """The branches of unions that led here, outermost first."""
    code: str = "value"
    """A wrong value, a missing key, or an unknown one: value, missing, unknown."""
    fits: bool = False
    """A value of the right type was written."""
    found: str = ""
    allowed: str | None = None
    """None: what the schema says."""
    mend: str = ""


def flaws_of(error: ValidationError, data: Any) -> list[Flaw]:
    """All mistakes in `data`, each once, at its path."""
    found = [details for details in error.errors(include_url=False) if not _misses_wrong_items(details)]
    return _settled([flaw for details in found for flaw in _flaws(details, data)])


def _misses_wrong_items(details: Any) -> bool:
    """Whether a list is called too short because pydantic counts its right items alone; the wrong ones are told."""
    if details["type"] != "too_short":
        return False
    written = details["input"]
    return isinstance(written, list | tuple) and len(written) >= details["ctx"]["min_length"]


def place_of(flaw: Flaw, document: Document) -> Mark:
    """Where a mistake stands in the document."""
    if flaw.code == "unknown":
        return document.key_mark(flaw.keys)
    return document.mark(flaw.keys[:-1] if flaw.code == "missing" else flaw.keys)


def in_words(flaws: Sequence[Flaw], document: Document, shape: Shape) -> Iterator[tuple[Mark, Problem]]:
    """Each mistake as a problem at its place."""
    data = document.data
    for flaw in flaws:
        keys, parent = flaw.keys, flaw.keys[:-1]
        found, allowed, mend = flaw.found, flaw.allowed, flaw.mend
        mark = place_of(flaw, document)
        if flaw.code == "unknown":
            allowed = allowed or ""
            found = found or f"found the unknown key {shown(keys[-1])}"
            mend = mend or _mend_key(str(keys[-1]), parent, shape, data)
        elif flaw.code == "missing":
            found, mend = found or "found no such key", mend or f"add '{keys[-1]}: ...'"
        else:
            value = value_at(data, keys)
            found = found or f"found {shown(value)}"
            mend = mend or _mend_value(value, keys, shape, data)
        if allowed is None:
            words = shape.words(keys, data)
            allowed = f"allowed: {words}" if words else ""
        yield mark, Problem(str(mark), document.field(keys), found, allowed, mend)


def _flaws(details: Any, data: Any) -> Iterator[Flaw]:
    """One of pydantic's errors; a refusal with several complaints is several flaws."""
    kind, context = details["type"], details.get("ctx", {})
    code = _CODES.get(kind, "value")
    keys, tags = _located(data, details["loc"], code)
    if code == "missing" and isinstance(keys[-1], int):  # too short a list: that is said of the list
        code, keys = "value", keys[:-1]
    if kind == REFUSAL:
        for told in context["complaints"]:
            complaint = dict(told)
            member = complaint.pop("member")
            yield Flaw(keys=(*keys, member) if member else keys, tags=tags, **complaint)
    elif kind in ("union_tag_not_found", "union_tag_invalid"):
        code = "missing" if kind == "union_tag_not_found" else "value"
        yield Flaw(keys=(*keys, context["discriminator"].strip("'")), tags=tags, code=code)
    elif kind in ("value_error", "assertion_error"):
        reason = context["error"]
        found, mend = getattr(reason, "found", str(reason)), getattr(reason, "mend", "")
        yield Flaw(keys=keys, tags=tags, fits=True, found=found, allowed="", mend=mend)
    else:
        yield Flaw(keys=keys, tags=tags, code=code, fits=kind in _LIMITS)


def _located(data: Any, location: Keys, code: str) -> Place:
    """Path in the document of one of pydantic's locations, and the branches of unions on the way.

    A part that leads nowhere in the document is the label of a branch, and so is one after which the
    rest would lead nowhere. The last part is no label where a key is missing or unknown.
    """

    def follow(here: Any, rest: Keys, keys: Keys, tags: tuple[Tag, ...]) -> Place | None:
        if not rest:
            return keys, tags
        part, further = rest[0], rest[1:]
        if not further and code != "value":
            is_here = isinstance(here, dict | list) if code == "missing" else holds(here, part)
            return ((*keys, part), tags) if is_here else None
        straight = follow(item(here, part), further, (*keys, part), tags) if holds(here, part) else None
        return straight or follow(here, further, keys, (*tags, (len(keys), str(part))))

    return follow(data, location, (), ()) or ((), ())


def _settled(flaws: Sequence[Flaw]) -> list[Flaw]:
    """Flaws without tags: of every union the branch that was meant, or one flaw for all of them."""
    settled = [flaw for flaw in flaws if not flaw.tags]
    unions: dict[Keys, dict[str, list[Flaw]]] = defaultdict(lambda: defaultdict(list))
    for flaw in flaws:
        if flaw.tags:
            depth, label = flaw.tags[0]
            unions[flaw.keys[:depth]][label].append(replace(flaw, tags=flaw.tags[1:]))
    for keys, branches in unions.items():
        # A branch that complains about something inside the value has recognised the value.
        entered = [
            branch for branch in branches.values() if any(len(flaw.keys) > len(keys) for flaw in branch)
        ]
        if entered:
            settled += _settled(min(entered, key=_distance))
        else:
            every = [flaw for branch in branches.values() for flaw in branch]
            meant = next((flaw for flaw in every if flaw.fits), Flaw(keys=keys))
            settled.append(replace(meant, tags=(), allowed=None))
    return settled


def _distance(branch: Sequence[Flaw]) -> tuple[int, int]:
    """How far a branch is from what was written: keys it does not know, then all its complaints."""
    return sum(flaw.code == "unknown" for flaw in branch), len(branch)


def _mend_key(key: str, parent: Keys, shape: Shape, data: Any) -> str:
    hint = did_you_mean(key, shape.known_keys(parent, data))
    if owners := shape.owners_of(key, parent, data):
        belongs = f"it belongs to {listed(owners)}"
        return f"{belongs}; {hint if hint.startswith('did') else 'leave it out, or choose that'}"
    if hint.startswith("did"):
        return hint
    elsewhere = [dotted(keys) for keys in shape.places_of(key) if keys[:-1] != parent][:3]
    return f"did you mean {listed(elsewhere)}?" if elsewhere else hint


def _mend_value(value: Any, keys: Keys, shape: Shape, data: Any) -> str:
    """The change that is most likely meant."""
    if isinstance(value, str):
        names = [choice for choice in shape.choices(keys, data) if isinstance(choice, str)]
        hint = did_you_mean(value, names) if names else ""
        if hint.startswith("did"):
            return hint
        if value.lower() in ("yes", "no", "on", "off") and shape.takes("boolean", keys, data):
            return f"write {'true' if value.lower() in ('yes', 'on') else 'false'}"
        if _is_plain_number(value) and any(shape.takes(kind, keys, data) for kind in ("integer", "number")):
            return f"write {value} without quotes"
    if isinstance(value, float) and value.is_integer() and shape.takes("integer", keys, data):
        return f"write {shown(int(value))}"
    if isinstance(value, bool | int | float) and shape.takes("string", keys, data):
        return "put it in quotes"
    example = shape.example(keys, data)
    return f"write e.g. {example}" if example else ""


def _is_plain_number(text: str) -> bool:
    try:
        return type(resolve(text)) in (int, float)
    except ValueError:
        return False
