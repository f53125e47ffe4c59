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
from rft.records import About, Finding, Interval, NotMeasured, Section, not_measured, select_columns
from rft.references import ALAIN_BENGIO, BENGIO_GRANDVALET, SAXE, TANGO, WILSON, WU, YOU
from rft.stats import multiplicity
from rft.stats.cross_validation import MAX_FOLDS, Folds, OutOfFold

if TYPE_CHECKING:
    from rft.features.embeddings import Embeddings


TITLE = "Transferability of the pretrained features"
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
    return Section(
        plugin="backbone",
        title=TITLE,
        findings=tuple(
            _add_privacy_caveat(finding, private)
            for finding in _all_findings(measured, len(embeddings.labels), audited.withheld)
        ),
        tables={name: table for name, table in section_tables.items() if table},
        columns=select_columns(tables.COLUMNS, [name for name, table in section_tables.items() if table]),
        captions={name: tables.CAPTIONS[name] for name, table in section_tables.items() if table},
        figures=(tables.accuracies_figure(measured.majority),),
        notes=_section_notes(embeddings, private),
    )


def _trained_elsewhere(provided_as: str) -> Finding:
    reason = f"{provided_as}: what the model was before training is not known"
    return not_measured("backbone.probe_accuracy", TITLES["probe_accuracy"], reason, DESCRIPTIONS["probe_accuracy"])


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


def _all_findings(measured: _Measured, n: int, withheld: Withheld) -> tuple[Finding, ...]:
    return (
        _probe_finding(measured),
        _majority_finding(measured.majority, n, withheld),
        _accuracy_finding("untrained_probe_accuracy", measured.untrained, (SAXE, WILSON)),
        _gain_finding(measured.probe, measured.untrained),
        _accuracy_finding("knn_accuracy", measured.neighbours, (WU, WILSON)),
        _logme_finding(measured.logme, n),
    )


def _majority_finding(share: float | None, n: int, withheld: Withheld) -> Finding:
    id, title, description = "backbone.majority_share", TITLES["majority_share"], DESCRIPTIONS["majority_share"]
    if share is None:
        return not_measured(id, title, withheld.reason, description, n=n)
    return Finding(
        id=id,
        title=title,
        status="info",
        value=share,
        unit="fraction",
        deterministic=True,
        about=About(classes="all"),
        n=n,
        description=description,
    )


def _probe_finding(measured: _Measured) -> Finding:
    finding = _accuracy_finding("probe_accuracy", measured.probe, (ALAIN_BENGIO, BENGIO_GRANDVALET, WILSON))
    if finding.interval is None or measured.majority is None or finding.interval.low > measured.majority:
        return finding
    return finding.model_copy(
        update={"status": "warn", "description": f"{finding.description} {NO_BETTER_THAN_MAJORITY}"}
    )


def _accuracy_finding(name: str, predicted: OutOfFold | NotMeasured, references: tuple[str, ...]) -> Finding:
    if isinstance(predicted, NotMeasured):
        return not_measured(f"backbone.{name}", TITLES[name], predicted.reason, DESCRIPTIONS[name])
    rate = predicted.accuracy
    return Finding(
        id=f"backbone.{name}",
        title=TITLES[name],
        status="info",
        value=rate.value,
        unit="fraction",
        interval=rate.confidence_interval(),
        adjusted=multiplicity.adjust_interval(rate.exact_interval),
        n=rate.sample.units,
        description=DESCRIPTIONS[name],
        caveats=OUT_OF_FOLD,
        references=references,
    )


def _gain_finding(probe: OutOfFold | NotMeasured, untrained: OutOfFold | NotMeasured) -> Finding:
    id, title = "backbone.probe_gain", TITLES["probe_gain"]
    if isinstance(probe, NotMeasured):
        return not_measured(id, title, probe.reason, DESCRIPTIONS["probe_gain"])
    if isinstance(untrained, NotMeasured):
        return not_measured(id, title, untrained.reason, DESCRIPTIONS["probe_gain"])
    interval = paired_difference(probe.is_correct, untrained.is_correct, probe.units)
    return Finding(
        id=id,
        title=title,
        status="info" if interval.low > 0 else "warn",
        value=probe.accuracy.value - untrained.accuracy.value,
        unit="fraction",
        interval=interval,
        adjusted=multiplicity.adjust_interval(
            lambda level: paired_difference(probe.is_correct, untrained.is_correct, probe.units, level=level)
        ),
        n=probe.accuracy.sample.units,
        description=f"{DESCRIPTIONS['probe_gain']} {_gain_remark(interval)}".rstrip(),
        caveats=f"{OUT_OF_FOLD} One draw of random weights; another would differ a little.",
        references=(SAXE, TANGO),
    )


def _gain_remark(gain: Interval) -> str:
    if gain.low > 0:
        return ""
    return WORSE_THAN_RANDOM if gain.high < 0 else NO_BETTER_THAN_RANDOM


def _logme_finding(value: float | NotMeasured, n: int) -> Finding:
    id, title, description = "backbone.logme", TITLES["logme"], DESCRIPTIONS["logme"]
    if isinstance(value, NotMeasured):
        return not_measured(id, title, value.reason, description, n=n)
    return Finding(
        id=id,
        title=title,
        status="info",
        value=value,
        unit="nats",
        n=n,
        description=description,
        caveats="It has no interval, and it counts examples of one unit as independent.",
        references=(YOU,),
    )


def _add_privacy_caveat(finding: Finding, private: bool) -> Finding:
    """Return the finding with the limit that a private run puts on it."""
    if not private or finding.value is None:
        return finding
    return finding.model_copy(update={"caveats": f"{finding.caveats} {NOT_COVERED}".lstrip()})


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
