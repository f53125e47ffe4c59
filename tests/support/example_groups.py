"""A section with every figure about groups: many of them, long names, too few cases, undefined and withheld rates."""

from __future__ import annotations

import math

from rft.records import Cell, Figure, Row, Section, Table

COUNTRIES = {
    "Argentina": 310,
    "Bosnia and Herzegovina": 64,
    "Brazil": 820,
    "Central African Republic": 33,
    "Democratic Republic of the Congo": 148,
    "Ethiopia": 205,
    "France": 402,
    "Germany": 611,
    "India": 1240,
    "Iran (Islamic Republic of)": 96,
    "Liechtenstein": 4,
    "Mexico": 333,
    "Nigeria": 517,
    "Philippines": 188,
    "Saint Vincent and the Grenadines": 12,
    "South Africa": 240,
    "United Kingdom of Great Britain and Northern Ireland": 590,
    "Viet Nam": 171,
}
SEXES = {"female": 0.5, "male": 0.45, "non-binary": 0.05}
AGES = {"18 to 29": 0.3, "30 to 49": 0.4, "50 to 64": 0.2, "65 and over": 0.1}


def wald_interval(value: float, n: float) -> tuple[float, float]:
    half = 1.96 * math.sqrt(max(value * (1 - value), 0.02) / n)
    return max(value - half, 0.0), min(value + half, 1.0)


def countries() -> Table:
    table: Table = []
    for number, (name, n) in enumerate(COUNTRIES.items()):
        value = 0.72 + 0.13 * math.sin(1.7 * number)
        low, high = wald_interval(value, n)
        measured: Row = {"value": value, "low": low, "high": high, "n": n, "status": "ok"}
        few: Row = {"value": None, "low": None, "high": None, "n": n, "status": "too few"}
        table.append({"attribute": "country", "group": name, "metric": "tpr"} | (few if n < 10 else measured))
    return table


def gaps() -> Table:
    rows: list[tuple[Cell, ...]] = [
        ("accuracy", 0.041, 0.012, 0.088, 0.006, 0.071, "ok"),
        ("selection_rate", 0.184, 0.121, 0.246, 0.008, 0.079, "ok"),
        ("tpr", 0.132, 0.031, 0.229, 0.011, 0.118, "ok"),
        ("fpr", None, None, None, None, None, "too few"),
        ("fnr", 0.132, 0.031, 0.229, 0.011, 0.118, "ok"),
    ]
    names = ("metric", "value", "low", "high", "band_low", "band_high", "status")
    return [dict(zip(names, row, strict=True)) for row in rows]


def intersection() -> Table:
    table: Table = []
    for i, (sex, share) in enumerate(SEXES.items()):
        for j, (age, part) in enumerate(AGES.items()):
            n = round(420 * share * part)
            value: float | None = 0.76 + 0.12 * math.cos(2.1 * i + 1.3 * j)
            status = "ok"
            if n < 5:
                value, status = None, "too few"
            elif (sex, age) == ("male", "65 and over"):
                value, status = None, "undefined: no positives"
            elif (sex, age) == ("non-binary", "18 to 29"):
                value, status = None, "suppressed: fewer than 10"
            shown = None if status.startswith("suppressed") else n
            table.append({"sex": sex, "age": age, "value": value, "n": shown, "status": status})
    return table


def calibration() -> Table:
    table: Table = []
    for number, (group, n) in enumerate((("Asian", 60), ("Black", 240), ("Hispanic or Latino", 130), ("White", 900))):
        for k in range(8):
            mean = 0.06 + 0.125 * k
            rate = min(max(mean + 0.06 * math.sin(2 * number + 0.9 * k) / (1 + 0.2 * k), 0.01), 0.99)
            low, high = wald_interval(rate, n / 8)
            known = not (group == "Asian" and k == 2)
            cells: Row = (
                {"score": mean, "rate": rate, "low": low, "high": high}
                if known
                else dict.fromkeys(("score", "rate", "low", "high"))
            )
            table.append({"group": group, "bin": k + 1, **cells, "n": n // 8})
    return table


def groups_section() -> Section:
    return Section(
        plugin="groups",
        title="Figures about groups",
        tables={"countries": countries(), "gaps": gaps(), "intersection": intersection(), "calibration": calibration()},
        captions={
            "countries": "True positive rate of each country with 95 % Wilson intervals",
            "gaps": "The largest gap, and the gaps that alike groups would show in 95 of 100 samples",
            "intersection": "True positive rate where two attributes cross",
            "calibration": "Eight bins of the score for each group",
        },
        figures=(
            Figure(
                id="countries",
                kind="dots",
                table="countries",
                encode={"y": "group", "x": "value", "low": "low", "high": "high", "label": "n"},
                options={
                    "reference": 0.728,
                    "reference_low": 0.713,
                    "reference_high": 0.742,
                    "dot_label": "group, with 95 % interval",
                    "band_label": "all examples, with 95 % interval",
                },
                x_label="true positive rate",
                title="True positive rate by country",
                alt="A dot with its interval for each of 18 countries beside a band for all examples.",
            ),
            Figure(
                id="gaps",
                kind="dots",
                table="gaps",
                encode={
                    "y": "metric",
                    "x": "value",
                    "low": "low",
                    "high": "high",
                    "band_low": "band_low",
                    "band_high": "band_high",
                },
                options={
                    "dot_label": "largest gap found, with 95 % interval",
                    "band_label": "gaps that groups without any difference would show, 95 of 100 times",
                },
                x_label="gap between the highest and the lowest group",
                title="Gaps beside chance",
                alt="For each metric the gap as a dot beside the range that chance alone would make.",
            ),
            Figure(
                id="intersection",
                kind="heatmap",
                table="intersection",
                encode={"x": "age", "y": "sex", "value": "value", "n": "n"},
                options={"centre": 0.76, "centre_label": "all examples"},
                title="True positive rate by sex and age",
                alt="A matrix of sex by age; cells with too few cases are hatched.",
            ),
            Figure(
                id="calibration",
                kind="lines",
                table="calibration",
                encode={"x": "score", "y": "rate", "low": "low", "high": "high", "facet": "group"},
                options={"diagonal": "yes"},
                x_label="mean score of a bin",
                y_label="share that has the favourable label",
                title="Calibration by group",
                alt="For each of four groups the share of favourable labels against the mean score.",
            ),
        ),
    )
