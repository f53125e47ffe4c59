"""Write docs/standards.md from rft/report/standards/sources.toml: python -m tests.support.write_standards"""

from __future__ import annotations

from collections.abc import Iterator

from rft import number_format
from rft.report.standards import Standard, StandardItem, read_standards
from rft.report.views.standards import PAGE_PARTS
from tests.support import ROOT

PAGE = ROOT / "docs" / "standards.md"
INTRODUCTION = """\
# Standards: what a report is evidence for

Laws and standards ask for documents. A report of rft can be evidence in some of them, and this page says in which: for
each item what it asks in our own words, which findings, parts of the report and keys of `[card]` are evidence for it,
and what stays open because nobody but the organisation can answer it. The last section of every report says the same
of one run, in one of three words:

- **Evidence for**: all that the item asks for, as far as we read it, stands in the report.
- **Partly**: something does; the rest is open, was not measured, or was not asked for in this run.
- **Not answered by this report**: the item is the organisation's alone, or this run holds nothing for it.

None of this says that a law or a standard applies to a system, or that it is met. That is for people to judge who know
the use. Wordings are ours: read the sources.

This page is written by `make standards` from `rft/report/standards/sources.toml`, which the report is made from too.
"""


def write_page() -> str:
    """Return the whole page."""
    return "\n".join([INTRODUCTION, *(line for standard in read_standards() for line in _write_standard(standard))])


def _write_standard(standard: Standard) -> Iterator[str]:
    yield f"## {standard.title}\n"
    yield f"{standard.source}, {standard.version}; dated {number_format.format_day(standard.dated)}. For this map"
    yield f"{standard.read}. {standard.note}\n"
    yield "| item | what it asks | evidence | open: for the organisation |\n| --- | --- | --- | --- |"
    for item in standard.items:
        evidence = "; ".join(_list_evidence(item)) or "none"
        yield f"| {item.place} | {item.asks} | {evidence} | {item.open or 'nothing'} |"
    yield ""


def _list_evidence(item: StandardItem) -> Iterator[str]:
    if item.findings:
        yield ", ".join(f"`{pattern}`" for pattern in item.findings)
    yield from (PAGE_PARTS[part] for part in item.page)
    if item.card:
        yield ", ".join(f"`card.{key}`" for key in item.card)


if __name__ == "__main__":
    PAGE.write_text(write_page(), encoding="utf-8")
