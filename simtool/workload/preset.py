"""A model as a file: the shape under a name, with its source. File kind ``simtool/model/1``."""

from __future__ import annotations

from pydantic import Field

from simtool.workload.transformer import Transformer


class ModelPreset(Transformer):
    """A named transformer."""

    schema_: str = Field(alias="schema")
    name: str
    title: str
    source: str
    notes: str = ""

    def shape(self) -> Transformer:
        """The shape alone."""
        return Transformer(**{field: getattr(self, field) for field in Transformer.model_fields})
