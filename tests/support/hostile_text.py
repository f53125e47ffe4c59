"""Runs in which every text that a user controls is hostile, or in a script that runs from right to left."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from rft.records import AuditRun
from tests.support.example_run import example_run

# Fields whose texts are words of this package that choose what is shown, and no text of a user
STRUCTURE = {
    *(
        "cases",
        "status",
        "unit",
        "grade",
        "rounding",
        "outcome",
        "plugin",
        "kind",
        "table",
        "mode",
        "modality",
        "task",
        "normalizer",
        "format_version",
        "created",
    ),
    *(
        "card_metric",
        "template",
        "freeze",
        "tune",
        "config_sha256",
        "model_sha256",
        "weights_sha256",
        "id",
        "finding",
        "asset",
    ),
    *("frozen_sha256_before", "frozen_sha256_after", "metric", "salt", "positive", "positives", "value", "optimizer"),
    *("cases", "state", "absence"),
}
NAMED_BY = ("findings", "tables", "figures")  # of a chapter

RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff]")
HIDDEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    "\ufff9-\ufffb\ue000-\uf8ff\U000e0000-\U000e01ef]"
)
HOSTILE = (
    "ab\u202e632\u2066\u2069\u200b\u200c\u200d\u2060\ufeff\u00ad\u061c\u200f"
    "\x1b[31m\x07\x85\u2028\U000e0041\ufe0fcd\n[red]"
)
MARKUP = (  # what GitHub or Hugging Face would take for links, people, issues, emojis, maths, HTML or Markdown
    *(
        "[a](https://evil.example)",
        "![a](b.png)",
        "[a]: https://evil.example",
        "[^1]",
        "<https://evil.example>",
        "[[a]]",
    ),
    *("http://evil.example/a_b_c", "HTTPS://evil.example", "ftp://evil.example", "//evil.example", "www.evil.example"),
    *("WWW.EVIL.EXAMPLE", "evil.com", "sub.evil.co", "a.py", "mailto:eve@evil.example", "xmpp:eve@evil.example"),
    *(
        "eve@evil.example",
        "eve.b+c@evil.co.uk",
        "@eve",
        "a @eve-b c",
        "(@eve)",
        "@org/team",
        "#12",
        "(#12)",
        "eve/a#12",
    ),
    *("GH-12", "gh-12", ":smile:", "a:+1:b", "$x^2$", "$$x^2$$", "5 $ or 6 $", "$`x`$", r"\(x\)", r"\[x\]", r"\$x\$"),
    *("$$", "a$b", "`code`", "``a`", "a|b", "|a|b|", "*a*", "**a**", "_a_", "__a__", "a_b_c", "~a~", "~~a~~", "***"),
    *("---", "===", "# a", "#", "> a", "> [!NOTE]", "- a", "- [ ] a", "+ a", "1. a", "1) a", "<b>a</b>", "<!-- a -->"),
    *(
        "<img src=x onerror=alert(1)>",
        "</table>",
        "&lt;b&gt;",
        "&amp;",
        "&#64;eve",
        "&#x40;eve",
        "a\\",
        "\\*a\\*",
        "    a",
    ),
    *("a\nb", "a  \nb", "```\na\n```", "| a |\n| - |", "a\n===", "a\\\nb"),
)
HEBREW, ARABIC = "קבוצה", "مجموعة"


def run_with(changed: Callable[[str], str]) -> AuditRun:
    """Return the example run with every text of a user changed, wherever it stands."""
    content = json.loads(example_run().to_json())
    for section in content["sections"]:
        for figure in section["figures"]:
            figure["where"] = {name: _change_cell(name, value, changed) for name, value in figure["where"].items()}
        for rows in section["tables"].values():
            rows[:] = [{name: _change_cell(name, value, changed) for name, value in row.items()} for row in rows]
        for finding in section["findings"]:
            finding["id"] = f"{finding['id']}.{changed('name').replace('.', '').replace(' ', '_')}".replace("\n", "")
    return AuditRun.model_validate(_change_texts(content, changed, ()))


def _change_cell(name: str, value: Any, changed: Callable[[str], str]) -> Any:
    return changed(value) if isinstance(value, str) and name not in STRUCTURE else value


def _change_texts(value: Any, changed: Callable[[str], str], path: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        names = path[-2:-1] == ("groups",) or path[-1:] in (("labels",), ("class_weights",), ("packages",))
        items = ((changed(key) if names else key, key, item) for key, item in value.items())
        return {new: _change_texts(item, changed, (*path, key)) for new, key, item in items}
    if isinstance(value, list):
        return [_change_texts(item, changed, path) for item in value]
    kept = {*path} & {"tables", "columns", "card_tags", "where", "encode", "options"} or (
        path[-1:] and path[-1] in STRUCTURE
    )
    in_chapter = "chapters" in path and path[-1] in NAMED_BY
    is_column = path == ("model", "unit")
    return changed(value) if isinstance(value, str) and (is_column or not kept) and not in_chapter else value
