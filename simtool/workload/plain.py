"""What a model answers that has neither experts nor tables and is not divided within its layers."""

from __future__ import annotations


class Plain:
    """Zero, or one, for everything that only some models have."""

    @property
    def expert_parameters_per_layer(self) -> float:
        """None: experts are not told apart from other weights."""
        return 0.0

    @property
    def num_dense_layers(self) -> int:
        """None: no layer has experts."""
        return 0

    @property
    def table_parameters(self) -> int:
        """None."""
        return 0

    @property
    def reductions_per_layer(self) -> float:
        """None: no tensor parallelism."""
        return 0.0

    @property
    def expert_layer_frac(self) -> float:
        """None."""
        return 0.0

    @property
    def num_experts(self) -> int:
        """None beside the layers' own weights."""
        return 1

    @property
    def top_k(self) -> int:
        """No copies."""
        return 1

    @property
    def kv_message_features(self) -> int:
        """None: samples and sequences are not shared out."""
        return 0

    @property
    def query_message_features(self) -> int:
        """None: samples and sequences are not shared out."""
        return 0

    @property
    def table_features(self) -> int:
        """None."""
        return 0

    @property
    def input_bytes_per_token(self) -> float:
        """Nothing that is worth counting."""
        return 0.0
