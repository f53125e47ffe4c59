"""Attribute inference from embeddings: can an example's group be read from them? Test examples are never looked at.

The probe is logistic regression, out of fold by unit; whoever holds the features could do at least as well. Its control
is the same probe after the features were exchanged between units: what it finds there is what it finds by chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from rft.disclosure.withheld import MISSING, NOTHING, Withheld
from rft.number_format import format_fixed
from rft.plugins import AuditedModel
from rft.plugins.privacy.chapter import PrivacyChapter
from rft.records import About, Figure, Finding, FindingDefinition, NotMeasured, Row, Table, dots_figure
from rft.references import ALAIN_BENGIO, HEWITT_LIANG, KISH_KORN_GRAUBARD, OJALA_GARRIGA
from rft.stats import multiplicity
from rft.stats.cross_validation import MAX_FOLDS, Folds, OutOfFold, find_non_finite, limit_to_one_thread
from rft.stats.rates import Rate

SHUFFLES = 19  # none of which does as well in one case of twenty, where there is nothing to read
MIN_UNITS_PER_GROUP = MAX_FOLDS  # units of a group that is looked for
INVERSE_PENALTY = 0.1  # inverse penalty, for features with a spread of 1: a tenth or ten times as much changes little
TRUE, SHUFFLED = "as they are", "shuffled"


CHAPTER = "Attribute inference from embeddings"
DESCRIPTION = (
    "How well a linear probe reads {attribute} from the frozen features of training examples that it has not seen: the "
    "mean over groups of the share it gets right; {chance} is a guess."
)
READS = " Better than chance: whoever holds these features, as the cache does, holds {attribute} to this degree."
LIMITS = (
    "One linear probe on a sample of at most 1\u202f000 training examples: another may read more. "
    "What the features hold is not what the trained model uses."
)
NOT_COVERED = "Computed from the private training examples without noise: not covered by epsilon."
NOT_AVAILABLE = "{given}: its frozen features are not available"
CAPTION = (
    "What a linear probe reads from the frozen features of training examples that it has not seen: the share that is "
    "right within a group and, over all, the mean of the groups (balanced accuracy), with 95 % intervals that count "
    "{units}. Shuffled: the mean and the range of up to "
    f"{SHUFFLES} shuffles of the groups among them."
)


@dataclass(frozen=True)
class AttributeProbe:
    """What the probe reached on one attribute.

    Attributes:
        groups: the K names that were looked for.
        predictions: out-of-fold predictions of the true groups.
        shuffled: (S, 1 + K) balanced accuracy, then recall of each group, of S shuffles.
        left_out: examples without a value, and groups that were too small to look for, in words.
    """

    groups: tuple[str, ...]
    predictions: OutOfFold
    shuffled: np.ndarray
    left_out: tuple[str, ...]

    @property
    def chance(self) -> float:
        """Balanced accuracy of a guess."""
        return 1 / len(self.groups)

    @property
    def p_value(self) -> float:
        """How often a shuffle does as well, with the true order as one of them."""
        as_good = np.sum(self.shuffled[:, 0] >= self.predictions.balanced_accuracy.value)
        return float((1 + as_good) / (1 + len(self.shuffled)))


def attribute_inference_chapter(audited: AuditedModel) -> PrivacyChapter:
    """Return what can be read of each group attribute; findings without a value where features are not available."""
    if audited.embeddings is None:
        reason = NOT_AVAILABLE.format(given=audited.provided_as)
        return PrivacyChapter(
            CHAPTER,
            findings=tuple(_explain_missing_probe(name, reason) for name in _group_attributes(audited)),
            computed_from="train",
        )
    embeddings = audited.embeddings()
    probes = {
        attribute: probe_attribute(embeddings.pretrained, values, embeddings.units, audited.seed, audited.withheld)
        for attribute, values in embeddings.groups.items()
    }
    private = audited.facts.training.mode == "private"
    units = audited.facts.name_units(declared=embeddings.units is not None)
    measured = {name: outcome for name, outcome in probes.items() if isinstance(outcome, AttributeProbe)}
    table = [row for name, outcome in measured.items() for row in _probe_rows(name, outcome)]
    return PrivacyChapter(
        CHAPTER,
        findings=tuple(
            _probe_finding(name, outcome, private)
            if isinstance(outcome, AttributeProbe)
            else _explain_missing_probe(name, outcome.reason)
            for name, outcome in probes.items()
        ),
        tables={"attribute_probe": table} if table else {},
        captions={"attribute_probe": CAPTION.format(units=units)} if table else {},
        figures=(_probe_figure(measured),) if table else (),
        computed_from="train",
    )


def probe_attribute(
    features: np.ndarray, values: np.ndarray, units: np.ndarray | None, seed: int, withheld: Withheld = NOTHING
) -> AttributeProbe | NotMeasured:
    """Probe features for the groups of one attribute.

    Args:
        features: (n, D).
        values: (n,) names of groups, None where missing.
        units: (n,) whose each example is; None: each its own.
        seed: of folds and shuffles.
        withheld: what may not leave the machine: of the sample a group may have few where it has many in all.
    """
    unit_ids = np.arange(len(values)) if units is None else np.asarray(units)
    present = np.array([value is not None for value in values], dtype=bool)
    sizes = {str(name): len(set(unit_ids[values == name])) for name in sorted(set(values[present]))}
    named = np.array([MISSING if value is None else str(value) for value in values])
    hidden = withheld.find_small_groups(
        *({str(name): n for name, n in counts} for counts in _group_counts(named, unit_ids))
    )
    groups = [name for name, size in sizes.items() if size >= MIN_UNITS_PER_GROUP and name not in hidden]
    if len(groups) < 2:
        counted = "examples" if units is None else "units"
        return NotMeasured(
            f"{len(groups)} of the {len(sizes)} groups have at least {MIN_UNITS_PER_GROUP} {counted}: two are needed"
        )
    rows = np.isin(values.astype(str), groups) & present
    if problem := find_non_finite(features[rows]):
        return problem
    folds = Folds.draw_stratified(np.searchsorted(groups, values[rows].astype(str)), unit_ids[rows], seed)
    if isinstance(folds, NotMeasured):
        return folds
    scaled, rng = _scale_features(features[rows]), np.random.default_rng(seed)
    by_chance = [_out_of_fold(scaled[exchange_units(folds.units, rng)], folds) for _ in range(SHUFFLES)]
    return AttributeProbe(
        groups=tuple(groups),
        predictions=_out_of_fold(scaled, folds),
        shuffled=np.array([_group_recalls(shuffled) for shuffled in by_chance]),
        left_out=_left_out(
            int(np.sum(~present)), {name: n for name, n in sizes.items() if name not in groups}, withheld
        ),
    )


def _group_counts(named: np.ndarray, unit_ids: np.ndarray) -> Iterator[list[tuple[str, int]]]:
    """Yield (group, how many) of examples and of units."""
    pairs = np.unique(np.stack([named, unit_ids.astype(str)]), axis=1)[0]
    for names in (named, pairs):
        yield list(zip(*(column.tolist() for column in np.unique(names, return_counts=True)), strict=True))


def exchange_units(units: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return (n,) numbers of rows: in the place of each unit the rows of another, all of them if it has room for them.

    Units move as a whole, so that what is alike within units stays so, and the folds stay as they are.
    """
    _, unit = np.unique(units, return_inverse=True)
    rows_by_unit = [np.flatnonzero(unit == number) for number in range(unit.max() + 1)]
    order = np.empty(len(units), dtype=np.int64)
    for rows, donor in zip(rows_by_unit, rng.permutation(len(rows_by_unit)), strict=True):
        order[rows] = np.resize(rows_by_unit[donor], len(rows))
    return order


def _scale_features(features: np.ndarray) -> np.ndarray:
    """Return features in float64, divided by one number: columns divided each by its own would blow up dead ones."""
    wide = features.astype(np.float64)
    scaled: np.ndarray = (wide - wide.mean()) / (wide.std() or 1.0)
    return scaled


def _out_of_fold(features: np.ndarray, folds: Folds) -> OutOfFold:
    from sklearn.linear_model import LogisticRegression

    predictions = np.empty_like(folds.labels)
    model = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=1000, tol=1e-3)
    with limit_to_one_thread():
        for seen, held_out in folds:
            model.fit(features[seen], folds.labels[seen])
            predictions[held_out] = model.predict(features[held_out])
    return OutOfFold(folds.labels, predictions, folds.units)


def _group_recalls(predictions: OutOfFold) -> list[float]:
    """Return balanced accuracy, then the share of each group that is right."""
    recalls = [
        float(predictions.is_correct[predictions.labels == group].mean())
        for group in range(predictions.labels.max() + 1)
    ]
    return [predictions.balanced_accuracy.value, *recalls]


def _left_out(missing: int, small: Mapping[str, int], withheld: Withheld) -> tuple[str, ...]:
    if withheld.below:  # counts of what is left out would give each other away
        return ("Left out: examples without a value, and groups of which there are too few.",) * bool(missing or small)
    named = ", ".join(f"{name} (n = {size})" for name, size in small.items())
    return (
        *([f"{missing} examples without a value are left out."] if missing else []),
        *([f"Left out, since fewer than {MIN_UNITS_PER_GROUP} units have it: {named}."] if small else []),
    )


def _group_attributes(audited: AuditedModel) -> list[str]:
    columns = (str(column) for column in audited.predictions.columns)
    return [column.removeprefix("group_") for column in columns if column.startswith("group_")]


def _define_probe(attribute: str, chance: str) -> FindingDefinition:
    return FindingDefinition(
        f"privacy.attribute_probe.{attribute}",
        f"Reading {attribute} from the frozen features",
        DESCRIPTION.format(attribute=attribute, chance=chance),
        unit="fraction",
        caveats=LIMITS,
        references=(ALAIN_BENGIO, HEWITT_LIANG, OJALA_GARRIGA, KISH_KORN_GRAUBARD),
        better="lower",
    )


def _explain_missing_probe(attribute: str, reason: str) -> Finding:
    return _define_probe(attribute, "1 over the number of groups").state_not_measured(reason)


def _probe_finding(attribute: str, measured: AttributeProbe, private: bool) -> Finding:
    share = measured.predictions.balanced_accuracy
    interval = share.confidence_interval()
    reads = interval.low > measured.chance and measured.p_value <= 1 / (1 + SHUFFLES)
    definition = _define_probe(attribute, f"{measured.chance:.3g}")
    control = measured.shuffled[:, 0]
    by_chance = (
        f" On {len(control)} shuffles of the groups: {format_fixed(control.mean(), 3)} on average, at most "
        f"{format_fixed(control.max(), 3)}."
    )
    return definition.state_estimate(
        share.value,
        interval=interval,
        adjusted=multiplicity.adjust_interval(share.exact_interval),
        n=measured.predictions.accuracy.sample.units,
        status="warn" if reads else "info",
        description=definition.description + by_chance + (READS.format(attribute=attribute) if reads else ""),
        caveats=" ".join([*measured.left_out, *([NOT_COVERED] if private else [])]),
        about=About(attributes=(attribute,)),
    )


def _probe_rows(attribute: str, measured: AttributeProbe) -> Table:
    """Return the rows over all groups and of each, on true groups and on shuffled ones."""
    predictions = measured.predictions
    by_group = [
        (name, Rate.from_rows(predictions.is_correct[mask], predictions.units[mask]))
        for name, mask in _by_group(measured)
    ]
    everyone: list[tuple[str | None, Rate]] = [(None, predictions.balanced_accuracy), *by_group]
    true = [(name, rate.value, rate.confidence_interval(), rate.sample.units) for name, rate in everyone]
    table: Table = []
    for (group, value, interval, n), by_chance in zip(true, measured.shuffled.T, strict=True):
        about: Row = {"attribute": attribute, "group": group}
        numbers = {"value": value, "low": interval.low, "high": interval.high}
        table.append({**about, "labels": TRUE, **numbers, "chance": measured.chance, "n_units": n})
        numbers = {"value": by_chance.mean(), "low": by_chance.min(), "high": by_chance.max()}
        numbers = {name: float(number) for name, number in numbers.items()}
        table.append({**about, "labels": SHUFFLED, **numbers, "chance": measured.chance, "n_units": n})
    return table


def _by_group(measured: AttributeProbe) -> list[tuple[str, np.ndarray]]:
    return [(name, measured.predictions.labels == number) for number, name in enumerate(measured.groups)]


def _probe_figure(probes: Mapping[str, AttributeProbe]) -> Figure:
    chances = {outcome.chance for outcome in probes.values()}
    return dots_figure(
        id="attribute_probe",
        table="attribute_probe",
        y="labels",
        x="value",
        low="low",
        high="high",
        facet="attribute",
        where={"group": None},
        reference=chances.pop() if len(chances) == 1 else None,
        x_label="balanced accuracy of a linear probe on examples that it has not seen",
        title="Groups read from the frozen features",
        alt="For each attribute the balanced accuracy of the probe with its interval, beside that on shuffled groups.",
    )
