"""Rates of groups and the gaps between them, with intervals."""
