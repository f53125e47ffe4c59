"""Differences and ratios between groups, with intervals that hold for all pairs at once, and what they would miss."""
