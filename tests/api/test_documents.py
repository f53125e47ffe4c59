"""What is shown of the Python entries runs: the page docs/python.md and the notebook, with nothing left out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT

NOTEBOOK = ROOT / "examples/notebook/audit.ipynb"


def run_code(pieces: list[str], where: str) -> dict[str, Any]:
    """Run pieces of code in their order, as one program; return its names."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, piece in enumerate(pieces, 1):
        exec(compile(piece, f"{where}, piece {number}", "exec"), names)
    return names


def test_every_snippet_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(snippets) == text.count("```") / 2 == 6
    names = run_code(snippets, "docs/python.md")
    assert names["run"].run.seed == 1
    assert (tmp_path / "runs/network/report.html").is_file()


@pytest.mark.slow
def test_the_notebook_runs_and_says_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    names = run_code(["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"], NOTEBOOK.name)
    run, seen = names["run"], names["seen"]
    assert run.verdict.status == "fail"
    assert run.finding("fairness.accuracy_gap.device").interval.low > 0.05
    assert run.finding("privacy.membership_auc").value is not None
    assert "breast-cancer" in run._repr_html_()
    assert seen.finding("attribution.shortcut.stamp").interval.low > 0.2
    assert not list(tmp_path.iterdir())


def test_the_notebook_holds_no_outputs() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(code) == 7
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
