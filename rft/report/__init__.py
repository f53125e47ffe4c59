"""The run folder and everything a reader sees, made from an ``AuditRun`` alone: no torch, no model, no data."""

from __future__ import annotations

from rft.report.render.html import render, summary_html
from rft.report.run_folder.evidence import ledger, verify
from rft.report.run_folder.folder import check_writable, load, rerender, save
from rft.report.run_folder.run_key import check_storable, place_of

__all__ = [
    "check_storable",
    "check_writable",
    "ledger",
    "load",
    "place_of",
    "render",
    "rerender",
    "save",
    "summary_html",
    "verify",
]
