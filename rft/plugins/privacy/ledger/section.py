"""What the report says of the ledger: what the population has lost in all, and by which trainings."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rft.plugins.privacy.chapter import PrivacyChapter
from rft.records import Cell, Finding, FindingDefinition, JsonObject, Table

if TYPE_CHECKING:
    from rft.training.privacy_facts import LedgerFacts

LEDGER_EPSILON = FindingDefinition(
    "privacy.ledger_epsilon",
    "Epsilon of everything that is recorded about these people",
    "How much all models that were trained on this population, released together, can depend on any one of its units, "
    "at most: this run, its frontier and canaries as far as they are in the ledger, and all runs before it.",
    unit="epsilon",
    caveats="Knows only trainings that were recorded in this ledger. Covers no training without privacy, no choice of "
    "settings by looking at results, and no evaluation.",
    cases="none",
    better="lower",
    headline=True,
    rounding="up",
)
NO_POPULATION = "data.population does not name whose data this is, so that no ledger adds up what several runs spend"
CAPTIONS = {
    "ledger": "Where the ledger of the population stood after this run. The last entry's hash stands in evidence.json.",
    "ledger_trainings": "Trainings that were charged to the people of this population, the present one included, and "
    "when they began, but for those of the process that made this run. Steps are of each head; the noise multiplier is "
    "the least and the largest of its heads.",
}


def ledger_chapter(facts: LedgerFacts | None) -> PrivacyChapter:
    """Return findings and tables about the facts of an account, the latest of a run; None where nothing is recorded."""
    if facts is None:
        return PrivacyChapter(
            "Ledger",
            findings=(LEDGER_EPSILON.state_not_measured(NO_POPULATION, absence="not_asked"),),
            computed_from="train",
        )
    trainings: Table = [dict(row) for row in facts.trainings]
    findings = [_epsilon_finding(facts), _elsewhere_finding(facts), _interruptions_finding(trainings)]
    if facts.budget is not None:
        findings.insert(1, _remaining_finding(facts))
    return PrivacyChapter(
        "Ledger",
        findings=tuple(findings),
        tables={"ledger": _ledger_table(facts), "ledger_trainings": trainings},
        captions=CAPTIONS,
        computed_from="train",
        ledger=facts,
    )


def ledger_evidence(chapters: Iterable[PrivacyChapter]) -> JsonObject | None:
    """Return what ``evidence.json`` keeps of the ledger: population, entries and head; None without a ledger.

    The hash of the last entry stands there alone: entries hold times and random names, so that it is another in every
    run, and what is in ``audit.json`` beside ``run.volatile`` is not.
    """
    stands = [chapter.ledger for chapter in chapters if chapter.ledger is not None]
    if not stands:
        return None
    last = max(stands, key=lambda stand: stand.entries)  # a ledger only grows
    return {"population": last.population, "entries": last.entries, "head": last.head}


def _epsilon_finding(facts: LedgerFacts) -> Finding:
    n = facts.units
    if facts.seeded:
        return LEDGER_EPSILON.state_not_measured(_explain_seeded(facts), n=n)
    if not math.isfinite(facts.epsilon):
        return LEDGER_EPSILON.state_not_measured("no accountant gives a finite epsilon", n=n)
    return LEDGER_EPSILON.state_fact(
        facts.epsilon,
        n=n,
        description=f"{LEDGER_EPSILON.description} At delta {facts.delta:.2g}, composed by {facts.accountant}.",
    )


def _explain_seeded(facts: LedgerFacts) -> str:
    return (
        f"{facts.seeded} of {len(facts.trainings)} trainings drew samples and noise from a seed (randomness = "
        '"seeded"), which protects nobody from those who know it'
    )


def _remaining_finding(facts: LedgerFacts) -> Finding:
    definition = FindingDefinition(
        "privacy.ledger_remaining",
        "What is left of the budget",
        f"The budget of {facts.budget:g}, fixed by the first training on these people, less what is spent.",
        unit="epsilon",
        caveats="Trainings compose to less than their sum: a further one may spend somewhat more than this.",
        cases="none",
        headline=True,
        rounding="down",
    )
    if facts.seeded:
        return definition.state_not_measured(_explain_seeded(facts))
    assert facts.remaining is not None, "asked of a population with a budget"
    return definition.state_fact(facts.remaining)


def _elsewhere_finding(facts: LedgerFacts) -> Finding:
    count = facts.elsewhere
    remark = " What was spent there is not counted here, unless that folder was moved to where the ledger is now."
    definition = FindingDefinition(
        "privacy.ledger_elsewhere",
        "Other folders in which a ledger of this population is remembered",
        "Folders other than the present one in which this user kept a ledger of a population by this name."
        + remark * bool(count),
        unit="folders",
        caveats="Knows ledgers of this user on this machine, by the state folder; none of other users or machines.",
        cases="none",
    )
    return definition.state_count(count, status="warn" if count else "info")


def _interruptions_finding(trainings: Table) -> Finding:
    definition = FindingDefinition(
        "privacy.ledger_interruptions",
        "Interruptions after which steps were charged again",
        "A training that is interrupted between two checkpoints takes these steps again, and is charged again.",
        unit="interruptions",
        caveats="At most 5 % of the steps lie between checkpoints. Epsilon may be over-counted by them, never under.",
        cases="none",
    )
    return definition.state_count(sum(int(row["interruptions"] or 0) for row in trainings), n=len(trainings))


def _ledger_table(facts: LedgerFacts) -> Table:
    epsilon, remaining = (
        (None, None) if facts.seeded else (_finite_or_none(facts.epsilon), _number_or_none(facts.remaining))
    )
    rows: list[tuple[str, Cell, str]] = [
        ("population", facts.population, "Whose spending is added up, as data.population names them."),
        ("overlaps", ", ".join(facts.overlaps) or "none", "Populations with people in common; they count."),
        ("units", facts.units, "Different units, or examples where there are none, of all trainings so far."),
        ("epsilon", epsilon, "Of all trainings in the table below together."),
        ("delta", facts.delta, "At which they are added up: that of the first training."),
        ("budget", _number_or_none(facts.budget), "Fixed by the first training, or never."),
        ("remaining", remaining, "Budget less epsilon."),
        ("entries", facts.entries, "Of the ledger, each with the hash of the one before it."),
    ]
    if facts.resumed_at:
        description = (
            "The checkpoint of an interrupted training that this run went on from; later steps were charged twice."
        )
        rows.append(("resumed at step", facts.resumed_at, description))
    return [dict(zip(("quantity", "value", "description"), row, strict=True)) for row in rows]


def _number_or_none(number: float | None) -> Cell:
    return "none" if number is None else _finite_or_none(number)


def _finite_or_none(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
