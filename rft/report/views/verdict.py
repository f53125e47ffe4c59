"""The verdict in words: which rules are broken first, each with its value, interval, bound and reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rft import number_format
from rft.records import AuditRun, Finding, RuleOutcome, Verdict
from rft.report.format.words import end_sentence, join_names
from rft.report.views.findings import make_anchor, view_finding

OUTCOME_WORDS = {"pass": "Pass", "fail": "Fail", "uncertain": "Uncertain", "no_rules": "Not judged"}
CONFIDENCE_LEVEL = 0.95  # of the intervals of findings
OUTCOMES_IN_SENTENCES = {"fail": "is broken", "uncertain": "cannot be settled by what was measured"}
PARTS = {"fail": "broken", "uncertain": "undecided", "pass": "met"}
WORST_FIRST = ("fail", "uncertain", "pass")


@dataclass(frozen=True)
class RuleView:
    """A rule with its outcome.

    Attributes:
        title: what it is about: the title of its finding; its id where the run has none.
        bound: ``at most 0.1``; empty for a rule that is built in.
        value, interval: what was measured, and the interval that was judged; empty where there is none.
        reason: why this outcome.
        because: where the bound comes from, in the user's words.
        anchor: leads to the finding; empty when the run has none of this name.
        open_by_chance: the interval lies across a bound.
    """

    outcome: str
    word: str
    title: str
    bound: str
    value: str
    interval: str
    reason: str
    because: str
    anchor: str
    open_by_chance: bool


@dataclass(frozen=True)
class VerdictView:
    """The verdict: a word, a sentence that names the worst rule, the rules worst first, and what no rule judges."""

    status: str
    word: str
    sentence: str
    note: str
    source: str
    rules: tuple[RuleView, ...]

    @property
    def has_bounds(self) -> bool:
        """Whether any rule was set by somebody: those that are built in have no bound."""
        return any(rule.bound for rule in self.rules)


def view_verdict(run: AuditRun, verdict: Verdict | None = None) -> VerdictView:
    """Return a verdict over the findings of a run in words: its own, or a later one."""
    verdict = verdict or run.verdict
    findings = {finding.id: finding for section in run.sections for finding in section.findings}
    outcomes = sorted(verdict.rules, key=lambda outcome: WORST_FIRST.index(outcome.outcome))
    rules = tuple(_view_rule(outcome, findings) for outcome in outcomes)
    status = verdict.status
    return VerdictView(
        status=status,
        word=OUTCOME_WORDS[status],
        sentence=_explain_verdict(status, rules),
        note=" ".join([*_explain_levels(outcomes), *_name_small_groups(outcomes)]),
        source=verdict.source,
        rules=rules,
    )


def _view_rule(outcome: RuleOutcome, findings: dict[str, Finding]) -> RuleView:
    finding = findings.get(outcome.finding)
    ends = (outcome.interval.low, outcome.interval.high) if outcome.interval else None
    return RuleView(
        outcome=outcome.outcome,
        word=OUTCOME_WORDS[outcome.outcome],
        title=finding.title if finding else outcome.finding,
        bound=outcome.asked,
        value=view_finding(finding).value if finding else "",
        interval=number_format.format_interval(*ends) if ends else "",
        reason=outcome.reason or outcome.explanation,
        because=outcome.because,
        anchor=make_anchor(outcome.finding) if finding else "",
        open_by_chance=ends is not None and any(ends[0] <= bound <= ends[1] for bound in outcome.bounds.values()),
    )


def _explain_verdict(status: str, rules: tuple[RuleView, ...]) -> str:
    if status == "no_rules":
        return "This run has no rules, so nothing was judged: this is neither a pass nor a fail."
    if status == "pass":
        return "The one rule is met." if len(rules) == 1 else f"All {len(rules)} rules are met."
    worst = rules[0]
    asked = f" is {worst.value}; {worst.bound} was asked" if worst.value and worst.bound else f": {worst.reason}"
    if status == "fail":
        return f"{end_sentence(worst.title + asked)} {_count_outcomes(rules)}"
    chance = f"; its range {worst.interval} lies on both sides of that bound" * worst.open_by_chance
    return f"{end_sentence(worst.title + asked + chance)} {_count_outcomes(rules)}"


def _count_outcomes(rules: tuple[RuleView, ...]) -> str:
    """Return how many rules have which outcome, worst first: a rule that is not broken need not be met."""
    if len(rules) == 1:
        return f"The one rule {OUTCOMES_IN_SENTENCES[rules[0].outcome]}."
    counts = [(sum(rule.outcome == outcome for rule in rules), outcome) for outcome in WORST_FIRST]
    return f"Of {len(rules)} rules: {', '.join(f'{count} {PARTS[outcome]}' for count, outcome in counts if count)}."


def _explain_levels(outcomes: Iterable[RuleOutcome]) -> list[str]:
    """Say why the intervals of rules are wider than those of the findings."""
    levels = sorted(
        {outcome.level for outcome in outcomes if outcome.level is not None and outcome.level > CONFIDENCE_LEVEL}
    )
    if not levels:
        return []
    written = join_names([f"{100 * level:.4g} %" for level in levels])
    return [f"Ranges in the rules are wider than below ({written}), since several are judged together."]


def _name_small_groups(outcomes: Iterable[RuleOutcome]) -> list[str]:
    names = list(dict.fromkeys(name for outcome in outcomes for name in outcome.small_groups))
    if not names:
        return []
    return [f"Too small to be compared, so that their exact intervals alone enter the rules: {join_names(names)}."]
