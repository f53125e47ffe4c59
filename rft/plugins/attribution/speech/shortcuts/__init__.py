"""Suspected parts of recordings, swapped between them: a span of time, a band, the background noise."""
