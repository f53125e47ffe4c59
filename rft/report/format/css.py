"""Texts of a user as strings of a style sheet, such as those in the margins of printed pages."""

from __future__ import annotations

import re

from rft.report.format import bidi
from rft.visible import visible

_ISOLATE, _END = "\u2068", "\u2069"
_ESCAPED = re.compile(r"[^A-Za-z0-9 .,_-]")


def css_string(text: str, most: int = 60) -> str:
    r"""Return a text as a quoted string of CSS that may stand inside a ``style`` element.

    What cannot be seen is shown by its code, right-to-left names are isolated, and all but plain letters and digits is
    escaped, so that nothing can end the string, the element or the rule.

    Args:
        text: any text.
        most: characters that are shown; of a longer text the first ones and an ellipsis.

    Examples:
        >>> css_string('a</style>"')
        '"a\\00003c \\00002f style\\00003e \\000022 "'
    """
    shown = visible(text)
    shown = shown if len(shown) <= most else f"{shown[: most - 1]}…"
    isolated = "".join(f"{_ISOLATE}{part}{_END}" if is_run else part for part, is_run in bidi.split_runs(shown))
    return '"' + _ESCAPED.sub(_escape_character, isolated) + '"'


def _escape_character(match: re.Match[str]) -> str:
    return f"\\{ord(match[0]):06x} "
