"""Single values of a document that may be wrong elsewhere.

A document with a mistake gives no checked model. Whether its other parts fit together can still be asked: each
field is then read by itself.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from simtool.config.marks import Document, value_at
from simtool.config.validate import BARE

_STRICT = ConfigDict(strict=True, allow_inf_nan=False)


def read_field(document: Document, section: str, model_class: type[BaseModel], name: str) -> Any:
    """The value of one field of a section, its default where it is not written.

    Args:
        document: of the scenario.
        section: key of the mapping that holds the field; dots lead to one inside another.
        model_class: the section's class.
        name: of the field.

    Raises:
        LookupError: nothing that can be read stands there; the check against the schema says why.
    """
    field = model_class.model_fields[name]
    holder = value_at(document.data, tuple(section.split(".")) if section else ())
    if isinstance(holder, dict) and name in holder:
        try:
            return _adapter(model_class, name).validate_python(holder[name], context=dict(BARE))
        except ValidationError:
            raise LookupError(f"{section}.{name}") from None
    if field.is_required() or not (holder is None or isinstance(holder, dict)):
        raise LookupError(f"{section}.{name}")
    return field.get_default(call_default_factory=True)


@lru_cache(maxsize=64)
def _adapter(model_class: type[BaseModel], name: str) -> TypeAdapter[Any]:
    field = model_class.model_fields[name]
    annotation: Any = field.annotation
    for rule in field.metadata:
        annotation = Annotated[annotation, rule]
    is_model = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    return TypeAdapter(annotation, config=None if is_model else _STRICT)
