"""Membership attacks: they describe exposure and bound nothing."""
