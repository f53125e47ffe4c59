"""The commands about finished runs."""
