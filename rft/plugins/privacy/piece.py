"""What one part of the privacy audit adds to the section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rft.records import Figure, Finding, Table


@dataclass(frozen=True)
class Piece:
    """Findings, tables with their captions, figures drawn from these tables, and notes; in the order of the report."""

    findings: tuple[Finding, ...] = ()
    tables: Mapping[str, Table] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
