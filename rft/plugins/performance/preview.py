"""What rules on accuracy are worth, told before an audit: whether always giving one class would reach their bounds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rft.number_format import format_fixed
from rft.plugins.performance.measures import majority_class
from rft.plugins.protocol import ExaminedData
from rft.stats.rates import Rate


def question_accuracy_rules(examined: ExaminedData) -> Iterator[str]:
    """Yield a sentence for each least accuracy that always giving the commonest class of train has on test, too.

    Nothing is said where a class has fewer examples than may be counted (``report.suppress_below``).
    """
    splits, below = examined.splits, examined.core.report.suppress_below or 0
    if not {"train", "test"} <= splits.keys():
        return
    counts = np.bincount(splits["test"].labels, minlength=len(examined.classes))
    if counts.min() < below:
        return
    commonest = majority_class(splits["train"].labels)
    reached = Rate.from_rows(splits["test"].labels == commonest, splits["test"].units).value
    for rule in examined.core.policy:
        least = rule.allowed_range[0]
        if rule.finding == "performance.accuracy" and least <= reached:
            yield (
                f"accuracy of at least {least:g} asks for little: always guessing {examined.classes[commonest]}, the "
                f"commonest class, reaches {format_fixed(reached, 3)} on the test split. Ask for more, or for "
                "performance.balanced_accuracy, in which each class counts the same"
            )
