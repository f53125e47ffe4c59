"""How a section is laid out: what fails, is judged or needs a review first and open, everything else folded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rft.records import Figure, Section
from rft.report.format.words import count_of
from rft.report.views.figures import FigureView
from rft.report.views.findings import WITHOUT_REMARK, FindingView
from rft.report.views.group_table import GroupTables
from rft.report.views.tables import TableView

NamedTable = tuple[str, TableView | GroupTables]


@dataclass(frozen=True)
class Fold:
    """What is shown when asked for.

    Attributes:
        title: what it holds.
        counts: how much of it, in words.
        text: paragraphs.
        findings, figures, tables: in the order of the chapter.
        groups: it is the chapter that the turned tables of groups belong to.
    """

    title: str
    counts: str
    text: tuple[str, ...] = ()
    findings: tuple[FindingView, ...] = ()
    figures: tuple[FigureView, ...] = ()
    tables: tuple[NamedTable, ...] = ()


@dataclass(frozen=True)
class SectionLayout:
    """A section in the order in which it is read.

    Attributes:
        review: findings that fail, that a rule judges, or that are worth a review, worst first.
        lead_figures: what is drawn at once.
        folds: the rest, by chapter.
    """

    review: tuple[FindingView, ...]
    lead_figures: tuple[FigureView, ...]
    folds: tuple[Fold, ...]


def lay_out_section(
    section: Section, findings: Sequence[FindingView], figures: Sequence[FigureView], tables: Sequence[NamedTable]
) -> SectionLayout:
    """Return the layout of a section; each finding, figure and table stands in it once.

    Args:
        section: the section.
        findings: its findings as they are shown.
        figures: one for each figure of the section.
        tables: those that no figure shows, by name.
    """
    review = tuple(
        sorted((finding for finding in findings if finding.rank < WITHOUT_REMARK), key=lambda finding: finding.rank)
    )
    rest = [finding for finding in findings if finding.rank >= WITHOUT_REMARK]
    drawn = list(zip(section.figures, figures, strict=True))
    lead = tuple(view for figure, view in drawn if figure.lead)
    folded = [(figure, view) for figure, view in drawn if not figure.lead]
    return SectionLayout(
        review, lead, (*_fold_unnamed(section, rest, folded, tables), *_fold_chapters(section, rest, folded, tables))
    )


def _fold_chapters(
    section: Section,
    findings: Sequence[FindingView],
    figures: Sequence[tuple[Figure, FigureView]],
    tables: Sequence[NamedTable],
) -> list[Fold]:
    folds, tables_of_chapters = [], _list_tables_of_chapters(section)
    for chapter in section.chapters:
        fold = _make_fold(
            chapter.title,
            [finding for finding in findings if finding.id in chapter.findings],
            [view for figure, view in figures if figure.id in chapter.figures],
            [(name, table) for name, table in tables if name in tables_of_chapters[chapter.title]],
            chapter.text,
        )
        if fold is not None:
            folds.append(fold)
    return folds


def _fold_unnamed(
    section: Section,
    findings: Sequence[FindingView],
    figures: Sequence[tuple[Figure, FigureView]],
    tables: Sequence[NamedTable],
) -> list[Fold]:
    """Return the folds of what no chapter names: findings, and charts with their numbers."""
    named = _names_in_chapters(section)
    unnamed = [finding for finding in findings if finding.id not in named]
    measured = [finding for finding in unnamed if not finding.reason]
    absent = [finding for finding in unnamed if finding.reason]
    views = [view for figure, view in figures if figure.id not in named]
    listed = [(name, table) for name, table in tables if name not in named]
    folds = (
        _make_fold("Measured without remark", measured, [], []),
        _make_fold("Not measured, and why", absent, [], []),
        _make_fold("Charts and numbers" if views else "Numbers", [], views, listed),
    )
    return [fold for fold in folds if fold is not None]


def _names_in_chapters(section: Section) -> set[str]:
    tables = [name for names in _list_tables_of_chapters(section).values() for name in names]
    return {name for chapter in section.chapters for name in (*chapter.findings, *chapter.figures)} | {*tables}


def _list_tables_of_chapters(section: Section) -> dict[str, list[str]]:
    """Return the tables of each chapter by its title: those it names, and those that it is the first to draw."""
    drawn = {figure.id: figure.table for figure in section.figures}
    named = {name for chapter in section.chapters for name in chapter.tables}
    tables = {}
    for chapter in section.chapters:
        only_drawn = dict.fromkeys(drawn[id] for id in chapter.figures if drawn[id] not in named)
        named |= only_drawn.keys()
        tables[chapter.title] = [*chapter.tables, *only_drawn]
    return tables


def _make_fold(
    title: str,
    findings: Sequence[FindingView],
    figures: Sequence[FigureView],
    tables: Sequence[NamedTable],
    text: Sequence[str] = (),
) -> Fold | None:
    if not (findings or figures or tables or text):
        return None
    return Fold(
        title, _count_contents(findings, figures, tables), tuple(text), tuple(findings), tuple(figures), tuple(tables)
    )


def _count_contents(findings: Sequence[FindingView], figures: Collection[object], tables: Collection[object]) -> str:
    absent = sum(bool(finding.reason) for finding in findings)
    measured = len(findings) - absent
    counts = (
        f"{measured} measured" * bool(measured),
        f"{absent} not measured" * bool(absent),
        count_of(len(figures), "figure") * bool(figures),
        count_of(len(tables), "table") * bool(tables),
    )
    return ", ".join(filter(None, counts))
