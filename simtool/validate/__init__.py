"""Published training results, predictions from their configuration alone beside them, and the score."""
