"""What was chosen and what it does on test, as findings and notes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rft.number_format import format_fixed
from rft.plugins.fairness.measure.gaps import Gap
from rft.plugins.fairness.measure.group_metrics import SampleSizeRules
from rft.plugins.fairness.mitigation.dataset import SET_ASIDE_FROM_TRAIN, MitigationData
from rft.plugins.fairness.mitigation.decision_rules import Mixture
from rft.plugins.fairness.mitigation.frontier import EvaluatedCandidate
from rft.plugins.fairness.mitigation.measure import DecisionMetrics
from rft.plugins.fairness.mitigation.methods import feature_reweighting, reductions, thresholds
from rft.plugins.fairness.mitigation.methods.candidates import UNMITIGATED
from rft.plugins.fairness.mitigation.options import MitigationOptions
from rft.records import About, Adjusted, Finding, FindingDefinition
from rft.references import CLOPPER_PEARSON, WESTFALL_YOUNG, WILSON
from rft.stats import intervals, multiplicity
from rft.stats.gaps import rate_difference
from rft.stats.rates import Rate
from rft.stats.scores.classification import METRICS

SOURCES = {
    thresholds.METHOD: "Hardt, Price and Srebro 2016, NeurIPS",
    reductions.METHOD: "Agarwal et al. 2018, ICML",
    feature_reweighting.METHOD: "Kirichenko, Izmailov and Wilson 2022, arXiv:2204.02937",
}
LOWEST = "The lowest of several is biased downward; the interval allows for their number."
CHOSEN_BEFORE = "Chosen on validation examples before test was looked at."


@dataclass(frozen=True)
class MitigationOutcome:
    """What was chosen, and the test examples before and after it.

    Attributes:
        chosen: the candidate.
        before, after: the fine-tuned model and the mitigated one on test.
        unruled: test examples without a group that the rule knows, which the fine-tuned model decides.
        n: test examples.
    """

    chosen: EvaluatedCandidate
    before: DecisionMetrics
    after: DecisionMetrics
    unruled: int
    n: int


def state_refusal(options: MitigationOptions, reason: str) -> Finding:
    """Return the finding that says why there is no mitigation."""
    return _define_gap(options, _gap_title(options)).state_not_measured(reason)


def state_unfitted_methods(tried: Sequence[EvaluatedCandidate]) -> Iterator[Finding]:
    """Yield a finding for each method of which no candidate could be fitted."""
    for method in dict.fromkeys(evaluated.candidate.method for evaluated in tried):
        of_method = [evaluated.candidate for evaluated in tried if evaluated.candidate.method == method]
        if all(candidate.reason for candidate in of_method):
            reasons = "; ".join(dict.fromkeys(candidate.reason for candidate in of_method))
            words = method.replace("_", " ")
            definition = FindingDefinition(
                f"fairness.mitigation.{method}",
                f"Mitigation by {words}",
                f"What {words} would do to the groups ({SOURCES[method]}).",
            )
            yield definition.state_not_measured(reasons)


def state_outcome(
    choice: MitigationOutcome, options: MitigationOptions, size_rules: SampleSizeRules
) -> Iterator[Finding]:
    """Yield the gap, the accuracy and the worst-group accuracy on test, after mitigation and before it."""
    name = choice.chosen.candidate.name
    for suffix, words, measured in (
        ("", f"after mitigation ({name})", choice.after),
        ("_before", "before", choice.before),
    ):
        yield _state_gap(choice, options, measured, suffix, words)
        yield _state_accuracy(choice, measured, suffix, words)
        yield _state_worst_group(choice, options, size_rules, measured, suffix, words)


def _state_accuracy(choice: MitigationOutcome, measured: DecisionMetrics, suffix: str, words: str) -> Finding:
    definition = FindingDefinition(
        f"fairness.mitigation.accuracy{suffix}",
        f"Accuracy {words}",
        f"The share of test examples that get the right class {words.partition(' (')[0]}: "
        f"{format_fixed(choice.before.accuracy.value, 3)} before, "
        f"{format_fixed(choice.after.accuracy.value, 3)} after.",
        unit="fraction",
        caveats="" if suffix else CHOSEN_BEFORE,
        references=(WILSON,),
        better="higher",
        headline=not suffix,
    )
    return definition.state_estimate(
        measured.accuracy.value,
        interval=measured.accuracy.confidence_interval(),
        adjusted=multiplicity.adjust_interval(measured.accuracy.exact_interval),
        n=measured.accuracy.sample.units,
    )


def _define_gap(
    options: MitigationOptions,
    title: str,
    suffix: str = "",
    references: tuple[str, ...] = (),
    gap: Gap | None = None,
) -> FindingDefinition:
    """Return what the finding on the gap is about; without a gap it is not measured."""
    return FindingDefinition(
        f"fairness.mitigation.gap{suffix}",
        title,
        f"How far apart groups by {options.attribute} are in {METRICS[options.metric].label} once the gap is "
        "mitigated.",
        unit="fraction",
        about=About(attributes=(options.attribute,), metric=options.metric, classes=gap.single_classes if gap else ()),
        caveats=CHOSEN_BEFORE,
        references=references,
        better="lower",
        headline=not suffix,
    )


def _state_gap(
    choice: MitigationOutcome, options: MitigationOptions, measured: DecisionMetrics, suffix: str, words: str
) -> Finding:
    references = (*_references_of_gap(measured), SOURCES[choice.chosen.candidate.method])
    title = f"{_gap_title(options)}, {words}"
    definition = _define_gap(
        options, title, suffix, references, measured.compared if measured.gap is not None else None
    )
    adjusted, small = _judging_intervals(measured), _small_groups(measured)
    if measured.gap is None:
        reason = f"fewer than two groups can be compared on test: {measured.why_left_out or 'there is one only'}"
        return definition.state_not_measured(reason, n=choice.n, adjusted=adjusted, small_groups=small)
    before, after = choice.before.gap, choice.after.gap
    assert before is not None, "which groups are compared does not depend on decisions"
    assert after is not None, "which groups are compared does not depend on decisions"
    kept = choice.chosen.gap is not None and choice.chosen.gap <= options.max_gap
    return definition.state_estimate(
        measured.gap,
        interval=measured.gap_interval,
        adjusted=adjusted,
        n=sum(rate.sample.units for rate in measured.groups.values()),
        small_groups=small,
        status="info" if suffix or kept else "warn",
        description=f"{_describe_extremes(measured.groups, METRICS[options.metric].label)}. The gap is "
        f"{format_fixed(before, 3)} before and {format_fixed(after, 3)} after mitigation by "
        f"{choice.chosen.candidate.name}."
        + ("" if suffix or kept else f" No candidate keeps to {options.max_gap:g} on validation examples."),
        caveats=f"Left out: {measured.why_left_out}." if measured.left_out else "",
    )


def _judging_intervals(measured: DecisionMetrics) -> tuple[Adjusted, ...]:
    """Return what rules are judged by, the intervals of all groups at each level; empty where there are none."""
    gap = measured.compared
    assert gap is not None, "asked of what was measured on test"
    return multiplicity.adjusted_from_levels(gap.judging_intervals) if gap.judging_intervals else ()


def _small_groups(measured: DecisionMetrics) -> tuple[str, ...]:
    gap = measured.compared
    assert gap is not None, "asked of what was measured on test"
    return tuple(str(group.group) for group in gap.excluded)


def _references_of_gap(measured: DecisionMetrics) -> tuple[str, ...]:
    gap = measured.compared
    if gap is None or gap.interval is None:
        return ()
    return rate_difference.SOURCES if gap.of_two_shares else (WESTFALL_YOUNG,)


def _state_worst_group(
    choice: MitigationOutcome,
    options: MitigationOptions,
    size_rules: SampleSizeRules,
    measured: DecisionMetrics,
    suffix: str,
    words: str,
) -> Finding:
    definition = FindingDefinition(
        f"fairness.mitigation.worst_group_accuracy{suffix}",
        f"Worst-group accuracy, {words}",
        f"The lowest accuracy among the groups by {options.attribute} within each class, on test.",
        unit="fraction",
        about=About(attributes=(options.attribute,), metric="accuracy", classes="all"),
        caveats=LOWEST if suffix else f"{CHOSEN_BEFORE} {LOWEST}",
        references=(CLOPPER_PEARSON,),
        better="higher",
    )
    if measured.worst_cell is None:
        fewest = size_rules.min_reported_size
        reason = f"{measured.few_cells} groups within a class have fewer than {fewest} test examples or persons"
        return definition.state_not_measured(reason, n=choice.n)
    name, rate = measured.worst_cell
    before, after = choice.before.worst_cell, choice.after.worst_cell
    worse = not suffix and before is not None and after is not None and after[1].value < before[1].value
    return definition.state_estimate(
        rate.value,
        interval=measured.worst_interval(intervals.CONFIDENCE_LEVEL),
        adjusted=multiplicity.adjust_interval(measured.worst_interval),
        n=rate.sample.units,
        status="warn" if worse else "info",
        description=f"{definition.description} It is that of {name}, {_describe_sample(rate)}."
        + (" The group that is worst off is worse off than before." if worse else ""),
    )


def write_notes(
    choice: MitigationOutcome, tried: Sequence[EvaluatedCandidate], options: MitigationOptions, material: MitigationData
) -> tuple[str, ...]:
    """Return the paragraphs under the table."""
    return tuple(
        part
        for part in (
            _how_chosen(choice, tried, options, material),
            _how_it_decides(choice, options),
            f"{choice.unruled} of {choice.n} test examples have no {options.attribute} that the rule knows: the "
            "fine-tuned model decides about them alone."
            if choice.unruled
            else "",
            "The mitigated model is saved in the folder mitigated, with its predictions, and loads with rft.load. It "
            "decides with the fine-tuned model beside it and is refused where that is another one.",
        )
        if part
    )


def _how_chosen(
    choice: MitigationOutcome, tried: Sequence[EvaluatedCandidate], options: MitigationOptions, material: MitigationData
) -> str:
    chosen = choice.chosen
    assert chosen.gap is not None, "only what has a gap is chosen"
    aside = (
        f" The data has no validation split, so {len(set(material.choose.units))} units of train were set aside by a "
        "keyed hash of their names; no candidate was fitted to them."
        if material.chosen_on == SET_ASIDE_FROM_TRAIN
        else ""
    )
    kept = chosen.gap <= options.max_gap
    why = (
        f"the most accurate with a gap of at most {options.max_gap:g}"
        if kept
        else (f"the one with the smallest gap, {format_fixed(chosen.gap, 3)}: none keeps to {options.max_gap:g}")
    )
    unmitigated = next(evaluated for evaluated in tried if evaluated.candidate.method == UNMITIGATED)
    idle = (
        " The unmitigated model keeps to it as well and is no less accurate there: nothing on validation asks for "
        "mitigation."
        if unmitigated.gap is not None
        and unmitigated.gap <= options.max_gap
        and unmitigated.accuracy >= chosen.accuracy
        else ""
    )
    return (
        f"Mitigation: candidates were fitted to {len(material.fit)} training examples and one was chosen on "
        f"{len(material.choose)} of {material.chosen_on}: {chosen.candidate.name}, {why}.{aside}{idle} Training "
        "examples are scored out of fold, by heads trained as the model was on the other units. Test was looked at "
        "once, for the chosen one. The best of many candidates looks better on validation than it is."
    )


def _how_it_decides(choice: MitigationOutcome, options: MitigationOptions) -> str:
    rule = choice.chosen.candidate.rule
    assert rule is not None, "only what has a rule is chosen"
    group = (
        f"It needs the {options.attribute} of a person at prediction time, to apply another threshold: whether that "
        "may be asked and used is a legal question. "
        if rule.needs_group
        else f"It does not need the {options.attribute} of a person at prediction time. "
    )
    mixture = f"It is a mixture of {len(rule.shares)} linear heads. " if isinstance(rule, Mixture) else ""
    chance = (
        "It decides some cases by chance: two people with the same scores can get different decisions. A draw follows "
        "from the bytes of the item, so the same item gets the same decision every time; the probabilities stand in "
        "the columns of scores."
        if rule.randomised
        else "It decides nothing by chance."
    )
    return f"The chosen rule: {choice.chosen.candidate.name}. {group}{mixture}{chance}"


def _gap_title(options: MitigationOptions) -> str:
    return f"{METRICS[options.metric].label.capitalize()} gap by {options.attribute}"


def _describe_extremes(groups: dict[str, Rate], metric: str) -> str:
    lowest, *_, highest = [
        f"{format_fixed(rate.value, 3)} for {name} ({_describe_sample(rate)})" for name, rate in groups.items()
    ]
    return f"{metric.capitalize()} is {highest} and {lowest}"


def _describe_sample(rate: Rate) -> str:
    units = f" of {rate.sample.units} units" if rate.sample.repeats else ""
    return f"n = {rate.sample.rows}{units}"
