"""The verdict in words: which rules are broken first, each with its value, interval, bound and reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rft import number_format
from rft.records import AuditRun, Finding, RuleOutcome, Verdict
from rft.report.format.words import end_sentence, join_names
from rft.report.views.findings import make_anchor, view_finding

OUTCOME_WORDS = {"pass": "Pass", "fail": "Fail", "uncertain": "Uncertain", "no_rules": "No rules"}
CONFIDENCE_LEVEL = 0.95  # of the intervals of findings
OUTCOMES_IN_SENTENCES = {"fail": "is broken", "uncertain": "cannot be settled by what was measured"}
PARTS = {"fail": "broken", "uncertain": "undecided", "pass": "met"}
NOT_MEASURED = "not measured: "  # begins the reason of a rule that has no value to judge
WORST_FIRST = ("fail", "uncertain", "pass")


@dataclass(frozen=True)
class RuleView:
    """A rule with its outcome.

    Attributes:
        title: what it is about: the title of its finding; its id where the run has none; the rule itself where it is
            built in.
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
    """The verdict.

    Attributes:
        status, word: of the verdict.
        sentence: names the worst rule.
        note: at which level the ranges of its rules are, and who is too small to be compared.
        source: where the rules stand.
        rules: worst first.
    """

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

    @property
    def scope(self) -> str:
        """Where the rules were set, and what they say nothing of."""
        if self.has_bounds:
            return f"The rules were set in {self.source}; meeting them proves nothing about laws."
        return "Nobody set a rule; what is judged here is built into rft." if self.rules else ""


def view_verdict(run: AuditRun, verdict: Verdict | None = None) -> VerdictView:
    """Return a verdict over the findings of a run in words: its own, or a later one."""
    verdict = verdict or run.verdict
    findings = {finding.id: finding for section in run.sections for finding in section.findings}
    outcomes = sorted(verdict.rules, key=lambda outcome: WORST_FIRST.index(outcome.outcome))
    rules = _say_reasons_once([_view_rule(outcome, findings) for outcome in outcomes])
    status = verdict.status
    return VerdictView(
        status=status,
        word=OUTCOME_WORDS[status],
        sentence=_explain_verdict(status, rules),
        note=" ".join([_explain_ranges(outcomes, findings), *_name_small_groups(outcomes)]),
        source=verdict.source,
        rules=rules,
    )


def _view_rule(outcome: RuleOutcome, findings: dict[str, Finding]) -> RuleView:
    finding = findings.get(outcome.finding)
    reasons = outcome.reason or outcome.explanation, compare_with_guessing(outcome, findings)
    ends = (outcome.interval.low, outcome.interval.high) if outcome.interval else None
    return RuleView(
        outcome=outcome.outcome,
        word=OUTCOME_WORDS[outcome.outcome],
        title=title_rule(outcome, finding),
        bound=outcome.asked,
        value=view_finding(finding).value if finding else "",
        interval=number_format.format_interval(*ends) if ends else "",
        reason="; ".join(filter(None, reasons)),
        because=outcome.because,
        anchor=make_anchor(outcome.finding) if finding else "",
        open_by_chance=ends is not None and any(ends[0] <= bound <= ends[1] for bound in outcome.bounds.values()),
    )


def compare_with_guessing(outcome: RuleOutcome, findings: Mapping[str, Finding]) -> str:
    """Say that always guessing meets the least value of a rule, too; empty where it does not, or nobody knows.

    What always guessing reaches is the finding with ``baseline_`` in front of the name of the one that is judged. It is
    read here and not kept with the outcome, since it may be withheld where the outcome is not.
    """
    plugin, _, name = outcome.finding.partition(".")
    baseline, least = findings.get(f"{plugin}.baseline_{name}"), outcome.bounds.get("min")
    if baseline is None or baseline.value is None or least is None or least > baseline.value:
        return ""
    reached = number_format.format_quantity(baseline.value, baseline.unit)
    return f"always guessing the commonest class reaches {reached}, too"


def _say_reasons_once(rules: Sequence[RuleView]) -> tuple[RuleView, ...]:
    """Return the rules; why several were not measured stands with the first of them alone."""
    first: dict[str, str] = {}
    shown = []
    for rule in rules:
        why = rule.reason.removeprefix(NOT_MEASURED)
        title = first.setdefault(why, rule.title)
        repeats = not rule.value and title != rule.title
        shown.append(replace(rule, reason=f"not measured, for the same reason as “{title}”") if repeats else rule)
    return tuple(shown)


def title_rule(outcome: RuleOutcome, finding: Finding | None) -> str:
    """Return what a rule is called: by the title of its finding, where the run has it; by itself where built in."""
    if not outcome.asked:
        return f"{outcome.rule[:1].upper()}{outcome.rule[1:]} (built in)"
    return finding.title if finding else outcome.finding


def _explain_verdict(status: str, rules: tuple[RuleView, ...]) -> str:
    if status == "no_rules":
        return "This run has no rules, so nothing was judged: this is neither a pass nor a fail."
    if status == "pass":
        return "The one rule is met." if len(rules) == 1 else f"All {len(rules)} rules are met."
    worst = rules[0]
    if status == "uncertain" and not worst.bound:
        return f"{worst.title}: {PARTS[status]}. {_count_outcomes(rules)}"
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


def _explain_ranges(outcomes: Iterable[RuleOutcome], findings: dict[str, Finding]) -> str:
    """Say at which level the ranges of a verdict are, and why they may be wider than those of its findings."""
    judged = [outcome for outcome in outcomes if outcome.interval is not None and outcome.level is not None]
    levels = sorted({outcome.level for outcome in judged if outcome.level is not None})
    said = "In brackets: the range of values that the sample allows, at 95 %."
    if levels and levels[-1] > CONFIDENCE_LEVEL:
        written = join_names([f"{100 * level:.4g} %" for level in levels])
        said = (
            f"In brackets: the range of values that the sample allows, in these rules at {written}, so that at "
            "95 % all of them hold together (each estimate that a rule names counts, measured or not); elsewhere at "
            "95 %."
        )
    if any(_is_exact_beside_usual(outcome, findings.get(outcome.finding)) for outcome in judged):
        said = f"{said} Rules take exact limits (Clopper-Pearson), findings the usual, narrower ones (Wilson)."
    return said


def _is_exact_beside_usual(outcome: RuleOutcome, finding: Finding | None) -> bool:
    """Whether a rule is judged by exact limits, where its finding is shown with those of Wilson."""
    methods = [interval.method if interval else "" for interval in (outcome.interval, finding and finding.interval)]
    return methods[0].startswith("Clopper-Pearson") and methods[1].startswith("Wilson")


def _name_small_groups(outcomes: Iterable[RuleOutcome]) -> list[str]:
    """Name the groups that were too small to be compared and entered rules all the same."""
    judged = [outcome for outcome in outcomes if outcome.interval is not None]
    names = list(dict.fromkeys(name for outcome in judged for name in outcome.small_groups))
    if not names:
        return []
    return [f"Too small to be compared, so that they enter the rules by their exact ranges alone: {join_names(names)}."]
