"""What goes wrong in a user's model, in words: where, what, and how to mend it."""

from __future__ import annotations

import traceback
from pathlib import Path

import torch

from simtool.errors import InputError, Problem

_TORCH = str(Path(torch.__file__).parent)
_HERE = str(Path(__file__).parent)
DATA_DEPENDENT = frozenset(
    {
        "_local_scalar_dense", "item", "nonzero", "masked_select", "equal", "is_nonzero", "_unique2", "unique_dim",
        "unique_consecutive", "bincount", "repeat_interleave", "index", "index_put_", "allclose", "argwhere",
    }
)  # fmt: skip
"""Operations whose result has a shape, or decides a branch, that depends on the values of a tensor."""
_MAX_LETTERS = 300


class RecomputesError(Exception):
    """A module runs forward inside the backward pass."""


def raised_problem(
    error: BaseException, where: str, doing: str, failed: str = "", path: str = ""
) -> InputError:
    """An exception out of the user's code as one clear error.

    Args:
        error: what was raised.
        where: file and line to name if the traceback has no line of the user's.
        doing: what was going on, for the message.
        failed: the operation of torch that raised, if one did.
        path: of the module that it is part of.
    """
    if isinstance(error, InputError):
        return error
    place = _place(error) or where
    message = next(iter(str(error).strip().splitlines()), "")[:_MAX_LETTERS]
    if isinstance(error, RecomputesError):
        found = f"found recomputation of activations ({message} runs forward again in the backward pass)"
        return InputError(
            Problem(
                place,
                path,
                found,
                "",
                "switch it off here: the scenario's workload.recompute says it instead",
            )
        )
    said = "" if not failed else f" in torch operation {failed!r}"
    if failed in DATA_DEPENDENT or "data-dependent" in message or "item() cannot be called" in message:
        found = f"{doing}: found a step that depends on the values of a tensor{said}"
        mend = (
            "capture knows shapes only: take the values out of the module, or give it fixed shapes "
            "(e.g. experts with equal shares, masks in place of selections)"
        )
        return InputError(Problem(place, path, found, "", mend))
    if isinstance(error, NotImplementedError) and failed:
        found = f"{doing}: found no rule for shapes{said}: {message}"
        mend = (
            "write it in torch's own operations, or give the operation one with torch.library.register_fake"
        )
        return InputError(Problem(place, path, found, "", mend))
    found = f"{doing} raised {type(error).__name__}{said}: {message}".rstrip(": ")
    mend = "the function must run as written under torch.device('meta')"
    return InputError(Problem(place, path, found, "", mend))


def _place(error: BaseException) -> str:
    """File and line of the innermost frame that is neither torch's nor ours."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((_TORCH, _HERE, "<")) and "importlib" not in frame.filename
    ]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
