"""``rft predict``: the saved model of a run on images and texts, as a table."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import rft
from rft.cli.main import app
from tests.conftest import CONFIG, write_images
from tests.runs.test_texts_and_images import write_texts
from tests.support.families import FAMILIES

pytestmark = pytest.mark.usefixtures("shared_keys")
BERT = """
name = "texts"
[data]
manifest = "texts.csv"
text = "text"
label = "colour"
split = "split"
[model]
backbone = "transformers/own"
[train]
epochs = 1
"""


def invoke_rft(*arguments: object, typed: str | None = None) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], input=typed)
    return done.exit_code, done.stdout, " ".join(done.stderr.split())


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``run``, an audit of images, and ``data``, the images."""
    folder = tmp_path_factory.mktemp("images")
    write_images(folder / "data")
    (folder / "audit.toml").write_text(CONFIG, encoding="utf-8")
    rft.audit(folder / "audit.toml", folder / "run")
    return folder


def test_a_folder_of_images_gets_the_probabilities_of_the_audit(images: Path) -> None:
    code, stdout, stderr = invoke_rft("predict", images / "run", images / "data")
    assert code == 0, stderr
    table = pd.read_csv(io.StringIO(stdout))
    assert [Path(item).name for item in table["item"]] == [f"{number:03}.png" for number in range(40)]
    audited = pd.read_parquet(images / "run" / "predictions.parquet")
    test = audited[audited["split"] == "test"].sort_values("id")
    assert table["prediction"].tolist()[20:] == test["prediction"].tolist()
    for name in ("score_blue", "score_red"):
        np.testing.assert_allclose(table[name].to_numpy()[20:], test[name].to_numpy(), atol=1e-6)


def test_files_are_predicted_in_their_order_and_written_where_one_says(images: Path, tmp_path: Path) -> None:
    files = [images / "data" / name for name in ("007.png", "002.png")]
    written = tmp_path / "said.csv"
    assert invoke_rft("predict", images / "run", *files, "--out", written)[:2] == (0, f"Written: {written}\n")
    assert pd.read_csv(written)["item"].tolist() == [str(file) for file in files]
    assert invoke_rft("predict", images / "run", *files, "--out", written)[0] == 0, "the same of the same"
    code, _, stderr = invoke_rft("predict", images / "run", files[0], "--out", written)
    assert (code, "exists already" in stderr) == (2, True)
    assert invoke_rft("predict", images / "run", files[0], "--out", written, "--force")[0] == 0
    assert len(pd.read_csv(written)) == 1


def test_what_cannot_be_predicted_is_named(images: Path, tmp_path: Path) -> None:
    (tmp_path / "empty" / ".hidden").mkdir(parents=True)
    (tmp_path / "empty" / ".hidden" / "a.png").write_bytes((images / "data" / "000.png").read_bytes())
    (tmp_path / "broken.png").write_bytes(b"no image")
    for given, problem in (
        (tmp_path / "none.png", "none.png: no such file or folder"),
        (tmp_path / "empty", "empty: nothing to predict was found"),
        (tmp_path / "broken.png", "broken.png"),
    ):
        code, stdout, stderr = invoke_rft("predict", images / "run", given)
        assert (code, stdout) == (2, "")
        assert problem in stderr


@pytest.mark.slow
def test_texts_are_read_a_line_each_from_files_and_standard_input(tmp_path: Path) -> None:
    FAMILIES["bert"].load(tmp_path)  # into the folder "own"
    write_texts(tmp_path)
    (tmp_path / "audit.toml").write_text(BERT, encoding="utf-8")
    rft.audit(tmp_path / "audit.toml", tmp_path / "run")
    (tmp_path / "new.txt").write_text("a red thing\n\n  \na blue thing\n", encoding="utf-8-sig")
    from_file = pd.read_csv(io.StringIO(invoke_rft("predict", tmp_path / "run", tmp_path / "new.txt")[1]))
    assert from_file["item"].tolist() == ["a red thing", "a blue thing"]
    code, stdout, stderr = invoke_rft("predict", tmp_path / "run", "-", typed="a blue thing\n")
    assert code == 0, stderr
    typed = pd.read_csv(io.StringIO(stdout))
    np.testing.assert_allclose(typed.loc[0, "score_red"], from_file.loc[1, "score_red"], atol=1e-6)
    assert "none.txt: no such file" in invoke_rft("predict", tmp_path / "run", tmp_path / "none.txt")[2]
