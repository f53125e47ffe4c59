"""Content of chapters becomes a section that holds everything once, in the order of the chapters."""

import pytest

from rft.plugins.chapter_content import ChapterContent, join_content, merge_chapters
from rft.records import Figure, Finding, Table

TABLE: Table = [{"group": "a", "rate": 0.5}]


def make_finding(id: str) -> Finding:
    return Finding(id=id, title=id, value=1.0, status="info", description="A fact.", deterministic=True)


def make_figure(id: str, table: str) -> Figure:
    return Figure(id=id, kind="bars", table=table, encode={"x": "group", "y": "rate"}, title=id, alt=id)


RATES = ChapterContent(
    "Rates",
    findings=[make_finding("demo.rate")],
    tables={"rates": TABLE, "details": TABLE, "absent": []},
    captions={"rates": "Rates of groups.", "elsewhere": "No such table."},
    figures=[make_figure("rates", "rates")],
    text=["How rates are counted."],
    drawn=["rates"],
)
GAPS = ChapterContent("Gaps", findings=[make_finding("demo.gap")], tables={"gaps": TABLE})


def test_a_section_holds_everything_and_chapters_name_what_they_show() -> None:
    section = merge_chapters("demo", "Demo", [RATES, ChapterContent("Nothing"), GAPS], notes=["Read this."])
    assert [shown_finding.id for shown_finding in section.findings] == ["demo.rate", "demo.gap"]
    assert list(section.tables) == ["rates", "details", "absent", "gaps"]
    assert section.captions == {"rates": "Rates of groups."}
    assert section.notes == ("Read this.",)
    rates, gaps = section.chapters
    assert (rates.title, rates.tables, rates.figures) == ("Rates", ("details",), ("rates",))
    assert rates.text == ("How rates are counted.",)
    assert (gaps.title, gaps.findings, gaps.tables) == ("Gaps", ("demo.gap",), ("gaps",))


def test_text_alone_is_something_to_show() -> None:
    section = merge_chapters("demo", "Demo", [ChapterContent("Scope", text=["Only test examples."])])
    assert [chapter.title for chapter in section.chapters] == ["Scope"]


def test_joined_content_stands_under_one_title() -> None:
    both = join_content("Rates and gaps", [RATES, GAPS])
    assert both.list_content().findings == ("demo.rate", "demo.gap")
    assert both.list_content().tables == ("details", "gaps")
    (chapter,) = merge_chapters("demo", "Demo", [both]).chapters
    assert chapter.title == "Rates and gaps"


def test_no_table_is_lost_by_a_name_used_twice() -> None:
    with pytest.raises(ValueError, match="two chapters hold a table of one name: gaps"):
        merge_chapters("demo", "Demo", [GAPS, ChapterContent("More gaps", tables={"gaps": []}, text=["More."])])


def test_a_chapter_needs_a_title() -> None:
    with pytest.raises(ValueError, match="demo has a chapter without a title"):
        merge_chapters("demo", "Demo", [ChapterContent(text=["Under no heading."])])
