"""The hardware: seconds of an operation, of a collective, and the power drawn meanwhile."""
