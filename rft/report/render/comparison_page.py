"""A page of sections, for what is no audit: one file that needs no network and no script."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from rft.records import Section, Table, Verdict
from rft.report.render.html import context_of, template_environment
from rft.report.views.figures import RunImages, list_other_tables


@dataclass(frozen=True)
class _Page:
    name: str
    byline: tuple[str, ...]
    verdict: Verdict | None
    rft_version: str


def comparison_html(
    sections: Sequence[Section],
    *,
    name: str,
    byline: Sequence[str] = (),
    verdict: Verdict | None = None,
    open_tables: Collection[str] = (),
    rft_version: str,
) -> str:
    """Return sections as a page of their own.

    Args:
        sections: their findings, figures, tables and notes are shown; templates of their own are not used.
        name: of the audit that the comparison is made for, the heading of the page.
        byline: short facts under the heading.
        verdict: what rules say of it, before the sections; None without one.
        open_tables: names of tables that are shown at once; the others are unfolded when asked for.
        rft_version: shown in the foot.
    """
    numbers = (f"figure-{number}" for number in count(1))
    contexts = []
    for section in sections:
        opened = [table for table_name, table in list_other_tables(section) if table_name in open_tables]
        folded = section.model_copy(update={"tables": _leave_out_tables(section.tables, open_tables)})
        contexts.append((context_of(folded, RunImages(section.assets), numbers), opened))
    page = _Page(name, tuple(byline), verdict, rft_version)
    return template_environment().get_template("comparison.html").render(page=page, contexts=contexts)


def _leave_out_tables(tables: Mapping[str, Table], names: Collection[str]) -> dict[str, Table]:
    return {name: table for name, table in tables.items() if name not in names}
