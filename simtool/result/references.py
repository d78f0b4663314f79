"""What a scenario names and how it fits together, found or refused: every mistake at once, each at its place.

A question is asked as soon as the parts it needs can be read, so a document that breaks the schema in one
place is still told what is wrong in the others. What rests on an answer that failed is not asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from simtool.config.fields import Strict
from simtool.config.load import LoadedScenario, load_document
from simtool.config.marks import Document, Mark, steps
from simtool.config.partial import read_field
from simtool.config.reliability import Reliability
from simtool.config.scenario import (
    Assume,
    Carbon,
    Cluster,
    Layout,
    MethodUse,
    Scenario,
    Site,
    Workload,
)
from simtool.config.scenario import (
    Software as SoftwareUse,
)
from simtool.config.validate import Placed, validate
from simtool.errors import InputError, Problem, did_you_mean
from simtool.layout.check import resolve_layout
from simtool.layout.layouts import Layouts
from simtool.machine.build import cap_of, limits_w, located, node_of, release_ratio, usual_network
from simtool.machine.device import peak_flop_per_s
from simtool.methods.effect import Effect
from simtool.methods.rewrite import METHODS
from simtool.profiles.find import ProfileLibrary
from simtool.profiles.reliability import ReliabilityProfile
from simtool.profiles.schema import Accelerator, Software
from simtool.provenance import Sourced
from simtool.result.named_model import NamedModel, check_length, named_model
from simtool.result.site import SERIES, check_series
from simtool.result.stretches import check_ramp

MAX_NODES = 10_000_000
MAX_SPARE_NODES = 1_000_000

_UNKNOWN: Any = object()
"""The answer to a question that could not be asked, or whose answer is a mistake."""
_CLASSES: dict[str, type[Strict]] = {
    "": Scenario,
    "workload": Workload,
    "method": MethodUse,
    "cluster": Cluster,
    "cluster.assume": Assume,
    "software": SoftwareUse,
    "reliability": Reliability,
    "site": Site,
    "site.carbon": Carbon,
}
"""Class of each section from which single fields are read."""

Locate = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """What the names of a scenario stand for."""

    model: NamedModel
    effect: Effect | None
    """Of the method, as its profile states it; None without a method."""
    layouts: Layouts | None
    """The layout that is written; None where it is to be chosen."""
    failures: ReliabilityProfile | None
    """The preset of ``reliability``; None if it names none."""


def references(loaded: LoadedScenario, library: ProfileLibrary) -> References:
    """What a scenario names.

    Raises:
        InputError: every name that stands for nothing and all that does not fit together, by place.
    """
    questions = _Questions(_of_scenario(loaded.scenario), loaded.document, loaded.path.parent, library)
    found = questions.all()
    if questions.wrong:
        raise InputError([problem for _, problem in loaded.document.in_order(questions.wrong)])
    return found


def wrong_references(document: Document, folder: Path, library: ProfileLibrary) -> Placed:
    """What is wrong with the names in a document, and between those of its parts that can be read.

    Args:
        document: of a scenario, perhaps one that breaks the schema.
        folder: where relative paths begin.
        library: where profiles are found.
    """
    questions = _Questions(_of_document(document), document, folder, library)
    questions.all()
    return questions.wrong


def assumed_power_w(assumed: tuple[Sourced, Sourced] | None, end: int | None = None) -> float | None:
    """One end (0 or 1) of the power that a scenario assumes, or its middle [W]; None where it assumes none."""
    if assumed is None:
        return None
    low, high = float(assumed[0]), float(assumed[1])
    return 0.5 * (low + high) if end is None else (low, high)[end]


def sequences_per_step(written: int | Sourced, seq_len: int) -> int | float:
    """Sequences in a step: an int is exact, a float is a target."""
    return written if isinstance(written, int) else float(written) / seq_len


def _of_scenario(scenario: Scenario) -> Callable[[str], Any]:
    """Reads fields of a scenario, which need not be what its document says: projections change it."""

    def read(field: str) -> Any:
        value: Any = scenario
        for name in field.split("."):
            value = getattr(value, name, None)  # what is below `method: none` is None
        return value

    return read


def _of_document(document: Document) -> Callable[[str], Any]:
    """Reads those fields of a document that can be read."""

    def read(field: str) -> Any:
        section, _, name = field.rpartition(".")
        try:
            return read_field(document, section, _CLASSES[section], name)
        except LookupError:
            return _UNKNOWN

    return read


class _Questions:
    """Questions about a scenario, and the mistakes among the answers."""

    def __init__(
        self, read: Callable[[str], Any], document: Document, folder: Path, library: ProfileLibrary
    ) -> None:
        self._read, self.document, self.folder, self.library = read, document, folder, library
        self.wrong: list[tuple[Mark, Problem]] = []

    def all(self) -> References:
        """Ask everything; what comes back is whole where nothing is wrong."""
        model = self._model()
        layouts = self._layout(model, self._accelerators_per_node())
        effect = self._effect()
        failures = self._failures()
        self._series()
        return References(model=model, effect=effect, layouts=layouts, failures=failures)

    def _ask(self, field: str, answer: Callable[..., Any], *needed: Any) -> Any:
        """`answer` of what it needs; a mistake inside another file is placed at `field`, which names the file."""
        if any(one is _UNKNOWN for one in needed):
            return _UNKNOWN
        try:
            return answer(*needed)
        except InputError as error:
            for problem in error.problems:
                mark = self.document.mark(tuple(steps(problem.field)))
                if str(mark) != problem.where:
                    mark = self.document.mark(tuple(steps(field)))
                if (mark, problem) not in self.wrong:
                    self.wrong.append((mark, problem))
            return _UNKNOWN

    def _named(self, kind: str, field: str, name: Any) -> Any:
        """The profile of that name."""
        get = partial(self.library.get, kind)
        return self._ask(field, lambda name: located(lambda: get(name), field, self.document.locate), name)

    def _model(self) -> Any:
        seq_len = self._read("workload.seq_len")
        get = partial(
            named_model,
            seq_len=None if seq_len is _UNKNOWN else seq_len,
            document=self.document,
            folder=self.folder,
            library=self.library,
        )
        model = self._ask("workload.model", get, self._read("workload.model"))
        check = partial(_check_length, self.document.locate)
        self._ask("workload.seq_len", check, model, seq_len)
        return model

    def _accelerators_per_node(self) -> Any:
        """Everything about hardware and software; gives how many accelerators a node has."""
        locate, library = self.document.locate, self.library
        accelerator = self._named("accelerator", "cluster.accelerator", self._read("cluster.accelerator"))
        written = self._read("cluster.node")
        if accelerator is _UNKNOWN and written is not None:
            self._named("node", "cluster.node", written)  # whether it fits is open, but not whether it exists
        node = self._ask(
            "cluster.node", lambda board, name: node_of(library, name, board, locate), accelerator, written
        )
        network = self._read("cluster.network")
        if network is None:
            network = self._ask("cluster", lambda node: usual_network(node, locate), node)
        self._named("network", "cluster.network", network)
        software = self._named("software", "software.framework", self._read("software.framework"))
        release = self._read("software.release")
        self._ask("software.release", partial(_check_release, locate), software, release)
        precision = self._read("workload.precision")
        self._ask("workload.precision", partial(_check_precision, locate), accelerator, precision)
        cap = self._read("cluster.power_cap")
        assumed = self._read("cluster.assume.power_limit")
        self._ask("cluster.power_cap", partial(_check_cap, locate), accelerator, cap, assumed)
        for name, most in (("num_nodes", MAX_NODES), ("spare_nodes", MAX_SPARE_NODES)):
            field = f"cluster.{name}"
            self._ask(field, partial(_check_number, locate, field, most), self._read(field))
        return self._ask("cluster.node", lambda node: node.num_accelerators, node)

    def _layout(self, model: Any, per_node: Any) -> Any:
        """The written layout, counted; None where it is to be chosen."""
        written = self._read("layout")
        if written == "auto":
            return None
        layouts = self._ask(
            "layout",
            partial(_resolved, self.document.locate),
            written,
            model,
            per_node,
            self._read("cluster.num_nodes"),
            self._read("workload.seq_len"),
            self._read("workload.global_batch"),
        )
        workload = self._read("workload")
        self._ask("workload.batch_ramp", partial(check_ramp, self.document.locate), workload, layouts)
        return layouts

    def _effect(self) -> Any:
        get = partial(_effect, self.document.locate, self.folder, self.library)
        return self._ask("method.profile", get, self._read("method.profile"))

    def _failures(self) -> Any:
        preset = self._read("reliability.preset")
        return None if preset is None else self._named("reliability", "reliability.preset", preset)

    def _series(self) -> None:
        """Whether every series exists, holds what it is used for, and knows the start of the run."""
        start = self._read("site.start")
        for field, unit, account in SERIES:
            check = partial(check_series, self.document.locate, self.folder, field, unit, account)
            self._ask(field, check, self._read(field), start)


def _check_length(locate: Locate, named: NamedModel, seq_len: int) -> None:
    check_length(named.model, seq_len, locate)


def _check_release(locate: Locate, software: Software, release: str | None) -> None:
    release_ratio(software, release, locate)


def _check_precision(locate: Locate, accelerator: Accelerator, precision: str) -> None:
    located(lambda: peak_flop_per_s(accelerator, precision), "workload.precision", locate)


def _check_cap(
    locate: Locate,
    accelerator: Accelerator,
    cap: Sourced | None,
    assumed: tuple[Sourced, Sourced] | None,
) -> None:
    limit_w, idle_w = limits_w(accelerator, assumed_power_w(assumed))
    cap_of(cap, limit_w, idle_w, locate)


def _check_number(locate: Locate, field: str, most: int, number: int) -> None:
    """Refuse clusters beyond anything that will be built, before they cost time and memory here."""
    if number > most:
        found = f"found {number:.4g}" if number < 10**300 else "found too many"
        mend = "write a smaller number"
        raise InputError(Problem(locate(field), field, found, f"at most {most:,}", mend))


def _resolved(
    locate: Locate,
    written: Layout,
    named: NamedModel,
    per_node: int,
    num_nodes: int,
    seq_len: int,
    global_batch: int | Sourced,
) -> Layouts:
    return resolve_layout(
        written,
        named.model,
        num_devices=num_nodes * per_node,
        seq_len=seq_len,
        global_batch=sequences_per_step(global_batch, seq_len),
        locate=locate,
    )


def _effect(locate: Locate, folder: Path, library: ProfileLibrary, profile: str | None) -> Effect | None:
    if profile is None:
        return None
    if profile.endswith((".yaml", ".yml")):
        effect = validate(load_document(folder / profile), Effect)
    else:
        found = located(lambda: library.get("effect", profile), "method.profile", locate)
        if not isinstance(found, Effect):
            raise TypeError(f"library returned {type(found).__name__} for effect {profile}")
        effect = found
    if effect.method not in METHODS:
        found_method = f"found method {effect.method!r} in {profile}"
        mend = did_you_mean(effect.method, METHODS)
        raise InputError(Problem(locate("method.profile"), "method.profile", found_method, "", mend))
    return effect
