"""Charts: what is drawn, what is not, and that drawings can share a page."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from rft.records import Figure, Table
from rft.report.charts.canvas import WIDTH, choose_log_limits, text_width, wrap_text
from rft.report.charts.draw import ChartError, draw_figure
from rft.report.charts.extremes import select_extremes
from tests.support import example_groups
from tests.support.example_run import HOSTILE_ATTRIBUTE, example_run

GROUPS: Table = [
    {"group": "a", "value": 0.9, "low": 0.8, "high": 0.97, "n": 40, "status": "measured"},
    {"group": "b", "value": None, "low": None, "high": None, "n": 3, "status": "too_few"},
    {"group": "c", "value": 0.0, "low": 0.0, "high": 0.1, "n": 30, "status": "measured"},
]
DOTS = {"x": "value", "y": "group", "low": "low", "high": "high"}


def figure(kind: str, encode: dict[str, str], **options: object) -> Figure:
    return Figure(id="f", kind=kind, table="t", encode=encode, options=options, title="Title", alt="What it shows")


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("}text")]


def marks(svg: str, variable: str) -> int:
    """Return how many shapes are drawn in a colour."""
    return len(re.findall(rf"<(?:path|use)[^>]*var\(--{variable}\)", svg))


@pytest.mark.parametrize(
    "section",
    [section for section in (*example_run().sections, example_groups.groups_section()) if section.figures],
    ids=lambda s: s.plugin,
)
def test_every_figure_of_the_example_is_drawn(section) -> None:
    for figure in section.figures:
        if figure.kind in ("images", "tokens"):
            continue
        svg = draw_figure(figure, section.tables[figure.table], id="one")
        root = ElementTree.fromstring(svg)
        assert root.attrib["viewBox"].startswith(f"0 0 {WIDTH} ")
        assert "#fe01" not in svg, "a sentinel colour was left"
        assert "font-family" not in svg
        assert not [element for element in root.iter() if element.tag.endswith(("metadata", "}style"))]
        assert svg.startswith("<svg")
        title, description = root[0], root[1]
        assert title.text == figure.title
        assert (description.text or "").startswith(figure.alt)
        assert root.attrib["aria-labelledby"] == f"{title.attrib['id']} {description.attrib['id']}"


def test_ids_carry_the_prefix_and_every_reference_has_its_target() -> None:
    first, two = (draw_figure(figure("dots", DOTS), GROUPS, id=id) for id in ("one", "two"))
    ids = re.findall(r' id="([^"]*)"', first)
    assert ids
    assert all(id.startswith("one-") for id in ids)
    assert set(re.findall(r'href="#([^"]*)"', first)) | set(re.findall(r"url\(#([^)]*)\)", first)) <= set(ids)
    assert first.replace("one-", "two-") == two, "the same figure is the same drawing"


def test_an_absent_value_is_words_and_not_zero() -> None:
    svg = draw_figure(figure("dots", DOTS), GROUPS, id="f")
    assert "too few (n = 3)" in texts(svg)
    without = draw_figure(figure("dots", DOTS), [row for row in GROUPS if row["group"] != "b"], id="f")
    assert marks(svg, "series-1") == marks(without, "series-1"), "the absent group has no mark"


def test_an_absent_bar_and_an_absent_cell_are_no_zero() -> None:
    bars = draw_figure(figure("bars", {"x": "group", "y": "value"}), GROUPS, id="f")
    assert "too few (n = 3)" in texts(bars)
    cells = [{"x": "p", "y": "q", "value": None}, {"x": "r", "y": "q", "value": 2}]
    heat = draw_figure(figure("heatmap", {"x": "x", "y": "y", "value": "value"}), cells, id="f")
    assert marks(heat, "heat") == 1
    assert marks(heat, "muted") == 2, "the dash in the cell, and its key in the legend"
    assert "0" not in texts(heat)


GAPS: Table = [
    {"metric": "tpr", "value": 0.2, "low": 0.1, "high": 0.3, "band_low": 0.01, "band_high": 0.12},
    {"metric": "fpr", "value": None, "low": None, "high": None, "band_low": None, "band_high": None},
    {"metric": "fnr", "value": 0.1, "low": 0.0, "high": 0.2, "band_low": 0.01, "band_high": 0.12},
]


def box_edges(svg: str, variable: str) -> list[tuple[float, float]]:
    """Return left and right of every rectangle that is filled with a colour."""
    paths = re.findall(rf'<path d="([^"]*)"[^>]*style="fill: var\(--{variable}\)', svg)
    places = [[float(x) for x in re.findall(r"[ML] (\S+)", path)] for path in paths]
    return [(min(xs), max(xs)) for xs in places]


def test_a_band_stands_behind_each_gap_at_its_own_place_and_is_explained() -> None:
    encode = {
        "x": "value",
        "y": "metric",
        "low": "low",
        "high": "high",
        "band_low": "band_low",
        "band_high": "band_high",
    }
    svg = draw_figure(figure("dots", encode, band_label="gaps by chance", dot_label="gap found"), GAPS, id="f")
    assert {"gaps by chance", "gap found"} <= set(texts(svg))
    *bands, key = box_edges(svg, "ink")
    assert len(bands) == 2, "none where nothing was measured"
    assert bands[0] == bands[1]
    assert key[1] - key[0] == pytest.approx(22)
    without = draw_figure(figure("dots", {"x": "value", "y": "metric"}), GAPS, id="f")
    assert box_edges(without, "ink") == []


def test_a_reference_may_have_a_band_around_it() -> None:
    svg = draw_figure(figure("dots", DOTS, reference=0.5, reference_low=0.4, reference_high=0.6), GROUPS, id="f")
    [(left, right)] = box_edges(svg, "ink")
    assert right > left
    assert "0.5" in texts(svg)


def test_counts_stand_in_a_column_of_their_own_with_its_heading() -> None:
    svg = draw_figure(figure("dots", DOTS | {"label": "n"}), GROUPS, id="f")
    root = ElementTree.fromstring(svg)
    written = {e.text: e.attrib.get("style", "") for e in root.iter() if e.tag.endswith("}text")}
    assert {"n", "40", "30"} <= set(written)
    assert "3" not in written, "too few (n = 3) says it"
    assert all("text-anchor: end" in written[text] for text in ("n", "40", "30"))


def test_many_groups_stand_closer_than_few() -> None:
    def chart_height(rows: Table) -> float:
        return float(draw_figure(figure("dots", DOTS), rows, id="f").split(f'viewBox="0 0 {WIDTH} ')[1].split('"')[0])

    few, many = [[{**GROUPS[0], "group": f"g{k}"} for k in range(n)] for n in (10, 30)]
    assert chart_height(many) < 2.7 * chart_height(few)


CELLS: Table = [
    {"x": "p", "y": "q", "value": 0.9, "n": 40, "status": "ok"},
    {"x": "r", "y": "q", "value": 0.5, "n": 30, "status": "ok"},
    {"x": "s", "y": "q", "value": None, "n": 3, "status": "too few"},
    {"x": "t", "y": "q", "value": None, "n": 12, "status": "undefined: no positives"},
    {"x": "u", "y": "q", "value": None, "n": None, "status": "suppressed: fewer than 10"},
]
HEAT = {"x": "x", "y": "y", "value": "value", "n": "n"}


def test_cells_without_a_value_tell_too_few_from_undefined_and_withheld() -> None:
    svg = draw_figure(figure("heatmap", HEAT), CELLS, id="f")
    shown_texts = texts(svg)
    assert {"n 40", "n 3"} <= set(shown_texts)
    assert shown_texts.count("∅") == 2, "in the cell and in the legend"
    legend = [text for text in shown_texts if text.startswith(("inconclusive (small sample)", "withheld", "undefined"))]
    assert len(legend) == 3
    hatches = re.findall(r'<path d="([^"]*)"[^>]*var\(--muted\)[^>]*', svg)
    lines = [len(re.findall("M", path)) for path in hatches]
    assert len(lines) == 4, "two cells and their keys"
    assert min(lines) > 1
    assert len(set(lines)) > 1, "what is withheld is hatched closer"
    plain = draw_figure(figure("heatmap", HEAT), CELLS[:2], id="f")
    assert not [text for text in texts(plain) if text.startswith(("inconclusive", "undefined"))]


def test_hatch_cell_stays_within_its_cell() -> None:
    from rft.report.charts.canvas import Box
    from rft.report.charts.heatmap import _hatch_cell

    xs, ys = _hatch_cell(Box(160, 46, 80, 46), spacing=6)
    places = [(x, y) for x, y in zip(xs, ys, strict=True) if x == x]
    assert len(places) > 20
    assert all(160 <= x <= 240 and 46 <= y <= 92 for x, y in places)


def test_a_heatmap_about_a_centre_tells_above_from_below_without_colour() -> None:
    svg = draw_figure(figure("heatmap", HEAT, centre=0.7, centre_label="all"), CELLS, id="f")
    shown_texts = texts(svg)
    assert any(text.endswith(" ▴") and text.startswith("0.9") for text in shown_texts)
    assert any(text.endswith(" ▾") and text.startswith("0.5") for text in shown_texts)
    assert {"above all (0.7)", "below all (0.7)"} <= set(shown_texts)
    assert marks(svg, "heat") == 2
    assert marks(svg, "heat-negative") == 2


def test_facets_of_lines_are_panels_with_the_others_behind() -> None:
    rows: Table = [
        {"x": x / 4, "y": None if (name, x) == ("b", 1) else x / 4 * k, "group": name}
        for k, name in ((0.5, "a"), (0.7, "b"), (0.9, "c"))
        for x in range(5)
    ]
    svg = draw_figure(figure("lines", {"x": "x", "y": "y", "facet": "group"}, diagonal="yes"), rows, id="f")
    assert {"a", "b", "c", "Thin lines: the other panels."} <= set(texts(svg))
    assert "1 of 15 points not measured: no mark there" in texts(svg)
    thin = re.findall(r"<path[^>]*fill: none; stroke: var\(--muted\)[^>]*stroke-opacity: 0.45", svg)
    assert len(thin) == 6, "two others in each of three panels"
    alone = draw_figure(figure("lines", {"x": "x", "y": "y", "facet": "group"}), rows[:5], id="f")
    assert "Thin lines: the other panels." not in texts(alone)


def test_a_line_has_no_point_where_x_is_absent_too() -> None:
    rows: Table = [{"x": None if k == 2 else k / 4, "y": None if k == 2 else 0.5} for k in range(5)]
    svg = draw_figure(figure("lines", {"x": "x", "y": "y"}), rows, id="f")
    assert "1 of 5 points not measured: no mark there" in texts(svg)


def test_a_line_breaks_where_a_point_is_absent() -> None:
    rows: Table = [{"x": k, "y": None if k == 3 else k * 0.1} for k in range(7)]
    svg = draw_figure(figure("lines", {"x": "x", "y": "y"}), rows, id="f")
    assert "1 of 7 points not measured: no mark there" in texts(svg)
    assert len(re.findall(r"<path[^>]*fill: none; stroke: var\(--series-1\)", svg)) == 2


def test_a_log_axis_has_powers_of_ten_at_equal_distances() -> None:
    rows: Table = [{"x": 10.0**-k, "y": k} for k in range(1, 10)]
    svg = draw_figure(figure("lines", {"x": "x", "y": "y"}, x_scale="log"), rows, id="f")
    assert {"10⁻⁹", "10⁻⁵", "10⁻¹"} <= set(texts(svg))
    path = re.search(r'<path d="([^"]*)"[^>]*fill: none; stroke: var\(--series-1\)', svg)
    assert path
    places = [float(x) for x in re.findall(r"[ML] (\S+)", path[1])]
    steps = [after - before for before, after in pairwise(places)]
    assert max(steps) - min(steps) < 0.01, "equal ratios are equal distances"


@pytest.mark.parametrize(
    ("ends", "shown"),
    [
        ((0.5, 8.0), ["0.5", "1", "2", "4", "8"]),
        ((0.0012, 0.009), ["0.002", "0.005"]),
        ((3.1, 3.4), ["3.1", "3.2", "3.3", "3.4"]),
        ((0.001, 1.0), ["0.001", "0.01", "0.1", "1"]),
    ],
)
def test_ticks_of_a_log_axis_are_round_and_few(ends: tuple[float, float], shown: list[str]) -> None:
    rows: Table = [{"x": x, "y": -1.0} for x in ends]
    shown_texts = texts(draw_figure(figure("lines", {"x": "x", "y": "y"}, x_scale="log"), rows, id="f"))
    assert [text for text in shown if text not in shown_texts] == []
    assert len([text for text in shown_texts if "\u2212" not in text]) <= 5


def test_what_is_zero_or_less_has_no_place_on_a_log_axis_and_is_counted() -> None:
    rows: Table = [{"x": x, "y": y} for x, y in ((0.0, 0.5), (0.01, 0.0), (0.1, 0.1), (0.5, None), (0.6, 0.7), (1, 1))]
    svg = draw_figure(figure("lines", {"x": "x", "y": "y"}, x_scale="log", y_scale="log", diagonal="yes"), rows, id="f")
    assert "2 of 6 points at 0 or less: no place on a logarithmic axis" in texts(svg)
    assert "1 of 6 points not measured: no mark there" in texts(svg)
    without = draw_figure(
        figure("lines", {"x": "x", "y": "y"}, x_scale="log", y_scale="log"), [rows[2], *rows[4:]], id="f"
    )
    assert marks(svg, "series-1") == marks(without, "series-1") + 1, "the line breaks where nothing was measured"
    dots = draw_figure(figure("dots", DOTS, x_scale="log"), GROUPS, id="f")
    assert "0 or less: no place on a logarithmic axis" in texts(dots)
    assert "too few (n = 3)" in texts(dots)


def test_an_interval_that_begins_at_zero_reaches_the_edge_of_a_log_axis() -> None:
    rows: Table = [{"x": k, "y": 0.1, "low": low, "high": 0.2} for k, low in ((1, 0.0), (2, 0.05))]
    encode = {"x": "x", "y": "y", "low": "low", "high": "high"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = draw_figure(figure("lines", encode, y_scale="log"), rows, id="f")
    assert "no place" not in " ".join(texts(svg))
    assert marks(svg, "series-1") == marks(draw_figure(figure("lines", encode), rows, id="f"), "series-1")


def test_limits_of_a_log_axis_hold_the_values() -> None:
    assert choose_log_limits([]) == choose_log_limits([0.0, -1.0])
    for values in ([0.0, 1e-9, 0.5], [3.0], [1.0], [0.2, 1.0], [1e-6, 1e6]):
        low, high = choose_log_limits(values)
        assert 0 < low < min(value for value in values if value > 0)
        assert high >= max(values)
        assert high <= 1 or max(values) > 1


def test_all_values_absent_draws_no_scale_of_its_own() -> None:
    rows = [{**row, "value": None, "low": None, "high": None} for row in GROUPS]
    svg = draw_figure(figure("dots", DOTS), rows, id="f")
    assert marks(svg, "series-1") == 0


def test_series_differ_in_more_than_colour() -> None:
    rows: Table = [{"x": x, "y": x * k, "series": f"s{k}"} for k in range(1, 9) for x in (0.0, 1.0)]
    svg = draw_figure(figure("lines", {"x": "x", "y": "y", "series": "series"}), rows, id="f")
    looks = set(re.findall(r'style="(fill: none;[^"]*var\(--series-\d\); stroke-width: 2[;"])', svg))
    assert len(looks) == 8
    dashes = {re.sub(r"series-\d", "", look) for look in looks}
    assert len(dashes) == 6, "the first six are told apart without colour"


def test_long_labels_are_wrapped_and_complete() -> None:
    label = "people who were photographed in the second year, in profile, with a hat"
    svg = draw_figure(figure("dots", DOTS), [{**GROUPS[0], "group": label}], id="f")
    words = " ".join(texts(svg))
    assert all(word in words for word in label.split())
    assert label not in texts(svg)


def test_wrapping_keeps_every_character_and_the_width() -> None:
    for text in ("a" * 200, "ein langes Wort und noch eins", "東京都" * 12):
        lines = wrap_text(text, 150)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")
        assert max(text_width(line) for line in lines) <= 150


def test_names_are_no_formulas_and_control_characters_do_no_harm() -> None:
    rows: Table = [{**GROUPS[0], "group": "$a_1$ \x00\x1b</text>"}, {**GROUPS[2], "group": HOSTILE_ATTRIBUTE}]
    svg = draw_figure(figure("dots", DOTS), rows, id="f")
    assert any(text.startswith("$a_1$") for text in texts(svg))


def test_other_scripts_give_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = draw_figure(figure("dots", DOTS), [{**GROUPS[0], "group": "東アジア"}], id="f")
    assert "東アジア" in texts(svg)


def test_numbers_stand_as_bars_and_signs_have_two_colours() -> None:
    rows: Table = [{"x": k / 10, "y": k * 3} for k in range(5)]
    assert marks(draw_figure(figure("bars", {"x": "x", "y": "y"}), rows, id="f"), "series-1") >= 4
    cells: Table = [{"x": x, "y": 0, "value": value} for x, value in enumerate((-1.0, 0.5))]
    heat = draw_figure(figure("heatmap", {"x": "x", "y": "y", "value": "value"}), cells, id="f")
    assert marks(heat, "heat-negative") > 0
    assert marks(heat, "heat") > 0


@pytest.mark.parametrize(
    ("kind", "encode", "rows", "reason"),
    [
        ("dots", DOTS, [], "no rows"),
        ("dots", {"x": "value"}, GROUPS, "lacks y"),
        ("bars", {"x": "group", "y": "gone"}, GROUPS, "lacks gone"),
        ("lines", {"x": "group", "y": "value"}, GROUPS, "not a number"),
    ],
)
def test_what_cannot_be_drawn_says_why(kind: str, encode: dict[str, str], rows: Table, reason: str) -> None:
    with pytest.raises(ChartError, match=reason):
        draw_figure(figure(kind, encode), rows, id="f")


@pytest.mark.parametrize(
    ("kind", "encode", "options"),
    [
        ("bars", {"x": "group", "y": "value"}, {"y_scale": "log"}),
        ("dots", DOTS, {"y_scale": "log"}),
        ("lines", {"x": "n", "y": "value"}, {"x_scale": "logit"}),
    ],
)
def test_a_scale_that_a_chart_cannot_have_is_refused(kind: str, encode: dict[str, str], options: dict) -> None:
    with pytest.raises(ChartError, match="no scale"):
        draw_figure(figure(kind, encode, **options), GROUPS, id="f")


def test_drawing_leaves_matplotlib_as_it_was_and_needs_no_pyplot() -> None:
    code = (  # "backend" is left out, since looking at it imports pyplot
        "import sys, matplotlib; params = matplotlib.rcParams;"
        "held = lambda: {name: params[name] for name in params if name != 'backend'};"
        "before = held(); import rft.report; from tests.support.example_run import example_run;"
        "rft.report.render(example_run());"
        "assert held() == before; assert 'matplotlib.pyplot' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_marks_of_lines_can_stand_alone() -> None:
    rows: Table = [{"x": x / 30, "y": x % 7} for x in range(30)]
    svg = draw_figure(figure("lines", {"x": "x", "y": "y"}, joined="no"), rows, id="f")
    assert marks(svg, "series-1") == 1 + 30  # the mark itself, and its use at each point
    joined = draw_figure(figure("lines", {"x": "x", "y": "y"}), rows, id="f")
    assert marks(joined, "series-1") == 1  # one path and, with so many points, no marks


def group_rows(n: int, *, value: float | None = None) -> Table:
    """Return ``n`` groups with values from 0 to 1 in two panels, which order them against each other."""
    values = [number / max(n - 1, 1) for number in range(n)]
    return [
        {"metric": metric, "group": f"g{number:02d}", "value": place if value is None else value}
        for metric, places in (("up", values), ("down", values[::-1]))
        for number, place in enumerate(places)
    ]


def test_of_many_groups_both_ends_are_drawn_in_every_panel() -> None:
    drawn = figure("dots", {"x": "value", "y": "group", "facet": "metric"})
    few = select_extremes(drawn, group_rows(12))
    assert (few.rows, few.note) == (group_rows(12), "")
    many = select_extremes(drawn, group_rows(84))
    assert many.note == "Shown: the 6 lowest and the 6 highest of 84; 72 more in the table."
    up = [row["group"] for row in many.rows if row["metric"] == "up"]
    down = [row["group"] for row in many.rows if row["metric"] == "down"]
    assert up == [f"g{number:02d}" for number in (*range(6), *range(78, 84))]
    assert down == [f"g{number:02d}" for number in (*range(83, 77, -1), *range(5, -1, -1))]


def test_groups_without_a_value_are_left_out_first_and_numbers_are_no_groups() -> None:
    rows: Table = [{"group": f"g{number}", "value": None if number % 2 else number / 40} for number in range(40)]
    shown = select_extremes(figure("bars", {"x": "group", "y": "value"}), rows).rows
    assert len(shown) == 12
    assert all(row["value"] is not None for row in shown)
    scarce: Table = [{"group": f"g{number}", "value": 0.5 if number == 39 else None} for number in range(40)]
    kept = select_extremes(figure("bars", {"x": "group", "y": "value"}), scarce).rows
    assert len(kept) == 12
    assert scarce[39] in kept
    bins: Table = [{"margin": number / 40, "n": number} for number in range(40)]
    assert select_extremes(figure("bars", {"x": "margin", "y": "n"}), bins).rows == bins


def test_the_description_says_the_main_numbers() -> None:
    def description(drawn: Figure, rows: Table) -> str:
        return ElementTree.fromstring(draw_figure(drawn, rows, id="f"))[1].text or ""

    rows: Table = [
        {"group": "a", "value": 0.91, "low": 0.85, "high": 0.95},
        {"group": "b", "value": None, "low": None, "high": None},
    ]
    dots = figure("dots", {"x": "value", "y": "group", "low": "low", "high": "high"})
    assert description(dots, rows) == "What it shows a 0.91 [0.85, 0.95]."
    many = description(figure("bars", {"x": "group", "y": "n"}), [{"group": f"g{k}", "n": k} for k in range(20)])
    assert many == "What it shows Of 20 values the lowest is g0 0, the highest g19 19."
    curve: Table = [{"x": x, "y": 1 - x} for x in (0.5, 0.0, 1.0)]
    assert description(figure("lines", {"x": "x", "y": "y"}), curve).endswith(
        "The curve goes from 1.000 at 0 to 0.000 at 1."
    )
