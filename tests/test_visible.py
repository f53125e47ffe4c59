"""What cannot be seen is shown, and what ordinary writing needs is left alone."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from rft.visible import visible, with_hidden_as

HIDDEN = [
    *range(0x20),
    *range(0x7F, 0xA0),
    *(0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180E, 0x2800, 0x3164, 0xFEFF, 0xFFA0, 0xFFFE, 0xFFFF),
    *range(0x200B, 0x2010),
    *range(0x2028, 0x202F),
    *range(0x2060, 0x2070),
    *range(0xFE00, 0xFE10),
    *(0xD800, 0xDFFF, 0xE000, 0xFDD0, 0xFFF9, 0xFFFB, 0x1D173, 0xE0001, 0xE0041, 0xE007F, 0xE0100, 0xF0000, 0x10FFFF),
]
WRITTEN = {  # as people write it
    "Persian": "می\u200cخواهم",
    "Persian, an abbreviation": "ه\u200d.ق",
    "Urdu with marks": "عَلَيْهِ\u200cمَا",
    "Hindi, a half form": "क्\u200dष",
    "Hindi, an explicit virama": "क्\u200cष",
    "Bengali": "র\u200d্যাব",
    "Sinhala": "ශ්\u200dරී",
    "Malayalam": "ന്\u200d",
    "Mongolian": "ᠨ\u180bᠠ",
    "Old Hangul": "\u1112\u119e\u11ab \u115f\u1161",
    "Japanese, a variant": "葛\U000e0100飾",
    "Hebrew with points": "שָׁלוֹם",
    "Arabic, a number sign": "\u0600١٢",
    "family": "👨\u200d👩\u200d👧\u200d👦",
    "skin tone": "👩🏽\u200d🚀",
    "heart": "❤\ufe0f\u200d🔥",
    "keycap": "1\ufe0f\u20e3",
    "arrow": "🙂\u200d↔\ufe0f",
    "pirates": "🏴\u200d☠\ufe0f",
    "Scotland": "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "country": "🇩🇪",
    "sign": "©\ufe0e ⚠\ufe0f ≨\ufe00",
    "accents": "na\u00efve Ste\u0301phane",
    "blanks": "11\u202f689 a\u00a0b 全角\u3000",
    "Braille": "⠓⠊\u2800⠞⠓",
    "Thai": "กำ",
}


@pytest.mark.parametrize("code", HIDDEN, ids=lambda code: f"U+{code:04X}")
def test_what_is_hidden_is_shown_wherever_it_stands(code: int) -> None:
    token = f"<U+{code:04X}>"
    for text, expected in (("{}", "{}"), ("ab{}12", "ab{}12"), ("{}12", "{}12"), ("n = 632{}", "n = 632{}")):
        assert visible(text.format(chr(code))) == expected.format(token)
    assert visible(visible(f"a{chr(code)}b")) == f"a{token}b", "twice is like once"


@pytest.mark.parametrize("name", WRITTEN)
def test_ordinary_writing_is_left_alone(name: str) -> None:
    assert visible(WRITTEN[name]) == WRITTEN[name]
    assert visible(f"group {WRITTEN[name]} (x)") == f"group {WRITTEN[name]} (x)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fe\u200dmale", "fe<U+200D>male"),
        ("fe\u200cmale", "fe<U+200C>male"),
        ("می\u200c\u200cخواهم", "می<U+200C><U+200C>خواهم"),
        ("می\u200c", "می<U+200C>"),
        ("👩\u200dx", "👩<U+200D>x"),
        ("a\ufe0fb", "a<U+FE0F>b"),
        ("1\ufe0f2", "1<U+FE0F>2"),
        ("葛\U000e0100\U000e0101", "葛\U000e0100<U+E0101>"),
        ("a\U000e0100", "a<U+E0100>"),
        ("🏴\U000e0061\U000e0062\U000e007f", "🏴<U+E0061><U+E0062><U+E007F>"),
        ("\u0338 = 5", "\u25cc\u0338 = 5"),
        ("a \u0338b", "a \u25cc\u0338b"),
        ("\u200b\u0338", "<U+200B>\u25cc\u0338"),
        ("", ""),
    ],
)
def test_outside_their_place_they_are_shown(text: str, expected: str) -> None:
    assert visible(text) == expected


def test_lines_stay_where_a_text_has_lines() -> None:
    assert visible("a\n\tb\r\u2028", breaks=True) == "a\n\tb<U+000D><U+2028>"


def test_another_form_changes_nothing_else() -> None:
    assert with_hidden_as("\u0338a\u202e", lambda character: f"\\u{ord(character):04x}") == "\u0338a\\u202e"


def test_all_of_unicode_that_has_no_form_is_covered() -> None:
    """Everything that Python calls a control, a separator of lines or private is hidden, and so are other formats."""
    shown_as_it_is = {0x600, 0x601, 0x602, 0x603, 0x604, 0x605, 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}
    for code in range(sys.maxunicode + 1):
        kind = unicodedata.category(chr(code))
        if kind in ("Cc", "Cs", "Co", "Zl", "Zp") or (kind == "Cf" and code not in shown_as_it_is):
            egyptian = 0x13430 <= code <= 0x1343F  # they have forms
            assert egyptian or visible(f"a{chr(code)}b") != f"a{chr(code)}b", f"U+{code:04X}"
