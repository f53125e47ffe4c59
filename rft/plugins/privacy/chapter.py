"""A chapter of the privacy section, with what it released or charged beside the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from rft.plugins.chapter_content import ChapterContent, join_content
from rft.plugins.privacy.accounting.accountants import Mechanism


@dataclass(frozen=True)
class PrivacyChapter(ChapterContent):
    """A chapter, and what stands behind it.

    ``mechanisms`` are what it released of the training data beside the model, with privacy: heads of a frontier,
    twins with canaries. ``ledger`` is where the ledger stood after it, empty where it charged nothing.
    """

    mechanisms: tuple[Mechanism, ...] = ()
    ledger: Mapping[str, Any] = field(default_factory=dict)


def join_privacy_content(title: str, chapters: Sequence[PrivacyChapter]) -> PrivacyChapter:
    """Return one chapter with the content of several; of their ledgers the first that is there, all else in order."""
    content = join_content(title, chapters)
    return PrivacyChapter(
        **{field.name: getattr(content, field.name) for field in fields(content)},
        mechanisms=tuple(mechanism for chapter in chapters for mechanism in chapter.mechanisms),
        ledger=next((chapter.ledger for chapter in chapters if chapter.ledger), {}),
    )
