"""Declaring figures: the functions that make them know the channels and options of ``FIGURE_KINDS``, and no others."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from rft.records import (
    FIGURE_KINDS,
    Figure,
    bars_figure,
    dots_figure,
    heatmap_figure,
    images_figure,
    lines_figure,
    tokens_figure,
)
from rft.report.charts.draw import CHART_KINDS

CONSTRUCTORS: dict[str, Callable[..., Figure]] = {
    "dots": dots_figure,
    "lines": lines_figure,
    "bars": bars_figure,
    "heatmap": heatmap_figure,
    "images": images_figure,
    "tokens": tokens_figure,
}
FRAME = {"id": "f", "table": "t", "title": "Title", "alt": "What it shows"}


def keyword_parameters(kind: str) -> dict[str, inspect.Parameter]:
    signature = inspect.signature(CONSTRUCTORS[kind]).parameters
    return {name: parameter for name, parameter in signature.items() if parameter.kind is parameter.KEYWORD_ONLY}


def test_each_kind_has_its_constructor() -> None:
    assert CONSTRUCTORS.keys() == FIGURE_KINDS.keys()


@pytest.mark.parametrize("kind", FIGURE_KINDS)
def test_a_constructor_takes_the_channels_and_options_of_its_kind(kind: str) -> None:
    known = FIGURE_KINDS[kind]
    taken = keyword_parameters(kind)
    required = [name for name, parameter in taken.items() if parameter.default is inspect.Parameter.empty]
    assert required == list(known.required)
    assert [name for name in taken if name not in required] == [*known.optional, *known.options]


@pytest.mark.parametrize("kind", FIGURE_KINDS)
def test_what_a_constructor_takes_stands_in_the_figure(kind: str) -> None:
    known = FIGURE_KINDS[kind]
    channels = {name: f"column_{name}" for name in (*known.required, *known.optional)}
    defaults = {name: keyword_parameters(kind)[name].default for name in known.options}
    options: dict[str, Any] = {name: "log" if name.endswith("_scale") else not defaults[name] for name in known.options}
    options |= {name: 0.5 for name in known.options if defaults[name] is None}
    figure = CONSTRUCTORS[kind](**channels, **options, **FRAME, where={"a": 1}, x_label="x", y_label="y", lead=True)
    assert (figure.kind, figure.encode) == (kind, channels)
    assert figure.options.keys() == set(known.options)
    frame = figure.model_dump(exclude={"kind", "encode", "options", "outlines"})
    assert frame == FRAME | {"where": {"a": 1}, "x_label": "x", "y_label": "y", "lead": True}


def test_what_is_not_said_does_not_stand_in_the_figure() -> None:
    assert lines_figure(x="a", y="b", **FRAME).model_dump(exclude={"id", "table", "title", "alt", "where"}) == {
        "kind": "lines",
        "encode": {"x": "a", "y": "b"},
        "options": {},
        "lead": False,
        "outlines": (),
        "x_label": "",
        "y_label": "",
    }
    crossed = lines_figure(x="a", y="b", diagonal=True, joined=False, x_scale="log", **FRAME)
    assert crossed.options == {"diagonal": "yes", "joined": "no", "x_scale": "log"}


def test_an_unknown_channel_is_refused() -> None:
    with pytest.raises(ValidationError, match="series"):
        dots_figure(x="a", y="b", **{"series": "c"}, **FRAME)


def test_charts_are_drawn_of_the_kinds_that_are_neither_images_nor_texts() -> None:
    assert CHART_KINDS.keys() == FIGURE_KINDS.keys() - {"images", "tokens"}
    for name, chart in CHART_KINDS.items():
        assert {*chart.number_channels, *chart.log_axes} <= {*FIGURE_KINDS[name].required}
        scales = {f"{axis}_scale" for axis in chart.log_axes}
        assert {option for option in FIGURE_KINDS[name].options if option.endswith("_scale")} == scales


@pytest.mark.parametrize("kind", CHART_KINDS)
def test_a_chart_says_which_channels_are_its_number_and_its_names(kind: str) -> None:
    known = FIGURE_KINDS[kind]
    channels = {*known.required, *known.optional}
    assert known.value in channels
    assert known.names
    assert known.groups
    assert {*known.names, *known.groups} <= channels
    assert known.panel in channels | {""}
