"""The model card: front matter that YAML reads, and text that stays text."""

from __future__ import annotations

import pytest
from example_run import HOSTILE, example_run

from rft.report.card import model_card
from rft.report.markdown import escape


def front_matter(card: str) -> dict:
    yaml = pytest.importorskip("yaml")
    assert card.startswith("---\n")
    return yaml.safe_load(card.split("---\n")[1])


def test_front_matter_is_yaml() -> None:
    content = front_matter(model_card(example_run()))
    assert content["library_name"] == "rft"
    assert content["pipeline_tag"] == "image-classification"
    assert "differential-privacy" in content["tags"]
    assert "model-index" not in content


@pytest.mark.parametrize(
    "name", [HOSTILE, 'a: "b" # c', "no", "1e-5", "x\n---\ny: 1", "tab\t\x7f\x85\u2028", "emoji 😀", "\\"]
)
def test_every_name_comes_through_yaml(name: str) -> None:
    run = example_run()
    card = model_card(run.model_copy(update={"run": run.run.model_copy(update={"name": name})}))
    assert front_matter(card)["model_name"] == name


def test_text_is_escaped_and_complete() -> None:
    card = model_card(example_run(with_hostile=True))
    body = card.split("---\n", 2)[2]
    assert "<" not in body.replace("&lt;", "")
    assert "[More Information Needed]" not in card
    assert "## Verdict: Fail" in body
    assert "at least 5 are needed" in body
    assert "\n\n\n\n" not in body


def test_markdown_is_taken_literally() -> None:
    assert escape("face_id *x* [a](b) `c` a|b\nd") == r"face\_id \*x\* \[a\](b) \`c\` a\|b d"
    assert escape("# no heading") == "&#35; no heading"
    assert escape("1. no list") == "&#49;. no list"
    assert escape("0.83 [0.69, 0.92]") == r"0.83 \[0.69, 0.92\]"
