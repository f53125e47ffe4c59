"""Recordings: how one is decoded and checked, resampled as its model wants it, and read in batches."""
