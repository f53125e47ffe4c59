"""A run as a model card may state it: a card goes wherever the model goes, so small cells are withheld in any case.

The report and ``audit.json`` keep to ``report.suppress_below``, which is off unless it is set.
"""

from __future__ import annotations

from rft.disclosure.release import restrict_for_card
from rft.disclosure.withheld import PUBLISHED_BELOW
from rft.records import AuditRun, Finding, RuleOutcome, Verdict

UN_NOISED = (
    "The results in this card are un-noised: they were computed from the data without noise, and no epsilon covers "
    "them."
)


def withheld_below(run: AuditRun) -> int:
    """Return the least count in the card of a run: ``report.suppress_below``, or ``PUBLISHED_BELOW``; 0 for any."""
    asked = run.run.table("report").get("suppress_below")
    return asked if isinstance(asked, int) else PUBLISHED_BELOW


def make_publishable(run: AuditRun, *, below: int | None = None) -> AuditRun:
    """Return a run without small cells, and without what the rules say of findings that are withheld.

    The outcomes of rules stay: a card must not show another verdict than the report. ``below`` is the least count that
    is shown, by default that of the card.
    """
    below = withheld_below(run) if below is None else below
    if not below:
        return run
    sections, data = restrict_for_card(run.sections, run.data, below)
    stated = {finding.id: finding for section in run.sections for finding in section.findings}
    left = {finding.id: finding for section in sections for finding in section.findings}
    changed = {id for id, finding in stated.items() if finding.small_groups or finding != left.get(id)}

    def restrict(verdict: Verdict) -> Verdict:
        rules = tuple(_explain_rule(rule, stated.get(rule.finding), changed, below) for rule in verdict.rules)
        return verdict.model_copy(update={"rules": rules})

    later = tuple(late.model_copy(update={"verdict": restrict(late.verdict)}) for late in run.later_verdicts)
    update = {"verdict": restrict(run.verdict), "later_verdicts": later, "pillars": ()}  # their sentences hold numbers
    return run.model_copy(update={"sections": sections, "data": data, **update})


def is_few(count: int, below: int) -> bool:
    """Tell whether a count of cases is too small to be stated; none at all is not."""
    return 0 < count < below


def _explain_rule(rule: RuleOutcome, finding: Finding | None, changed: set[str], below: int) -> RuleOutcome:
    """Return the rule without the numbers of a finding that small cells are a part of, by an interval at least."""
    if finding is None or finding.id not in changed or finding.status == "fail":
        return rule
    told = f"; too small to be compared: {', '.join(finding.small_groups)}" if finding.small_groups else ""
    reason = f"numbers are withheld in this card, since some rest on fewer than {below} cases{told}"
    return rule.without_numbers(reason)
