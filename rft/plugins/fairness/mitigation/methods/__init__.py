"""Ways to decide otherwise on the same cached features."""
