"""What one plugin has to say: findings, tables, figures drawn from them, and their order."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from rft.records.base import JsonObject, Record, Table, find_named
from rft.records.columns import SINGLE_ROLES, Column, Columns, describe_columns
from rft.records.figures import Figure
from rft.records.findings import Finding

OWN_FOLDERS = ("assets", "model")  # of a run: no names for those of plugins

# What something was computed from, which decides whether strangers may see it (``rft report --public``):
# ``facts``: settings, the model and the mechanism alone, no example; ``test``: test examples, in all or by group;
# ``by_split``: of a table, what each row names in its column ``split``; ``train``: training examples, without noise;
# ``examples``: single examples. Strangers see facts, and what was computed from test.
Source = Literal["facts", "test", "by_split", "train", "examples"]


class Chapter(Record):
    """A part of a long section: what belongs together under one heading.

    Attributes:
        title: the heading.
        text: paragraphs under it.
        findings, tables, figures: ids and names of what the section holds, in the order of the report.
        folded: its findings are many, there to be looked up: they are shown when asked for.
        computed_from: what the numbers in its text were computed from; None where nobody said.
    """

    title: str
    folded: bool = False
    computed_from: Source | None = None
    text: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()


class Section(Record):
    """What one plugin has to say.

    Attributes:
        plugin: the plugin's name.
        title: heading of the section; the plugin's name when empty.
        findings, tables, figures: the facts, their numbers and their figures.
        columns: table name -> its columns with their roles, in the order in which a reader wants them; what is not
            named here gets a role by ``rft.records.columns.infer_column``.
        captions: table name -> one line that says what the table shows.
        card_tables: table name -> the heading under which the model card and the brief show the table.
        notes: paragraphs for the reader.
        chapters: how a long section is divided; what no chapter names comes first. None: it is not.
        computed_from: id of a finding, or name of a table -> what it was computed from. What is not named here is left
            out of what strangers get; so are the notes where anything is.
        audit_missing: the audit could not be made; its one finding says why.
        unanswered: id of a finding that says why, where the audit was made and answered nothing of what it was asked;
            None where it did.
        template: name of a template that shows this section; None for the generic one.
        assets: ``asset_name(png)`` -> the bytes of the PNG; written to ``assets/``, not into audit.json.
        folders: name of a folder of the run -> writes it, given its path; not into audit.json.
        evidence: what ``evidence.json`` keeps of this section, for ``Plugin.verify_evidence``; not into audit.json.
    """

    plugin: str
    title: str = ""
    findings: tuple[Finding, ...] = ()
    tables: dict[str, Table] = Field(default_factory=dict)
    columns: dict[str, Columns] = Field(default_factory=dict)
    captions: dict[str, str] = Field(default_factory=dict)
    card_tables: dict[str, str] = Field(default_factory=dict)
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    computed_from: dict[str, Source] = Field(default_factory=dict)
    audit_missing: bool = False
    unanswered: str | None = None
    template: str | None = None
    assets: dict[str, bytes] = Field(default_factory=dict, exclude=True, repr=False)
    folders: dict[str, Callable[[Path], None]] = Field(default_factory=dict, exclude=True, repr=False)
    evidence: JsonObject | None = Field(default=None, exclude=True, repr=False)

    @model_validator(mode="after")
    def _check_consistency(self) -> Section:
        ids = [finding.id for finding in self.findings]
        if len(ids) != len(set(ids)):
            raise ValueError(f"section {self.plugin} has two findings with one id")
        for name, table in self.tables.items():
            if any(list(row) != list(table[0]) for row in table):
                raise ValueError(f"table {name}: its rows differ in their columns")
            if any(isinstance(cell, float) and not math.isfinite(cell) for row in table for cell in row.values()):
                raise ValueError(f"table {name}: a cell is not finite; undefined cells are None")
        if self.audit_missing and len(self.findings) != 1:
            raise ValueError(f"section {self.plugin}: an audit that is missing has one finding, which says why")
        if self.unanswered is not None and self.unanswered not in ids:
            raise ValueError(f"section {self.plugin}: {self.unanswered} is none of its findings")
        for name, columns in self.columns.items():
            _check_columns(name, columns)
        for figure in self.figures:
            if figure.table not in self.tables:
                raise ValueError(f"figure {figure.id} draws a table that does not exist: {figure.table}")
        for name in self.folders:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in OWN_FOLDERS:
                raise ValueError(f"section {self.plugin}: {name!r} cannot be the name of a folder of a plugin")
        self._check_chapters(set(ids))
        return self

    def _check_chapters(self, ids: set[str]) -> None:
        drawn = {figure.id for figure in self.figures}
        for chapter in self.chapters:
            unknown = {*chapter.findings} - ids | {*chapter.tables} - self.tables.keys() | {*chapter.figures} - drawn
            if unknown:
                raise ValueError(f"chapter {chapter.title} names what does not exist: {', '.join(sorted(unknown))}")

    def describe_table(self, name: str) -> dict[str, Column]:
        """Return the columns of a table by name, in reading order; KeyError when there is no such table."""
        return describe_columns(self.tables[name], self.columns.get(name, ()))

    def finding(self, id: str) -> Finding:
        """Return the finding with this id; ``UnknownNameError``, a KeyError, when there is none."""
        return find_named({finding.id: finding for finding in self.findings}, id, f"finding of {self.plugin}")

    def table(self, name: str) -> Table:
        """Return the rows of a table; ``UnknownNameError``, a KeyError, when there is none of this name."""
        return find_named(self.tables, name, f"table of {self.plugin}")

    def __repr__(self) -> str:
        tables = f", tables={list(self.tables)}" if self.tables else ""
        return f"Section({self.plugin!r}, {len(self.findings)} findings{tables})"

    __str__ = __repr__  # pydantic's own would print every row


def _check_columns(table: str, columns: Columns) -> None:
    names = [column.name for column in columns]
    roles = [column.role for column in columns if column.role in SINGLE_ROLES]
    if len(set(names)) < len(names) or len(set(roles)) < len(roles):
        raise ValueError(f"table {table}: a column, or a role that one column alone can have, is declared twice")
