"""The brief of a run for a committee: a few printed pages with a place to sign, one file without network and script."""

from __future__ import annotations

from rft.records import AuditRun
from rft.report.render.html import template_environment
from rft.report.views.brief import view_brief


def render_brief(run: AuditRun) -> str:
    """Return the HTML of the brief: at most four pages of A4, made from what ``audit.json`` says alone."""
    stated = AuditRun.from_json(run.to_json())
    return (
        template_environment().get_template("brief.html").render(brief=(brief := view_brief(stated)), page=brief.page)
    )
