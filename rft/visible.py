"""Characters that cannot be seen, or that turn what stands around them, shown by their code: ``<U+202E>``.

Names, labels, groups and reasons come from users and from their files. A right-to-left override in a group's name turns
the number behind it around, a zero-width space makes two groups look like one, an escape sequence rewrites a terminal.
Texts pass through here where they enter a page, a card or the terminal; data itself (JSON, parquet) stays as it is.

Shown by their code are the controls of C0 and C1 (line breaks and tabs too: a value stands on one line), line and
paragraph separators, all bidirectional controls, everything else that Unicode calls default-ignorable, blanks that
are no spaces, private, lone and impossible code points (Unicode 16, PropList and DerivedCoreProperties; UTS 39; UAX 9).
Some of these belong to ordinary writing and stay where they do their work, and there alone: joiners between letters
of Arabic, beside a virama of an Indic script and within emoji, a variation selector behind what it selects a form of,
the tags of the three flags that have them. A combining mark at the beginning of a word stands on a dotted circle.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

_ZWNJ, _ZWJ = "\u200c", "\u200d"
_CIRCLE = "\u25cc"
_VIRAMA = 9  # canonical combining class
_TONES = "\U0001f3fb-\U0001f3ff"  # of skin
_MARKS = ("Mn", "Me", "Mc")

_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # controls
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufffe\uffff"  # halves of pairs, private use, no characters
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
)
_FLAGS = re.compile(  # England, Scotland and Wales: the only sequences of tags that are in use (UTS 51, RGI)
    "\U0001f3f4(?:\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067"
    "|\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074"
    "|\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073)\U000e007f"
)
_WORD = re.compile(r"(^|[\s>])([^\x00-\u02ff])")
_IDEOGRAPH = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
_MONGOLIAN = re.compile("[\u1807\u1810-\u18aa]")
_JAMO = re.compile("[\u1100-\u115e\u1161-\u11ff\ua960-\ua97c\ud7b0-\ud7fb]")


def visible(text: str, *, breaks: bool = False) -> str:
    r"""Return a text in which everything can be seen.

    Args:
        text: any text.
        breaks: leave line breaks and tabs: the text is no value but has lines.

    Examples:
        >>> visible("group\u202e 632")
        'group<U+202E> 632'
        >>> visible("می\u200cخواهم")  # Persian: the joiner is part of the word
        'می\u200cخواهم'
    """
    shown = with_hidden_as(text, lambda character: f"<U+{ord(character):04X}>", breaks=breaks)
    return shown if shown.isascii() else _WORD.sub(_on_circle, shown)


def with_hidden_as(text: str, shown: Callable[[str], str], *, breaks: bool = False) -> str:
    """Return a text in which each hidden character is replaced by what ``shown`` gives for it."""
    if text.isascii() and text.isprintable():
        return text
    flags = {place for match in _FLAGS.finditer(text) for place in range(*match.span())}

    def replace_hidden(match: re.Match[str]) -> str:
        character, place = match[0], match.start()
        kept = place in flags or (breaks and character in "\n\t") or _belongs_to_script(text, place)
        return character if kept else shown(character)

    return _HIDDEN.sub(replace_hidden, text)


def _on_circle(match: re.Match[str]) -> str:
    """Put a mark that stands on nothing, or on what is shown for another character, on a circle of its own."""
    return f"{match[1]}{_CIRCLE * (unicodedata.category(match[2]) in ('Mn', 'Me'))}{match[2]}"


def _belongs_to_script(text: str, place: int) -> bool:
    """Whether a character that cannot be seen does its usual work in a script or an emoji."""
    character, before, after = text[place], text[place - 1 : place], text[place + 1 : place + 2]
    if character in (_ZWNJ, _ZWJ):
        return _joins_letters(text, place)
    if "\ufe00" <= character <= "\ufe0f":
        return _selects_variant(character, before, after)
    if "\U000e0100" <= character <= "\U000e01ef":
        return _IDEOGRAPH.match(before) is not None
    if "\u180b" <= character <= "\u180f":
        return _MONGOLIAN.match(before) is not None
    if character in "\u115f\u1160":
        return _JAMO.match(before) is not None or _JAMO.match(after) is not None
    return character == "\u2800" and any("\u2800" < neighbour <= "\u28ff" for neighbour in (before, after))


def _joins_letters(text: str, place: int) -> bool:
    """Whether a joiner stands beside a virama, between letters of Arabic or its kin, or in an emoji (UTS 46, 51)."""
    before, after = text[place - 1 : place], text[place + 1 : place + 2]
    if {before, after} & {_ZWNJ, _ZWJ}:
        return False
    if _VIRAMA in (unicodedata.combining(neighbour) for neighbour in (before, after) if neighbour):
        return True
    beside = [_is_cursive(_base_character(text, place, -1)), _is_cursive(_base_character(text, place, 1))]
    if text[place] == _ZWNJ:
        return all(beside)
    return any(beside) or (_is_emoji(_base_character(text, place, -1)) and _is_emoji(after))


def _base_character(text: str, place: int, step: int) -> str:
    """Return the nearest character on one side that is no mark, selector or skin tone; empty where there is none."""
    place += step
    while 0 <= place < len(text):
        character = text[place]
        if unicodedata.category(character) not in _MARKS and not re.match(f"[{_TONES}]", character):
            return character
        place += step
    return ""


def _is_cursive(character: str) -> bool:
    return bool(character) and unicodedata.bidirectional(character) == "AL" and unicodedata.category(character) == "Lo"


def _is_emoji(character: str) -> bool:
    if not character:
        return False
    new = "\U0001f000" <= character <= "\U0001faff"  # newer ones than this Python knows
    return new or character == "\u2194" or unicodedata.category(character) == "So"


def _selects_variant(character: str, before: str, after: str) -> bool:
    """Whether a variation selector stands behind something that has variants."""
    if not before:
        return False
    kind = unicodedata.category(before)
    if character in "\ufe0e\ufe0f":
        keycap = before in "0123456789#*" and after == "\u20e3"
        return keycap or _is_emoji(before) or kind in ("Sm", "Sk") or before in "\u203c\u2049\u2139\u3030"
    wide = unicodedata.east_asian_width(before) in ("W", "F")
    return character <= "\ufe02" and (kind == "Sm" or (kind in ("Lo", "Po") and wide))
