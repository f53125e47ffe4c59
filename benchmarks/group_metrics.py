"""A thousand resamples of four metrics by two attributes of five levels, beside Fairlearn's bootstrap.

    python benchmarks/group_metrics.py [--rows 100000] [--peer 20]

Prints a table and writes ``group_metrics.json`` beside this file. ``counts`` counts the rows and resamples the counts,
which gives what Fairlearn's MetricFrame gives on the same resamples; ``gaps`` are the intervals of the largest gap that
``rft audit`` reports. Fairlearn is timed with ``--peer`` resamples and its time for 1,000 is in proportion.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
from sklearn.metrics import accuracy_score

from rft.plugins.fairness.measure.gaps import compare_groups
from rft.plugins.fairness.measure.group_metrics import SampleSizeRules, measure_groups
from rft.predictions.grouped import ClassTarget, GroupedPredictions
from rft.predictions.table import Grouping, PredictionArrays
from rft.stats.scores.classification import METRICS, Ratios

RESAMPLES = 1000
NAMES = ("accuracy", "selection_rate", "tpr", "fpr")
PEERS = (accuracy_score, selection_rate, true_positive_rate, false_positive_rate)


def main() -> None:
    """Time both and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--peer", type=int, default=20, help="resamples that Fairlearn is timed with; 0 leaves it out")
    options = parser.parse_args()
    rows, groupings = made_up(options.rows)
    seconds = {
        "counts": median_seconds(lambda: resample_metrics(rows, groupings)),
        "gaps": median_seconds(lambda: measure_gaps(rows, groupings)),
    }
    if options.peer:
        seconds_of_one = median_seconds(lambda: run_fairlearn(rows, groupings, options.peer), times=1) / options.peer
        seconds["Fairlearn, in proportion"] = seconds_of_one * RESAMPLES
    for name, duration in seconds.items():
        print(f"{name:28} {duration:10.3f} s")
    if options.peer:
        print(f"Fairlearn takes {seconds['Fairlearn, in proportion'] / seconds['counts']:,.0f} times as long as counts")
    result = {"options": vars(options), "resamples": RESAMPLES, "seconds": seconds}
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def made_up(n: int) -> tuple[PredictionArrays, list[Grouping]]:
    """Return n rows of two classes and two attributes of five levels."""
    rng = np.random.default_rng(0)
    names = tuple("abcde")
    groupings = [Grouping(name, names, rng.integers(0, 5, n).astype(np.int32), (name,)) for name in ("first", "other")]
    labels = rng.integers(0, 2, n).astype(np.int32)
    predictions = np.where(rng.random(n) < 0.8, labels, 1 - labels).astype(np.int32)
    return PredictionArrays(("no", "yes"), labels, predictions), groupings


def resample_metrics(rows: PredictionArrays, groupings: list[Grouping]) -> list[np.ndarray]:
    """Return (B, G) values of each metric by each attribute."""
    rng = np.random.default_rng(0)
    values = []
    for grouping in groupings:
        drawn = resample_confusion(GroupedPredictions(rows, grouping).confusion, rng)
        values += [
            Ratios.from_metric(METRICS[name], rows.classes, _positive_class(name)).metric_value(drawn) for name in NAMES
        ]
    return values


def resample_confusion(confusion: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return (B, G, K, K) counts as a bootstrap of the rows would give them: a multinomial of each group's counts."""
    cells = confusion.reshape(len(confusion), -1)
    drawn = [rng.multinomial(counts.sum(), counts / counts.sum(), size=RESAMPLES) for counts in cells]
    return np.stack(drawn, axis=1).reshape(RESAMPLES, *confusion.shape)


def measure_gaps(rows: PredictionArrays, groupings: list[Grouping]) -> None:
    """Measure every group and the largest gap, with intervals, as an audit does."""
    for grouping in groupings:
        grouped = GroupedPredictions(rows, grouping)
        for name in NAMES:
            target = ClassTarget(_positive_class(name), None)
            measured = measure_groups(grouped, name, target, size_rules=SampleSizeRules(), positive=1)
            compare_groups(grouped, name, target, measured, seed=0, verdicts=False)


def _positive_class(name: str) -> int | None:
    return 1 if METRICS[name].of_class else None


def run_fairlearn(rows: PredictionArrays, groupings: list[Grouping], draws: int) -> None:
    """Let Fairlearn do the same."""
    for grouping in groupings:
        MetricFrame(
            metrics=dict(zip(NAMES, PEERS, strict=True)),
            y_true=rows.labels,
            y_pred=rows.predictions,
            sensitive_features=pd.Series(grouping.codes, name=grouping.attribute),
            n_boot=draws,
            ci_quantiles=[0.025, 0.975],
            random_state=0,
        )


def median_seconds(work: Callable[[], object], *, times: int = 5) -> float:
    """Return the median seconds of some repetitions."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return median(seconds)


if __name__ == "__main__":
    main()
