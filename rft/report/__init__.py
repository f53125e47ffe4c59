"""The run folder and everything a reader sees, made from an ``AuditRun`` alone: no torch, no model, no data."""

from __future__ import annotations

from rft.report.render.embedded import PageCheck, check_folder_page, check_page, read_images
from rft.report.render.html import render, summary_html
from rft.report.run_folder.evidence import verify
from rft.report.run_folder.folder import check_writable, save, write_made_from
from rft.report.run_folder.open_run import open_run
from rft.report.run_folder.run_key import check_storable, place_of

__all__ = [
    "PageCheck",
    "check_folder_page",
    "check_page",
    "check_storable",
    "check_writable",
    "open_run",
    "place_of",
    "read_images",
    "render",
    "save",
    "summary_html",
    "verify",
    "write_made_from",
]
