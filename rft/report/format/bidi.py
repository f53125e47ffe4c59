"""Names in scripts that run from right to left, kept apart from the numbers and words around them.

A browser orders a line by the directions of its letters (UAX 9): behind a Hebrew or Arabic name, the numbers of an
English sentence would change places with it. Each run of such letters is therefore isolated, and a name by itself.
"""

from __future__ import annotations

import re

from markupsafe import Markup

from rft.visible import visible

# The blocks that Unicode keeps for such scripts, Arabic digits included (bidirectional classes R, AL and AN)
_LETTER = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff"
_RUN = re.compile(f"[{_LETTER}](?:[{_LETTER}\u0300-\u036f\u200c\u200d]|[ \u00a0'\u2019\".-](?=[{_LETTER}]))*")


def in_sentence(text: str) -> str:
    """Return a text for the content of an HTML element; what needs no isolation is left to the template to escape."""
    shown = visible(text)
    if not _RUN.search(shown):
        return shown
    return Markup("").join(Markup("<bdi>{}</bdi>").format(part) if run else part for part, run in split_runs(shown))


def as_value(text: object) -> Markup:
    """Return a value of the user, such as a name, as an element of its own."""
    return Markup("<bdi>{}</bdi>").format(visible(str(text)))


def in_markdown(escaped: str) -> str:
    """Return Markdown with isolates around such runs, as character references: any renderer passes them on."""
    return _RUN.sub(lambda match: f"&#x2068;{match[0]}&#x2069;", escaped)


def split_runs(text: str) -> list[tuple[str, bool]]:
    """Return the parts of a text in order, each with whether it is such a run."""
    parts, end = [], 0
    for match in _RUN.finditer(text):
        parts += [(text[end : match.start()], False), (match[0], True)]
        end = match.end()
    return [part for part in [*parts, (text[end:], False)] if part[0]]
