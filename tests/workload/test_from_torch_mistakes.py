"""Models that cannot be captured: one clear error that says where, what and how to mend it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

from simtool.errors import InputError  # noqa: E402
from simtool.workload.captured import read_workload, write_workload  # noqa: E402
from simtool.workload.from_torch import capture, capture_file  # noqa: E402


class Wrapped(nn.Module):
    """A linear layer, and something behind it that goes wrong."""

    def __init__(self, then: Callable[[Any], Any]) -> None:
        super().__init__()
        self.linear, self.then = nn.Linear(8, 8), then

    def forward(self, x: torch.Tensor) -> Any:
        return self.then(self.linear(x))


def building(then: Callable[[Any], Any]) -> Callable[..., Any]:
    def build(batch: int = 2) -> tuple[Any, Any]:
        return nn.Sequential(nn.Linear(8, 8), Wrapped(then)), torch.zeros(batch, 8)

    return build


@pytest.mark.parametrize(
    ("then", "operation"),
    [
        (lambda x: x * x.sum().item(), "_local_scalar_dense"),
        (lambda x: x if x.mean() > 0 else -x, "_local_scalar_dense"),
        (lambda x: x[x > 0].sum(), "index"),
        (lambda x: x.nonzero().sum() * x.sum(), "nonzero"),
        (lambda x: torch.masked_select(x, x > 0).sum(), "masked_select"),
    ],
    ids=["item", "branch", "selection", "nonzero", "masked_select"],
)
def test_steps_that_depend_on_values(then: Callable[[Any], Any], operation: str) -> None:
    with pytest.raises(InputError) as caught:
        capture(building(then))
    (problem,) = caught.value.problems
    assert problem.where.startswith(__file__)
    assert "depends on the values of a tensor" in problem.found
    assert operation in problem.found
    assert "shapes only" in problem.mend


def test_the_module_is_named() -> None:
    def build(batch: int = 2) -> tuple[Any, Any]:
        return nn.Sequential(nn.Linear(8, 8), Wrapped(nn.Linear(9, 8))), torch.zeros(batch, 8)

    with pytest.raises(InputError) as caught:
        capture(build)
    (problem,) = caught.value.problems
    assert problem.field == "1.then"
    assert "RuntimeError" in problem.found


def test_recomputation_belongs_into_the_scenario() -> None:
    class Again(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return checkpoint(self.inner, x, use_reentrant=False)

    def build(batch: int = 2) -> tuple[Any, Any]:
        return nn.Sequential(nn.Linear(8, 8), Again()), torch.zeros(batch, 8)

    with pytest.raises(InputError, match=r"workload\.recompute"):
        capture(build)


def frozen(batch: int = 2) -> tuple[Any, Any]:
    return nn.Linear(8, 8).requires_grad_(False), torch.zeros(batch, 8)


def vector_loss(batch: int = 2) -> tuple[Any, ...]:
    return nn.Linear(8, 8), torch.zeros(batch, 8), lambda output: output


def no_output(batch: int = 2) -> tuple[Any, ...]:
    return Wrapped(lambda _: 1.0), torch.zeros(batch, 8)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (
            lambda: (_ for _ in ()).throw(ValueError("no such size")),
            "building the model raised ValueError: no such size",
        ),
        (lambda: 3, "found int instead of a torch.nn.Module"),
        (lambda: nn.Linear(2, 2), "return the example inputs behind the module"),
        (lambda: (nn.Linear(2, 2), torch.zeros(1, 2), "loss"), "found str as loss"),
        (lambda: (1, 2), "found int instead"),
        (lambda width: (nn.Linear(width, 2), torch.zeros(1, 2)), "'width' without a default"),
        (frozen, "found no weight that is trained"),
        (vector_loss, r"loss of shape \(2, 8\)"),
        (no_output, "found no output that depends on the weights"),
    ],
    ids=[
        "raises",
        "no module",
        "no inputs",
        "no loss",
        "two numbers",
        "argument",
        "frozen",
        "vector",
        "constant",
    ],
)
def test_what_a_function_gives(build: Callable[..., Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        capture(build)


def test_sizes_that_the_function_does_not_take() -> None:
    with pytest.raises(InputError, match="without the argument 'seq_len'"):
        capture(frozen, seq_len=64)
    with pytest.raises(InputError, match="multiple of 4"):
        capture(lambda batch=2, seq_len=30: frozen(batch + seq_len))


def test_a_model_that_rounds_its_length() -> None:
    def build(batch: int = 2, seq_len: int = 64) -> tuple[Any, Any]:
        return nn.Linear(8, 8), torch.zeros(batch, 32 * (seq_len // 48 + 1), 8)

    with pytest.raises(InputError, match="where the other sizes give"):
        capture(build)


def test_a_model_that_does_something_else_when_it_is_long() -> None:
    def build(batch: int = 2, seq_len: int = 64) -> tuple[Any, Any]:
        return nn.Sequential(*(nn.Linear(8, 8) for _ in range(1 + seq_len // 40))), torch.zeros(
            batch, seq_len, 8
        )

    with pytest.raises(InputError, match="other"):
        capture(build)


def test_a_length_without_an_argument_is_fixed() -> None:
    def build(batch: int = 2) -> tuple[Any, Any]:
        return nn.Linear(8, 8), torch.zeros(batch, 40, 8)

    workload = capture(build)
    assert not workload.any_seq_len
    assert workload.flop(1, 1) == 2 * 2 * 40 * 8 * 8  # forward, and the gradient of the weight


def test_a_batch_without_an_argument_follows_the_first_dimension() -> None:
    def build() -> tuple[Any, Any]:
        return nn.Linear(8, 8), torch.zeros(3, 8)

    assert capture(build).flop(10, 1) == 2 * 2 * 10 * 8 * 8


def test_products_that_torch_does_not_count_are_named() -> None:
    def build(batch: int = 2) -> tuple[Any, Any]:
        return Wrapped(lambda x: torch.mv(x, torch.ones(8))), torch.zeros(batch, 8)

    workload = capture(build)
    assert workload.not_counted == ("mv",)
    assert "mv" in workload.notes[0]


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("WIDTH = 8\n")
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\nfrom beside import WIDTH\n\n"
        "def small(batch=2):\n    return torch.nn.Linear(WIDTH, 4), torch.zeros(batch, WIDTH)\n\n"
        "def bad(batch=2):\n    raise KeyError('weights')\n"
    )
    workload = capture_file(f"{file}:small")
    assert workload.name == "mine"
    assert workload.source.startswith("mine.py:small, captured")
    written = tmp_path / "mine.yaml"
    written.write_text(write_workload(workload))
    assert read_workload(written) == workload
    with pytest.raises(InputError) as caught:
        capture_file(f"{file}:bad")
    assert str(caught.value).startswith(f"{file}:8: ")
    for target, words in (
        (f"{file}", "no function 'build_model'"),
        (f"{file}:missing", "no function 'missing'"),
        (str(tmp_path / "none.py"), "no such file"),
        (str(tmp_path), "name a Python file"),
    ):
        with pytest.raises(InputError, match=words):
            capture_file(target)
    file.write_text("import torch\n1/0\n")
    with pytest.raises(InputError, match="importing the file raised ZeroDivisionError"):
        capture_file(f"{file}")
