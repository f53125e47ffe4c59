"""Names and labels in Markdown, as a renderer shows them that links, typesets and allows HTML wherever it can."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.texmath import texmath_plugin

from rft.report.format.markdown import escape_markdown, write_address
from rft.visible import visible
from tests.support.hostile_text import HOSTILE, MARKUP

PLAIN = {"inline", "text", "text_special", "softbreak", "paragraph_open", "paragraph_close"}
TABLE = {f"{part}_{end}" for part in ("table", "thead", "tbody", "tr", "th", "td") for end in ("open", "close")}
INVISIBLE = re.compile("[\u2060\u2068\u2069]")
# What GitHub and Hugging Face look for in the text of a finished page: people, issues, addresses, maths, emojis
IN_TEXT = re.compile(r"@\w|#\w|\bGH-\d|://|//\w|\bwww\.\w|:[\w+-]+:|(?<!\u2060)\$|\\[()\[\]]", re.IGNORECASE)


@cache
def markdown_parser(math: str) -> MarkdownIt:
    parser = MarkdownIt("gfm-like", {"html": True, "linkify": True}).use(footnote_plugin)
    return parser.use(dollarmath_plugin) if math == "dollars" else parser.use(texmath_plugin, delimiters=math)


def all_tokens(text: str, math: str) -> Iterator[Token]:
    for token in markdown_parser(math).parse(text):
        yield token
        yield from token.children or ()


def shown_text(tokens: list[Token]) -> str:
    return "".join(token.content for token in tokens if token.type in ("text", "text_special", "code_inline"))


@pytest.mark.parametrize("math", ["dollars", "brackets", "gitlab"])
@pytest.mark.parametrize("name", [*MARKUP, HOSTILE, *(f"see {name} there" for name in MARKUP)])
def test_a_name_is_shown_as_it_stands(name: str, math: str) -> None:
    expected = " ".join(visible(name).split())
    tokens = list(all_tokens(str(escape_markdown(name)), math))
    assert {token.type for token in tokens} <= PLAIN
    assert INVISIBLE.sub("", shown_text(tokens)) == expected
    assert IN_TEXT.findall(shown_text(tokens)) == []


@pytest.mark.parametrize("name", [*MARKUP, HOSTILE])
def test_a_name_stays_in_its_cell(name: str) -> None:
    tokens = list(all_tokens(f"| a | b |\n| --- | --- |\n| {escape_markdown(name)} | 1 |\n", "dollars"))
    assert {token.type for token in tokens} <= PLAIN | TABLE
    assert sum(token.type == "td_open" for token in tokens) == 2


def test_this_renderer_would_link_and_typeset_them() -> None:
    types = {token.type for name in MARKUP for token in all_tokens(name, "dollars")}
    assert {"link_open", "image", "math_inline", "html_inline", "em_open", "strong_open", "code_inline"} <= types
    assert sum(bool(IN_TEXT.search(name)) for name in MARKUP) > 20


@pytest.mark.parametrize("address", ["team@example.org", "https://example.org/a?b=c#d"])
def test_an_address_can_be_copied_and_is_no_link(address: str) -> None:
    tokens = list(all_tokens(str(write_address(address)), "dollars"))
    assert {token.type for token in tokens} <= PLAIN | {"code_inline"}
    assert shown_text(tokens) == address


@pytest.mark.parametrize("name", [*MARKUP, HOSTILE, "a@b.c`", "https://a.b/`<b>`"])
def test_what_only_begins_like_an_address_is_escaped(name: str) -> None:
    tokens = list(all_tokens(str(write_address(name)), "dollars"))
    assert {token.type for token in tokens} <= PLAIN | {"code_inline"}


def test_ordinary_words_stay_as_they_are() -> None:
    for text in ("Accuracy 0.83", "timm/tf", "a, b; c: d", "2025-03-01 12:30 UTC", "e.g. 5 %", "face-id (n = 42)"):
        assert str(escape_markdown(text)) == text
