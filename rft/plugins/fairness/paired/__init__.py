"""Two models on the same cases: how a gap changed."""
