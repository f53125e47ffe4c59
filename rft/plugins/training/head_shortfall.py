"""Whether the trained head reaches what its features allow: against a linear probe, which needs no training.

Both learn from the same training examples and are judged on the same test examples, so that a shift between the two
splits is no part of the difference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rft.backbones.classifier import scale_rows
from rft.features import Features
from rft.number_format import format_fixed
from rft.plugins import AuditedModel
from rft.predictions.table import PredictionArrays
from rft.records import Finding, FindingDefinition, NotMeasured
from rft.references import ALAIN_BENGIO, BONETT_PRICE
from rft.stats import multiplicity
from rft.stats.cross_validation import count_non_finite, describe_non_finite, find_non_finite, limit_to_one_thread
from rft.stats.linear_probe import measure_scale, new_linear_probe
from rft.stats.paired import PairedDifference, paired_share_difference
from rft.training.linear_heads import Vectors, linear_head_vectors

MAX_FITTED_ROWS = 2000  # training examples that the probe is fitted to: its time grows with their number
ROWS_AT_ONCE = 1024
SAMPLE_STREAM = 0x9E0B  # sets that sample apart from other uses of the run's seed
HEAD_AGAINST_PROBE = FindingDefinition(
    "training.head_against_probe",
    "Accuracy of the head minus that of a linear probe",
    "The accuracy of the trained head on test minus that of a linear probe (ridge regression, which has a closed form) "
    "that was fitted to the same features of training examples: what longer or better training of the head could gain.",
    unit="fraction",
    caveats="Another linear classifier, so that a small difference either way is no sign of the training.",
    references=(ALAIN_BENGIO, BONETT_PRICE),
    better="higher",
    remedy="Train the head longer (train.epochs) or in larger steps (train.learning_rate), or leave these keys, "
    "train.optimizer and train.batch_size out: their defaults let a head converge.",
)
PRIVATE = "training is private, and a probe fitted to its examples without noise is a look that epsilon does not cover"
SMALL_SHORTFALL = 0.01  # a ridge probe differs by as much either way; a large test split tells less from chance
TRANSCRIPTS = "a linear probe tells classes apart, and transcripts have none"
LAYERS = "more than a head was trained: the features of the head changed with it"


@dataclass(frozen=True)
class HeadAndProbe:
    """What both got right on test.

    Attributes:
        head, probe: (N,) booleans, whether each is right about a test example.
        units: (N,) codes of whose each example is; None where each stands for itself.
        fitted_rows, train_rows: how many of the training examples the probe was fitted to.
    """

    head: np.ndarray
    probe: np.ndarray
    units: np.ndarray | None
    fitted_rows: int
    train_rows: int

    @property
    def difference(self) -> PairedDifference:
        """The accuracy of the head minus that of the probe."""
        return paired_share_difference(self.probe, self.head, np.zeros(len(self.head), np.int64), self.units)


def state_head_against_probe(audited: AuditedModel) -> Finding:
    """Return the finding; it warns where the whole interval lies below 0, and the shortfall is not small."""
    if audited.fit is None or audited.task is None:
        return HEAD_AGAINST_PROBE.state_not_measured(audited.provided_as, absence="not_applicable")
    if audited.fit.mode == "private":
        return HEAD_AGAINST_PROBE.state_not_measured(PRIVATE, absence="not_applicable")
    if audited.facts.task == "recognition":
        return HEAD_AGAINST_PROBE.state_not_measured(TRANSCRIPTS, absence="not_applicable")
    vectors = linear_head_vectors(audited.task)
    if vectors is None:
        return HEAD_AGAINST_PROBE.state_not_measured(LAYERS, absence="not_applicable")
    compared = compare_head_with_probe(audited, audited.task.labels.numpy(), vectors)
    if isinstance(compared, NotMeasured):
        return HEAD_AGAINST_PROBE.state_not_measured(compared.reason)
    difference = compared.difference
    interval = difference.confidence_interval()
    falls_short = interval is not None and interval.high < 0 and difference.value <= -SMALL_SHORTFALL
    return HEAD_AGAINST_PROBE.state_estimate(
        difference.value,
        interval=interval,
        adjusted=multiplicity.adjust_where_defined(difference.confidence_interval),
        n=len(compared.head),
        status="warn" if falls_short else "info",
        description=f"{HEAD_AGAINST_PROBE.description} {_describe_comparison(compared, falls_short=falls_short)}",
    )


def _describe_comparison(compared: HeadAndProbe, *, falls_short: bool) -> str:
    reached = [format_fixed(float(right.mean()), 3) for right in (compared.head, compared.probe)]
    said = f"The head reaches {reached[0]}, the probe {reached[1]}"
    if compared.fitted_rows < compared.train_rows:
        said += f", fitted to {compared.fitted_rows} of {compared.train_rows} training examples, drawn at random"
    return f"{said}: the head was not trained to the end." if falls_short else f"{said}."


def compare_head_with_probe(audited: AuditedModel, labels: np.ndarray, vectors: Vectors) -> HeadAndProbe | NotMeasured:
    """Return what a head and a probe get right on test, or why that cannot be said.

    Args:
        audited: with features and predictions of ``test``.
        labels: (N,) of the training examples.
        vectors: the training examples as the head sees them.
    """
    if "test" in audited.withheld.splits:
        return NotMeasured(audited.withheld.reason)
    frame = audited.predictions[audited.predictions["split"] == "test"]
    rows = PredictionArrays.from_frame(frame, audited.facts.classes)
    chosen = np.random.default_rng([audited.seed, SAMPLE_STREAM]).permutation(len(labels))[:MAX_FITTED_ROWS]
    chosen.sort()
    features = audited.require_features()
    seen = _read_rows(features["train"], chosen, row_norm=vectors.row_norm)
    if problem := find_non_finite(seen):
        return problem
    if len(np.unique(labels[chosen])) < 2:
        return NotMeasured("fewer than two classes occur among the training examples that the probe may see")
    scale, probe, weights = measure_scale(seen), new_linear_probe(), vectors.class_weights
    with limit_to_one_thread():
        factors = None if weights is None else weights.cpu().double().numpy()[labels[chosen]]
        probe.fit(seen.astype(np.float64) / scale, labels[chosen], sample_weight=factors)
        predicted, n_broken = np.empty(len(rows), dtype=labels.dtype), 0
        for start in range(0, len(rows), ROWS_AT_ONCE):
            numbers = np.arange(start, min(start + ROWS_AT_ONCE, len(rows)))
            judged = _read_rows(features["test"], numbers, row_norm=vectors.row_norm)
            n_broken += count_non_finite(judged)
            if not n_broken:
                predicted[numbers] = probe.predict(judged.astype(np.float64) / scale)
    if problem := describe_non_finite(n_broken, len(rows)):
        return problem
    right = rows.predictions == rows.labels
    return HeadAndProbe(right, predicted == rows.labels, rows.units, len(chosen), len(labels))


def _read_rows(features: Features, rows: np.ndarray, *, row_norm: bool) -> np.ndarray:
    """Return (B, D) float32 plain views of examples, scaled as the head would."""
    return scale_rows(features.batch(rows)["features"], row_norm=row_norm).numpy()
