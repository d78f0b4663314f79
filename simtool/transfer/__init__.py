"""Device work that was measured on one accelerator, op by op on another: time, energy and how sure they are."""
