"""`char-gpt`: next character of a text, by a decoder."""

from __future__ import annotations

from simtool.engine.data.files import data_error
from simtool.engine.data.text import Vocabulary, is_text, load_text
from simtool.engine.plan import IntArray
from simtool.engine.task import TASKS, Recipe, Task, TaskOptions
from simtool.engine.tasks.language import LanguageTask

RECIPE = Recipe(
    learning_rate=6e-3,
    batch_size=2,  # 256 tokens a step: four times as many need half again the operations for the same loss
    weight_decay=0.1,
    muon_learning_rate=0.02,
    muon_aux_learning_rate=8e-3,
)


class CharacterTask(LanguageTask):
    """Ids are the characters that are frequent in the training text; 0 stands for all others."""

    def load(self) -> tuple[IntArray, IntArray, IntArray]:
        """Ids of the three parts; the vocabulary comes from the training text alone."""
        text = load_text(self.options.data, self.num_bytes)
        self.source = text.source
        parts = (text.train, text.validation, text.test)
        if not all(map(is_text, parts)):
            raise data_error(
                self.options.data or self.name,
                "is not UTF-8 text",
                "a text file",
                "take the task byte-gpt for other bytes",
            )
        train, validation, test = (part.decode("utf-8") for part in parts)
        vocabulary = Vocabulary.of(train)
        self.vocab_size = vocabulary.size
        return vocabulary.encode(train), vocabulary.encode(validation), vocabulary.encode(test)


class CharGpt(CharacterTask):
    """Next character of a text, by a decoder of the GPT kind."""

    name = "char-gpt"
    family = "decoder"


@TASKS.register("char-gpt")
def char_gpt(options: TaskOptions) -> Task:
    """Next character of a text (default: Python's standard library), by a decoder."""
    return CharGpt(options, RECIPE)
