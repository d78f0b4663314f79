"""One training step priced: a model, a layout and a machine become seconds, joules and bytes."""
