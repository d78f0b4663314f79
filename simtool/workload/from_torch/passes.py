"""One forward and backward pass, and one step of the optimizer, written down without being computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from simtool.errors import InputError, Problem
from simtool.workload.from_torch.kernels import FusedKernels
from simtool.workload.from_torch.load import Built
from simtool.workload.from_torch.mistakes import RecomputesError, raised_problem
from simtool.workload.from_torch.products import tensors
from simtool.workload.from_torch.recorder import Recorder
from simtool.workload.from_torch.weight_gradients import mark_weight_gradients
from simtool.workload.recorded import BACKWARD, OPTIMIZER, Access, Held, Recording

CONTAINERS = (torch.nn.ModuleList, torch.nn.Sequential, torch.nn.ModuleDict)


def record(built: Built, *, batch: int, seq_len: int, where: str, with_optimizer: bool) -> Recording:
    """Everything that one training step of a model does at one size.

    Args:
        built: the model on the meta device.
        batch: samples in its inputs.
        seq_len: tokens in a sample; 1 where it has no sequence.
        where: file and line of the function that made it.
        with_optimizer: whether to take a step of the optimizer too, which no size changes.

    Raises:
        InputError: the model raises, has no loss that can be differentiated, or nothing to train.
    """
    recorder = Recorder()
    recording = Recording(batch=batch, seq_len=seq_len)
    module = built.module.train()
    inputs = list(tensors((built.args, built.kwargs)))
    weights = dict(_weights(module, recorder))
    if not any(held.is_trained for held in weights.values()):
        mend = "set requires_grad on the weights that are trained"
        raise InputError(Problem(where, "", "found no weight that is trained", "", mend))
    outside = [*module.parameters(), *module.buffers(), *inputs]
    recording.weights = tuple(weights.values())
    recording.input_bytes = sum(tensor.numel() * tensor.element_size() for tensor in inputs)
    recording.stacks = dict(_stacks(module))
    for tensor in outside:
        recorder.value(tensor)
    doing = "the forward pass"
    try:
        with _eager(), _followed(module, recorder, recording), _saved(recorder, recording), recorder:
            with torch.device("meta"), FusedKernels():
                loss = _scalar(built, module(*built.args, **built.kwargs), where)
            recorder.phase, doing = BACKWARD, "the backward pass"
            loss.backward()
        gradients = [weight.grad for weight in module.parameters() if weight.grad is not None]
        made = {recorder.value(gradient) for gradient in gradients}
        mark_weight_gradients(recorder.ops, made, {held.value for held in weights.values()})
        doing = "the optimizer"
        state = _optimizer_step(built, module, recorder, recording) if with_optimizer else []
    except Exception as error:
        raise raised_problem(error, where, doing, recorder.failed, recorder.failed_path) from error
    finally:
        module.zero_grad(set_to_none=True)
    recording.ops = recorder.ops
    recording.last_values = frozenset(made | {recorder.value(tensor) for tensor in (*outside, *state)})
    recording.not_counted = frozenset(recorder.not_counted)
    return recording


def _optimizer_step(built: Built, module: Any, recorder: Recorder, recording: Recording) -> list[Any]:
    """One step for one weight of every shape, which stands for all of that shape.

    An optimizer passes over weights without a gradient. The step before the recorded one sets its states up.
    """
    gradients = {weight: weight.grad for weight in module.parameters() if weight.grad is not None}
    alike: dict[Any, list[Any]] = {}
    for weight in gradients:
        alike.setdefault((weight.shape, weight.dtype), []).append(weight)
        weight.grad = None
    optimizer = (built.optimizer or torch.optim.AdamW)(list(gradients))
    recorder.phase, recorder.path = OPTIMIZER, ""
    states: list[Any] = []
    for weights in alike.values():
        weights[0].grad = gradients[weights[0]]
        optimizer.step()
        first = len(recorder.ops)
        with recorder:
            optimizer.step()
        for op in recorder.ops[first:]:
            op.times = len(weights)
        weights[0].grad = None
        state = [
            tensor for tensor in tensors(optimizer.state.get(weights[0], {})) if tensor.device.type == "meta"
        ]
        recording.state_elements += len(weights) * sum(tensor.numel() for tensor in state if tensor.dim())
        states += state
    recording.optimizer = type(optimizer).__name__
    return states


def _scalar(built: Built, output: Any, where: str) -> Any:
    """The loss: the user's function, the output's own ``loss``, the output if it is one, or its mean."""
    if built.loss is not None:
        loss = built.loss(output)
    elif hasattr(output, "loss") and output.loss is not None:
        loss = output.loss
    else:
        shown = [tensor for tensor in tensors(output) if tensor.requires_grad]
        if not shown:
            mend = "return a loss function behind the inputs, e.g. lambda output: output.logits.mean()"
            raise InputError(Problem(where, "", "found no output that depends on the weights", "", mend))
        loss = shown[0] if shown[0].dim() == 0 else shown[0].float().mean()
    if not isinstance(loss, torch.Tensor) or loss.dim() != 0 or not loss.requires_grad:
        found = (
            f"found a loss of shape {tuple(loss.shape)}"
            if isinstance(loss, torch.Tensor)
            else "found no tensor"
        )
        raise InputError(Problem(where, "loss", found, "allowed: a scalar that depends on the weights", ""))
    return loss


def _weights(module: Any, recorder: Recorder) -> Iterator[tuple[int, Held]]:
    """Every weight once, with the paths of all modules that hold it."""
    users: dict[int, tuple[Any, list[str]]] = {}
    for path, part in module.named_modules(remove_duplicate=False):
        for weight in part._parameters.values():
            if weight is not None:
                users.setdefault(id(weight), (weight, []))[1].append(path)
    for key, (weight, paths) in users.items():
        value = recorder.value(weight)
        yield key, Held(value, weight.numel(), tuple(weight.shape), tuple(paths), weight.requires_grad)


def _stacks(module: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Containers whose children are all of one class: candidates for repeated blocks."""
    for path, part in module.named_modules():
        children = [child for child in part.named_children() if child[1] is not None]
        if (
            isinstance(part, CONTAINERS)
            and len(children) > 1
            and len({type(child) for _, child in children}) == 1
        ):
            yield path, tuple(f"{path}.{name}" if path else name for name, _ in children)


@contextmanager
def _followed(module: Any, recorder: Recorder, recording: Recording) -> Iterator[None]:
    """The recorder knows at every moment which module runs."""
    stack: list[str] = []
    children = {child for group in recording.stacks.values() for child in group}
    handles = []

    def enter(path: str) -> Callable[..., None]:
        def hook(part: Any, args: Any, kwargs: Any) -> None:
            if recorder.phase == BACKWARD:
                raise RecomputesError(path or type(part).__name__)
            stack.append(path)
            recorder.path = path
            if path in children:
                carried = [tensor for tensor in tensors((args, kwargs)) if tensor.requires_grad]
                recording.block_inputs[path] = sum(tensor.numel() for tensor in carried)

        return hook

    def leave(*_: Any) -> None:
        if stack:
            stack.pop()
        recorder.path = stack[-1] if stack else ""

    for path, part in module.named_modules():
        handles.append(part.register_forward_pre_hook(enter(path), with_kwargs=True))
        handles.append(part.register_forward_hook(leave, always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _saved(recorder: Recorder, recording: Recording) -> Iterator[None]:
    """What autograd keeps for the backward pass, each storage once."""

    def pack(tensor: Any) -> Any:
        value, size = recorder.value(tensor), tensor.element_size()
        whole = tensor.untyped_storage().nbytes() // size
        _, paths = recording.saved.get(value, (None, frozenset()))
        access = Access(value, whole, str(tensor.dtype).removeprefix("torch."), size)
        recording.saved[value] = (access, paths | {recorder.path})
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield


@contextmanager
def _eager() -> Iterator[None]:
    """Functions that a model compiles run as they are written."""
    with ExitStack() as stack:
        stance = getattr(torch.compiler, "set_stance", None)
        if stance is not None:
            stack.enter_context(stance("force_eager"))
        yield
