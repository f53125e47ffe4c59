"""The page of one section: everything in it, everything escaped, nothing loaded."""

from __future__ import annotations

import re

from rft.records import Figure, Section
from rft.report.render.comparison_page import comparison_html

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def compare_page(name: str = "smiles") -> str:
    section = Section(
        plugin="backbone",
        title=f"Compared {name}",
        tables={
            "backbones": [
                {"backbone": name, "accuracy": 0.91, "low": 0.85, "high": 0.95, f"gap_{name}": 0.1, "n": 142},
                {"backbone": "other", "accuracy": None, "low": None, "high": None, f"gap_{name}": None, "n": 142},
            ],
            "against_best": [{"backbone": "other", "value": -0.1, "low": -0.2, "high": 0.01, "n": 142}],
        },
        captions={"backbones": f"Best first, {name}"},
        figures=(
            Figure(
                id="accuracy",
                kind="dots",
                table="backbones",
                encode={"y": "backbone", "x": "accuracy", "low": "low", "high": "high"},
                options={"reference": 0.6},
                title="Linear probe",
                alt=f"Accuracy of {name}.",
            ),
        ),
        notes=(f"No ranking of {name}.",),
    )
    return comparison_html([section], name=name, byline=(name, "142 examples"), rft_version="1.2.3")


def test_it_shows_tables_figure_and_notes() -> None:
    text = compare_page()
    for expected in (
        "<h1>smiles</h1>",
        "<svg",
        "0.91",
        "[0.85, 0.95]",
        "No ranking of smiles",
        "142 examples",
        "1.2.3",
    ):
        assert expected in text
    assert "[−0.20, 0.01]" in text


def test_it_escapes_everything_and_loads_nothing() -> None:
    text = compare_page(HOSTILE)
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;" in text
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    assert not re.findall(r'(?:src|href)="(?!#|data:)', text)
