"""A captured workload as a model that layouts and steps can price; its operations are in `captured_graph`.

A micro-batch is split by data parallelism and ZeRO only: nothing is known about how an arbitrary module
could be divided further. Where equal blocks follow each other, stages of a pipeline can be cut between them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from simtool.layout.memory import LOGIT_BYTES
from simtool.stepgraph import Number
from simtool.workload.captured import CapturedOp, CapturedPart, CapturedWorkload, Kept
from simtool.workload.model import KeptBytes
from simtool.workload.plain import Plain
from simtool.workload.precision import BYTES_PER_ELEMENT, Precision

STATE_BYTES = 4.0
"""Gradients, master weights and states of the optimizer are held in fp32, as everywhere in simtool."""
SQUARE_BACKWARD = 2.0
"""Work of attention's backward pass over its forward one as models are compared: without the scores once more."""
REFERENCE_LAUNCHES = {"fused": 33, "eager": 108}
"""Kernels in the forward and backward pass of one block of a Llama, captured like any other model: a launch
floor is stated for such a block."""


@dataclass(frozen=True)
class CapturedModel(Plain):
    """What layouts and steps ask of a model, answered from its operations."""

    workload: CapturedWorkload

    @property
    def num_layers(self) -> int:
        """Blocks of the main stack; 1 where nothing repeats."""
        return self.workload.num_layers

    @property
    def num_parameters(self) -> int:
        """All weights, shared ones once."""
        return self.workload.parameters

    @property
    def hidden_size(self) -> int:
        """Elements of a token between blocks, as many as travel between stages."""
        return math.ceil(self._per_token("input_elements"))

    @property
    def parameters_per_layer(self) -> float:
        """Mean weights of a block."""
        return sum(layer.repeats * layer.parameters for layer in self.workload.layers) / self.num_layers

    @property
    def embedding_parameters(self) -> int:
        """Weights before the blocks."""
        return self.workload.before.parameters

    @property
    def head_parameters(self) -> int:
        """Weights behind the blocks that are not used before them too."""
        return self.workload.after.parameters

    @property
    def tied_parameters(self) -> int:
        """Weights used before and behind the blocks."""
        return self.workload.tied_parameters

    def sums_per_table(self, groups: Number) -> Number:
        """No tables."""
        return groups

    @cached_property
    def launches_per_layer(self) -> float:
        """Kernels of a block over those of a block of a Llama that was captured in the same way."""
        kernels = self.workload.kernels
        total = 0
        for layer in self.workload.layers:
            each = ((op.launches if kernels == "eager" else 1) * op.count for op in layer.ops)
            total += layer.repeats * sum(each)
        return total / self.num_layers / REFERENCE_LAUNCHES[kernels]

    @cached_property
    def logit_features(self) -> int:
        """Logits that would take as much memory as everything that is kept outside the blocks."""
        size = self.workload.captured
        at = (size.batch, size.seq_len)
        parts = [self._kept(part) for part in (self.workload.before, self.workload.after)]
        kept = sum(
            float(part.elements.at(*at)) * self._captured_size + float(part.bytes.at(*at)) for part in parts
        )
        total = kept + float(self.workload.edge_bytes.at(*at))
        return math.ceil(total / (size.batch * size.seq_len) / LOGIT_BYTES)

    @property
    def optimizer_state_bytes(self) -> float:
        """States of the optimizer per weight [byte]."""
        return STATE_BYTES * self.workload.optimizer.state_elements / self.num_parameters

    def head_tokens_frac(self) -> float:
        """1: what is outside the blocks sees every token."""
        return 1.0

    def model_flop_per_token(self, seq_len: Number) -> Number:
        """Work that one token needs, forward and backward [FLOP].

        All products, and attention's backward as twice its forward: its fused kernel computes the scores once
        more, which conventions of model work leave out.
        """
        total: Number = 0.0
        for times, part in self.workload.parts:
            for op in part.ops:
                if op.kind != "attention":
                    total = total + times * op.work_at(1, seq_len)
                elif op.phase == "forward":
                    total = total + times * (1.0 + SQUARE_BACKWARD) * op.work_at(1, seq_len)
        return total / seq_len

    def kept_bytes(self, seq_len: int, precision: str, attention: str) -> KeptBytes:
        """What a block keeps of a token, as autograd or a compiler's partitioner keeps it."""
        size = Precision(precision).size
        kept = scores = 0.0
        for layer in self.workload.layers:
            share = layer.repeats / self.num_layers / seq_len
            part = self._kept(layer)
            kept += share * (float(part.elements.at(1, seq_len)) * size + float(part.bytes.at(1, seq_len)))
            for op in layer.ops if attention == "unfused" else ():
                if op.kind == "attention" and op.phase == "forward":
                    pairs = (
                        op.count
                        * float(op.k.at(1, seq_len))
                        * float(op.m.at(1, seq_len))
                        * _keys(op, seq_len)
                    )
                    scores += share * (2.0 * size + 1.0) * pairs  # scores twice and a mask, as of a decoder
        return KeptBytes(
            layer_input=size * self._per_token("input_elements", seq_len),
            between=kept,
            inside=0.0,
            scores=scores,
            head=LOGIT_BYTES * self.logit_features,
        )

    def tensor_problems(self, tp: int) -> Iterator[tuple[str, str]]:
        """Captured operations are not divided."""
        if tp > 1:
            yield (
                f"found tp {tp} for the captured model {self.workload.name}, whose operations cannot be divided",
                "use 1; data parallelism with ZeRO spreads its weights",
            )

    def sequence_problem(self, seq_len: int) -> tuple[str, str] | None:
        """A capture without sequence has samples of one token."""
        if self.workload.any_seq_len or seq_len == 1:
            return None
        return (
            f"found {seq_len} tokens for the captured model {self.workload.name}, whose samples have one size",
            "write 1: a sample then counts as a token; or capture it with the argument seq_len",
        )

    def pipeline_problem(self) -> str | None:
        """Only a stack of equal blocks can be cut."""
        if self.num_layers > 1 and len(self.workload.layers) == 1:
            return None
        reason = "has no stack of blocks" if self.num_layers == 1 else "has blocks of several kinds"
        return f"the captured model {self.workload.name} {reason}"

    @property
    def _captured_size(self) -> float:
        return BYTES_PER_ELEMENT[self.workload.precision]

    def _kept(self, part: CapturedPart) -> Kept:
        return part.eager_kept if self.workload.kernels == "eager" else part.kept

    def _per_token(self, name: str, seq_len: int | None = None) -> float:
        length = seq_len or self.workload.captured.seq_len
        total = sum(
            layer.repeats * float(getattr(layer, name).at(1, length)) for layer in self.workload.layers
        )
        return total / self.num_layers / length


def _keys(op: CapturedOp, seq_len: int) -> float:
    return float(op.keys.at(1, seq_len) if op.keys else op.m.at(1, seq_len))
