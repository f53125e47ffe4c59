"""From predictions to the section: rates of groups and of pairs of attributes, gaps, and missing values. Test only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from rft import intervals
from rft.errors import Unavailable
from rft.plugins import Subject
from rft.plugins.fairness import FairnessOptions, gaps
from rft.plugins.fairness.gaps import Gap
from rft.plugins.fairness.group_metrics import GroupRate, Rows, rates
from rft.plugins.fairness.mitigation import MitigationOptions
from rft.records import Figure, Finding, Row, Section

SPLIT = "test"


def audit(subject: Subject, options: FairnessOptions, *, positive: str) -> Section:
    """Return the section; raises ``Unavailable`` without test rows, groups, or a prediction for every row."""
    frame = _test_rows(subject)
    groups = _groups(frame, options.attributes)
    measured = _Measured(frame, list(dict.fromkeys(options.metrics)), positive, options.min_group)
    by_attribute = {attribute: measured.by(values) for attribute, values in groups.items()}
    pairs = {f"{a} x {b}": measured.by(_joined(groups[a], groups[b])) for a, b in combinations(groups, 2)}
    found = [
        Gap.of(attribute, metric, [rate for rate in own if rate.metric == metric], _missing(groups[attribute]))
        for attribute, own in by_attribute.items()
        for metric in measured.metrics
    ]
    model = "external" if subject.facts.training.mode == "external" else "fine-tuned"
    table = [_row(model, None, rate, positive) for rate in measured.overall()]
    table += [_row(model, name, rate, positive) for name, own in (by_attribute | pairs).items() for rate in own]
    section = Section(
        plugin="fairness",
        title="Fairness",
        findings=(*map(gaps.finding, found), *(_missing_finding(name, values) for name, values in groups.items())),
        tables={"by_group": table, "gaps": [gaps.row(gap) for gap in found]},
        captions=_CAPTIONS,
        figures=tuple(_figure(attribute) for attribute, own in by_attribute.items() if own),
        notes=_notes(positive, options.min_group),
    )
    return section if options.mitigation is None else _mitigated(section, subject, options.mitigation, positive)


def _mitigated(section: Section, subject: Subject, options: MitigationOptions, positive: str) -> Section:
    """Add what mitigation found."""
    from rft.plugins.fairness.mitigation.mitigate import mitigate

    found = mitigate(subject, options, positive)
    return section.model_copy(
        update={
            "findings": section.findings + found.findings,
            "tables": section.tables | found.tables,
            "captions": section.captions | found.captions,
            "figures": section.figures + found.figures,
            "notes": section.notes + found.notes,
            "folders": found.folders,
        }
    )


class _Measured:
    """The test rows, ready to be measured by any grouping."""

    def __init__(self, frame: pd.DataFrame, metrics: Sequence[str], positive: str, min_group: int) -> None:
        self.metrics = metrics
        self._positive, self._min_group = positive, min_group
        units = frame["unit"].where(frame["unit"].notna(), frame["id"])  # a row without a unit stands for itself
        self._rows = Rows(*(column.to_numpy(str) for column in (frame["label"], frame["prediction"], units)))

    def by(self, values: pd.Series) -> list[GroupRate]:
        """Return the rates of the groups that (N,) values name, without the rows where the value is missing."""
        known = values.notna().to_numpy()
        return self._rates(self._rows.where(known), values[known].to_numpy(str), self._min_group)

    def overall(self) -> list[GroupRate]:
        """Return the rates of all rows."""
        return self._rates(self._rows, np.full(len(self._rows.labels), "all"), 1)

    def _rates(self, rows: Rows, groups: np.ndarray, min_group: int) -> list[GroupRate]:
        return rates(rows, groups, metrics=self.metrics, positive=self._positive, min_group=min_group)


def _test_rows(subject: Subject) -> pd.DataFrame:
    frame = subject.predictions[subject.predictions["split"] == SPLIT].reset_index(drop=True)
    if frame.empty:
        raise Unavailable("the predictions hold no rows of the split test")
    if unknown := int(frame[["label", "prediction"]].isna().any(axis=1).sum()):
        raise Unavailable(f"{unknown} of {len(frame)} test rows have no label or no prediction")
    return frame


def _groups(frame: pd.DataFrame, attributes: Sequence[str] | None) -> dict[str, pd.Series]:
    known = {name.removeprefix("group_"): frame[name] for name in frame.columns if name.startswith("group_")}
    if not known:
        raise Unavailable("the data has no group attributes (data.groups)")
    if unknown := [name for name in attributes or [] if name not in known]:
        raise Unavailable(f"the data has no group attribute {unknown[0]!r}, only {', '.join(known)}")
    return {name: known[name] for name in dict.fromkeys(attributes or known)}


def _joined(first: pd.Series, second: pd.Series) -> pd.Series:
    """Return ``a x b`` where both are known, else None."""
    both = first.notna() & second.notna()
    return (first.astype(object) + " x " + second.astype(object)).where(both, None)


def _missing(values: pd.Series) -> int:
    return int(values.isna().sum())


def _missing_finding(attribute: str, values: pd.Series) -> Finding:
    missing = _missing(values)
    return Finding(
        id=f"fairness.missing.{attribute}",
        title=f"Test examples without {attribute}",
        status="warn" if missing else "info",
        value=missing,
        unit="examples",
        exact=True,
        n=len(values),
        meaning=f"{missing} of {len(values)} test examples have no value of {attribute} and belong to no group.",
        limits="The gaps say nothing about these examples." if missing else "",
    )


def _row(model: str, attribute: str | None, measured: GroupRate, positive: str) -> Row:
    interval = measured.rate.interval() if measured.rate else None
    return {
        "model": model,
        "split": SPLIT,
        "attribute": attribute,
        "group": measured.group if attribute else None,
        "class": None if measured.metric == "accuracy" else positive,
        "control": None,
        "metric": measured.metric,
        "value": measured.rate.value if measured.rate else None,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "n": measured.n,
        "n_positive": measured.n_positive,
        "n_negative": measured.n_negative,
        "status": measured.status,
    }


_CAPTIONS = {
    "by_group": "Rates on test by group, with Wilson intervals; n counts the rows of the group, n_positive those whose "
    "label is the favourable class. TPR and FNR are shares of n_positive, FPR of n_negative.",
    "gaps": "The highest group minus the lowest; an interval that reaches below 0 does not tell them apart.",
}


def _notes(positive: str, min_group: int) -> tuple[str, ...]:
    return (
        f"Rates are for the favourable class {positive}, against all others. Groups with fewer than {min_group} test "
        "examples are shown with their number and not scored. Intersections of two attributes stand in the table.",
        "Every interval holds at 95 % by itself: of twenty gaps that do not exist, about one is shown by chance. "
        "Where units repeat, intervals rest on the number of units.",
        f"Wilson intervals: {intervals.WILSON}. Units of unequal size count for less: {intervals.KISH}.",
    )


def _figure(attribute: str) -> Figure:
    return Figure(
        id=f"fairness_{attribute}",
        kind="dots",
        table="by_group",
        encode={"y": "group", "x": "value", "low": "low", "high": "high", "label": "n", "facet": "metric"},
        where={"attribute": attribute},
        x_label="share, with 95 % interval; the number at a dot is n, the test examples of the group",
        title=f"Rates by {attribute}",
        alt=f"For each metric, the rate of every group by {attribute} as a dot with its interval and n.",
    )
