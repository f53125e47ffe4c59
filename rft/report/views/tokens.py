"""Texts as marked tokens, for figures of the kind ``tokens``: what each token shows as and how strong its mark is.

A mark has two signs beside its colour: for the explained class a solid line below, against it a dashed one. Tokens come
from people's texts: characters that would reorder or hide what stands around them are shown by their code, and long
tokens and long texts are cut with the number that is left out. Nothing here is HTML; the template escapes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from rft import number_format
from rft.records import FIGURE_KINDS, Cell, Figure, Row, Table
from rft.report.views import tables
from rft.visible import visible, with_hidden_as

MOST_TEXTS = 24
MOST_TOKENS = 400  # of a text
MOST_CHARACTERS = 60  # of a token
LEVELS = 5  # of strength

_JOINERS = ("\u200c", "\u200d")
_BLANKS = {"\n": "↵", "\r": "↵", "\t": "⇥"}


@dataclass(frozen=True)
class Token:
    """A token as shown, with the blanks before it, which have no mark.

    ``mark`` names its look: empty, ``special``, or a sign and a level: ``for-3``, ``against-1``.
    """

    blanks: str
    text: str
    mark: str


@dataclass(frozen=True)
class Text:
    """A text as shown; ``omitted`` counts the tokens at its end that are not."""

    caption: str
    tokens: tuple[Token, ...]
    omitted: int


def view_texts(figure: Figure, rows: Table) -> tuple[Text, ...]:
    """Return the first ``MOST_TEXTS`` texts of a figure; ``rows`` are those it shows.

    Raises:
        ValueError: there are no rows, or ``encode`` lacks a channel or names a column that the table lacks.
    """
    if not rows:
        raise ValueError(f"table {figure.table} has no rows for it")
    missing = [channel for channel in FIGURE_KINDS["tokens"].required if channel not in figure.encode]
    missing += [name for name in figure.encode.values() if name not in rows[0]]
    if missing:
        raise ValueError(f"table {figure.table} or the figure lacks {', '.join(missing)}")
    shown = _by_text(figure, rows)[:MOST_TEXTS]
    peak = max((abs(value) for text_rows in shown for value in _token_values(figure, text_rows)), default=0.0)
    return tuple(_view_text(figure, text_rows, peak) for text_rows in shown)


def omitted_texts(figure: Figure, rows: Table) -> int:
    """Return how many texts of a figure ``view`` leaves out."""
    return max(len(_by_text(figure, rows)) - MOST_TEXTS, 0)


def list_readable_rows(figure: Figure, rows: Table) -> Table:
    """Return the rows for the table beside the figure: tokens as the figure shows them, without the caption."""
    token, caption = figure.encode["token"], figure.encode.get("caption")
    return [
        {name: show_token(cell) if name == token else cell for name, cell in row.items() if name != caption}
        for row in rows
    ]


def show_token(cell: Cell) -> str:
    """Return a token so that all of it can be seen, in ``MOST_CHARACTERS`` characters and the number of the others."""
    text = "" if cell is None else str(cell)
    begin, core, end = _without_joiners(text[:MOST_CHARACTERS])
    show_token = begin + with_hidden_as(core, _visible_character) + end
    left = len(text) - MOST_CHARACTERS
    if left > 0:
        return f"{show_token}… ({number_format.format_count(left)} more characters)"
    return (
        show_token if show_token.strip() else show_token + ("␣" if show_token else "·")
    )  # a mark needs something to stand on


def _without_joiners(text: str) -> tuple[str, str, str]:
    """Return the joiner that a token begins with, the rest, and the one it ends with: they join other tokens to it."""
    begin = text[:1] if text[:1] in _JOINERS and not text[1:2].isascii() else ""
    end = text[-1:] if text[-1:] in _JOINERS and not text[-2:-1].isascii() else ""
    return begin, text[len(begin) : len(text) - len(end)], end


def _visible_character(character: str) -> str:
    """Return what stands for a character that cannot be seen."""
    return _BLANKS.get(character) or visible(character)


def _by_text(figure: Figure, rows: Table) -> list[Table]:
    """Return the rows of each text; without a channel ``text`` they are all of one."""
    name = figure.encode.get("text")
    return [list(text_rows) for _, text_rows in groupby(rows, key=lambda row: row[name] if name else None)]


def _view_text(figure: Figure, rows: Table, peak: float) -> Text:
    caption = figure.encode.get("caption")
    return Text(
        caption=tables.cell_text(rows[0][caption]) if caption else "",
        tokens=tuple(_view_token(figure, row, peak) for row in rows[:MOST_TOKENS]),
        omitted=max(len(rows) - MOST_TOKENS, 0),
    )


def _view_token(figure: Figure, row: Row, peak: float) -> Token:
    """Return a token; ``peak`` is the largest value of all texts, which has the full strength: they share a scale."""
    special = figure.encode.get("special")
    text = show_token(row[figure.encode["token"]])
    if special and row[special] is True:
        return Token(" ", f"{text} ", "special")
    value = tables.to_number(row[figure.encode["value"]])
    level = round(LEVELS * abs(value) / peak) if value and peak else 0
    word = text.lstrip(" ")
    sign = "for" if value and value > 0 else "against"
    return Token(text[: len(text) - len(word)], word, f"{sign}-{level}" if level else "")


def _token_values(figure: Figure, rows: Iterable[Row]) -> list[float]:
    values = (tables.to_number(row[figure.encode["value"]]) for row in rows)
    return [value for value in values if value is not None]
