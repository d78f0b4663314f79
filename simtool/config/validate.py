"""From a document to a checked, frozen value, or to everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from simtool.config.kinds import kind_of, schema_problem
from simtool.config.marks import MAX_PROBLEMS, Document, Mark, capped
from simtool.config.mistakes import flaws_of, in_words, place_of
from simtool.config.origins import with_sources
from simtool.config.phrases import shape_of
from simtool.errors import InputError, Problem

_SCHEMA = "schema"

BARE: Mapping[str, str] = {"bare_kind": "assumed"}
"""The context of files in which a quantity may stand without its source: that of scenarios."""

M = TypeVar("M", bound=BaseModel)
Placed = Sequence[tuple[Mark, Problem]]


def validate(
    document: Document,
    model_class: type[M],
    context: Mapping[str, Any] | None = None,
    *,
    more: Callable[[], Placed] | None = None,
) -> M:
    """The document as a `model_class`.

    Args:
        document: from `simtool.config.load.load_document`.
        model_class: a pydantic model; where it is one of `simtool.config.kinds`, the file's ``schema``
            must name that kind.
        context: ``{"bare_kind": "assumed"}`` allows quantities without a source; they get the place
            where they were written as their source. Nothing else is allowed without it.
        more: what else is wrong with the document; asked only where the schema is broken, to be told beside it.

    Raises:
        InputError: with every problem, by file and line.
    """
    context = dict(context or {})
    problems = _schema_problems(document, model_class)
    if problems and _SCHEMA in document.data:
        raise InputError(problems[0][1])  # the rest would be judged by the rules of another kind
    num_more = 0
    try:
        model = model_class.model_validate(document.data, context=context)
    except ValidationError as error:
        told = {problem.field for _, problem in problems}
        flaws = [flaw for flaw in flaws_of(error, document.data) if document.field(flaw.keys) not in told]
        placed = document.in_order([(place_of(flaw, document), flaw) for flaw in flaws])
        # Words cost time, near matches most: only those that are shown are looked for.
        shown = [flaw for _, flaw in placed[:MAX_PROBLEMS]]
        problems += in_words(shown, document, shape_of(model_class))
        num_more = len(flaws) - len(shown)
    if problems:
        told = {problem.field for _, problem in problems}
        problems += [
            (mark, problem) for mark, problem in (more() if more else ()) if problem.field not in told
        ]
        ordered = [problem for _, problem in document.in_order(problems)]
        raise InputError(capped(ordered, str(document.path), num_more))
    return with_sources(model, document) if "bare_kind" in context else model


def _schema_problems(document: Document, model_class: type[BaseModel]) -> list[tuple[Mark, Problem]]:
    kind = kind_of(model_class)
    is_written = _SCHEMA in document.data
    problem = schema_problem(document.data.get(_SCHEMA), kind, is_written) if kind is not None else None
    if problem is None:
        return []
    mark = document.mark((_SCHEMA,) if is_written else ())
    return [(mark, replace(problem, where=str(mark)))]
