"""The shape of the MLPs of a decoder: the same in every layer, or experts of which each token uses a few."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from simtool.config.fields import Strict
from simtool.workload.attention_shape import Count, CountOrZero

CapacityFactor = Annotated[float, Field(gt=0.0, le=64.0)]


class MlpShape(Strict):
    """What the MLPs need to know; without experts, `num_experts` is 1 and the other fields of experts unused."""

    num_layers: Count
    ffn_hidden_size: Count
    """Of the MLP of a layer without experts."""
    mlp: Literal["gelu", "relu", "swiglu"] = "gelu"
    mlp_bias: bool = True
    num_experts: Count = 1
    """Routed experts of a layer; 1 is a dense model."""
    top_k: Count = 1
    """Routed experts that a token uses."""
    expert_ffn_hidden_size: Count | None = None
    """Of one routed expert; as `ffn_hidden_size` if not given."""
    num_shared_experts: CountOrZero = 0
    """Experts that every token uses."""
    shared_ffn_hidden_size: Count | None = None
    """Of one shared expert; as a routed one if not given."""
    shared_expert_gate: bool = False
    """A learned gate scales the shared experts' output."""
    router_bias: bool = False
    """The router has a bias per expert, learned or adjusted."""
    num_dense_layers: CountOrZero = 0
    """Layers at the begin that have a dense MLP in spite of the experts."""
    expert_layer_period: Count = 1
    """After those, every n-th layer has experts."""
    capacity_factor: CapacityFactor | None = None
    """Every expert computes this multiple of its mean rows, padded or dropped (Switch, GShard); what is routed
    to it if not given."""

    @model_validator(mode="after")
    def _experts_fit(self) -> MlpShape:
        if self.top_k > self.num_experts:
            raise ValueError(
                f"found top_k {self.top_k} of num_experts {self.num_experts}; a token uses at most all experts"
            )
        if self.num_experts == 1 and (self.num_shared_experts or self.capacity_factor is not None):
            raise ValueError("found fields of experts with num_experts 1; add the number of routed experts")
        if self.num_experts > 1 and self.num_expert_layers == 0:
            raise ValueError(
                f"found {self.num_experts} experts and no layer that has them; lower num_dense_layers "
                "or expert_layer_period"
            )
        return self

    @property
    def has_experts(self) -> bool:
        """Whether any layer routes its tokens."""
        return self.num_experts > 1

    @property
    def num_expert_layers(self) -> int:
        """Layers with experts."""
        if not self.has_experts:
            return 0
        return max(0, self.num_layers - self.num_dense_layers) // self.expert_layer_period

    @property
    def expert_layer_frac(self) -> float:
        """Share of the layers that have experts."""
        return self.num_expert_layers / self.num_layers

    @property
    def mlp_matrices(self) -> int:
        """Weight matrices of an MLP: up and down, and a gate."""
        return 3 if self.mlp == "swiglu" else 2

    @property
    def expert_ffn(self) -> int:
        """Inner features of one routed expert."""
        return self.expert_ffn_hidden_size or self.ffn_hidden_size

    @property
    def shared_ffn(self) -> int:
        """Inner features of the shared experts together."""
        return self.num_shared_experts * (self.shared_ffn_hidden_size or self.expert_ffn)

    @property
    def rows_frac(self) -> float:
        """Rows that experts compute over copies of tokens: the capacity factor, 1 without one."""
        return 1.0 if self.capacity_factor is None else self.capacity_factor

    def mlp_parameters(self, hidden: int, inner: int) -> int:
        """Weights of one MLP with biases."""
        weights = self.mlp_matrices * hidden * inner
        return weights + self.mlp_bias * ((self.mlp_matrices - 1) * inner + hidden)

    def routed_parameters(self, hidden: int) -> int:
        """Weights of all routed experts of a layer that has them."""
        return self.num_experts * self.mlp_parameters(hidden, self.expert_ffn) if self.has_experts else 0

    def common_parameters(self, hidden: int) -> int:
        """Weights beside the routed experts in a layer that has them: router, shared experts, gate."""
        if not self.has_experts:
            return 0
        router = hidden * self.num_experts + self.router_bias * self.num_experts
        shared = self.mlp_parameters(hidden, self.shared_ffn) if self.num_shared_experts else 0
        return router + shared + (hidden if self.shared_expert_gate else 0)

    def active_weights(self, hidden: int) -> float:
        """Matrix elements that a token multiplies in the MLP of a layer, mean over the layers."""
        dense = self.mlp_matrices * hidden * self.ffn_hidden_size
        if not self.has_experts:
            return dense
        experts = self.mlp_matrices * hidden * (self.top_k * self.expert_ffn + self.shared_ffn)
        experts += hidden * self.num_experts + (hidden if self.shared_expert_gate else 0)
        return (1.0 - self.expert_layer_frac) * dense + self.expert_layer_frac * experts
