"""Does the refit's influence hold for the audited model's own training? Heads are trained anew, and it is measured.

Each head is trained as the audited one was, on a random half of the units. The refit says beforehand how each margin
will come out: by the sum of the influences of the units that are left. How well it ranks the heads is the linear
datamodeling score (Park et al. 2023, ICML, TRAK, section 2): the rank correlation over heads, a mean over predictions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from rft.plugins import AuditedModel
from rft.plugins.influence.refit import Contrast
from rft.records import Adjusted, Interval
from rft.stats import multiplicity
from rft.stats.intervals import CONFIDENCE_LEVEL, clip_interval, mean_interval
from rft.training import Job, Task
from rft.training.linear_heads import compute_logits

SUBSET_STREAM = 0x1AF1  # sets the draws of subsets apart from other uses of the run's seed


@dataclass(frozen=True)
class Retrained:
    """Heads that were trained on random halves of the units.

    Attributes:
        kept: (M, U) booleans, which units each head was trained on.
        margins: (M, T) of each head, for the contrasts of T predictions.
    """

    kept: np.ndarray
    margins: np.ndarray


@dataclass(frozen=True)
class Agreement:
    """The linear datamodeling score.

    Attributes:
        value: -1 to 1; 1 where the refit ranks the heads as they are.
        interval: at 95 %, over the choice of heads.
        adjusted: the same at the levels of verdicts over several rules.
        heads, predictions: how many heads were ranked, on how many predictions.
    """

    value: float
    interval: Interval
    adjusted: tuple[Adjusted, ...]
    heads: int
    predictions: int


def retrain_heads(
    audited: AuditedModel,
    rows: np.ndarray,
    unit_codes: np.ndarray,
    test_rows: np.ndarray,
    contrast: Contrast,
    count: int,
) -> Retrained:
    """Train heads by the audited model's own trainer and read the margins of test examples.

    Args:
        audited: what was trained here.
        rows: (N,) rows of the training split that the refit knows; no head sees others.
        unit_codes: (N,) the unit of each, 0 to U - 1.
        test_rows: (T,) rows of the test split.
        contrast: of those T predictions.
        count: M, how many heads.
    """
    task: Task = audited.require_task()
    rng = np.random.default_rng([audited.seed, SUBSET_STREAM])
    units = int(unit_codes.max()) + 1
    kept = rng.random((count, units)).argsort(axis=1) < units // 2
    members = np.zeros((count, len(task.labels)), dtype=bool)
    members[:, rows] = kept[:, unit_codes]
    jobs = [Job(int(seed), chosen) for seed, chosen in zip(rng.integers(2**31, size=count), members, strict=True)]
    fits = audited.require_trainer().fit(task, jobs)
    logits = compute_logits(task, fits, audited.require_features()["test"])
    return Retrained(kept, np.stack([contrast.margins(head[test_rows]) for head in logits]))


def measure_agreement(retrained: Retrained, influence: np.ndarray) -> Agreement | None:
    """Return how well (T, U) influences rank the margins of heads; None where no prediction's can be ranked.

    The interval is Student's t over the pseudo-values of the delete-one jackknife (Tukey 1958, Ann. Math. Stat. 29:614)
    by heads: the predictions share their heads, and so are not independent.
    """
    predicted = retrained.kept @ influence.T  # (M, T)
    whole = _mean_rank_correlation(predicted, retrained.margins)
    if whole is None:
        return None
    count = len(predicted)
    without = [
        _mean_rank_correlation(np.delete(predicted, head, axis=0), np.delete(retrained.margins, head, axis=0))
        for head in range(count)
    ]
    if any(value is None for value in without):
        return None
    pseudo_values = count * whole - (count - 1) * np.array(without, dtype=np.float64)

    def interval_at(level: float) -> Interval | None:
        interval = mean_interval(pseudo_values, level=level)
        return interval and _shift_interval(interval, whole - float(pseudo_values.mean()))

    interval = interval_at(CONFIDENCE_LEVEL)
    assert interval is not None, "there are several heads"
    return Agreement(whole, interval, multiplicity.adjust_where_defined(interval_at), count, predicted.shape[1])


def _shift_interval(interval: Interval, shift: float) -> Interval:
    """Return the interval around the value itself, within -1 to 1, and the name of its method."""
    method = f"jackknife over heads, {interval.method}"
    return clip_interval(Interval(low=interval.low + shift, high=interval.high + shift, method=method), -1.0, 1.0)


def _mean_rank_correlation(predicted: np.ndarray, actual: np.ndarray) -> float | None:
    """Return the mean over T of Spearman's rank correlations of (M, T) numbers, over those that are defined."""
    ranks = [rankdata(values, axis=0) - (len(values) + 1) / 2 for values in (predicted, actual)]
    lengths = np.sqrt((ranks[0] ** 2).sum(axis=0) * (ranks[1] ** 2).sum(axis=0))
    defined = lengths > 0
    if not defined.any():
        return None
    return float(((ranks[0] * ranks[1]).sum(axis=0)[defined] / lengths[defined]).mean())
