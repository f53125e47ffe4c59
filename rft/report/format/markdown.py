r"""Text that a Markdown renderer must show as it stands.

Renderers do more than CommonMark says: GitHub and Hugging Face link bare addresses, mentions of people and numbers of
issues, and typeset what stands between dollar signs or ``\(`` and ``\)``, some of it in the finished page, where a
character reference is a character again. There such signs are parted from what follows them by a word joiner (U+2060),
which has no width. Written as a reference, it can be seen in the source.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from markupsafe import Markup

from rft.report.format.bidi import in_markdown
from rft.visible import visible

_JOINER = "&#x2060;"
# Two letters, as countries have, and what linkify-it takes for the end of a bare domain.
_DOMAIN_END = r"(?:[a-z]{2}|aero|app|asia|biz|com|coop|dev|edu|gov|info|museum|name|net|org|pro|shop|web|xxx)"
_SPECIAL = re.compile(
    rf"""
    (?P<html>[&<])
    | (?P<math>\$)                                  # $x$, $$x$$
    | (?P<delimiter>\\(?=[()\[\]]|$))               # \(x\), \[x\]; at the end a template may go on with a bracket
    | (?P<start>@(?=\w) | \#(?=\w) | /(?=/)         # @name, name@host, #12, https://host, //host
        | (?<![a-z0-9])GH-(?=\d)                    # GH-12
        | :(?=[\w+-]+:))                            # :smile:
    | (?P<dot>(?<=www)\. | (?<=\w)\.(?={_DOMAIN_END}(?![\w])))  # www.host, host.org
    | (?P<plain>[\\`*_\[\]|~])
    """,
    re.VERBOSE | re.IGNORECASE,
)
_WRITTEN: dict[str, Callable[[str], str]] = {
    "html": lambda sign: {"&": "&amp;", "<": "&lt;"}[sign],
    "math": lambda sign: f"{_JOINER}&#36;",
    "delimiter": lambda sign: rf"\\{_JOINER}",
    "start": lambda sign: f"{sign}{_JOINER}",
    "dot": lambda sign: f"{_JOINER}&#46;",
    "plain": lambda sign: f"\\{sign}",
}
# What would begin a list, a quotation or a heading; and \\[, which begins maths where that is looked for first
_LEADING = re.compile(r"^(?:\\(?=\[)|(?=[-+>#=]|\d+[.)](?:\s|$)))(.)")
_ADDRESS = re.compile(r"[\w.+-]+@[\w.-]+|https?://[\w.~:/?#@!&'()*+,;=%-]+", re.ASCII)


def escape_markdown(text: str) -> Markup:
    """Return the text on one line, without markup, HTML, links, maths or the end of a table cell in it.

    What cannot be seen is shown by its code, and right-to-left names are isolated.
    """
    one_line = _SPECIAL.sub(_write_special, " ".join(visible(str(text)).split()))
    return Markup(in_markdown(_LEADING.sub(_escape_beginning, one_line)))


def write_address(text: str) -> Markup:
    """Return an address of mail or of the web as code, which nothing links and everybody can copy; other texts escaped.

    Not for cells of tables.
    """
    return Markup(f"`{text}`") if _ADDRESS.fullmatch(text) else escape_markdown(text)


def _write_special(match: re.Match[str]) -> str:
    return _WRITTEN[str(match.lastgroup)](match[0])


def _escape_beginning(match: re.Match[str]) -> str:
    return f"&#{ord(match[1])};"
