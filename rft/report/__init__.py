"""The run folder and everything a reader sees, made from an ``AuditRun`` alone: no torch, no model, no data."""

from __future__ import annotations

from rft.report.render.html import render, summary_html
from rft.report.run_folder.evidence import recorded_by_plugins, verify
from rft.report.run_folder.folder import check_writable, load, rerender, save
from rft.report.run_folder.run_key import check_storable, place_of

__all__ = [
    "check_storable",
    "check_writable",
    "load",
    "place_of",
    "recorded_by_plugins",
    "render",
    "rerender",
    "save",
    "summary_html",
    "verify",
]
