"""Whole private runs: what is released beside the weights, and what a promise that is void must not let pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from safetensors import safe_open
from typer.testing import CliRunner

import rft
from rft.cli.main import app
from rft.errors import ConfigError, DataError
from rft.pipeline.plan import read_plan
from rft.pipeline.stages import check_plan
from tests.support import ROOT
from tests.support.snippets import PAGES, list_snippets

pytest.importorskip("opacus")

PRIVATE = """
[privacy]
epsilon = 20.0
mechanism_runs = 0
shadows = 0

[[policy]]
finding = "privacy.epsilon"
max = 30.0
"""
CLASSES = 'data.classes=["blue", "red"]'
RARE = "has a rare disease"


@pytest.fixture
def private(tiny: Path) -> Path:
    """Return the path of an ``audit.toml`` that trains privately, and does not name its classes yet."""
    tiny.write_text(tiny.read_text(encoding="utf-8") + PRIVATE, encoding="utf-8")
    return tiny


def relabel_rows(config: Path, rows: dict[int, str]) -> None:
    """Give some rows of the manifest other labels."""
    manifest = config.parent / "data" / "images.csv"
    table = pd.read_csv(manifest, dtype=str)
    for row, label in rows.items():
        table.loc[row, "colour"] = label
    table.to_csv(manifest, index=False)


def audit_config(config: Path, out: Path, *overrides: str) -> tuple[int, str]:
    """Return the exit code and the output of ``rft audit``."""
    chosen = [part for override in overrides for part in ("--set", override)]
    done = CliRunner().invoke(app, ["audit", str(config), "--out", str(out), *chosen])
    return done.exit_code, done.output


def read_release(out: Path) -> dict[str, Any]:
    """Return the names of what is released, shapes and types of the tensors, and the description without hashes."""
    description = json.loads((out / "model" / "model.json").read_text(encoding="utf-8"))
    del description["sha256"]
    with safe_open(out / "model" / "model.safetensors", "pt") as file:
        tensors = {name: (file.get_tensor(name).shape, file.get_tensor(name).dtype) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    files = sorted(path.relative_to(out).as_posix() for path in (out / "model").rglob("*"))
    return {"files": files, "description": description, "tensors": tensors, "metadata": metadata}


class TestClasses:
    @pytest.mark.parametrize("rows", [{}, {1: RARE}], ids=["usual labels", "one rare label"])
    def test_they_are_asked_for_whatever_the_labels_are(self, private: Path, tmp_path: Path, rows: dict) -> None:
        """The answer itself must not tell whether somebody has a label that nobody else has."""
        relabel_rows(private, rows)
        code, output = audit_config(private, tmp_path / "run")
        assert code == 2
        assert "data.classes: is needed where epsilon is given" in output
        assert 'Add to [data]: classes = ["...", "..."]' in output
        assert RARE not in output
        assert not (tmp_path / "run").exists()

    def test_they_are_asked_for_with_folders_too(self, private: Path) -> None:
        text = private.read_text(encoding="utf-8")
        start, end = text.index("[data]"), text.index("[model]")
        private.write_text(f'{text[:start]}[data]\nfolder = "data"\n{text[end:]}', encoding="utf-8")
        with pytest.raises(ConfigError, match=r"^data\.classes: "):
            check_plan(read_plan(private))
        check_plan(read_plan(private, [CLASSES]))

    def test_without_epsilon_they_are_not(self, private: Path) -> None:
        check_plan(read_plan(private, ["privacy={}", "policy=[]"]))

    @pytest.mark.parametrize("row", [1, 39], ids=["train", "test"])
    def test_a_label_that_is_none_of_them_is_named_and_nothing_is_written(
        self, private: Path, tmp_path: Path, row: int
    ) -> None:
        relabel_rows(private, {row: RARE})
        code, output = audit_config(private, tmp_path / "run", CLASSES)
        assert code == 2
        assert f"the label {RARE!r} is none of data.classes (1 row)" in output
        assert "only if it belongs to the task whoever is in the data" in output.replace("\n", " ")
        assert not (tmp_path / "run").exists()

    @pytest.mark.slow
    def test_nothing_released_has_a_shape_that_follows_from_the_data(self, private: Path, tmp_path: Path) -> None:
        """Neither who has which label, nor a class that nobody has, changes what the released folder looks like."""
        three = 'data.classes=["red", "never seen", "blue"]'
        rft.audit(private, tmp_path / "first", overrides=[three])
        relabel_rows(private, dict.fromkeys((*range(1, 20, 2), 21, 23), "never seen"))
        rft.audit(private, tmp_path / "other", overrides=[three])
        first, second = read_release(tmp_path / "first"), read_release(tmp_path / "other")
        assert first == second
        assert first["description"]["classes"] == ["red", "never seen", "blue"]
        assert first["tensors"]["head.linear.bias"][0] == (3,)
        assert first["metadata"] is None
        columns = [
            list(pd.read_parquet(tmp_path / name / "predictions.parquet").columns) for name in ("first", "other")
        ]
        assert columns[0] == columns[1]


class TestVoidPromises:
    @pytest.mark.slow
    def test_seeded_noise_leaves_rules_uncertain_and_the_card_without_the_tag(
        self, private: Path, tmp_path: Path
    ) -> None:
        code, output = audit_config(private, tmp_path / "run", CLASSES, "privacy.randomness=seeded")
        assert code == 3, output
        run = json.loads((tmp_path / "run" / "audit.json").read_text(encoding="utf-8"))
        (rule,) = run["verdict"]["rules"]
        assert rule["outcome"] == "uncertain"
        assert "whoever knows it can subtract the noise" in rule["explanation"]
        training = run["model"]["training"]
        assert (training["mode"], training["epsilon"], training["delta"]) == ("private", None, None)
        assert "subtract the noise" in training["void"]
        card = (tmp_path / "run" / "model-card.md").read_text(encoding="utf-8")
        assert "- differential-privacy" not in card
        assert "differentially private, void" in card
        assert "Privacy loss epsilon" in card.split("Not measured, or withheld")[1].splitlines()[0]
        assert "Nothing is promised: " in card

    def test_secret_noise_passes_with_the_tag(self, private: Path, tmp_path: Path) -> None:
        code, output = audit_config(private, tmp_path / "run", CLASSES)
        assert code == 0, output
        assert "  - differential-privacy" in (tmp_path / "run" / "model-card.md").read_text(encoding="utf-8")

    @pytest.mark.parametrize("delta", [0.1, 0.5])
    @pytest.mark.parametrize("method", ["sgd", "least_squares"])
    def test_a_delta_of_one_over_n_is_refused(self, private: Path, tmp_path: Path, delta: float, method: str) -> None:
        """Ten people of two images each: 1 / n is 0.1."""
        settings = [CLASSES, f"privacy.delta={delta}", f'privacy.method="{method}"']
        settings += ["train={}"] if method == "least_squares" else []
        code, output = audit_config(private, tmp_path / "run", *settings)
        assert code == 2
        assert f"privacy.delta: {delta:g} is not below 1 / 10, one over the number of units" in output
        assert not (tmp_path / "run").exists()

    def test_a_delta_just_below_is_taken_and_is_a_warning(self, private: Path) -> None:
        run = rft.audit(private, overrides=[CLASSES, "privacy.delta=0.0999"])
        assert run.finding("privacy.delta").status == "warn"
        assert run.verdict.status == "pass"


def test_the_published_snippets_name_their_classes() -> None:
    """Whoever copies from a page or an example gets a config that is accepted."""
    texts = [path.read_text(encoding="utf-8") for path in ROOT.glob("examples/*/audit.toml")]
    texts += [snippet.text for page in PAGES for snippet in list_snippets(page) if snippet.language == "toml"]
    private = [text for text in texts if "\nepsilon" in text]
    assert len(private) == 3
    assert all("\nclasses = [" in text for text in private)


def test_a_label_outside_the_classes_is_refused_in_any_run(tiny: Path) -> None:
    with pytest.raises(DataError, match=r"the label 'blue' is none of data\.classes \(20 rows\)"):
        rft.audit(tiny, overrides=['data.classes=["red", "green"]'])
