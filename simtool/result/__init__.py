"""From a scenario to its result, and the folder that keeps it."""
