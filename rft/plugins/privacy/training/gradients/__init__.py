"""Gradients of single examples, clipped and noised."""
