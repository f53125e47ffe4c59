"""A chapter of the privacy section, with what it released or charged beside the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from rft.plugins.chapter_content import ChapterContent, join_content
from rft.plugins.privacy.accounting.accountants import Mechanism

if TYPE_CHECKING:
    from rft.training.privacy_facts import LedgerFacts


@dataclass(frozen=True)
class PrivacyChapter(ChapterContent):
    """A chapter, and what stands behind it.

    ``mechanisms`` are what it released of the training data beside the model, with privacy: heads of a frontier,
    canary models. ``ledger`` is where the ledger stood when it was made, None where it has nothing to do with it.
    """

    mechanisms: tuple[Mechanism, ...] = ()
    ledger: LedgerFacts | None = None


def join_privacy_content(title: str, chapters: Sequence[PrivacyChapter]) -> PrivacyChapter:
    """Return one chapter with the content of several; of their ledgers the first that is there, all else in order."""
    content = join_content(title, chapters)
    return PrivacyChapter(
        **{field.name: getattr(content, field.name) for field in fields(content)},
        mechanisms=tuple(mechanism for chapter in chapters for mechanism in chapter.mechanisms),
        ledger=next((chapter.ledger for chapter in chapters if chapter.ledger), None),
    )
