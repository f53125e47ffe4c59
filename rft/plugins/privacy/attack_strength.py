"""Which of several attacks is named first, in the overview of a report and in a model card alike."""

from __future__ import annotations

from collections.abc import Iterable

from rft.records import Finding


def find_strongest_attack(findings: Iterable[Finding]) -> Finding | None:
    """Return the attack with the largest area under its ROC curve, of those shown to beat guessing where any is."""
    attacks = list_measured_attacks(findings)
    return max(attacks, key=lambda finding: (finding.status == "warn", finding.value or 0.0), default=None)


def list_measured_attacks(findings: Iterable[Finding]) -> list[Finding]:
    """Return the areas under ROC curves that attacks on all reached."""
    return [finding for finding in findings if finding.id.endswith("_auc") and finding.interval is not None]
