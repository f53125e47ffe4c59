"""Membership attacks on one table: who was a member, how each attack scores every example, and what it reached.

Which attacks there are stands in ``catalog``; here their scores are taken together by owner, over all and within
groups. What the numbers mean for a reader stands in ``membership``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from rft.disclosure.withheld import NOTHING, Withheld
from rft.plugins.privacy.attacks.catalog import LOSS, score_predictions
from rft.records import Cell, Interval, Row, Table
from rft.stats.intervals import CONFIDENCE_LEVEL
from rft.stats.scores import roc
from rft.stats.scores.auc import AucEstimate
from rft.stats.scores.roc import TruePositiveRate

MIN_UNITS_PER_SIDE = 10  # members and non-members; with fewer on either side nothing is scored
FPR_BY_COLUMN = {"tpr_at_1pct_fpr": 0.01, "tpr_at_01pct_fpr": 0.001}  # column -> false-positive rate
ROC_POINTS = 100


@dataclass(frozen=True)
class AttackTarget:
    """What the attacks see: one row an example of the train and test splits.

    Attributes:
        rows: columns ``id``, ``member`` (bool), ``owner`` (unit, or id of the example), ``group_<attribute>`` and one
            of scores for each attack: higher is more like a member.
        attacks: names of the columns of scores.
        units: whether owners are declared units.
        n_in_both: units left out because they have examples on both sides.
        n_unscored: examples left out because the probability of their label is missing or not a number.
    """

    rows: pd.DataFrame
    attacks: tuple[str, ...]
    units: bool
    n_in_both: int
    n_unscored: int

    @property
    def attributes(self) -> list[str]:
        """The group attributes."""
        return [str(name).removeprefix("group_") for name in self.rows if str(name).startswith("group_")]

    @property
    def members_have_groups(self) -> bool:
        """Whether a group is known of any training example."""
        return any(self.rows.loc[self.rows["member"], f"group_{name}"].notna().any() for name in self.attributes)

    def rows_by_group(self) -> dict[tuple[str, str], pd.DataFrame]:
        """Return the rows of each group, by attribute and group."""
        by_attribute = {name: self.rows[f"group_{name}"] for name in self.attributes}
        return {
            (name, str(group)): self.rows[column == group]
            for name, column in by_attribute.items()
            for group in sorted(column.dropna().unique())
        }

    def rows_of_other_groups(self, attribute: str, group: str) -> pd.DataFrame:
        """Return the rows of all other groups of an attribute, without owners who have a row in this one.

        Rows of unknown or withheld groups are among nobody's others.
        """
        column = self.rows[f"group_{attribute}"]
        within = self.rows.loc[column.notna() & (column.astype(str) == group), "owner"]
        return self.rows[column.notna() & ~self.rows["owner"].isin(within)]

    def with_scores(self, ids: np.ndarray, scores: Mapping[str, np.ndarray]) -> AttackTarget:
        """Return this target with further attacks, given by (N,) ids that hold its own and (N,) scores of each."""
        columns = pd.DataFrame(dict(scores), index=ids).loc[self.rows["id"]]
        rows = self.rows.assign(**{name: columns[name].to_numpy() for name in scores})
        return replace(self, rows=rows, attacks=(*self.attacks, *scores))


@dataclass(frozen=True)
class AttackOutcome:
    """What an attack reached on (M,) scores of members and (K,) of non-members, one for each owner."""

    members: np.ndarray
    non_members: np.ndarray

    @cached_property
    def area(self) -> AucEstimate:
        """The area under the ROC curve."""
        return AucEstimate.from_classes(self.members, self.non_members)

    @property
    def auc(self) -> float:
        """The value of the area."""
        return self.area.value

    def interval(self, *, level: float = CONFIDENCE_LEVEL) -> Interval:
        """Return the interval of the area with this nominal coverage."""
        return self.area.confidence_interval(level)

    def tpr_at(self, fpr: float, *, level: float = CONFIDENCE_LEVEL) -> TruePositiveRate | None:
        """Return the true-positive rate at this false-positive rate, None with fewer than 10 / fpr non-members."""
        return roc.tpr_at_fpr(fpr, self.members, self.non_members, level=level)


def read_attack_target(predictions: pd.DataFrame, classes: Sequence[str]) -> AttackTarget:
    """Read what the attacks see that need nothing but the table of predictions.

    A unit on both sides is neither member nor non-member.
    """
    frame = predictions[predictions["split"].isin(["train", "test"])]
    owner = frame["unit"].where(frame["unit"].notna(), frame["id"]).astype(str)
    kept = frame[["id", *(column for column in frame if str(column).startswith("group_"))]]
    scores = score_predictions(frame, classes)
    rows = kept.assign(member=frame["split"] == "train", owner=owner, **scores)
    sides = rows.groupby("owner")["member"].transform("nunique")
    scored = np.logical_and.reduce([np.isfinite(values) for values in scores.values()])
    return AttackTarget(
        rows=rows[scored & (sides == 1)],
        attacks=tuple(scores),
        units=bool(frame["unit"].notna().any()),
        n_in_both=int(rows.loc[sides > 1, "owner"].nunique()),
        n_unscored=int((~scored).sum()),
    )


def count_members(rows: pd.DataFrame) -> tuple[int, int]:
    """Return how many owners are members and how many are not."""
    owners = rows.groupby("owner")["member"].first()
    return int(owners.sum()), int((~owners).sum())


def run_attack(rows: pd.DataFrame, name: str = LOSS) -> AttackOutcome | None:
    """Return what an attack reaches on these rows; None with fewer than 10 owners on a side.

    An owner's score is the mean over its rows, as in attacks on users (Kandpal et al. 2024, EMNLP).
    """
    owners = rows.groupby("owner").agg(member=("member", "first"), score=(name, "mean"))
    members = owners.loc[owners["member"], "score"].to_numpy(np.float64)
    non_members = owners.loc[~owners["member"], "score"].to_numpy(np.float64)
    if min(len(members), len(non_members)) < MIN_UNITS_PER_SIDE:
        return None
    return AttackOutcome(members, non_members)


def attack_table(target: AttackTarget, withheld: Withheld = NOTHING) -> Table:
    """Return for each attack one row for all owners and one for each group: the attack within the rows of the group.

    Where groups may be withheld a status says so; their values are missing in the rows of the target.
    """
    result = []
    for name in target.attacks:
        result.append(_attack_row(name, None, None, target.rows))
        result += [
            _attack_row(name, attribute, group, rows) for (attribute, group), rows in target.rows_by_group().items()
        ]
    if not withheld.below:
        return result
    blank = [
        {**dict.fromkeys(result[0]), "attack": name, "attribute": attribute, "group": group}
        for name in target.attacks
        for attribute in target.attributes
        for group in withheld.groups_of(attribute)
    ]
    hidden = [{**row, "status": withheld.reason} for row in blank]
    return [*({**row, "status": "ok"} for row in result), *hidden]


def _attack_row(name: str, attribute: Cell, group: Cell, rows: pd.DataFrame) -> Row:
    outcome = run_attack(rows, name)
    n_members, n_non_members = count_members(rows)
    interval = outcome.interval() if outcome else None
    rates = {column: outcome.tpr_at(fpr) if outcome else None for column, fpr in FPR_BY_COLUMN.items()}
    ends: Row = {}
    for column, rate in rates.items():
        ends[f"{column}_low"] = rate.interval.low if rate else None
        ends[f"{column}_high"] = rate.interval.high if rate else None
    return {
        "attack": name,
        "attribute": attribute,
        "group": group,
        "auc": outcome.auc if outcome else None,
        **{column: rate.value if rate else None for column, rate in rates.items()},
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "n_members": n_members,
        "n_non_members": n_non_members,
        **ends,
    }


def roc_table(outcomes: Mapping[str, AttackOutcome]) -> Table:
    """Return the curve of each attack: rows of attack, fpr, tpr, from the finest measured rate to (1, 1)."""
    return [
        {"attack": name, "fpr": fpr, "tpr": tpr}
        for name, outcome in outcomes.items()
        for fpr, tpr in roc.roc_curve(outcome.members, outcome.non_members, points=ROC_POINTS)
    ]
