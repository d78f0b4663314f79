"""`byte-gpt`: next byte of any file, by a decoder with half the context of `char-gpt`."""

from __future__ import annotations

import numpy as np

from simtool.engine.data.text import load_text
from simtool.engine.plan import IntArray
from simtool.engine.task import TASKS, Recipe, Task, TaskOptions
from simtool.engine.tasks.language import LanguageTask

RECIPE = Recipe(
    learning_rate=5e-3,
    batch_size=4,
    weight_decay=0.1,
    muon_learning_rate=0.03,
    muon_aux_learning_rate=8e-3,
)


class ByteGpt(LanguageTask):
    """Ids are bytes; the vocabulary is the same for every file."""

    name = "byte-gpt"
    family = "decoder"
    default_context = 64
    vocab_size = 256

    def load(self) -> tuple[IntArray, IntArray, IntArray]:
        """Bytes of the three parts."""
        text = load_text(self.options.data, self.num_bytes)
        self.source = text.source
        train, validation, test = (
            np.frombuffer(part, dtype=np.uint8).astype(np.int64)
            for part in (text.train, text.validation, text.test)
        )
        return train, validation, test


@TASKS.register("byte-gpt")
def byte_gpt(options: TaskOptions) -> Task:
    """Next byte of a file or folder (default: Python's standard library), by a decoder."""
    return ByteGpt(options, RECIPE)
