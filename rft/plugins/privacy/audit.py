"""The section on privacy: its chapters, in the order in which a reviewer asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rft.disclosure.withheld import Counted
from rft.plugins import AuditedModel
from rft.plugins.privacy import PrivacyOptions
from rft.plugins.privacy.accounting import claim
from rft.plugins.privacy.accounting.findings import no_spending_piece, self_test_piece, spending_piece
from rft.plugins.privacy.accounting.section import accounting_piece
from rft.plugins.privacy.attacks import scores as attacks
from rft.plugins.privacy.attacks.membership import membership_piece
from rft.plugins.privacy.chapter import Piece
from rft.plugins.privacy.empirical.section import empirical_piece
from rft.plugins.privacy.frontier.training import frontier_piece
from rft.plugins.privacy.leakage.attribute_inference import probe_piece
from rft.plugins.privacy.leakage.near_duplicates import near_duplicates_piece
from rft.plugins.privacy.ledger.section import ledger_piece, stand_of_ledger
from rft.records import Chapter, Section

if TYPE_CHECKING:
    from rft.training import Facts

Pieces = dict[str, Piece]  # by the title of the chapter


def audit(audited: AuditedModel, options: PrivacyOptions) -> Section:
    """Return the section. Without a private fit epsilon is not measured; the attacks need predictions only."""
    facts: Facts = audited.fit.facts if audited.fit else {}
    void = _void(audited, facts)
    pieces = _private(audited, options, facts, void) if facts.get("mode") == "private" else _standard(audited, options)
    pieces |= {
        "Membership attacks": membership_piece(audited, options),
        "What the frozen features give away": probe_piece(audited),
        "Near-duplicates": near_duplicates_piece(audited),
    }
    untested = Piece(notes=claim.untested(facts, pieces.values()))
    return _section(
        {"What is covered, and what is not": _scope(facts, void)} | pieces | {"What was not tested": untested}
    )


def _void(audited: AuditedModel, facts: Facts) -> str | None:
    """Return why the promise of a private fit does not hold, whatever was computed; None where nothing says so.

    Epsilon is then given nowhere, so that no rule can pass on it.
    """
    if facts.get("mode") != "private":
        return None
    if any(row["outcome"] != "passed" for row in facts["self_test"]):
        return "the self-test of the training failed"
    return audited.facts.training.void or facts["void"]


def counted(audited: AuditedModel, options: PrivacyOptions) -> Iterator[Counted]:
    """Yield the rows that numbers of groups rest on: who is attacked, and the cases of the rates of the trade-off."""
    target = attacks.target(audited.predictions, audited.facts.classes)
    attacked = set(target.rows["id"])
    for split in ("train", "test"):
        rows = audited.predictions[audited.predictions["split"] == split]
        masks = [rows["id"].isin(attacked).to_numpy()]
        if options.frontier and split == "test":
            favourable = (rows["label"] == audited.facts.positive).to_numpy()
            masks += [favourable, ~favourable]
        yield from (Counted(split, (name,), mask) for name in target.attributes for mask in masks if len(rows))


def _scope(facts: Facts, void: str | None) -> Piece:
    caption = "What of this run is under differential privacy, follows from what is, or was made without noise."
    return Piece(tables={"scope": claim.scope(facts, void)}, captions={"scope": caption})


def _standard(audited: AuditedModel, options: PrivacyOptions) -> Pieces:
    return {"What training spent": no_spending_piece(audited), "Epsilon from below": empirical_piece(audited, options)}


def _private(audited: AuditedModel, options: PrivacyOptions, facts: Facts, void: str | None) -> Pieces:
    """Return what is known of a private fit; what else is trained privately is charged before the ledger is read."""
    unit = audited.facts.training.unit or facts["unit"]
    frontier, empirical = frontier_piece(audited, options), empirical_piece(audited, options, void)
    ledger = empirical.ledger or frontier.ledger or facts["ledger"]
    if ledger:  # by now the state folder remembers the present folder
        ledger = {**ledger, "elsewhere": facts["ledger"]["elsewhere"]}
    return {
        "What training spent": spending_piece(facts, unit, (*frontier.mechanisms, *empirical.mechanisms), void),
        "How that was counted": accounting_piece(facts, void),
        "Self-test": self_test_piece(facts),
        "Ledger": ledger_piece(ledger),
        "What privacy costs, and whom": frontier,
        "Epsilon from below": empirical,
    }


def _section(pieces: Pieces) -> Section:
    """Put the pieces together, each as a chapter; one that has nothing to show is left out."""
    chapters = [
        Chapter(
            title=title,
            text=piece.notes,
            findings=tuple(finding.id for finding in piece.findings),
            tables=tuple(piece.tables),
            figures=tuple(figure.id for figure in piece.figures),
        )
        for title, piece in pieces.items()
        if piece.findings or piece.tables or piece.notes
    ]
    tables = {name: table for piece in pieces.values() for name, table in piece.tables.items()}
    return Section(
        plugin="privacy",
        title="Privacy",
        findings=tuple(finding for piece in pieces.values() for finding in piece.findings),
        tables=tables,
        evidence=stand_of_ledger(tables),
        captions={name: caption for piece in pieces.values() for name, caption in piece.captions.items()},
        figures=tuple(figure for piece in pieces.values() for figure in piece.figures),
        chapters=tuple(chapters),
    )
