"""Suspected words of texts: found, removed or exchanged, beside as many other words of the same texts."""
