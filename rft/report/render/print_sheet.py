"""A page for layout engines that know neither grids nor variables inside drawings: colours and layout made plain."""

from __future__ import annotations

import re

from rft.report.render.html import template_environment

_STYLE_ELEMENT = re.compile(r"(<style>)(.*?)(</style>)", re.DOTALL)
_STYLE_ATTRIBUTE = re.compile(r'(<[a-z][^<>]* style=")([^"]*)(")')
_SCRIPT = re.compile(r"<script\b.*?</script>", re.DOTALL)
_VARIABLE = re.compile(r"--([a-z0-9-]+): (#[0-9a-f]{6});")
_USE = re.compile(r"var\(--([a-z0-9-]+)\)")
_DISPLAY = re.compile(r"display: (inline-)?(?:grid|flex)")


def make_static(html: str) -> str:
    """Return a page of this package without scripts, grids and flexible boxes, with the light colours written out."""
    colours = dict(reversed(_VARIABLE.findall(html)))  # the first ones are those of the light page

    def resolve(text: str) -> str:
        return _USE.sub(lambda match: colours.get(match[1], match[0]), text)

    page = _SCRIPT.sub("", html)
    page = _STYLE_ATTRIBUTE.sub(lambda match: match[1] + resolve(match[2]) + match[3], page)
    sheet = template_environment().get_template("_static.css").render()
    return _STYLE_ELEMENT.sub(lambda match: match[1] + _make_plain(resolve(match[2])) + sheet + match[3], page, count=1)


def _make_plain(style: str) -> str:
    return _DISPLAY.sub(lambda match: "display: inline" if match[1] else "display: block", style)
