"""Finished runs in the formats of other tools, from ``audit.json`` alone: no torch, no model, no data.

``formats.py`` is the table of formats; each has a file with its writer.
"""
