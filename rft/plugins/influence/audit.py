"""From training and test examples to the section: what predictions rest on, and whether that carries over."""

from __future__ import annotations

import numpy as np

from rft.errors import Unavailable
from rft.number_format import format_fixed
from rft.plugins import AuditedModel
from rft.plugins.influence import InfluenceOptions
from rft.plugins.influence.agreement import Agreement, measure_agreement, retrain_heads
from rft.plugins.influence.refit import Contrast, RidgeRefit
from rft.plugins.influence.tables import CAPTIONS, COLUMNS, TracedPredictions, group_table, nearest_table, traced_table
from rft.plugins.training_vectors import LabelledExamples, read_examples, read_vectors
from rft.records import Finding, FindingDefinition, Section, Table
from rft.references import COOK_WEISBERG, PARK
from rft.stats import multiplicity
from rft.stats.rates import Rate
from rft.training.linear_heads import compute_logits

MAX_JUDGED = 500  # test examples, drawn at random, on which agreement and resting on one unit are measured
JUDGED_STREAM = 0x1AF2  # sets these draws apart from other uses of the run's seed

AGREEMENT = FindingDefinition(
    "influence.agreement",
    "Whether influence in the refit holds for the audited head",
    "Heads were trained like the audited one, each on a random half of the training data. This is the rank correlation "
    "between how sure they are of a prediction and how sure the refit says they will be, a mean over predictions: 1 "
    "where the refit knows the order, 0 where it knows nothing.",
    unit="rank correlation",
    better="higher",
    caveats="Training has chance in it, which no refit can foresee: 1 is out of reach. The interval covers the choice "
    "of halves.",
    references=(PARK,),
)
RESTS_ON_ONE = FindingDefinition(
    "influence.rests_on_one",
    "Predictions that rest on one unit of the training data",
    "Share of test predictions of the refit that would be another class without one single unit of the training data.",
    unit="fraction",
    better="lower",
    caveats="Exact for the refit, which is not the audited model.",
    references=(COOK_WEISBERG,),
)


def audit(audited: AuditedModel, options: InfluenceOptions) -> Section:
    """Return the section; raises ``Unavailable`` without vectors of the training examples, or of a withheld split."""
    audited.withheld.require_split("test")
    examples = read_examples(audited)
    judged = _draw_test_rows(audited)
    refit = RidgeRefit(examples, len(audited.facts.classes))
    features = read_vectors(audited, "test", judged)
    contrast = _read_contrast(audited, judged)
    retrained = retrain_heads(audited, examples.rows, refit.unit_codes, judged, contrast, options.retrained_heads)
    agreement = measure_agreement(retrained, refit.trace_margins(features, contrast))
    rests_on_one = refit.count_deciding_units(features) > 0
    split = audited.splits["test"]
    units = None if split.units is None else split.units[judged]
    groups = {attribute: values[judged] for attribute, values in split.groups.items()}
    tables = {"by_group": group_table(rests_on_one, groups, units, audited.withheld)}
    if audited.show_examples and agreement is not None and agreement.interval.low > 0:
        tables |= _trace_predictions(audited, refit, examples, judged, features, contrast, options.examples)
    tables = {name: table for name, table in tables.items() if table}
    findings = (_state_agreement(agreement, len(examples)), _state_rests_on_one(rests_on_one, units))
    return Section(
        plugin="influence",
        title="What predictions rest on",
        findings=findings,
        tables=tables,
        columns={name: COLUMNS[name] for name in tables},
        captions={name: CAPTIONS[name] for name in tables},
        computed_from=dict.fromkeys([*(finding.id for finding in findings), *tables], "test"),
        notes=_section_notes(examples, agreement, shown=audited.show_examples),
    )


def _draw_test_rows(audited: AuditedModel) -> np.ndarray:
    n = len(audited.splits["test"])
    if n == 0:
        raise Unavailable("there is no test example whose prediction could be traced")
    return np.sort(np.random.default_rng([audited.seed, JUDGED_STREAM]).permutation(n)[:MAX_JUDGED])


def _read_contrast(audited: AuditedModel, rows: np.ndarray) -> Contrast:
    """Return the contrast of the audited head's own logits on rows of the test split."""
    (logits,) = compute_logits(audited.require_task(), [audited.require_fit()], audited.require_features()["test"])
    return Contrast.from_logits(logits[rows])


def _trace_predictions(
    audited: AuditedModel,
    refit: RidgeRefit,
    examples: LabelledExamples,
    judged: np.ndarray,
    features: np.ndarray,
    contrast: Contrast,
    count: int,
) -> dict[str, Table]:
    """Return the tables of single predictions: wrong ones first, each in random order."""
    split, classes = audited.splits["test"], audited.facts.classes
    order = np.random.default_rng([audited.seed, JUDGED_STREAM, count]).permutation(len(judged))
    is_right = (contrast.classes == split.labels[judged])[order]
    chosen = order[np.argsort(is_right, kind="stable")][:count]
    rows = judged[chosen]
    traced = TracedPredictions(
        split.ids[rows],
        split.labels[rows],
        features[chosen],
        Contrast(contrast.classes[chosen], contrast.rivals[chosen]),
    )
    return {
        "traced": traced_table(traced, refit, examples, classes),
        "nearest": nearest_table(traced, examples, classes),
    }


def _state_agreement(agreement: Agreement | None, n: int) -> Finding:
    if agreement is None:
        return AGREEMENT.state_not_measured("all heads are equally sure of each prediction: nothing can be ranked", n=n)
    carries = agreement.interval.low > 0
    said = (
        f"{agreement.heads} heads, {agreement.predictions} predictions."
        if carries
        else "Not shown to be above 0: what the refit says of single examples says nothing of the audited head, and is "
        "left out."
    )
    return AGREEMENT.state_estimate(
        agreement.value,
        interval=agreement.interval,
        adjusted=agreement.adjusted,
        n=agreement.heads,
        status="info" if carries else "warn",
        description=f"{AGREEMENT.description} {said}",
    )


def _state_rests_on_one(rests_on_one: np.ndarray, units: np.ndarray | None) -> Finding:
    rate = Rate.from_rows(rests_on_one, units)
    return RESTS_ON_ONE.state_estimate(
        rate.value,
        interval=rate.confidence_interval(),
        adjusted=multiplicity.adjust_interval(rate.exact_interval),
        n=rate.sample.units,
    )


def _section_notes(examples: LabelledExamples, agreement: Agreement | None, *, shown: bool) -> tuple[str, ...]:
    n, drawn_from = len(examples), examples.drawn_from
    these = f"all {n} training examples" if n == drawn_from else f"{n} of {drawn_from} training examples, at random"
    method = (
        f"A linear model (ridge regression on the classes) was fitted to the features of {these}. What its predictions "
        "would be without any one of them has a closed form, so influence is exact: for this refit. It is not the "
        "audited head, and no example is said to have mattered to that."
    )
    if agreement is not None:
        method += f" How far the two agree was measured: rank correlation {format_fixed(agreement.value, 2)}."
    absent = "Which examples they are is not shown: [report] show_examples = true lists their ids."
    return (method,) if shown else (method, absent)
