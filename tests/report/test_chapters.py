"""Chapters of a long section: everything is shown once, and what no chapter names is not lost."""

from __future__ import annotations

import re

import pytest

from rft.records import Chapter, Figure, Finding, Section
from rft.report import render
from tests.support.example_run import example_run


def make_finding(id: str) -> Finding:
    return Finding(id=id, title=f"Title of {id}", status="info", value=1.0, deterministic=True, description="Made up.")


def make_section(*chapters: Chapter) -> Section:
    return Section(
        plugin="made",
        findings=(make_finding("made.one"), make_finding("made.two"), make_finding("made.three")),
        tables={"first": [{"x": 1.0, "y": 2.0}], "second": [{"word": "kept", "description": "why"}]},
        figures=(
            Figure(id="drawn", kind="lines", table="first", encode={"x": "x", "y": "y"}, title="Drawn", alt="A line."),
        ),
        chapters=chapters,
    )


def section_page(section: Section) -> str:
    html = render(example_run().model_copy(update={"sections": (section,)}))
    return html[html.index('<section id="section-made"') : html.index('<section id="run"')]


CHAPTERS = (
    Chapter(title="Later", text=("A word <b>before</b>.",), findings=("made.three",), tables=("second",)),
    Chapter(title="Last", findings=("made.two",), figures=("drawn",), tables=("first",)),
)


def test_chapters_stand_in_their_order_after_what_none_of_them_names() -> None:
    html = section_page(make_section(*CHAPTERS))
    wanted = [
        "Title of made.one",
        "Later",
        "A word",
        "Title of made.three",
        "kept",
        "Last",
        "Title of made.two",
        "Drawn",
    ]
    places = [html.index(text) for text in wanted]
    assert places == sorted(places)
    assert "&lt;b&gt;before&lt;/b&gt;" in html


def test_everything_is_shown_once_with_or_without_chapters() -> None:
    for sections in (make_section(), make_section(*CHAPTERS)):
        html = section_page(sections)
        for id in ("made.one", "made.two", "made.three"):
            assert html.count(f'id="{id}"') == 1
        assert html.count("kept") == 1
        assert "<svg" in html


def test_headings_of_a_chapter_stand_one_level_below_it() -> None:
    html = section_page(make_section(*CHAPTERS))
    assert re.search(r"<h3[^>]*>Last</h3>", html)
    assert re.search(r"<h4[^>]*>Drawn</h4>", html)
    assert not re.search(r"<h\d[^>]*>[^<]*made\.", html), "an id is no heading"


def test_a_chapter_cannot_name_what_does_not_exist() -> None:
    with pytest.raises(ValueError, match=r"chapter Odd names what does not exist: made\.four"):
        make_section(Chapter(title="Odd", findings=("made.four",)))


def test_chapters_survive_being_saved() -> None:
    audited_section = make_section(*CHAPTERS)
    assert Section.model_validate_json(audited_section.model_dump_json()).chapters == CHAPTERS
