"""A page of sections, for what is no audit: one file that needs no network and no script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from rft.records import Section
from rft.report.render.html import context_of, template_environment
from rft.report.views.figures import RunImages


@dataclass(frozen=True)
class _Page:
    name: str
    byline: tuple[str, ...]
    rft_version: str


def comparison_html(sections: Sequence[Section], *, name: str, byline: Sequence[str] = (), rft_version: str) -> str:
    """Return sections as a page of their own.

    Args:
        sections: their findings, figures, tables and notes are shown; templates of their own are not used.
        name: of the audit that the comparison is made for, the heading of the page.
        byline: short facts under the heading.
        rft_version: shown in the foot.
    """
    numbers = (f"figure-{number}" for number in count(1))
    contexts = [context_of(section, RunImages(section.assets), numbers) for section in sections]
    page = _Page(name, tuple(byline), rft_version)
    return template_environment().get_template("comparison.html").render(page=page, contexts=contexts)
