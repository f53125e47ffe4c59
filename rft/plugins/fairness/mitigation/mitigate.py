"""From an audited model to a mitigated one: fit candidates, choose one, measure it on test once, hand it over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from rft.disclosure.withheld import Withheld
from rft.errors import Unavailable
from rft.plugins import AuditedModel
from rft.plugins.chapter_content import ChapterContent
from rft.plugins.fairness.measure.group_metrics import DEFAULT_SIZE_RULES, SampleSizeRules
from rft.plugins.fairness.mitigation import findings, frontier, saved_rule
from rft.plugins.fairness.mitigation.dataset import (
    MitigationData,
    MitigationExamples,
    examples_of_split,
    require_linear_head,
)
from rft.plugins.fairness.mitigation.decision_rules import GroupThresholds, Rule, decide_by_rule
from rft.plugins.fairness.mitigation.findings import MitigationOutcome
from rft.plugins.fairness.mitigation.frontier import EvaluatedCandidate
from rft.plugins.fairness.mitigation.measure import DecisionMetrics, measure_decisions, one_hot_decisions
from rft.plugins.fairness.mitigation.methods import feature_reweighting, reductions, thresholds
from rft.plugins.fairness.mitigation.methods.candidates import UNMITIGATED, Candidate
from rft.plugins.fairness.mitigation.on_test import measure_on_test
from rft.plugins.fairness.mitigation.options import MitigationOptions

TITLE, FOLDER = "Mitigation", "mitigated"
BINARY_ONLY = "it decides between two classes, and there are {}"


@dataclass(frozen=True)
class MitigationResult:
    """What mitigation adds to the fairness section.

    Attributes:
        chapter: what was chosen, its gap and accuracies on test before and after, and the frontier of candidates on
            validation examples; or why nothing was.
        predictions: one row an example of every split, as in ``AuditedModel.predictions``, by the chosen rule; None
            where there is none. Where the rule decides by chance, a prediction is what was drawn.
        folders: writes the mitigated model, as ``rft.load`` reads it; empty where there is none.
    """

    chapter: ChapterContent
    predictions: pd.DataFrame | None = None
    folders: dict[str, Callable[[Path], None]] = field(default_factory=dict)


def fit_mitigation(
    audited: AuditedModel, options: MitigationOptions, positive: str, size_rules: SampleSizeRules = DEFAULT_SIZE_RULES
) -> MitigationResult:
    """Return what mitigation found.

    Args:
        audited: a linear head on cached vectors, trained in this run without privacy; others are refused in words.
        options: the table ``[fairness.mitigation]``.
        positive: the favourable class.
        size_rules: how many cases are too few, as in the rest of the section.
    """
    try:
        require_linear_head(audited)
        material = MitigationData.from_audited(audited, options.attribute, positive)
        tried = _evaluate_candidates(material, options, size_rules, audited.withheld)
        chosen = choose_candidate(tried, options.max_gap)
        splits = {name: examples_of_split(audited, name, options.attribute) for name in audited.splits}
    except Unavailable as reason:
        refusal = findings.state_refusal(options, str(reason))
        return MitigationResult(ChapterContent(TITLE, (refusal,), computed_from="train"))
    rule = chosen.candidate.rule
    assert rule is not None, "only what has a rule is chosen"
    predictions = _predict_by_rule(audited, splits, rule)
    choice = _measure_choice(audited, options, size_rules, chosen, splits["test"], predictions, positive)
    assert audited.facts.model_sha256 is not None, "a model that was trained here has a hash"
    write = partial(
        saved_rule.write_rule,
        rule=rule,
        attribute=options.attribute,
        classes=audited.facts.classes,
        seed=audited.seed,
        model_sha256=audited.facts.model_sha256,
        predictions=predictions,
    )
    content = ChapterContent(
        TITLE,
        findings=(*findings.state_outcome(choice, options, size_rules), *findings.state_unfitted_methods(tried)),
        tables={frontier.TABLE: frontier.tabulate_frontier(tried, chosen, material.chosen_on)},
        captions={frontier.TABLE: frontier.caption_frontier(options, material, size_rules)},
        figures=(frontier.draw_frontier(options, material.chosen_on),),
        text=(*findings.write_notes(choice, tried, options, material), *_note_precision(audited)),
        computed_from="train",
    )
    return MitigationResult(content, predictions, {FOLDER: write})


def _note_precision(audited: AuditedModel) -> Iterator[str]:
    """Say where a model that is loaded computes otherwise than the run did."""
    backbone = audited.facts.backbone
    if backbone is not None and backbone.precision != "float32":
        yield (
            f"The features of this run were computed in {backbone.precision}, a loaded model computes in float32: an "
            "item whose score lies at a threshold can be decided otherwise then."
        )


def choose_candidate(tried: Sequence[EvaluatedCandidate], max_gap: float) -> EvaluatedCandidate:
    """Return the most accurate candidate with at most this gap, else the one with the smallest gap.

    Of equal ones a rule that decides by chance comes last, and so does one that needs the group.

    Args:
        tried: all candidates as measured on validation examples; the unmitigated model cannot be chosen.
        max_gap: 0 to 1.

    Raises:
        Unavailable: no candidate could be fitted, or fewer than two groups can be compared.
    """
    fitted = [(evaluated.candidate.rule, evaluated) for evaluated in tried if evaluated.candidate.rule is not None]
    if not fitted:
        reasons = dict.fromkeys(evaluated.candidate.reason for evaluated in tried if evaluated.candidate.reason)
        raise Unavailable(f"no candidate could be fitted: {'; '.join(reasons)}")
    order = []
    for number, (rule, evaluated) in enumerate(fitted):
        if evaluated.measured is None or evaluated.gap is None:
            raise Unavailable(f"fewer than two groups can be compared on the validation examples: {evaluated.left_out}")
        kept = evaluated.gap <= max_gap
        first = (-evaluated.accuracy, evaluated.gap) if kept else (evaluated.gap, -evaluated.accuracy)
        order.append((not kept, *first, rule.randomised, rule.needs_group, number))
    return fitted[min(order)[-1]][1]


def _evaluate_candidates(
    material: MitigationData, options: MitigationOptions, size_rules: SampleSizeRules, withheld: Withheld
) -> list[EvaluatedCandidate]:
    """Return every candidate with what it does on the validation examples, the unmitigated model first."""
    return [
        EvaluatedCandidate(
            candidate,
            _measure_on_validation(candidate.rule, material, options.metric, size_rules, withheld)
            if not candidate.reason
            else None,
        )
        for candidate in _fit_candidates(material, options)
    ]


def _fit_candidates(material: MitigationData, options: MitigationOptions) -> Iterator[Candidate]:
    yield Candidate(UNMITIGATED)
    for method in options.methods:
        if method == feature_reweighting.METHOD:
            yield from feature_reweighting.fit_candidates(material)
        elif not material.binary:
            yield Candidate(method, reason=BINARY_ONLY.format(len(material.classes)))
        else:
            source = {thresholds.METHOD: thresholds, reductions.METHOD: reductions}[method]
            yield from source.fit_candidates(material, options.constraints)


def _measure_on_validation(
    rule: Rule | None, material: MitigationData, metric: str, size_rules: SampleSizeRules, withheld: Withheld
) -> DecisionMetrics:
    """Return what a rule does on the validation examples: on average over its draws, so that no draw is chosen."""
    rows = _drop_unknown_groups(rule, material.choose).rows
    decisions = rows.scores if rule is None else rule.decision_probabilities(rows)
    if rule is None or not rule.randomised:
        decisions = one_hot_decisions(decisions.argmax(axis=1), len(material.classes))
    return measure_decisions(
        decisions, material.choose, metric, material.classes, material.positive, size_rules, withheld
    )


def _drop_unknown_groups(rule: Rule | None, examples: MitigationExamples) -> MitigationExamples:
    """Return the examples without the groups that a rule has no thresholds for, which it then leaves as they are."""
    if not isinstance(rule, GroupThresholds):
        return examples
    groups = np.array([name if name in rule.groups else None for name in examples.rows.groups], dtype=object)
    return replace(examples, rows=replace(examples.rows, groups=groups))


def _predict_by_rule(audited: AuditedModel, splits: Mapping[str, MitigationExamples], rule: Rule) -> pd.DataFrame:
    """Return the table of predictions by a rule."""
    frames = []
    for name, examples in splits.items():
        frame = audited.predictions[audited.predictions["split"] == name].copy()
        probabilities = rule.decision_probabilities(_drop_unknown_groups(rule, examples).rows)
        decided = decide_by_rule(rule, probabilities, examples.items, audited.seed)
        frame["prediction"] = [audited.facts.classes[index] for index in decided]
        for index, label in enumerate(audited.facts.classes):
            frame[f"score_{label}"] = probabilities[:, index]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _measure_choice(
    audited: AuditedModel,
    options: MitigationOptions,
    size_rules: SampleSizeRules,
    chosen: EvaluatedCandidate,
    test: MitigationExamples,
    predictions: pd.DataFrame,
    positive: str,
) -> MitigationOutcome:
    """Measure the chosen rule on test: the only place where anything looks at test labels."""
    before, after = (
        measure_on_test(
            frame[frame["split"] == "test"],
            test,
            options,
            audited.facts.classes,
            positive,
            size_rules=size_rules,
            seed=audited.seed,
            withheld=audited.withheld,
        )
        for frame in (audited.predictions, predictions)
    )
    rule = chosen.candidate.rule
    unruled = len(test) - len(_drop_unknown_groups(rule, test).with_groups()) if rule and rule.needs_group else 0
    return MitigationOutcome(chosen, before=before, after=after, unruled=unruled, n=len(test))
