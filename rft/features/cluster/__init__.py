"""Extraction on a cluster of Ray."""
