"""One report, one card and one audit.json as they were when somebody last looked at them, word for word.

Where a change is meant, look at the difference, and renew them: RFT_RENEW_GOLDEN=1 python -m pytest -n 0 <this file>
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from rft.records import AuditRun
from rft.report import render
from rft.report.render.model_card import model_card
from tests.support import ROOT
from tests.support.example_run import example_run

GOLDEN = ROOT / "tests" / "golden" / "example_run"
RENEW = "RFT_RENEW_GOLDEN"
_SVG = re.compile(r"<svg (?!class=\"icon\").*?</svg>", re.DOTALL)
_EMBEDDED = re.compile(r'(<script type="application/json"[^>]*>).*?(</script>)', re.DOTALL)
_STYLE = re.compile(r"(<style>).*?(</style>)", re.DOTALL)
_IMAGE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]+")


def plain_report(run: AuditRun) -> str:
    """Return the report without what stands elsewhere or differs between versions of matplotlib.

    Of a drawing its words are left; the JSON is that of ``audit.json``, and images are those of the example.
    """
    page = _SVG.sub(lambda match: _words_of_drawing(match[0]), render(run))
    page = _EMBEDDED.sub(r"\1 audit.json \2", page)
    page = _STYLE.sub(r"\1 _style.css \2", page)
    return _IMAGE.sub("an image", page)


def _words_of_drawing(svg: str) -> str:
    words = re.findall(r"<(?:title|desc|text)\b[^>]*>(.*?)</(?:title|desc|text)>", svg, re.DOTALL)
    return "\n".join(["<svg>", *(re.sub(r"<[^>]*>", "", word) for word in words), "</svg>"])


MADE: dict[str, Callable[[AuditRun], str]] = {
    "audit.json": AuditRun.to_json,
    "report.html": plain_report,
    "model-card.md": model_card,
}


@pytest.mark.parametrize("name", MADE)
def test_it_is_as_it_was(name: str) -> None:
    written, kept = MADE[name](example_run()), GOLDEN / name
    if os.environ.get(RENEW):
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(written, encoding="utf-8")
    difference = list(_diff_lines(kept, written))
    assert not difference, "\n".join([f"{name} has changed. If so meant: {RENEW}=1", *difference[:80]])


def _diff_lines(kept: Path, written: str) -> list[str]:
    before = kept.read_text(encoding="utf-8").splitlines()
    return list(difflib.unified_diff(before, written.splitlines(), "kept", "made now", lineterm="", n=1))


def test_a_run_that_was_loaded_makes_the_same() -> None:
    loaded = AuditRun.from_json((GOLDEN / "audit.json").read_text(encoding="utf-8"))
    assert loaded.to_json() == example_run().to_json()
    assert model_card(loaded) == (GOLDEN / "model-card.md").read_text(encoding="utf-8")
