"""What one part of the privacy audit adds to the section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rft.plugins.privacy.accounting import Mechanism
from rft.records import Figure, Finding, Table


@dataclass(frozen=True)
class Piece:
    """Findings, tables with their captions, figures drawn from these tables, and notes; in the order of the report.

    ``mechanisms`` are what it released of the training data beside the model, with privacy: heads of a frontier,
    twins with canaries. ``ledger`` is where the ledger stood after it, empty where it charged nothing.
    """

    findings: tuple[Finding, ...] = ()
    tables: Mapping[str, Table] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
    mechanisms: tuple[Mechanism, ...] = ()
    ledger: Mapping[str, Any] = field(default_factory=dict)
