"""Tables of predictions with groups, and the fairness audit of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rft.plugins import AuditedModel
from rft.plugins.fairness import Fairness, FairnessOptions
from rft.records import ModelFacts, Row, Section, Training


def predictions(labels, predicted, *, split: str = "test", units=None, **groups) -> pd.DataFrame:
    """Return a table of predictions of the classes ``no`` and ``yes``; labels and predictions may be booleans."""
    names = [np.where(side, "yes", "no") if np.asarray(side).dtype == bool else side for side in (labels, predicted)]
    ids = [f"{split}-{row}" for row in range(len(names[0]))]
    columns = {"split": split, "id": ids, "unit": units, "label": names[0], "prediction": names[1]}
    return pd.DataFrame(columns | {f"group_{name}": values for name, values in groups.items()})


def audited_model(frame: pd.DataFrame, *, classes=("no", "yes"), positive: str | None = "yes") -> AuditedModel:
    facts = ModelFacts(
        name="toy", modality="image", classes=classes, positive=positive, training=Training(mode="external")
    )
    return AuditedModel(facts=facts, seed=0, splits={}, predictions=frame)


def audit(frame: pd.DataFrame, *, classes=("no", "yes"), positive="yes", **options) -> Section:
    return Fairness().audit(audited_model(frame, classes=classes, positive=positive), FairnessOptions(**options))


def cell(section: Section, attribute: str | None, group: str | None, metric: str) -> Row:
    [row] = [
        row
        for row in section.tables["by_group"]
        if (row["attribute"], row["group"], row["metric"]) == (attribute, group, metric)
    ]
    return row


def group_of(tn: int, fp: int, fn: int, tp: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat([False, False, True, True], [tn, fp, fn, tp])
    return labels, np.repeat([False, True, False, True], [tn, fp, fn, tp])


def compas() -> pd.DataFrame:
    """The two-year file of COMPAS as counts: tn, fp, fn, tp."""
    black, white = group_of(990, 805, 532, 1369), group_of(1139, 349, 461, 505)
    labels, predicted = (np.concatenate(pair) for pair in zip(black, white, strict=True))
    return predictions(labels, predicted, race=["black"] * len(black[0]) + ["white"] * len(white[0]))
