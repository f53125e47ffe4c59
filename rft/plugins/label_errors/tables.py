"""The tables of the section: classes that are taken for each other, groups, and the list itself."""

from __future__ import annotations

from collections import Counter

import numpy as np

from rft.disclosure.withheld import Withheld
from rft.plugins.group_rows import tabulate_groups
from rft.plugins.label_errors.ranking import PLANTED_SHARE, LabelRanking, PlantedErrors
from rft.plugins.training_vectors import LabelledExamples
from rft.records import Columns, Row, Table, list_columns
from rft.stats.intervals import clip_interval, mean_interval

MAX_LISTED = 200  # labels of the list, and pairs of classes
MIN_PLANTED = 20  # errors in a group, over all rounds, of which a share is given
TOO_FEW_PLANTED = f"too few: under {MIN_PLANTED} planted errors"

CAPTIONS = {
    "pairs": "The labels to look at again by the class that they name and the class that the features speak for.",
    "by_group": "How many of each group's labels are to be looked at again, and what share of the group's labels that "
    f"were made wrong ({PLANTED_SHARE:.0%} at random) such a list holds, with its interval at 95 %.",
    "review": "The labels to look at again, the least likely first. The margin is the score of the label minus that of "
    "the class that the features speak for; scores are about 0 to 1.",
}
COLUMNS: dict[str, Columns] = {
    "pairs": list_columns(
        {"label": "class", "looks_like": "key", "n": "count", "status": "status"}, labels={"n": "labels to look at"}
    ),
    "by_group": list_columns(
        {
            "attribute": "attribute",
            "group": "group",
            "recall": "estimate",
            "low": "low",
            "high": "high",
            "listed_share": "number",
            "listed": "count",
            "n": "count",
            "status": "status",
        },
        labels={
            "recall": "planted errors found",
            "listed_share": "share to look at",
            "listed": "labels to look at",
            "n": "examples",
        },
    ),
    "review": list_columns({"place": "number", "id": "key", "label": "class", "looks_like": "key", "margin": "number"}),
}


def pair_table(
    examples: LabelledExamples, ranking: LabelRanking, classes: tuple[str, ...], withheld: Withheld
) -> Table:
    """Return a row for each pair of a label and the class that the features speak for, the most frequent first.

    Where small counts are withheld there is no such table: its counts are small by their nature.
    """
    if withheld.below:
        return []
    reviewed = ranking.reviewed
    pairs = Counter(zip(examples.labels[reviewed].tolist(), ranking.rivals[reviewed].tolist(), strict=True))
    return [
        {"label": classes[label], "looks_like": classes[rival], "n": n, "status": "ok"}
        for (label, rival), n in sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))[:MAX_LISTED]
    ]


def group_table(examples: LabelledExamples, ranking: LabelRanking, planted: PlantedErrors, withheld: Withheld) -> Table:
    """Return a row for each group; without the counts of groups that are small, or that would tell of a small one."""
    is_listed = np.zeros(len(examples), dtype=bool)
    is_listed[ranking.reviewed] = True

    def describe(member: np.ndarray) -> Row:
        listed, n = int(is_listed[member].sum()), int(member.sum())
        counts: Row = {"n": n, "listed": listed, "listed_share": listed / n}
        row = counts | _measure_recall(member, planted)
        return row | {"status": TOO_FEW_PLANTED if row["recall"] is None else "ok"}

    return tabulate_groups(is_listed, examples.groups, withheld, describe)


def _measure_recall(mask: np.ndarray, planted: PlantedErrors) -> Row:
    """Return the share of a group's planted errors that were found, with its interval, where there are enough."""
    of_group = mask[planted.rows]
    is_found, rounds = planted.is_found[of_group].astype(np.float64), planted.rounds[of_group]
    interval = mean_interval(is_found, rounds) if of_group.sum() >= MIN_PLANTED else None
    if interval is None:
        return {"recall": None, "low": None, "high": None}
    interval = clip_interval(interval, 0.0, 1.0)
    return {"recall": float(is_found.mean()), "low": interval.low, "high": interval.high}


def review_table(examples: LabelledExamples, ranking: LabelRanking, classes: tuple[str, ...]) -> Table:
    """Return the list of labels to look at again: a row each, with the id of its example."""
    return [
        {
            "place": place,
            "id": str(examples.ids[row]),
            "label": classes[examples.labels[row]],
            "looks_like": classes[ranking.rivals[row]],
            "margin": float(ranking.margins[row]),
        }
        for place, row in enumerate(ranking.reviewed[:MAX_LISTED].tolist(), start=1)
    ]
