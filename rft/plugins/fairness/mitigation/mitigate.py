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
from rft.plugins.fairness.measure.group_metrics import USUAL_LIMITS, Limits
from rft.plugins.fairness.mitigation import findings, frontier, saved_rule
from rft.plugins.fairness.mitigation.dataset import Material, Part, check, part
from rft.plugins.fairness.mitigation.decision_rules import GroupThresholds, Rule, decide
from rft.plugins.fairness.mitigation.findings import Choice
from rft.plugins.fairness.mitigation.frontier import Tried
from rft.plugins.fairness.mitigation.measure import Measured, certain, measure_decisions
from rft.plugins.fairness.mitigation.methods import feature_reweighting, reductions, thresholds
from rft.plugins.fairness.mitigation.methods.candidates import UNMITIGATED, Candidate
from rft.plugins.fairness.mitigation.on_test import measure_on_test
from rft.plugins.fairness.mitigation.options import MitigationOptions
from rft.records import Figure, Finding, Table

FOLDER = "mitigated"
BINARY_ONLY = "it decides between two classes, and there are {}"


@dataclass(frozen=True)
class Mitigated:
    """What mitigation adds to the fairness section; all but ``findings`` is empty where it could not be made.

    Attributes:
        findings: what was chosen, and its gap and accuracies on test before and after; or why nothing was.
        tables, captions, figures, notes: the frontier of candidates on validation examples.
        predictions: one row an example of every split, as in ``AuditedModel.predictions``, by the chosen rule; None
            where there is none. Where the rule decides by chance, a prediction is what was drawn.
        folders: writes the mitigated model, as ``rft.load`` reads it.
    """

    findings: tuple[Finding, ...]
    tables: dict[str, Table] = field(default_factory=dict)
    captions: dict[str, str] = field(default_factory=dict)
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
    predictions: pd.DataFrame | None = None
    folders: dict[str, Callable[[Path], None]] = field(default_factory=dict)


def mitigate(
    audited: AuditedModel, options: MitigationOptions, positive: str, limits: Limits = USUAL_LIMITS
) -> Mitigated:
    """Return what mitigation found.

    Args:
        audited: a linear head on cached vectors, trained in this run without privacy; others are refused in words.
        options: the table ``[fairness.mitigation]``.
        positive: the favourable class.
        limits: how many cases are too few, as in the rest of the section.
    """
    try:
        check(audited)
        material = Material.of(audited, options.attribute, positive)
        tried = _try(material, options, limits, audited.withheld)
        chosen = choose(tried, options.max_gap)
        splits = {name: part(audited, name, options.attribute) for name in audited.splits}
    except Unavailable as reason:
        return Mitigated(findings=(findings.refused(options, str(reason)),))
    rule = chosen.candidate.rule
    assert rule is not None, "only what has a rule is chosen"
    predictions = _predictions(audited, splits, rule)
    choice = _choice(audited, options, limits, chosen, splits["test"], predictions, positive)
    assert audited.facts.model_sha256 is not None, "a model that was trained here has a hash"
    write = partial(
        saved_rule.write,
        rule=rule,
        attribute=options.attribute,
        classes=audited.facts.classes,
        seed=audited.seed,
        model_sha256=audited.facts.model_sha256,
        predictions=predictions,
    )
    return Mitigated(
        findings=(*findings.findings(choice, options, limits), *findings.unfitted(tried)),
        tables={frontier.TABLE: frontier.table(tried, chosen, material.chosen_on)},
        captions={frontier.TABLE: frontier.caption(options, material, limits)},
        figures=(frontier.figure(options, material.chosen_on),),
        notes=(*findings.notes(choice, tried, options, material), *_precision(audited)),
        predictions=predictions,
        folders={FOLDER: write},
    )


def _precision(audited: AuditedModel) -> Iterator[str]:
    """Say where a model that is loaded computes otherwise than the run did."""
    backbone = audited.facts.backbone
    if backbone is not None and backbone.precision != "float32":
        yield (
            f"The features of this run were computed in {backbone.precision}, a loaded model computes in float32: an "
            "item whose score lies at a threshold can be decided otherwise then."
        )


def choose(tried: Sequence[Tried], max_gap: float) -> Tried:
    """Return the most accurate candidate with at most this gap, else the one with the smallest gap.

    Of equal ones a rule that decides by chance comes last, and so does one that needs the group.

    Args:
        tried: all candidates as measured on validation examples; the unmitigated model cannot be chosen.
        max_gap: 0 to 1.

    Raises:
        Unavailable: no candidate could be fitted, or fewer than two groups can be compared.
    """
    fitted = [(each.candidate.rule, each) for each in tried if each.candidate.rule is not None]
    if not fitted:
        reasons = dict.fromkeys(each.candidate.reason for each in tried if each.candidate.reason)
        raise Unavailable(f"no candidate could be fitted: {'; '.join(reasons)}")
    order = []
    for number, (rule, each) in enumerate(fitted):
        if each.measured is None or each.gap is None:
            raise Unavailable(f"fewer than two groups can be compared on the validation examples: {each.left_out}")
        kept = each.gap <= max_gap
        first = (-each.accuracy, each.gap) if kept else (each.gap, -each.accuracy)
        order.append((not kept, *first, rule.randomised, rule.needs_group, number))
    return fitted[min(order)[-1]][1]


def _try(material: Material, options: MitigationOptions, limits: Limits, withheld: Withheld) -> list[Tried]:
    """Return every candidate with what it does on the validation examples, the unmitigated model first."""
    return [
        Tried(each, _measure(each.rule, material, options.metric, limits, withheld) if not each.reason else None)
        for each in _candidates(material, options)
    ]


def _candidates(material: Material, options: MitigationOptions) -> Iterator[Candidate]:
    yield Candidate(UNMITIGATED)
    for method in options.methods:
        if method == feature_reweighting.METHOD:
            yield from feature_reweighting.candidates(material)
        elif not material.binary:
            yield Candidate(method, reason=BINARY_ONLY.format(len(material.classes)))
        else:
            source = {thresholds.METHOD: thresholds, reductions.METHOD: reductions}[method]
            yield from source.candidates(material, options.constraints)


def _measure(rule: Rule | None, material: Material, metric: str, limits: Limits, withheld: Withheld) -> Measured:
    """Return what a rule does on the validation examples: on average over its draws, so that no draw is chosen."""
    rows = _known(rule, material.choose).rows
    decisions = rows.scores if rule is None else rule.probabilities(rows)
    if rule is None or not rule.randomised:
        decisions = certain(decisions.argmax(axis=1), len(material.classes))
    return measure_decisions(decisions, material.choose, metric, material.classes, material.positive, limits, withheld)


def _known(rule: Rule | None, examples: Part) -> Part:
    """Return the examples without the groups that a rule has no thresholds for, which it then leaves as they are."""
    if not isinstance(rule, GroupThresholds):
        return examples
    groups = np.array([name if name in rule.groups else None for name in examples.rows.groups], dtype=object)
    return replace(examples, rows=replace(examples.rows, groups=groups))


def _predictions(audited: AuditedModel, splits: Mapping[str, Part], rule: Rule) -> pd.DataFrame:
    """Return the table of predictions by a rule."""
    frames = []
    for name, examples in splits.items():
        frame = audited.predictions[audited.predictions["split"] == name].copy()
        probabilities = rule.probabilities(_known(rule, examples).rows)
        decided = decide(rule, probabilities, examples.items, audited.seed)
        frame["prediction"] = [audited.facts.classes[index] for index in decided]
        for index, label in enumerate(audited.facts.classes):
            frame[f"score_{label}"] = probabilities[:, index]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _choice(
    audited: AuditedModel,
    options: MitigationOptions,
    limits: Limits,
    chosen: Tried,
    test: Part,
    predictions: pd.DataFrame,
    positive: str,
) -> Choice:
    """Measure the chosen rule on test: the only place where anything looks at test labels."""
    before, after = (
        measure_on_test(
            frame[frame["split"] == "test"],
            test,
            options,
            audited.facts.classes,
            positive,
            limits=limits,
            seed=audited.seed,
            withheld=audited.withheld,
        )
        for frame in (audited.predictions, predictions)
    )
    rule = chosen.candidate.rule
    unruled = len(test) - len(_known(rule, test).with_groups()) if rule and rule.needs_group else 0
    return Choice(chosen, before=before, after=after, unruled=unruled, n=len(test))
