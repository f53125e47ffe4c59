"""What is compared: which metrics of which classes, and which groups, by themselves, crossed and within a control."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from rft.disclosure.withheld import NOTHING, Counted, Withheld
from rft.errors import Unavailable, near
from rft.plugins.fairness import FairnessOptions
from rft.predictions.crossing import CROSSING_SEPARATOR
from rft.predictions.grouped import ClassTarget, GroupedPredictions
from rft.predictions.table import Grouping, PredictionArrays
from rft.stats.scores.classification import METRICS, Ratios

MAX_GROUPS = 200  # of one grouping: more are no groups but a number or a name, and no table shows them
MAX_CLASSES = 20  # up to which each class is set against the rest when the config does not choose
PlannedMetric = tuple[str, ClassTarget]


@dataclass(frozen=True)
class ComparisonPlan:
    """What is compared.

    Attributes:
        rows: the test rows.
        attributes: a grouping for each attribute.
        from_crossing: a grouping for each intersection.
        control: the grouping within whose values everything is compared once more, or None.
        planned_metrics: metrics, each with a class or None.
        positive: index of the favourable class.
        omitted: what was left out of the plan, in sentences.
        withheld: what may not leave the machine.
    """

    rows: PredictionArrays
    attributes: tuple[Grouping, ...]
    crossed: tuple[Grouping, ...]
    control: Grouping | None
    planned_metrics: tuple[PlannedMetric, ...]
    positive: int
    omitted: tuple[str, ...]
    withheld: Withheld = NOTHING

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        classes: Sequence[str],
        options: FairnessOptions,
        positive: str,
        withheld: Withheld = NOTHING,
    ) -> ComparisonPlan:
        """Return the plan for the rows of one split, in which the values of withheld groups are missing.

        Raises:
            Unavailable: there is no group attribute, the options name one or a class that does not exist, or an
                attribute has more than ``MAX_GROUPS`` groups.
        """
        known = {name: withhold_groups(grouping, withheld) for name, grouping in read_groupings(frame).items()}
        control = None if options.control_feature is None else select_groupings(known, [options.control_feature])[0]
        attributes = select_groupings(known, options.attributes or list(known))
        crossed, omitted = cross_attributes(attributes, options.max_intersection_order)
        targets, unasked = _choose_targets(classes, options.classes, positive)
        return cls(
            rows=PredictionArrays.from_frame(frame, classes),
            attributes=tuple(attributes),
            crossed=tuple(withhold_groups(grouping, withheld) for grouping in crossed),
            control=control,
            planned_metrics=tuple(_plan_metrics(options.metrics, targets, classes)),
            positive=tuple(classes).index(positive),
            omitted=(*omitted, *unasked),
            withheld=withheld,
        )

    def group_predictions(self) -> Iterator[GroupedPredictions]:
        """Yield the rows by each attribute and intersection, then the same within each value of the control."""
        for grouping in (*self.attributes, *self.crossed):
            yield GroupedPredictions(self.rows, grouping)
        if self.control is None:
            return
        for index, level in enumerate(self.control.names):
            mask = self.control.codes == index
            rows = self.rows.select_rows(mask)
            for grouping in self.attributes:
                if grouping.attribute != self.control.attribute:  # within its own values it has one group
                    hidden = self.withheld.groups_within(grouping.attribute, self.control.attribute, level)
                    visible_grouping = grouping.select_rows(mask).withhold_groups(hidden, hides=bool(hidden))
                    yield GroupedPredictions(rows, visible_grouping, f"{self.control.attribute} {level}")

    def count_cases(self, split: str, *, selections: bool, all_classes: bool) -> Iterator[Counted]:
        """Yield the rows that numbers of groups rest on: all, and the cases of each metric.

        Args:
            split: that the rows are of.
            selections: whether it is shown how many get the favourable class.
            all_classes: whether numbers of groups within single classes are shown.
        """
        crossed = [grouping.parts for grouping in (*self.attributes, *self.crossed)]
        if self.control is not None:
            levels = self.control.attribute
            others = [grouping.attribute for grouping in self.attributes if grouping.attribute != levels]
            crossed += [(attribute, levels) for attribute in others]
        masks = {mask.tobytes(): (mask, of_model) for mask, of_model in self._case_masks(selections, all_classes)}
        for attributes in dict.fromkeys(crossed):
            yield Counted(split, attributes)
            for mask, of_model in masks.values():
                yield Counted(split, attributes, mask, of_model)

    def _case_masks(self, selections: bool, all_classes: bool) -> Iterator[tuple[np.ndarray, bool]]:
        """Yield (N,) masks, each with whether it depends on predictions."""
        rows, classes = self.rows, range(len(self.rows.classes))
        everything = all_classes or any(
            target.positive is None and METRICS[name].of_class for name, target in self.planned_metrics
        )
        named = {target.positive for _, target in self.planned_metrics} | {self.positive}
        for index in classes if everything else sorted(index for index in named if index is not None):
            yield rows.labels == index, False
            yield rows.labels != index, False
        if any(METRICS[name].average_of for name, _ in self.planned_metrics):
            for index in classes:
                yield rows.labels == index, False
        by_selection = [*self._selection_masks()]
        if selections:
            by_selection.append((self.positive, rows.predictions == self.positive))
        for _, mask in sorted(by_selection, key=lambda indexed: indexed[0]):
            yield mask, True

    def _selection_masks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield classes and (N,) masks of the cases of metrics whose cases depend on predictions, as precision's."""
        for name, target in self.planned_metrics:
            if METRICS[name].depends_on_selection:
                ratios = Ratios.from_metric(METRICS[name], self.rows.classes, target.positive)
                masks = ratios.mark_rows(self.rows.labels, self.rows.predictions)[1].T
                yield from enumerate(masks) if target.positive is None else [(target.positive, masks[0])]

    @property
    def comparisons(self) -> int:
        """Return how many gaps are measured, with those of one fact counted each."""
        within = 0
        if self.control is not None:
            others = sum(grouping.attribute != self.control.attribute for grouping in self.attributes)
            within = len(self.control.names) * others
        return (len(self.attributes) + len(self.crossed) + within) * len(self.planned_metrics)

    def pool_predictions(self) -> GroupedPredictions:
        """Return all rows as one group."""
        everybody = Grouping("", ("all",), np.zeros(len(self.rows), dtype=np.int32), ())
        return GroupedPredictions(self.rows, everybody)


def withhold_groups(grouping: Grouping, withheld: Withheld) -> Grouping:
    """Return a grouping without the groups that are withheld."""
    return grouping.withhold_groups(
        withheld.groups_of(grouping.attribute), hides=withheld.hides_groups_of(grouping.attribute)
    )


def read_groupings(frame: pd.DataFrame) -> dict[str, Grouping]:
    """Return attribute -> its grouping of (N,) rows of predictions; raises ``Unavailable`` where there is none."""
    columns = [str(name) for name in frame.columns if str(name).startswith("group_")]
    if not columns:
        raise Unavailable("the data has no group attributes (data.groups)")
    return {
        name.removeprefix("group_"): Grouping.from_values(name.removeprefix("group_"), frame[name]) for name in columns
    }


def select_groupings(known: dict[str, Grouping], names: Sequence[str]) -> list[Grouping]:
    """Return the groupings by these attributes; raises ``Unavailable`` for one that is not there or too fine."""
    for name in names:
        if name not in known:
            hint = near(name, list(known)) or f"There are {', '.join(known)}."
            raise Unavailable(f"the data has no group attribute {name!r} (data.groups). {hint}")
        if len(known[name].names) > MAX_GROUPS:
            raise Unavailable(
                f"{name} has {len(known[name].names)} different values, more than the {MAX_GROUPS} that can be "
                "compared as groups; put them into bins, such as ages into decades"
            )
    return [known[name] for name in dict.fromkeys(names)]


def cross_attributes(attributes: Sequence[Grouping], max_intersection_order: int) -> tuple[list[Grouping], list[str]]:
    """Return the intersections of up to that many attributes, and a sentence for each that has too many groups."""
    crossed, omitted = [], []
    for size in range(2, max_intersection_order + 1):
        for parts in combinations(attributes, size):
            crossed_grouping = Grouping.from_crossing(parts)
            if len(crossed_grouping.names) > MAX_GROUPS:
                name = CROSSING_SEPARATOR.join(part.attribute for part in parts)
                omitted.append(
                    f"{name} has {len(crossed_grouping.names)} groups, more than the {MAX_GROUPS} that are compared."
                )
            else:
                crossed.append(crossed_grouping)
    return crossed, omitted


def _choose_targets(classes: Sequence[str], chosen: Sequence[str] | None, positive: str) -> tuple[list[str], list[str]]:
    """Return the classes that are set against the rest, the favourable one first, and what is left out."""
    for name in chosen or []:
        if name not in classes:
            raise Unavailable(f"fairness.classes names {name!r}, which is no class. {near(name, list(classes)) or ''}")
    if chosen is None and len(classes) > MAX_CLASSES:
        sentence = f"Of {len(classes)} classes only {positive} is set against the rest; fairness.classes names others."
        return [positive], [sentence]
    others = chosen if chosen is not None else (classes if len(classes) > 2 else [])
    return list(dict.fromkeys([positive, *others])), []


def _plan_metrics(metrics: Sequence[str], targets: Sequence[str], classes: Sequence[str]) -> Iterator[PlannedMetric]:
    for metric in dict.fromkeys(metrics):
        if not METRICS[metric].of_class:
            yield metric, ClassTarget(None, None)
            continue
        for name in targets:
            yield metric, ClassTarget.from_class(name, classes)
        if len(classes) > 2 and METRICS[metric].has_macro:
            yield metric, ClassTarget(None, None)
