"""Efficiency methods as rewrites of the step graph, by registry name."""
