"""What of a section strangers may see: facts, and numbers on the test examples. What nobody declared is left out.

A plugin declares what its findings and tables were computed from (``Section.computed_from``). Texts, notes and figures
follow what they stand with.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property

from rft.disclosure.release import without_tables
from rft.records import ASSET_NAME, Chapter, Finding, Row, Section, Source, Table, find_column

UNNAMED = "groups that are too small to be named"
REASONS: dict[Source | None, str] = {
    "train": "computed from training examples without noise",
    "examples": "they show, or rest on, single examples",
    None: "nothing says what they were computed from",
}
BY_GROUP = "what may be said of small groups was not decided in this run"
SMALL = "they name, or rest on, groups or classes that are too small"

_PUBLIC: tuple[Source | None, ...] = ("facts", "test", "by_split")
_SHOWN_SPLIT = "test"


@dataclass(frozen=True)
class HiddenNames:
    """Names that strangers must not read.

    They are looked for as words: what a text was computed from (``Section.computed_from``) and what a finding is about
    (``Finding.about``) do not say whom a sentence names, least of all one of a plugin of others.

    Attributes:
        groups: of groups that too few are in; whatever names one is left out.
        unit: the name of the column of units, which texts replace by ``unit``; empty without one.
    """

    groups: frozenset[str]
    unit: str = ""

    def occurs_in(self, *texts: object) -> bool:
        """Whether a small group is named in one of the texts, as a word."""
        return bool(self.groups) and any(isinstance(text, str) and self._pattern.search(text) for text in texts)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(self.groups)))})(?!\w)")

    def write_without_unit(self, text: str) -> str:
        """Return a text that says ``unit`` for the name of the column of units, and for ``unit (column)``."""
        if not self.unit:
            return text
        named = re.escape(self.unit)
        return re.sub(rf"\b(units?) \({named}\)|(?<!\w){named}(?!\w)", lambda match: match[1] or "unit", text)


@dataclass(frozen=True)
class PublicPart:
    """What is left of a section: None where that is nothing. ``left_out`` is reason -> titles of what is not."""

    section: Section | None
    left_out: dict[str, tuple[str, ...]]


def select_public_part(section: Section, hidden: HiddenNames, *, by_group: bool) -> PublicPart:
    """Return what strangers may see of a section, and what they may not with the reason.

    Args:
        section: without small cells, as a card may state it (``restrict_for_card``).
        hidden: names that must not be read.
        by_group: whether numbers of groups may be shown at all.
    """
    why = {finding.id: _why_not_finding(section, finding, hidden, by_group) for finding in section.findings}
    tables = {name: _select_rows(section, name, hidden) for name in section.tables}
    why_table = {name: _why_not_table(section, name, tables[name], hidden, by_group) for name in section.tables}
    left_out: dict[str, tuple[str, ...]] = {}
    titles = [(why[finding.id], finding.title) for finding in section.findings]
    titles += [(reason, title_table(section, name)) for name, reason in why_table.items()]
    for reason, title in titles:
        if reason:
            told = () if hidden.occurs_in(title) else (hidden.write_without_unit(title),)
            left_out[reason] = tuple(dict.fromkeys((*left_out.get(reason, ()), *told)))
    kept = section.model_copy(
        update={
            "tables": tables,
            "findings": tuple(
                _clean_finding(finding, hidden) for finding in section.findings if why[finding.id] is None
            ),
            "unanswered": section.unanswered if why.get(section.unanswered or "", "") is None else None,
        }
    )
    kept = without_tables(kept, {name for name, reason in why_table.items() if reason})
    kept = _clean_texts(kept, hidden, whole=not left_out)
    is_empty = not (kept.findings or kept.tables or kept.chapters)
    return PublicPart(None if is_empty else kept, left_out)


def _why_not_finding(section: Section, finding: Finding, hidden: HiddenNames, by_group: bool) -> str | None:
    """Return why a finding is left out; None where it is shown. That integrity is broken is never left out."""
    source = section.computed_from.get(finding.id)
    if finding.status != "fail" and source not in _PUBLIC:
        return REASONS[source]
    if finding.status != "fail" and finding.about.attributes and not by_group:
        return BY_GROUP
    texts = (finding.id, finding.title, finding.description, finding.reason, finding.remedy, finding.about.group)
    return SMALL if hidden.occurs_in(*texts, *finding.about.attributes) else None


def _why_not_table(section: Section, name: str, rows: Table, hidden: HiddenNames, by_group: bool) -> str | None:
    source = section.computed_from.get(name)
    if source not in _PUBLIC:
        return REASONS[source]
    if any(isinstance(cell, str) and ASSET_NAME.fullmatch(cell) for row in rows for cell in row.values()):
        return REASONS["examples"]
    columns = section.describe_table(name)
    if not by_group and any(find_column(columns, role) for role in ("attribute", "group")):
        return BY_GROUP
    if hidden.occurs_in(name, *columns):
        return SMALL
    if section.tables[name] and not rows:
        return REASONS["train"] if source == "by_split" else SMALL
    return None


def _select_rows(section: Section, table: str, hidden: HiddenNames) -> Table:
    by_split = section.computed_from.get(table) == "by_split"

    def is_public(row: Row) -> bool:
        return not hidden.occurs_in(*row.values()) and (not by_split or row.get("split") == _SHOWN_SPLIT)

    return [_clean_row(row, hidden) for row in section.tables[table] if is_public(row)]


def _clean_row(row: Row, hidden: HiddenNames) -> Row:
    return {key: hidden.write_without_unit(cell) if isinstance(cell, str) else cell for key, cell in row.items()}


def title_table(section: Section, name: str) -> str:
    """Return what a table shows, as its caption says."""
    return section.captions.get(name, "").rstrip(".") or f"table {name.replace('_', ' ')}"


def _clean_finding(finding: Finding, hidden: HiddenNames) -> Finding:
    """Return a finding that names neither small groups nor the column of units."""
    caveats = finding.caveats
    if hidden.occurs_in(caveats, *finding.withheld):
        caveats = "Groups that are too small to be named are not part of this."
    texts = {"title": finding.title, "description": finding.description, "caveats": caveats, "remedy": finding.remedy}
    written: dict[str, object] = {key: hidden.write_without_unit(text) for key, text in texts.items()}
    return finding.model_copy(
        update={
            **written,
            "reason": hidden.write_without_unit(finding.reason) if finding.reason is not None else None,
            "withheld": (UNNAMED,) if finding.withheld else (),
            "small_groups": tuple(name for name in finding.small_groups if not hidden.occurs_in(name)),
        }
    )


def _clean_texts(section: Section, hidden: HiddenNames, *, whole: bool) -> Section:
    """Return a section whose notes, captions, figures and chapters go with what is left of it."""
    figures = tuple(figure for figure in section.figures if not hidden.occurs_in(*_list_strings(figure.model_dump())))
    drawn = {figure.id for figure in figures}
    columns = {
        name: tuple(
            column.model_copy(
                update={
                    "label": hidden.write_without_unit(column.label),
                    "spellings": {key: text for key, text in column.spellings.items() if not hidden.occurs_in(key)},
                }
            )
            for column in declared
        )
        for name, declared in section.columns.items()
    }
    ids = {finding.id for finding in section.findings}
    chapters = (_clean_chapter(chapter, ids, section.tables, drawn, hidden) for chapter in section.chapters)
    return section.model_copy(
        update={
            "figures": figures,
            "columns": columns,
            "captions": {
                name: hidden.write_without_unit(text)
                for name, text in section.captions.items()
                if not hidden.occurs_in(text)
            },
            "notes": _clean_paragraphs(section.notes, hidden) if whole else (),
            "chapters": tuple(
                chapter
                for chapter in chapters
                if (chapter.text or chapter.findings or chapter.tables or chapter.figures)
                and not hidden.occurs_in(chapter.title)
            ),
            "computed_from": {
                name: source for name, source in section.computed_from.items() if name in ids or name in section.tables
            },
            "assets": {},
            "folders": {},
            "evidence": None,
        }
    )


def _clean_chapter(
    chapter: Chapter, findings: Collection[str], tables: Collection[str], figures: Collection[str], hidden: HiddenNames
) -> Chapter:
    text = _clean_paragraphs(chapter.text, hidden) if chapter.computed_from in _PUBLIC else ()
    return chapter.model_copy(
        update={
            "text": text,
            "findings": tuple(id for id in chapter.findings if id in findings),
            "tables": tuple(name for name in chapter.tables if name in tables),
            "figures": tuple(id for id in chapter.figures if id in figures),
        }
    )


def _clean_paragraphs(texts: Iterable[str], hidden: HiddenNames) -> tuple[str, ...]:
    return tuple(hidden.write_without_unit(text) for text in texts if not hidden.occurs_in(text))


def _list_strings(content: object) -> list[str]:
    if isinstance(content, str):
        return [content]
    inner: Iterable[object] = ()
    if isinstance(content, dict):
        inner = (*content, *content.values())
    elif isinstance(content, list | tuple):
        inner = content
    return [text for part in inner for text in _list_strings(part)]
