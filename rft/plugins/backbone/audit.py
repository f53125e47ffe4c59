"""From the features of training examples to the section. Test examples are never looked at: this is for choosing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rft.disclosure.withheld import Withheld
from rft.plugins import AuditedModel
from rft.plugins.backbone import groups, measures, tables
from rft.plugins.backbone.groups import Gap
from rft.plugins.backbone.logme import measure_logme
from rft.plugins.backbone.paired import paired_difference
from rft.records import About, Finding, FindingDefinition, Interval, NotMeasured, Section, select_columns
from rft.references import ALAIN_BENGIO, BENGIO_GRANDVALET, SAXE, TANGO, WILSON, WU, YOU
from rft.stats import multiplicity
from rft.stats.cross_validation import MAX_FOLDS, Folds, OutOfFold

if TYPE_CHECKING:
    from rft.features.embeddings import Embeddings


TITLE = "Pretrained features"
TITLES = {
    "probe_accuracy": "Linear probe of the features, accuracy",
    "majority_share": "Share of the most frequent class",
    "untrained_probe_accuracy": "Linear probe of random weights, accuracy",
    "probe_gain": "Gain of the probe over random weights",
    "knn_accuracy": "Nearest neighbours by the features, accuracy",
    "logme": "LogME of the features",
}
DESCRIPTIONS = {
    "probe_accuracy": "The share of training examples that a linear classifier on the frozen features gets right "
    "when it has not seen them: about what a new head alone can reach.",
    "majority_share": "The share of these training examples that is right when every one gets the most frequent class.",
    "untrained_probe_accuracy": "The same probe on features of the same network with random weights: what its "
    "structure and the raw input give without any pretraining.",
    "probe_gain": "The accuracy of the probe on the pretrained features minus that on features of random weights, on "
    "the same examples: what pretraining brings to this task.",
    "knn_accuracy": "The share of training examples that get the right class by a vote of the "
    f"{measures.NEIGHBOUR_COUNT} most similar others by cosine: whether classes lie apart without any training.",
    "logme": "The log evidence that the labels are a linear function of the features, a mean over examples and "
    "classes. Higher is better; it says something only beside that of another backbone on the same examples.",
}
OUT_OF_FOLD = (
    "Measured on training examples, each held out in turn. The interval covers the choice of examples to be judged, "
    "not that of examples to learn from."
)
ONE_DRAW = "One draw of random weights; another would differ a little."
LOGME_LIMITS = "It has no interval, and it counts examples of one unit as independent."
NOT_COVERED = "Computed from the private training examples without noise: not covered by epsilon."
NO_BETTER_THAN_MAJORITY = (
    "Its interval does not lie above the share of the most frequent class: nothing shows that these features help."
)
NO_BETTER_THAN_RANDOM = "The interval includes 0: nothing shows that they carry more than random weights."
WORSE_THAN_RANDOM = "The interval lies below 0: random weights carry more."


@dataclass(frozen=True)
class _Measured:
    """What was measured of the features of one backbone, before it is told."""

    majority: float | None  # None where it would tell of a class that is withheld
    probe: OutOfFold | NotMeasured
    untrained: OutOfFold | NotMeasured
    neighbours: OutOfFold | NotMeasured
    logme: float | NotMeasured
    gaps: tuple[Gap, ...]


def audit(audited: AuditedModel) -> Section:
    """Return the section; raises ``Unavailable`` without embeddings of training examples.

    Of a model that others trained there are none to be had, which is said, and no audit that went missing.
    """
    if audited.facts.training.mode == "external":
        return Section(plugin="backbone", title=TITLE, findings=(_trained_elsewhere(audited.provided_as),))
    embeddings = audited.require_embeddings()
    measured = _measure_features(embeddings, audited.seed, _why_no_untrained(audited), audited.withheld)
    hidden = bool(audited.withheld.classes_of("train"))
    private = audited.facts.training.mode == "private"
    classifiers = {
        "linear probe": measured.probe,
        "linear probe, random weights": measured.untrained,
        f"{measures.NEIGHBOUR_COUNT} nearest neighbours": measured.neighbours,
    }
    section_tables = {
        "accuracies": tables.accuracies_table(classifiers),
        "balanced_accuracies": [] if hidden else tables.balanced_accuracies_table(classifiers),
        "by_group": tables.by_group_table(measured.gaps, audited.withheld.reason),
        "gaps": tables.gaps_table(measured.gaps),
    }
    findings = _all_findings(measured, len(embeddings.labels), audited.withheld, private)
    return Section(
        plugin="backbone",
        title=TITLE,
        findings=findings,
        tables={name: table for name, table in section_tables.items() if table},
        computed_from=dict.fromkeys([*(finding.id for finding in findings), *section_tables], "train"),
        columns=select_columns(tables.COLUMNS, [name for name, table in section_tables.items() if table]),
        captions={name: tables.CAPTIONS[name] for name, table in section_tables.items() if table},
        figures=(tables.accuracies_figure(measured.majority),),
        notes=_section_notes(embeddings, private),
    )


def _trained_elsewhere(provided_as: str) -> Finding:
    reason = f"{provided_as}: what the model was before training is not known"
    return _define_finding("probe_accuracy").state_not_measured(reason, absence="not_applicable")


def _measure_features(embeddings: Embeddings, seed: int, why_no_untrained: str, withheld: Withheld) -> _Measured:
    folds = Folds.draw_stratified(embeddings.labels, embeddings.units, seed)
    probe = measures.linear_probe(embeddings.pretrained, folds)
    without = NotMeasured(why_no_untrained)
    return _Measured(
        majority=None if withheld.classes_of("train") else measures.majority_share(embeddings.labels),
        probe=probe,
        untrained=without if embeddings.untrained is None else measures.linear_probe(embeddings.untrained, folds),
        neighbours=measures.vote_of_neighbours(embeddings.pretrained, folds),
        logme=measure_logme(embeddings.pretrained, embeddings.labels),
        gaps=groups.measure_gaps(probe, embeddings.groups, withheld),
    )


def _why_no_untrained(audited: AuditedModel) -> str:
    backbone = audited.facts.backbone
    if backbone is not None and backbone.weights == "random":
        return "the weights are random: there is no pretraining to compare with"
    return "no features of the same network with random weights were made"


def _define_finding(
    name: str, *caveats: str, unit: str = "fraction", references: tuple[str, ...] = ()
) -> FindingDefinition:
    return FindingDefinition(
        f"backbone.{name}",
        TITLES[name],
        DESCRIPTIONS[name],
        unit=unit,
        caveats=" ".join(filter(None, caveats)),
        references=references,
    )


def _all_findings(measured: _Measured, n: int, withheld: Withheld, private: bool) -> tuple[Finding, ...]:
    limit = NOT_COVERED if private else ""
    probe = _define_finding("probe_accuracy", OUT_OF_FOLD, limit, references=(ALAIN_BENGIO, BENGIO_GRANDVALET, WILSON))
    untrained = _define_finding("untrained_probe_accuracy", OUT_OF_FOLD, limit, references=(SAXE, WILSON))
    gain = _define_finding("probe_gain", OUT_OF_FOLD, ONE_DRAW, limit, references=(SAXE, TANGO))
    neighbours = _define_finding("knn_accuracy", OUT_OF_FOLD, limit, references=(WU, WILSON))
    return (
        _state_probe(probe, measured),
        _state_majority(_define_finding("majority_share", limit), measured.majority, n, withheld),
        _state_accuracy(untrained, measured.untrained),
        _state_gain(gain, measured.probe, measured.untrained),
        _state_accuracy(neighbours, measured.neighbours),
        _state_logme(_define_finding("logme", LOGME_LIMITS, limit, unit="nats", references=(YOU,)), measured.logme, n),
    )


def _state_majority(definition: FindingDefinition, share: float | None, n: int, withheld: Withheld) -> Finding:
    if share is None:
        return definition.state_not_measured(withheld.reason, n=n)
    return definition.state_fact(share, n=n, about=About(classes="all"))


def _state_probe(definition: FindingDefinition, measured: _Measured) -> Finding:
    probe, majority = measured.probe, measured.majority
    if isinstance(probe, NotMeasured) or majority is None or probe.accuracy.confidence_interval().low > majority:
        return _state_accuracy(definition, probe)
    return _state_accuracy(definition, probe, remark=NO_BETTER_THAN_MAJORITY)


def _state_accuracy(definition: FindingDefinition, predicted: OutOfFold | NotMeasured, remark: str = "") -> Finding:
    """Return the finding of an accuracy; ``remark`` says what is wrong with it."""
    if isinstance(predicted, NotMeasured):
        return definition.state_not_measured(predicted.reason)
    rate = predicted.accuracy
    return definition.state_estimate(
        rate.value,
        interval=rate.confidence_interval(),
        adjusted=multiplicity.adjust_interval(rate.exact_interval),
        n=rate.sample.units,
        status="warn" if remark else "info",
        description=f"{definition.description} {remark}".rstrip(),
    )


def _state_gain(
    definition: FindingDefinition, probe: OutOfFold | NotMeasured, untrained: OutOfFold | NotMeasured
) -> Finding:
    if isinstance(probe, NotMeasured):
        return definition.state_not_measured(probe.reason)
    if isinstance(untrained, NotMeasured):
        return definition.state_not_measured(untrained.reason)
    interval = paired_difference(probe.is_correct, untrained.is_correct, probe.units)
    return definition.state_estimate(
        probe.accuracy.value - untrained.accuracy.value,
        interval=interval,
        adjusted=multiplicity.adjust_interval(
            lambda level: paired_difference(probe.is_correct, untrained.is_correct, probe.units, level=level)
        ),
        n=probe.accuracy.sample.units,
        status="info" if interval.low > 0 else "warn",
        description=f"{definition.description} {_gain_remark(interval)}".rstrip(),
    )


def _gain_remark(gain: Interval) -> str:
    if gain.low > 0:
        return ""
    return WORSE_THAN_RANDOM if gain.high < 0 else NO_BETTER_THAN_RANDOM


def _state_logme(definition: FindingDefinition, value: float | NotMeasured, n: int) -> Finding:
    if isinstance(value, NotMeasured):
        return definition.state_not_measured(value.reason, n=n)
    return definition.state_estimate(value, interval=None, adjusted=(), n=n)


def _section_notes(embeddings: Embeddings, private: bool) -> tuple[str, ...]:
    n, dimension = embeddings.pretrained.shape
    whole = n == embeddings.sampled_from
    these = (
        f"all {n} training examples"
        if whole
        else f"{n} of {embeddings.sampled_from} training examples, drawn at random"
    )
    by_unit = ", and all examples of a unit are held out together" if embeddings.units is not None else ""
    notes = (
        f"Measured on {these}, with {dimension} features each; up to {MAX_FOLDS} parts are held out in turn"
        f"{by_unit}. Test examples take no part.",
        "A poor fit of the frozen features is the known limit of training a head alone. Where the gain over random "
        "weights is small, another backbone or training more layers may do more than longer training.",
    )
    leak = (
        "The training of this model is private, these measures are not: they are a look at the private training "
        "examples without noise, and so is a choice made by them. Epsilon does not cover it."
    )
    return (*notes, leak) if private else notes
