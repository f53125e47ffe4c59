"""Epsilon from below: what the audits of the mechanism and of a twin refute, beside what the accountant promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rft.plugins import AuditedModel
from rft.plugins.privacy import PrivacyOptions
from rft.plugins.privacy.chapter import Piece
from rft.plugins.privacy.empirical.canary_model_section import twin_part
from rft.plugins.privacy.empirical.epsilon_bounds import sides_piece
from rft.plugins.privacy.empirical.mechanism_section import mechanism_part

if TYPE_CHECKING:
    from rft.training import Facts

OWN_SEEDS = 1_000_003  # added to the run's seed, so that audits share no random numbers with training


def empirical_piece(audited: AuditedModel, options: PrivacyOptions, void: str | None = None) -> Piece:
    """Audit the mechanism and, where canaries are asked for, train and attack a twin.

    A claim that is refuted (at most one time in a thousand where it holds) is a ``fail``: integrity is broken. Where
    nothing is claimed since it would be ``void``, nothing is audited.
    """
    facts: Facts = audited.fit.facts if audited.fit else {}
    seed = audited.seed + OWN_SEEDS
    parts = (mechanism_part(audited, options, facts, seed, void), twin_part(audited, options, facts, seed, void))
    both = sides_piece(facts, [side for part in parts for side in part.sides])
    pieces = (both, *(part.piece for part in parts))
    return Piece(
        findings=tuple(finding for piece in pieces for finding in piece.findings),
        tables={name: table for piece in pieces for name, table in piece.tables.items()},
        captions={name: caption for piece in pieces for name, caption in piece.captions.items()},
        figures=tuple(figure for piece in pieces for figure in piece.figures),
        notes=tuple(note for piece in pieces for note in piece.notes),
        mechanisms=tuple(mechanism for piece in pieces for mechanism in piece.mechanisms),
        ledger=next((piece.ledger for piece in pieces if piece.ledger), {}),
    )
