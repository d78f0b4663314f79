"""From a user's Python file to a model on the meta device, at any batch and sequence length."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from simtool.errors import InputError, Problem
from simtool.workload.from_torch.mistakes import raised_problem

DEFAULT_FUNCTION = "build_model"
BATCH, SEQ_LEN = "batch", "seq_len"
DEFAULT_BATCH, DEFAULT_SEQ_LEN = 2, 1024
_ALLOWED = "(module, inputs), (module, inputs, loss) or (module, inputs, loss, optimizer)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a user's function gave."""

    module: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    loss: Callable[[Any], Any] | None
    """From the module's output to a scalar."""
    optimizer: Callable[[Any], Any] | None
    """From the trained weights to what has ``step()``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """A function that makes a model with inputs, and what its arguments let vary."""

    function: Callable[..., Any]
    where: str
    """File and line, for messages."""
    batch: int
    seq_len: int
    takes_batch: bool
    takes_sequence: bool

    def build(self, batch: int, seq_len: int) -> Built:
        """The model at a size, without memory for its weights.

        Raises:
            InputError: the function raises, or gives something else than it should.
        """
        sizes = {BATCH: batch} if self.takes_batch else {}
        sizes |= {SEQ_LEN: seq_len} if self.takes_sequence else {}
        try:
            with torch.device("meta"):
                given = self.function(**sizes)
        except Exception as error:
            raise raised_problem(error, self.where, "building the model") from error
        built = self._checked(given)
        return built if self.takes_batch else _resized(built, batch)

    def _checked(self, given: Any) -> Built:
        parts = given if isinstance(given, tuple) else (given,)
        if not parts or not isinstance(parts[0], torch.nn.Module):
            found = type(parts[0]).__name__ if parts else "nothing"
            raise self._wrong(f"found {found} instead of a torch.nn.Module", "return the module first")
        if not 2 <= len(parts) <= 4:
            raise self._wrong(f"found {len(parts)} values", "return the example inputs behind the module")
        loss, optimizer = (*parts[2:], None, None)[:2]
        for name, part in (("loss", loss), ("optimizer", optimizer)):
            if part is not None and not callable(part):
                raise self._wrong(
                    f"found {type(part).__name__} as {name}", f"return a function or class as {name}"
                )
        module: Any = getattr(parts[0], "_orig_mod", parts[0])
        module = module.to("meta")
        inputs = _on_meta(parts[1])
        if isinstance(inputs, dict):
            return Built(module=module, args=(), kwargs=inputs, loss=loss, optimizer=optimizer)
        args = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
        return Built(module=module, args=args, kwargs={}, loss=loss, optimizer=optimizer)

    def _wrong(self, found: str, mend: str) -> InputError:
        return InputError(Problem(self.where, "", found, f"allowed: {_ALLOWED}", mend))


def load_builder(target: str, batch: int | None = None, seq_len: int | None = None) -> Builder:
    """The function that a word like ``my_model.py:build`` names.

    Args:
        target: a file, and behind a colon the function in it, `DEFAULT_FUNCTION` if not given.
        batch: samples in the example; the function's own default if not given.
        seq_len: tokens in a sample of the example; the same.

    Raises:
        InputError: no such file or function, one that cannot be imported, or arguments it does not have.
    """
    file, _, name = target.rpartition(":") if ":" in target else (target, "", "")
    path, name = Path(file), name or DEFAULT_FUNCTION
    if path.suffix != ".py" or not path.is_file():
        found = "found no such file" if path.suffix == ".py" else f"found {file!r}"
        raise InputError(Problem(target, "", found, "", "name a Python file, e.g. my_model.py:build_model"))
    function = getattr(_imported(path), name, None)
    if not callable(function) or isinstance(function, type):
        found = f"found no function {name!r}"
        mend = (
            f"write 'def {name}(batch, seq_len): ... return module, inputs', or name another behind a colon"
        )
        raise InputError(Problem(str(path), "", found, "", mend))
    return builder_of(function, batch=batch, seq_len=seq_len)


def builder_of(function: Callable[..., Any], batch: int | None = None, seq_len: int | None = None) -> Builder:
    """The same for a function that is there already.

    Raises:
        InputError: it has arguments that nobody gives.
    """
    code = getattr(function, "__code__", None)
    where = f"{code.co_filename}:{code.co_firstlineno}" if code is not None else repr(function)
    parameters = inspect.signature(function).parameters
    needed = [
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if unknown := [name for name in needed if name not in (BATCH, SEQ_LEN)]:
        found = f"found the argument {unknown[0]!r} without a default"
        raise InputError(Problem(where, "", found, f"allowed: {BATCH}, {SEQ_LEN}", "give it a default"))
    for name, wanted in ((BATCH, batch), (SEQ_LEN, seq_len)):
        if wanted is not None and name not in parameters:
            found = f"found a {name} of {wanted} for a function without the argument {name!r}"
            raise InputError(Problem(where, "", found, "", f"add it: def {function.__name__}({name})"))

    def default(name: str, otherwise: int) -> int:
        known = parameters[name].default if name in parameters else otherwise
        return known if isinstance(known, int) and known > 0 else otherwise

    return Builder(
        function=function,
        where=where,
        batch=batch or default(BATCH, DEFAULT_BATCH),
        seq_len=(seq_len or default(SEQ_LEN, DEFAULT_SEQ_LEN)) if SEQ_LEN in parameters else 1,
        takes_batch=BATCH in parameters,
        takes_sequence=SEQ_LEN in parameters,
    )


def _imported(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"simtool_captured_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(Problem(str(path), "", "found no Python module", "", "name a Python file"))
    module = importlib.util.module_from_spec(spec)
    with _neighbours(path.parent):
        sys.modules[spec.name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise raised_problem(error, str(path), "importing the file") from error
    return module


@contextmanager
def _neighbours(folder: Path) -> Iterator[None]:
    """Files beside the user's can be imported by it."""
    sys.path.insert(0, str(folder.resolve()))
    try:
        yield
    finally:
        sys.path.remove(str(folder.resolve()))


def _on_meta(given: Any) -> Any:
    if isinstance(given, torch.Tensor):
        return given.to("meta")
    if isinstance(given, dict):
        return {key: _on_meta(value) for key, value in given.items()}
    if isinstance(given, list | tuple):
        return type(given)(_on_meta(value) for value in given)
    return given


def _resized(built: Built, batch: int) -> Built:
    """Inputs of another batch: every tensor whose first dimension is that of the first one."""
    shown = [given for given in (*built.args, *built.kwargs.values()) if isinstance(given, torch.Tensor)]
    length = next((given.shape[0] for given in shown if given.dim()), 0)

    def again(given: Any) -> Any:
        if not isinstance(given, torch.Tensor) or not given.dim() or given.shape[0] != length:
            return given
        return torch.empty((batch, *given.shape[1:]), dtype=given.dtype, device="meta")

    args = tuple(again(given) for given in built.args)
    kwargs = {key: again(given) for key, given in built.kwargs.items()}
    return Built(module=built.module, args=args, kwargs=kwargs, loss=built.loss, optimizer=built.optimizer)
