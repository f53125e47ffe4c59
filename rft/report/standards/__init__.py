"""Which findings are evidence for which item of which standard: ``sources.toml``, read into records.

A report is evidence for an item, partly or not at all. Whether a law or a standard is met is for others to say.
"""

from __future__ import annotations

import datetime
import tomllib
from functools import cache
from importlib import resources
from typing import Literal

from pydantic import Field

from rft.records import Record

PagePart = Literal[
    "model", "recipe", "data", "environment", "config", "hashes", "not_measured", "verdict"
]  # of a report, beside findings
CardKey = Literal["intended_use", "out_of_scope", "owner", "license", "contact", "datasets"]


class StandardItem(Record):
    """One thing that a standard asks for.

    Attributes:
        place: where it stands in the standard.
        asks: what it asks, in one sentence of our own.
        findings: patterns of ids of findings that are evidence for it; ``*`` stands for any characters.
        page: parts of the report that are evidence for it and no findings.
        card: keys of ``[card]`` that answer it.
        open: what nobody but the organisation can answer; empty where nothing is left.
    """

    place: str = Field(min_length=1)
    asks: str = Field(pattern=r"\.$")
    findings: tuple[str, ...] = ()
    page: tuple[PagePart, ...] = ()
    card: tuple[CardKey, ...] = ()
    open: str = Field(default="", pattern=r"^$|\.$")


class Standard(Record):
    """A standard, law or form with the items that a report may be evidence for.

    Attributes:
        key: its name in links.
        title: a heading.
        source: the document, as one cites it.
        version: the version that is meant.
        dated: the day of that version.
        read: how much of it was read for this map.
        note: what a reader should know before the items.
        items: in the order of the document.
    """

    key: str = Field(pattern=r"^[a-z0-9_]+$")
    title: str
    source: str
    version: str
    dated: datetime.date
    read: str
    note: str
    items: tuple[StandardItem, ...] = Field(min_length=1)


class _Sources(Record):
    standards: tuple[Standard, ...]


@cache
def read_standards() -> tuple[Standard, ...]:
    """Return all standards, in the order in which they are shown."""
    text = resources.files(__name__).joinpath("sources.toml").read_text(encoding="utf-8")
    return _Sources.model_validate(tomllib.loads(text)).standards
