"""The section on privacy: its chapters, in the order in which a reviewer asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from rft.disclosure.withheld import Counted
from rft.plugins import AuditedModel
from rft.plugins.chapter_content import merge_chapters
from rft.plugins.privacy import PrivacyOptions
from rft.plugins.privacy.accounting import claim
from rft.plugins.privacy.accounting.findings import no_spending_chapter, self_test_chapter, spending_chapter
from rft.plugins.privacy.accounting.section import accounting_chapter
from rft.plugins.privacy.attacks import scores as attacks
from rft.plugins.privacy.attacks.membership import membership_chapter
from rft.plugins.privacy.chapter import PrivacyChapter
from rft.plugins.privacy.columns import declare_columns
from rft.plugins.privacy.empirical.section import empirical_chapter
from rft.plugins.privacy.frontier.training import frontier_chapter
from rft.plugins.privacy.leakage.attribute_inference import attribute_inference_chapter
from rft.plugins.privacy.leakage.near_duplicates import near_duplicates_chapter
from rft.plugins.privacy.ledger.section import ledger_chapter, ledger_evidence
from rft.records import Section

if TYPE_CHECKING:
    from rft.training.privacy_facts import PrivacyFacts


COVERAGE_HEADING = "What differential privacy covers, and what it does not"  # in the model card


def audit(audited: AuditedModel, options: PrivacyOptions) -> Section:
    """Return the section. Without a private fit epsilon is not measured; the attacks need predictions only."""
    facts = audited.fit.privacy if audited.fit else None
    void = _explain_void(audited, facts)
    chapters = [
        _scope_chapter(facts, void),
        *(
            _private_chapters(audited, options, facts, void)
            if facts is not None
            else _standard_chapters(audited, options)
        ),
        membership_chapter(audited, options),
        attribute_inference_chapter(audited),
        near_duplicates_chapter(audited),
    ]
    untested = claim.list_untested(facts, chapters)
    chapters.append(PrivacyChapter("What was not tested", text=untested, computed_from="facts"))
    return merge_chapters(
        "privacy",
        "Privacy",
        chapters,
        columns=declare_columns(audited.facts.name_units(declared=_has_units(audited))),
        card_tables={"scope": COVERAGE_HEADING},
        evidence=ledger_evidence(chapters),
    )


def _explain_void(audited: AuditedModel, facts: PrivacyFacts | None) -> str | None:
    """Return why the promise of a private fit does not hold, whatever was computed; None where nothing says so.

    Epsilon is then given nowhere, so that no rule can pass on it.
    """
    if facts is None:
        return None
    if any(row["outcome"] != "passed" for row in facts.self_test):
        return "the self-test of the training failed"
    return audited.facts.training.void or facts.void


def counted_rows(audited: AuditedModel, options: PrivacyOptions) -> Iterator[Counted]:
    """Yield the rows that numbers of groups rest on: who is attacked, and the cases of the rates of the trade-off."""
    target = attacks.read_attack_target(audited.predictions, audited.facts.classes)
    attacked = set(target.rows["id"])
    for split in ("train", "test"):
        rows = audited.predictions[audited.predictions["split"] == split]
        masks = [rows["id"].isin(attacked).to_numpy()]
        if options.frontier and split == "test" and audited.facts.task == "classification":
            favourable = (rows["label"] == audited.facts.positive).to_numpy()
            masks += [favourable, ~favourable]
        yield from (Counted(split, (name,), mask) for name in target.attributes for mask in masks if len(rows))


def _scope_chapter(facts: PrivacyFacts | None, void: str | None) -> PrivacyChapter:
    caption = "What of this run is under differential privacy, follows from what is, or was made without noise."
    return PrivacyChapter(
        "What is covered, and what is not",
        tables={"scope": claim.scope_table(facts, void)},
        captions={"scope": caption},
        computed_from="facts",
    )


def _standard_chapters(audited: AuditedModel, options: PrivacyOptions) -> list[PrivacyChapter]:
    return [no_spending_chapter(audited), empirical_chapter(audited, options)]


def _private_chapters(
    audited: AuditedModel, options: PrivacyOptions, facts: PrivacyFacts, void: str | None
) -> list[PrivacyChapter]:
    """Return what is known of a private fit; what else is trained privately is charged before the ledger is read."""
    unit = audited.facts.name_unit(declared=facts.unit == "unit")
    frontier, empirical = frontier_chapter(audited, options), empirical_chapter(audited, options, void)
    ledger = empirical.ledger or frontier.ledger or facts.ledger
    if ledger and facts.ledger:  # by now the state folder remembers the present folder
        ledger = replace(ledger, elsewhere=facts.ledger.elsewhere)
    return [
        spending_chapter(facts, unit, (*frontier.mechanisms, *empirical.mechanisms), void, task=audited.facts.task),
        accounting_chapter(facts, void),
        self_test_chapter(facts),
        ledger_chapter(ledger),
        frontier,
        empirical,
    ]


def _has_units(audited: AuditedModel) -> bool:
    return any(split.units is not None for split in audited.splits.values())
