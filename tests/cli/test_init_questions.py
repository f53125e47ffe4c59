"""``rft init`` where several columns could be the label or the unit: asked with reasons, or refused, never guessed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.cli.test_init import RANDOM, folder, invoke_rft, read_config

__all__ = ["folder"]  # a fixture

N = 60
TEXT_MODEL = ("--backbone", "transformers/bert-base-uncased")
NOT_GIVEN = "nobody said whose data a row is"


def write_comments(**more: object) -> None:
    texts = [f"this is comment number {row}, and it says something" for row in range(N)]
    columns = {"comment": texts, "target": ["jews", "black", "muslims"] * (N // 3), "biased": ["0", "1"] * (N // 2)}
    pd.DataFrame(columns | more).to_csv("comments.csv", index=False)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behave as on a terminal."""
    monkeypatch.setattr("rft.cli.prepare.init.is_watched", lambda: True)


def test_whom_a_comment_is_about_is_not_taken_for_its_label(folder: Path) -> None:
    write_comments()
    code, _, stderr = invoke_rft("init", "comments.csv", *TEXT_MODEL)
    assert code == 2
    assert (
        "--label: which column holds the labels? Only you know; 2 could: target (3 values: black (20), jews (20), "
        "muslims (20)) and biased (2 values: 0 (30), 1 (30)) Name the column with --label" in stderr
    )
    assert not (folder / "audit.toml").exists()
    assert invoke_rft("init", "comments.csv", "--label", "biased", "--group", "target", "--positive", "0", *TEXT_MODEL)[
        0
    ] == (0)
    assert read_config(folder)["data"]["groups"] == ["target"]


def test_candidates_for_the_label_are_asked_for_with_reasons(folder: Path, watched: None) -> None:
    write_comments()
    code, stdout, _ = invoke_rft("init", "comments.csv", *TEXT_MODEL, answers="biased\nnone\n")
    assert code == 0, stdout
    assert "   1  target  (3 values: black (20), jews (20), muslims (20))" in stdout
    assert "   2  biased  (2 values: 0 (30), 1 (30))" in stdout
    assert read_config(folder)["data"]["label"] == "biased"
    assert "# as you answered, 2 values: 0 (30), 1 (30)" in (folder / "audit.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("more", "candidates"),
    [
        ({}, ""),
        ({"author": range(N)}, ""),  # each row another's, as far as this says
        (
            {"author": [row // 2 for row in range(N)], "customer": [row // 3 for row in range(N)]},
            ", which customer and author could be",
        ),
        ({"who": [row // 2 for row in range(N)]}, ", which who could be"),
    ],
)
def test_a_unit_that_is_not_clear_is_left_out_with_what_follows(
    folder: Path, more: dict[str, object], candidates: str
) -> None:
    write_comments(**more)
    code, stdout, _ = invoke_rft("init", "comments.csv", "--label", "biased", *TEXT_MODEL)
    assert code == 0
    assert "unit" not in read_config(folder)["data"]
    said = f"{NOT_GIVEN} (unit{candidates}): each row counts as another person's."
    text = (folder / "audit.toml").read_text(encoding="utf-8")
    assert said in text.replace("\n# ", " ")
    assert "intervals are too narrow, and privacy is that of a row" in text.replace("\n# ", " ")
    assert "Set report.show_examples = true to see words and texts" in stdout
    assert "# show_examples = true  # shows words and texts" in text
    assert said in " ".join(stdout.split())
    for name in candidates.removeprefix(", which ").removesuffix(" could be").split(" and "):
        assert not name or f'# unit = "{name}"' in text


def test_the_unit_is_asked_for_with_candidates(folder: Path, watched: None) -> None:
    write_comments(author=[row // 2 for row in range(N)], customer=[row // 3 for row in range(N)])
    flags = ("--label", "biased", *TEXT_MODEL)
    code, stdout, _ = invoke_rft("init", "comments.csv", *flags, answers="author\nnone\n")
    assert code == 0, stdout
    assert "author  (30 values in 60 rows, so that values repeat)" in stdout
    assert " * 3  every row is another's" in stdout  # neither of two is marked
    assert read_config(folder)["data"]["unit"] == "author"
    assert NOT_GIVEN not in stdout
    code, stdout, _ = invoke_rft("init", "comments.csv", "--force", *flags, answers="\nnone\n")
    assert code == 0, stdout
    assert "# every row is another's, as you answered" in (folder / "audit.toml").read_text(encoding="utf-8")
    assert NOT_GIVEN not in stdout


def test_class_folders_without_a_table_say_that_there_is_no_unit(folder: Path) -> None:
    for name in ("a", "b"):
        (folder / "photos" / name).mkdir(parents=True)
        (folder / "photos" / name / "0.png").touch()
    code, stdout, _ = invoke_rft("init", "photos", *RANDOM)
    assert code == 0
    assert NOT_GIVEN in stdout
    assert "lay it beside the files and run rft init again" in (folder / "audit.toml").read_text(
        encoding="utf-8"
    ).replace("\n# ", " ")
