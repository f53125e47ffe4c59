"""Marked texts: signs that do not rest on colour, and hostile texts that stay text."""

from __future__ import annotations

import re
from typing import Any

import pytest

from rft.records import Figure, Section, Table
from rft.report import render
from rft.report.views import tokens
from tests.report.test_render import ELEMENTS, Page
from tests.support.example_run import example_run

ENCODE = {"text": "text", "token": "token", "value": "attribution", "special": "special"}


def figure(**changes: Any) -> Figure:
    settings = {"id": "t", "kind": "tokens", "table": "t", "encode": ENCODE, "title": "Words", "alt": ""}
    return Figure.model_validate(settings | changes)


def rows(*cells: tuple[str, float | None], text: int = 1) -> Table:
    return [{"text": text, "token": token, "attribution": value, "special": value is None} for token, value in cells]


def page(table: Table, **changes: Any) -> tuple[str, Page]:
    section = Section(plugin="odd", tables={"t": table}, figures=(figure(**changes),))
    html = render(example_run().model_copy(update={"sections": (section,)}))
    return html, Page(html)


def marked_words(parsed: Page) -> str:
    """Return the words of the marked texts alone."""
    kinds = [attributes.get("class") for attributes in parsed.of("p")]
    return "".join(text for kind, text in zip(kinds, parsed.texts["p"], strict=True) if kind == "tokens")


def token_marks(*values: float | None) -> list[str]:
    (text,) = tokens.view_texts(figure(), rows(*((f"w{index}", value) for index, value in enumerate(values))))
    return [token.mark for token in text.tokens]


def test_marks_say_the_sign_and_the_size() -> None:
    assert token_marks(1.0, -1.0, 0.5, -0.21) == ["for-5", "against-5", "for-2", "against-1"]
    assert token_marks(1.0, 0.05, 0.0, None) == ["for-5", "", "", "special"]


def test_texts_share_one_scale() -> None:
    table = [*rows(("a", 0.9), ("b", -0.45)), *rows(("c", 4.5), ("d", 1.8), text=2)]
    first, second = tokens.view_texts(figure(), table)
    assert [token.mark for token in first.tokens] == ["for-1", ""]
    assert [token.mark for token in second.tokens] == ["for-5", "for-2"]


@pytest.mark.parametrize("values", [(0.0, 0.0), (None, None)])
def test_nothing_is_marked_where_there_is_nothing(values: tuple[float | None, ...]) -> None:
    assert not [mark for mark in token_marks(*values) if mark not in ("", "special")]


def test_every_mark_has_a_look_without_colour() -> None:
    html, _ = page(rows(("a", 1.0), ("b", -1.0)))
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert re.search(r"\.token \{[^}]*border-bottom: var\(--thick, 1px\) solid", style)
    assert re.search(r'\.token\[class\*="against-"\] \{[^}]*border-bottom-style: dashed', style)
    for level in range(1, tokens.LEVELS + 1):
        assert f'.token[class$="-{level}"]' in style


def test_a_text_reads_as_it_was_written() -> None:
    _, parsed = page(rows(("[CLS]", None), ("It", 0.1), (" was", -0.2), (" un", 0.0), ("kind", 0.3), (".", 0.0)))
    assert marked_words(parsed).rstrip() == "[CLS] It was unkind."  # and begins where its caption does


def test_hostile_tokens_stay_text() -> None:
    hostile = ("<img src=x onerror=alert(1)>", "</script>", "<!--", '" onmouseover="alert(2)', "{{ 7*7 }}")
    html, parsed = page(rows(*((token, (-1.0) ** index) for index, token in enumerate(hostile))))
    assert {tag for tag, _ in parsed.elements} <= ELEMENTS
    assert not parsed.of("img")
    assert len(parsed.of("script")) == 1
    assert not [name for _, attributes in parsed.elements for name in attributes if name.startswith("on")]
    for token in hostile:
        assert token in marked_words(parsed)
        assert token in parsed.texts["th"], "the table beside has it too"
    assert html.count("</script>") == 1


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("a\u202eb\u2066c\u200f", "a<U+202E>b<U+2066>c<U+200F>"),
        ("a\x00b\x1b", "a<U+0000>b<U+001B>"),
        ("\ud800", "<U+D800>"),
        ("a\u2028\U000e0041", "a<U+2028><U+E0041>"),
        ("one\ntwo\tthree", "one↵two⇥three"),
        ("👩\u200d🚀👍🏽", "👩\u200d🚀👍🏽"),
        ("שלום", "שלום"),
        (" مرحبا", " مرحبا"),
        (" ", " ␣"),
        ("", "·"),
        ("x" * 5000, "x" * 60 + "… (4\u202f940 more characters)"),
    ],
)
def test_all_of_a_token_can_be_seen(token: str, expected: str) -> None:
    assert tokens.show_token(token) == expected


def test_characters_that_reorder_a_page_are_in_no_cell_and_no_text() -> None:
    _, parsed = page(rows(("evil\u202etxt\u0000", 1.0), ("good", -1.0)))
    words = marked_words(parsed) + "".join(parsed.texts["td"])
    assert "evil<U+202E>txt<U+0000>" in words
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00]", words)


def test_right_to_left_text_keeps_its_direction() -> None:
    html, _ = page(rows(("שלום", 1.0), (" עולם", -0.5)))
    assert '<p class="tokens" dir="auto"><span class="token for-5">שלום</span> <span' in html


def test_long_texts_are_cut_and_say_so() -> None:
    table = rows(*((" word", 0.1) for _ in range(tokens.MOST_TOKENS + 7)))
    (text,) = tokens.view_texts(figure(), table)
    assert (len(text.tokens), text.omitted) == (tokens.MOST_TOKENS, 7)
    _, parsed = page(table)
    assert "and 7 more tokens" in marked_words(parsed)


def test_many_texts_are_cut_and_say_so() -> None:
    table = [row for number in range(30) for row in rows(("a", 1.0), text=number)]
    _, parsed = page(table)
    assert sum(attributes.get("class") == "tokens" for attributes in parsed.of("p")) == tokens.MOST_TEXTS
    assert "6 more texts stand in audit.json only." in parsed.texts["p"]


def test_a_long_token_can_break() -> None:
    html, _ = page(rows(("x" * 5000, 1.0)))
    assert "x" * 61 not in html.split("<script")[0]
    assert re.search(r"\.tokens \{[^}]*overflow-wrap: anywhere", html)


def test_captions_head_their_texts_and_are_not_repeated_in_the_table() -> None:
    table = [row | {"caption": "label <b>kind</b>"} for row in rows(("a", 1.0), ("b", 0.5))]
    _, parsed = page(table, encode=ENCODE | {"caption": "caption"})
    assert "label <b>kind</b>" in parsed.texts["h4"]
    assert "caption" not in parsed.texts["th"]
    assert "token" in parsed.texts["th"]


@pytest.mark.parametrize(
    ("table", "encode", "reason"),
    [
        (rows(("a", 1.0)), {"token": "token"}, "lacks value"),
        (rows(("a", 1.0)), ENCODE | {"caption": "gone"}, "lacks gone"),
        ([], ENCODE, "has no rows"),
    ],
)
def test_a_figure_that_cannot_be_shown_says_why(table: Table, encode: dict[str, str], reason: str) -> None:
    html, _ = page(table, encode=encode)
    assert reason in html
