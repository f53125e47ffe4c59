"""Text that a Markdown renderer must show as it stands."""

from __future__ import annotations

import re

from markupsafe import Markup

from rft.report.format.bidi import in_markdown
from rft.visible import visible

_INLINE = re.compile(r"([\\`*_\[\]|~])")
_LEADING = re.compile(r"^([-+>#=]|\d+(?=[.)](?:\s|$)))")  # what would begin a list, a quotation or a heading


def escape_markdown(text: str) -> Markup:
    """Return the text on one line, without markup, HTML or the end of a table cell in it.

    What cannot be seen is shown by its code, and right-to-left names are isolated.
    """
    one_line = " ".join(visible(str(text)).split()).replace("&", "&amp;").replace("<", "&lt;")
    return Markup(in_markdown(_LEADING.sub(_escape_beginning, _INLINE.sub(r"\\\1", one_line))))


def _escape_beginning(match: re.Match[str]) -> str:
    return f"&#{ord(match[0][0])};{match[0][1:]}"
