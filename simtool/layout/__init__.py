"""How a model is spread over accelerators: shards, stages, replicas, and the memory they need."""
