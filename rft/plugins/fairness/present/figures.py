"""The figures of the section, each drawn from one of its tables."""

from __future__ import annotations

from collections.abc import Mapping

from rft.plugins.fairness.measure.plan import ComparisonPlan
from rft.records import Figure, Table, dots_figure, heatmap_figure, lines_figure


def draw_gaps(gaps: Table) -> list[Figure]:
    """Return the chart of all gaps that rules may name, beside what chance makes of groups that do not differ."""
    if not any(row["finding"] and row["value"] is not None for row in gaps):
        return []
    return [
        dots_figure(
            id="fairness_gaps",
            lead=True,
            table="gaps",
            y="what",
            x="value",
            low="low",
            high="high",
            band_low="null_low",
            band_high="null_95th_percentile",
            facet="attribute",
            where={"finding": True},
            reference=0.0,
            dot_label="largest gap, with 95 % interval",
            band_label="gaps that chance explains at 95 %",
            x_label="highest group minus lowest",
            title="Gaps beside chance",
            alt="For each attribute and metric, the largest gap between groups as a dot with its interval, on a band "
            "that shows what chance alone makes of groups that do not differ.",
        )
    ]


def draw_groups(plan: ComparisonPlan, tables: Mapping[str, Table]) -> list[Figure]:
    """Return the rates of the groups of each attribute, and how well their scores are calibrated."""
    # Of several classes, those metrics that are about all of them: one class after the other stands in the table.
    of_all = {"class": None} if len(plan.rows.classes) > 2 else {}
    named = [grouping.attribute for grouping in plan.attributes]
    model = str(tables["by_group"][0]["model"])  # a mitigated model may come after it
    rates = [
        _draw_rates(name, model, of_all, plan.rows.counted) for name in named if _has_values(tables["by_group"], name)
    ]
    return rates + [_draw_calibration(name) for name in named if _has_values(tables["calibration"], name, "observed")]


def _has_values(table: Table, attribute: str, column: str = "n") -> bool:
    return any(row["attribute"] == attribute and row[column] is not None for row in table)


def _draw_rates(attribute: str, model: str, of_all: dict[str, None], counted: str) -> Figure:
    return dots_figure(
        id=f"fairness_{attribute}",
        table="by_group",
        y="group",
        x="value",
        low="low",
        high="high",
        label="n",
        facet="metric",
        where={"attribute": attribute, "control": None, "model": model, **of_all},
        x_label=f"with 95 % interval; n counts the test {counted} of the group",
        title=f"Groups by {attribute}",
        alt=f"For each metric, the value of every group by {attribute} as a dot with its interval and n.",
    )


def _draw_calibration(attribute: str) -> Figure:
    return lines_figure(
        id=f"fairness_calibration_{attribute}",
        table="calibration",
        x="predicted",
        y="observed",
        low="low",
        high="high",
        facet="group",
        where={"attribute": attribute},
        diagonal=True,
        x_label="probability given to the favourable class",
        y_label="how often it was true",
        title=f"Calibration by {attribute}",
        alt=f"For each group by {attribute}, how often the favourable class was true against the probability given to "
        "it, beside the diagonal of perfect calibration.",
    )


def draw_intersections(intersections: Table) -> list[Figure]:
    """Return a heat map of each pair of attributes; cells with too few members are hatched."""
    pairs = list(dict.fromkeys(row["attribute"] for row in intersections))
    return [
        heatmap_figure(
            id=f"fairness_intersection_{pair}",
            table="intersections",
            x="second",
            y="first",
            value="value",
            facet="metric",
            n="n",
            where={"attribute": pair},
            title=f"Intersections of {pair}",
            alt=f"For each metric, its value in every combination of {pair}; hatched cells have too few members.",
        )
        for pair in pairs
    ]
