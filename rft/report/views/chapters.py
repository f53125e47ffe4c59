"""How a long section is divided into chapters, each with its findings, figures and tables."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rft.records import Section
from rft.report.views.figures import FigureView
from rft.report.views.page import FindingView, SectionView
from rft.report.views.tables import TableView

T = TypeVar("T")
NamedTable = tuple[str, TableView]


@dataclass(frozen=True)
class ChapterView:
    """What is shown under one heading, ``folded`` as in ``Chapter``; what belongs to no chapter has no title."""

    title: str
    folded: bool
    text: tuple[str, ...]
    findings: tuple[FindingView, ...]
    figures: tuple[FigureView, ...]
    tables: tuple[NamedTable, ...]


def divide_section(
    section: Section, view: SectionView, figures: Sequence[FigureView], tables: Sequence[NamedTable]
) -> list[ChapterView]:
    """Return the chapters of a section, first what no chapter names; of a section without chapters this is all.

    Args:
        section: the section.
        view, figures, tables: its views; one figure for each of the section, and the tables that none of them shows.
    """
    findings = [(finding.id, finding) for finding in view.findings]
    drawn = [(figure.id, view) for figure, view in zip(section.figures, figures, strict=True)]
    named = [(name, (name, view)) for name, view in tables]
    rest = ChapterView(
        "",
        False,
        (),
        _list_unnamed_views(findings, [id for chapter in section.chapters for id in chapter.findings]),
        _list_unnamed_views(drawn, [id for chapter in section.chapters for id in chapter.figures]),
        _list_unnamed_views(named, [name for chapter in section.chapters for name in chapter.tables]),
    )
    divided = [
        ChapterView(
            chapter.title,
            chapter.folded,
            chapter.text,
            _select_views(findings, chapter.findings),
            _select_views(drawn, chapter.figures),
            _select_views(named, chapter.tables),
        )
        for chapter in section.chapters
    ]
    return [rest, *divided]


def _select_views(views: Sequence[tuple[str, T]], names: Sequence[str]) -> tuple[T, ...]:
    known = dict(views)
    return tuple(known[name] for name in names if name in known)


def _list_unnamed_views(views: Sequence[tuple[str, T]], names: Collection[str]) -> tuple[T, ...]:
    return tuple(view for name, view in views if name not in names)
