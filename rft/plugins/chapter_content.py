"""What a chapter of a section holds, and how chapters become a section. Every plugin of several chapters uses it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rft.records import Chapter, Columns, Figure, Finding, JsonObject, Section, Source, Table, select_columns


@dataclass(frozen=True)
class ChapterContent:
    """A chapter with its content, in the order of the report.

    Attributes:
        title: the heading; may be empty for content that ``join_content`` puts under the heading of another.
        findings, figures: the facts, and what is drawn: one of ``tables``, or one of another chapter.
        tables: name -> rows. An empty table belongs to the section, and the chapter does not show it.
        captions: name of a table -> one line that says what it shows; of tables that are not there it is ignored.
        text: paragraphs under the heading.
        drawn: names of tables that figures, or the table turned for reading, show already: not shown once more.
        folded: its findings are many, there to be looked up: they are shown when asked for.
        computed_from: what all of it was computed from; None: nobody said, and strangers get nothing of it.
        exceptions: id of a finding, or name of a table -> what that was computed from, where it is something else.
    """

    title: str = ""
    findings: Sequence[Finding] = ()
    tables: Mapping[str, Table] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)
    figures: Sequence[Figure] = ()
    text: Sequence[str] = ()
    drawn: Collection[str] = ()
    folded: bool = False
    computed_from: Source | None = None
    exceptions: Mapping[str, Source] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show: no finding, no figure, no row of a table, no text."""
        return not (self.findings or self.figures or self.text or any(self.tables.values()))

    def list_content(self) -> Chapter:
        """Return the record of the chapter, which names what it shows."""
        return Chapter(
            title=self.title,
            folded=self.folded,
            computed_from=self.computed_from,
            text=tuple(self.text),
            findings=tuple(finding.id for finding in self.findings),
            tables=tuple(name for name, table in self.tables.items() if table and name not in self.drawn),
            figures=tuple(figure.id for figure in self.figures),
        )

    def list_sources(self) -> dict[str, Source]:
        """Return what each finding and table was computed from, where that was said."""
        if self.computed_from is None:
            return dict(self.exceptions)
        names = (*(finding.id for finding in self.findings), *self.tables)
        return {**dict.fromkeys(names, self.computed_from), **self.exceptions}


def join_content(title: str, contents: Iterable[ChapterContent]) -> ChapterContent:
    """Return one chapter with the content of several, in their order; their own titles go.

    Raises:
        ValueError: two of them hold a table of one name.
    """
    contents = list(contents)
    sources = {content.computed_from for content in contents}
    return ChapterContent(
        title=title,
        findings=tuple(finding for content in contents for finding in content.findings),
        tables=_join_tables(contents),
        captions={name: caption for content in contents for name, caption in content.captions.items()},
        figures=tuple(figure for content in contents for figure in content.figures),
        text=tuple(paragraph for content in contents for paragraph in content.text),
        drawn=tuple(name for content in contents for name in content.drawn),
        computed_from=sources.pop() if len(sources) == 1 else None,
        exceptions={name: source for content in contents for name, source in content.list_sources().items()},
    )


def merge_chapters(
    plugin: str,
    title: str,
    chapters: Iterable[ChapterContent],
    *,
    columns: Mapping[str, Columns] | None = None,
    notes: Sequence[str] = (),
    template: str | None = None,
    card_tables: Mapping[str, str] | None = None,
    evidence: JsonObject | None = None,
    folders: Mapping[str, Callable[[Path], None]] | None = None,
) -> Section:
    """Return the section of these chapters, without the empty ones.

    Args:
        plugin: the plugin's name.
        title: heading of the section.
        chapters: in the order of the report.
        columns: name of a table -> its columns, of all tables that the plugin may have.
        notes: paragraphs of the section, before its chapters.
        template, card_tables, evidence, folders: as in ``Section``.

    Raises:
        ValueError: two chapters hold a table of one name, or a chapter without a title has content; and what
            ``Section`` refuses, such as two findings of one id or a figure of a table that is not there.
    """
    shown = [chapter for chapter in chapters if not chapter.is_empty]
    if not all(chapter.title for chapter in shown):
        raise ValueError(f"section {plugin} has a chapter without a title")
    content = join_content("", shown)
    return Section(
        plugin=plugin,
        title=title,
        findings=tuple(content.findings),
        tables=dict(content.tables),
        columns=select_columns(columns or {}, content.tables),
        captions={name: caption for name, caption in content.captions.items() if name in content.tables},
        figures=tuple(content.figures),
        notes=tuple(notes),
        chapters=tuple(chapter.list_content() for chapter in shown),
        computed_from=dict(content.exceptions),
        template=template,
        card_tables=dict(card_tables or {}),
        evidence=evidence,
        folders=dict(folders or {}),
    )


def _join_tables(contents: Iterable[ChapterContent]) -> dict[str, Table]:
    tables: dict[str, Table] = {}
    for content in contents:
        if twice := tables.keys() & content.tables.keys():
            raise ValueError(f"two chapters hold a table of one name: {', '.join(sorted(twice))}")
        tables |= content.tables
    return tables
