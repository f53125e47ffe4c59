"""Membership inference by a threshold on the loss (Yeom et al. 2018): can training examples be told from others?

Scores and rates only; what they mean for a reader stands in the audit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rft import intervals
from rft.records import Cell, Interval, Row, Table

NAME = "loss_threshold"
FEWEST = 10  # members and non-members; with fewer on either side nothing is scored
ROC_POINTS = 200


@dataclass(frozen=True)
class Target:
    """What the attack sees: one row an example of the train and test splits.

    Attributes:
        rows: columns ``member`` (bool), ``owner`` (unit, or id of the example), ``score`` and ``group_<attribute>``.
        units: whether owners are declared units.
        n_in_both: units left out because they have examples on both sides.
        n_unscored: examples left out because the probability of their label is missing or not a number.
    """

    rows: pd.DataFrame
    units: bool
    n_in_both: int
    n_unscored: int


@dataclass(frozen=True)
class Outcome:
    """What an attack reached on (M,) scores of members and (K,) of non-members, one for each owner."""

    members: np.ndarray
    non_members: np.ndarray
    auc: float
    interval: Interval

    def tpr_at(self, fpr: float) -> float | None:
        """Return the true-positive rate at this false-positive rate, None with fewer than 10 / fpr non-members."""
        if len(self.non_members) < FEWEST / fpr - 1e-9:
            return None
        allowed = int(fpr * len(self.non_members) + 1e-9)
        return float(np.mean(self.members > np.sort(self.non_members)[-allowed - 1]))


def target(predictions: pd.DataFrame, classes: Sequence[str]) -> Target:
    """Read what the attack sees from the table of predictions.

    The score is the log of the probability that the model gives to the true label, that is, minus the loss; a
    probability of 0 counts as the smallest positive float64. A unit on both sides is neither member nor non-member.
    """
    frame = predictions[predictions["split"].isin(["train", "test"])]
    owner = frame["unit"].where(frame["unit"].notna(), frame["id"]).astype(str)
    groups = frame[[column for column in frame if str(column).startswith("group_")]]
    rows = groups.assign(member=frame["split"] == "train", owner=owner, score=_log_likelihood(frame, classes))
    sides = rows.groupby("owner")["member"].transform("nunique")
    scored = np.isfinite(rows["score"])
    return Target(
        rows=rows[scored & (sides == 1)],
        units=bool(frame["unit"].notna().any()),
        n_in_both=int(rows.loc[sides > 1, "owner"].nunique()),
        n_unscored=int((~scored).sum()),
    )


def _log_likelihood(frame: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    scores = frame.reindex(columns=[f"score_{name}" for name in classes]).to_numpy(np.float64)
    label = pd.Index(classes).get_indexer(pd.Index(frame["label"]))
    probability = np.where(label >= 0, scores[np.arange(len(frame)), label], np.nan)
    return np.log(np.maximum(probability, np.finfo(np.float64).tiny))


def counts(rows: pd.DataFrame) -> tuple[int, int]:
    """Return how many owners are members and how many are not."""
    owners = rows.groupby("owner")["member"].first()
    return int(owners.sum()), int((~owners).sum())


def attack(rows: pd.DataFrame) -> Outcome | None:
    """Attack these rows, one score an owner (the mean over its rows); None with fewer than 10 owners on a side."""
    owners = rows.groupby("owner").agg(member=("member", "first"), score=("score", "mean"))
    members = owners.loc[owners["member"], "score"].to_numpy(np.float64)
    non_members = owners.loc[~owners["member"], "score"].to_numpy(np.float64)
    if min(len(members), len(non_members)) < FEWEST:
        return None
    from sklearn.metrics import roc_auc_score

    auc = float(roc_auc_score(owners["member"], owners["score"]))
    return Outcome(members, non_members, auc, intervals.auc_interval(auc, len(members), len(non_members)))


def table(target: Target) -> Table:
    """Return one row for all owners and one for each group: the attack restricted to the rows of the group."""
    result = [_row(target.rows, None, None)]
    for column in (str(name) for name in target.rows if str(name).startswith("group_")):
        for group in sorted(target.rows[column].dropna().unique()):
            result.append(_row(target.rows[target.rows[column] == group], column.removeprefix("group_"), str(group)))
    return result


def _row(rows: pd.DataFrame, attribute: Cell, group: Cell) -> Row:
    outcome = attack(rows)
    n_members, n_non_members = counts(rows)
    return {
        "attack": NAME,
        "attribute": attribute,
        "group": group,
        "auc": outcome.auc if outcome else None,
        "tpr_at_1pct_fpr": outcome.tpr_at(0.01) if outcome else None,
        "tpr_at_01pct_fpr": outcome.tpr_at(0.001) if outcome else None,
        "low": outcome.interval.low if outcome else None,
        "high": outcome.interval.high if outcome else None,
        "n_members": n_members,
        "n_non_members": n_non_members,
    }


def roc(outcome: Outcome) -> Table:
    """Return the curve of true-positive against false-positive rate, thinned to at most 200 points, ends included."""
    from sklearn.metrics import roc_curve

    truth = np.repeat([True, False], [len(outcome.members), len(outcome.non_members)])
    fpr, tpr, _ = roc_curve(truth, np.concatenate([outcome.members, outcome.non_members]))
    kept = np.unique(np.linspace(0, len(fpr) - 1, min(ROC_POINTS, len(fpr))).astype(int))
    return [{"fpr": float(fpr[index]), "tpr": float(tpr[index])} for index in kept]
