"""A page of one section, for what is no audit: one file that needs no network and no script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from rft.records import Section
from rft.report.render.html import context_of, environment
from rft.report.views.figures import Pictures


@dataclass(frozen=True)
class _Page:
    name: str
    byline: tuple[str, ...]
    rft_version: str


def comparison_html(section: Section, *, name: str, byline: Sequence[str] = (), rft_version: str) -> str:
    """Return a section as a page of its own.

    Args:
        section: its findings, figures, tables and notes are shown; a template of its own is not used.
        name: of the audit that the comparison is made for, the heading of the page.
        byline: short facts under the heading.
        rft_version: shown in the foot.
    """
    return (
        environment()
        .get_template("comparison.html")
        .render(
            page=_Page(name, tuple(byline), rft_version),
            remark="",
            **context_of(section, Pictures(section.assets, None), (f"figure-{number}" for number in count(1))),
        )
    )
