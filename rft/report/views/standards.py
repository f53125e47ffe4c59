"""For which items of which standards a run is evidence, partly or not at all: the appendix of the report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from rft import number_format
from rft.records import AuditRun
from rft.report.standards import PagePart, Standard, StandardItem, read_standards
from rft.report.views.card_facts import CARD_LABELS, read_card_facts
from rft.report.views.findings import FindingView
from rft.report.views.page import view_section

Answer = Literal["evidence", "partly", "open"]

ANSWER_WORDS: dict[Answer, str] = {
    "evidence": "Evidence for",
    "partly": "Partly",
    "open": "Not answered by this report",
}
PAGE_PARTS: dict[PagePart, str] = {
    "model": "what was audited: model",
    "recipe": "what was audited: training",
    "data": "what was audited: examples",
    "environment": "environment",
    "config": "config as used",
    "hashes": "how to verify: hashes",
    "not_measured": "what was not measured",
    "verdict": "verdict",
}


@dataclass(frozen=True)
class EvidenceLink:
    """A finding that is evidence, and how many others of its kind there are.

    ``failed``: it says that integrity is broken.
    """

    title: str
    anchor: str
    failed: bool
    more: int


@dataclass(frozen=True)
class MissingEvidence:
    """Findings that were asked for and not measured, for one reason."""

    titles: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class ItemView:
    """An item of a standard beside what this run says of it.

    Attributes:
        place, asks: as in ``StandardItem``.
        answer, word: whether the run is evidence, partly or not.
        links: findings that are evidence, one for each pattern.
        parts: parts of the report, and what the organisation says in ``[card]``.
        missing: what was not measured, by its reason.
        absent: what was not asked for in this run: tables and keys of the config.
        open: what nobody but the organisation can answer; empty where nothing is left.
    """

    place: str
    asks: str
    answer: Answer
    word: str
    links: tuple[EvidenceLink, ...]
    parts: tuple[str, ...]
    missing: tuple[MissingEvidence, ...]
    absent: tuple[str, ...]
    open: str


@dataclass(frozen=True)
class StandardView:
    """A standard with its items; ``summary`` counts the answers in words."""

    anchor: str
    title: str
    source: str
    version: str
    dated: str
    read: str
    note: str
    summary: str
    items: tuple[ItemView, ...]


def view_standards(run: AuditRun) -> tuple[StandardView, ...]:
    """Return all standards beside a run."""
    findings = {finding.id: finding for section in run.sections for finding in view_section(section).findings}
    tables = {section.plugin for section in run.sections}
    card = {key: bool(read_card_facts(run).write_value(key)) for key in CARD_LABELS}
    answers = _RunAnswers(findings, tables, card)
    return tuple(_view_standard(standard, answers) for standard in read_standards())


@dataclass(frozen=True)
class _RunAnswers:
    """What a run has to say: findings by id, plugins that took part, and which keys of ``[card]`` are given."""

    findings: dict[str, FindingView]
    plugins: set[str]
    card: dict[str, bool]

    def match_findings(self, pattern: str) -> list[FindingView]:
        """Return the findings whose ids match a pattern, in the order of the report."""
        return [finding for id, finding in self.findings.items() if fnmatchcase(id, pattern)]

    def link_evidence(self, patterns: Iterable[str]) -> list[EvidenceLink]:
        """Return the first measured finding of each pattern that no other has given, with the count of the rest."""
        links: dict[str, EvidenceLink] = {}
        for pattern in patterns:
            measured = [finding for finding in self.match_findings(pattern) if not finding.reason]
            first = next((finding for finding in measured if finding.anchor not in links), None)
            if first is not None:
                failed = any(finding.state == "fail" for finding in measured)
                links[first.anchor] = EvidenceLink(first.title, first.anchor, failed, len(measured) - 1)
        return list(links.values())

    def list_missing(self, patterns: Iterable[str]) -> list[MissingEvidence]:
        """Return what was not measured by the first clause of its reason, as in the summary of the report."""
        by_reason: dict[str, list[str]] = {}
        for pattern in patterns:
            for finding in self.match_findings(pattern):
                if finding.reason:
                    by_reason.setdefault(finding.short_reason, []).append(finding.title)
        return [MissingEvidence(tuple(dict.fromkeys(titles)), reason) for reason, titles in by_reason.items()]

    def list_absent(self, patterns: Iterable[str]) -> list[str]:
        """Return, in words, whose findings this run does not state, measured or not."""
        tables = [pattern.partition(".")[0] for pattern in patterns if not self.match_findings(pattern)]
        return [f"more of [{table}]" if table in self.plugins else f"[{table}]" for table in dict.fromkeys(tables)]


def _view_standard(standard: Standard, answers: _RunAnswers) -> StandardView:
    items = tuple(_view_item(item, answers) for item in standard.items)
    counts = [(word, sum(item.answer == answer for item in items)) for answer, word in ANSWER_WORDS.items()]
    return StandardView(
        anchor=f"standard-{standard.key}",
        title=standard.title,
        source=standard.source,
        version=standard.version,
        dated=number_format.format_day(standard.dated),
        read=standard.read,
        note=standard.note,
        summary=", ".join(f"{word.lower()} {count}" for word, count in counts if count),
        items=items,
    )


def _view_item(item: StandardItem, answers: _RunAnswers) -> ItemView:
    links = answers.link_evidence(item.findings)
    missing, absent = answers.list_missing(item.findings), answers.list_absent(item.findings)
    given = [CARD_LABELS[key].lower() for key in item.card if answers.card[key]]
    absent += [f"card.{key}" for key in item.card if not answers.card[key]]
    parts = [*(PAGE_PARTS[part] for part in item.page), *given]
    answer: Answer = "open"
    if links or parts:
        answer = "partly" if missing or absent or item.open else "evidence"
    return ItemView(
        place=item.place,
        asks=item.asks,
        answer=answer,
        word=ANSWER_WORDS[answer],
        links=tuple(links),
        parts=tuple(parts),
        missing=tuple(missing),
        absent=tuple(absent),
        open=item.open,
    )
