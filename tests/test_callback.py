"""A real Trainer: the audit at the end of its training, and what it writes into the model card."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

import rft
from rft.errors import ConfigError, DataError, ModelError, OutputError, RftError
from tests.support import ROOT
from tests.support.checkpoints import TEXT_AUDIT, bert, word_tokenizer, write_texts

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from rft.callback import AuditCallback, add_to_card  # noqa: E402  # needs transformers

RULE = '\n[[policy]]\nfinding = "performance.accuracy"\nmin = 0.99\nbecause = "a test <b>"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_texts(tmp_path / "texts.csv")
    path = tmp_path / "audit.toml"
    path.write_text(TEXT_AUDIT.split("[model]")[0] + RULE, encoding="utf-8")
    return path


def trainer(output: Path, callback: AuditCallback, labels: list[str] | None = None) -> Any:
    """Return a Trainer that takes two steps on the CPU."""
    words = word_tokenizer()
    encoded = words(["good film", "bad film", "nice book", "sad book"], padding=True)
    rows = [
        {**{key: encoded[key][row] for key in ("input_ids", "attention_mask")}, "labels": 1 - row % 2}
        for row in range(4)
    ]
    return transformers.Trainer(
        model=bert(labels or ["negative", "positive"]),
        args=transformers.TrainingArguments(
            output_dir=str(output),
            max_steps=2,
            per_device_train_batch_size=2,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=rows,
        processing_class=words,
        callbacks=[callback],
    )


def test_training_ends_with_an_audit(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, run = tmp_path / "my model", tmp_path / "runs" / "x"
    callback = AuditCallback(config, run, device="cpu")
    trained = trainer(output, callback)
    trained.train()
    assert callback.run is not None
    assert callback.run.model.training.mode == "external"
    assert callback.run.run.config["model"] == {"checkpoint": "my model/audited-model"}
    assert callback.run.verdict.status == "fail"
    printed = capsys.readouterr().out
    assert re.search(r"^rft: Fail\. Accuracy is .*; at least 0\.99 was asked\.", printed, re.MULTILINE)
    assert f"\nReport: {run / 'report.html'}\n" in printed
    saved = transformers.AutoModelForSequenceClassification.from_pretrained(output / "audited-model")
    for name, tensor in trained.model.state_dict().items():
        assert (saved.state_dict()[name] == tensor).all()
    assert not list((output / "audited-model").glob("*.bin"))
    with pytest.raises(ModelError, match=r"audited the checkpoint my model/audited-model, which others trained"):
        rft.load(run)

    card = (output / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "## Audit\n\n**Fail.**" in card
    assert re.search(r"\*\*Fail\.\*\* Accuracy is .*; at least 0\.99 was asked\.", card)
    (link,) = re.findall(r"\[the whole report\]\((.*?)\)", card)
    assert (output / unquote(link)).resolve() == (run / "report.html").resolve()
    assert (output / unquote(link)).is_file()


@pytest.mark.slow
def test_a_second_training_replaces_model_run_and_section(config: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "README.md").write_text("# Mine\n\nText of mine.\n", encoding="utf-8")
    for _ in range(2):
        trainer(output, AuditCallback(config, tmp_path / "run", device="cpu", force=True)).train()
        card = (output / "README.md").read_text(encoding="utf-8")
        (output / "README.md").write_text(card + "\nText of mine below.\n", encoding="utf-8")
    assert card.count("## Audit") == 1
    assert card.startswith("# Mine\n\nText of mine.\n\n<!--")
    assert card.endswith("-->\n\nText of mine below.\n")
    assert sorted(path.name for path in output.iterdir() if path.name.startswith(".")) == []


def test_what_is_wrong_is_said_before_training(config: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        AuditCallback(tmp_path / "other.toml", tmp_path / "run")
    with pytest.raises(ConfigError, match="clases"):
        AuditCallback(config, tmp_path / "run", model={"clases": ["a", "b"]})
    with pytest.raises(OutputError, match="not empty"):
        AuditCallback(config, tmp_path)
    config.write_text(config.read_text() + "\n[privacy]\nepsilon = 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="would train the model"):
        AuditCallback(config, tmp_path / "run")


@pytest.mark.slow
def test_a_failed_audit_keeps_the_model_and_raises(config: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with pytest.raises(RftError, match="'LABEL_0', 'LABEL_1'; the labels of the data are 'negative', 'positive'"):
        trainer(output, AuditCallback(config, tmp_path / "run"), ["LABEL_0", "LABEL_1"]).train()
    assert (output / "audited-model" / "model.safetensors").is_file()
    assert not (output / "README.md").exists()
    assert not (tmp_path / "run").exists()

    named = {"classes": ["negative", "positive"], "max_length": 16}
    callback = AuditCallback(config, tmp_path / "run", model=named, device="cpu")
    trainer(output, callback, ["LABEL_0", "LABEL_1"]).train()
    assert callback.run is not None


@pytest.mark.slow
def test_a_failed_audit_can_be_a_warning(config: Path, tmp_path: Path) -> None:
    callback = AuditCallback(config, tmp_path / "run", on_error="warn")
    (tmp_path / "texts.csv").unlink()
    with pytest.warns(UserWarning, match=r"was not audited: texts\.csv: no such file"):
        trainer(tmp_path / "out", callback).train()
    assert callback.run is None
    with pytest.raises(DataError, match="no such file"):
        trainer(tmp_path / "out", AuditCallback(config, tmp_path / "run")).train()


def test_other_processes_leave_it_to_the_main_one(config: Path, tmp_path: Path) -> None:
    callback = AuditCallback(config, tmp_path / "run")
    args = transformers.TrainingArguments(output_dir=str(tmp_path / "out"), use_cpu=True, report_to=[])
    state = transformers.TrainerState(is_world_process_zero=False)
    callback.on_train_end(args, state, transformers.TrainerControl(), model=None)
    assert not (tmp_path / "out" / "audited-model").exists()


def test_a_new_card_has_front_matter_that_yaml_reads(config: Path, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    bert(["negative", "positive"]).save_pretrained(tmp_path / "model")
    word_tokenizer().save_pretrained(tmp_path / "model")
    run = rft.audit(config, overrides=["model.checkpoint=model"], device="cpu")
    add_to_card(tmp_path / "README.md", run, tmp_path / "run" / "report.html")
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert yaml.safe_load(card.split("---\n")[1]) == {"library_name": "transformers", "tags": ["rft"]}
    assert "](run/report.html)" in card


def test_rft_itself_does_not_import_transformers() -> None:
    code = "import sys, rft, rft.pipeline; assert 'transformers' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
