"""Several processes that share one audit."""
