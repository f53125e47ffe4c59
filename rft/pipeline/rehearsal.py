"""A rehearsal of the audits that read predictions alone, on predictions without a mistake.

What these cannot settle, no model can: the test split is too small for it. And they take as long as the real ones.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rft.config.schema import Rule
from rft.data import Dataset
from rft.data.splits import suggest_test_share
from rft.number_format import format_count
from rft.pipeline.plan import AuditPlan
from rft.pipeline.plugin_audits import audit_with_plugin, state_inapplicable_audit
from rft.pipeline.targets.audited import build_audited_model
from rft.pipeline.targets.prediction_table import tabulate_predictions
from rft.plugins import AuditedModel
from rft.records import Finding, RuleOutcome, Section, Training
from rft.stats.scores.classification import METRICS
from rft.stats.settling import cases_to_settle
from rft.verdict.policy import judge_rules, judge_without_rules, round_up

BUILT_IN = "built-in rule: "  # begins the sentence on a rule that nobody set


@dataclass(frozen=True)
class Rehearsal:
    """What came of it.

    Attributes:
        sections: of the audits that read predictions alone.
        missing: sections of the other audits, where predictions are all there is and these cannot do with them.
        seconds: plugin -> what its audit took.
    """

    sections: Sequence[Section]
    missing: Sequence[Section]
    seconds: Mapping[str, float]


def rehearse_audits(plan: AuditPlan, dataset: Dataset) -> Rehearsal:
    """Run the audits that read predictions alone, on predictions of these examples without a mistake."""
    if not dataset.classes:  # error counts of transcripts without a mistake do not vary, and have no interval
        core = plan.settings.core
        stated = [
            state_inapplicable_audit(active.plugin, core.task, trained=not core.external) for active in plan.active
        ]
        return Rehearsal((), [section for section in stated if section is not None and section.audit_missing], {})
    audited = _predict_without_mistake(plan, dataset)
    sections, missing, seconds = [], [], {}
    for participant in plan.active:
        if participant.plugin.reads_predictions_alone:
            start = time.perf_counter()
            sections.append(audit_with_plugin(participant, audited))
            seconds[participant.name] = time.perf_counter() - start
        elif plan.settings.core.predictions is not None:
            section = audit_with_plugin(participant, audited)
            missing += [section] if section.audit_missing or section.unanswered else []
    return Rehearsal(sections, missing, seconds)


def _predict_without_mistake(plan: AuditPlan, dataset: Dataset) -> AuditedModel:
    certain = np.eye(len(dataset.classes))
    predictions = tabulate_predictions(dataset, lambda name: certain[dataset.splits[name].labels])
    training = Training(mode="external")
    return build_audited_model(plan.settings, dataset, predictions, modality="predictions", training=training)


def list_impossible_rules(rules: Sequence[Rule], rehearsal: Rehearsal, dataset: Dataset) -> Iterator[str]:
    """Yield a sentence for each rule, built-in ones first, that no result on this test split could meet.

    Args:
        rules: of the config.
        rehearsal: of its audits.
        dataset: that they read.
    """
    for outcome in judge_without_rules([*rehearsal.sections, *rehearsal.missing]):
        if outcome.outcome == "uncertain":
            because = outcome.because.removeprefix("built in: ")
            yield f"{BUILT_IN}{outcome.rule}: cannot be met, whatever the model does: {outcome.explanation} ({because})"
    findings = {finding.id: finding for section in rehearsal.sections for finding in section.findings}
    judged = [rule for rule in rules if rule.finding in findings]
    outcomes = [outcome for outcome in judge_rules(judged, rehearsal.sections).rules if outcome.asked]
    for rule, outcome in zip(judged, outcomes, strict=True):
        if outcome.outcome == "uncertain":
            yield from _explain_impossible(rule, outcome, findings[rule.finding], dataset)


def is_built_in(sentence: str) -> bool:
    """Tell whether a sentence of ``list_impossible_rules`` is about a rule that nobody set."""
    return sentence.startswith(BUILT_IN)


def _explain_impossible(rule: Rule, outcome: RuleOutcome, finding: Finding, dataset: Dataset) -> Iterator[str]:
    """Yield why even a perfect result would leave a rule open, and what would change that; nothing where it is not."""
    if finding.small_groups:
        small = ", ".join(finding.small_groups)
        reason = f": {finding.reason}" if finding.value is None else f" while {small} are too small to be compared"
        yield f"{outcome.rule}: cannot be met on this test split, whatever the model does{reason}"
        return
    if finding.value is not None and outcome.interval is None:
        yield f"{outcome.rule}: cannot be settled, whatever the model does; even without a mistake: {outcome.reason}"
        return
    crossed = _find_crossed_bound(rule, outcome, finding)
    if crossed is None or outcome.interval is None or not finding.n:
        return
    (bound, end), interval = crossed, outcome.interval
    enough = round_up(cases_to_settle(finding.n, finding.value or 0.0, end, bound, share=True))
    cases = "examples" if dataset.splits["test"].units is None else "units"
    yield (
        f"{outcome.rule}: cannot be met by {format_count(finding.n)} test {cases}. Even without a mistake the interval "
        f"would be {interval.low:.4g} to {interval.high:.4g} at {100 * (outcome.level or 0):.4g} %; about "
        f"{format_count(enough)} would do ({suggest_test_share(enough, _count_cases(dataset), dataset.drawn_share)})"
    )


def _find_crossed_bound(rule: Rule, outcome: RuleOutcome, finding: Finding) -> tuple[float, float] | None:
    """Return the bound that the interval of a perfect value lies across, and its end beyond; None for other values."""
    low, high = rule.allowed_range
    interval = outcome.interval
    metric = METRICS.get(finding.about.metric or "")
    if metric is not None and metric.direction is None:  # such as a selection rate: without a mistake it may be any
        return None
    if interval is not None and finding.value == 1 and interval.low < low <= 1:
        return low, interval.low
    if interval is not None and finding.value == 0 and 0 <= high < interval.high:
        return high, interval.high
    return None


def _count_cases(dataset: Dataset) -> int:
    """Return how many units, or examples where none are declared, all splits have together."""
    splits = dataset.splits.values()
    return sum(len(split) if split.units is None else len(set(split.units.tolist())) for split in splits)
