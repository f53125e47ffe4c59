"""What is predicted, attacked, explained and saved is one model in one precision."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import rft
from rft import data
from rft.backbones.classifier import Head, new_head
from rft.backbones.partition.frozen_part import run_frozen_part
from rft.errors import ModelError
from rft.features.extract import store_key
from rft.pipeline.environment import describe_environment
from rft.pipeline.plan import read_plan
from rft.pipeline.stages import check_plan
from rft.pipeline.targets.fine_tuned import fine_tune
from rft.plugins.attribution.network import Network
from rft.records import AuditRun
from rft.runtime.float32 import describe_float32, ieee_float32
from rft.training import linear_heads
from tests.runs.test_texts_and_images import ALL, TRAIN, write_data

SAME = 1e-6  # of a probability
SAME_HALF = 1e-4  # where a rounding to float16 lies between, on the edge of which the last bit of a float32 decides


def write_audit(folder: Path, family: str, model: str, more: str = "") -> Path:
    """Write data, a model as the hub lays it out, and the config of an audit of both."""
    data = write_data(folder, family)
    path = folder / "audit.toml"
    path.write_text(f'{data}\n[model]\nbackbone = "transformers/own"\n{model}\n{TRAIN}{more}', encoding="utf-8")
    return path


def inputs_of(run: AuditRun, folder: Path) -> list:
    """Return the texts, or the paths of the images or recordings, in the order of the predictions."""
    if run.model.modality == "text":
        table = pd.read_csv(folder / "texts.csv")
        return [*table[table["split"] == "train"]["text"], *table[table["split"] == "test"]["text"]]
    place = folder / "clips.csv" if run.model.modality == "audio" else folder / "data" / "images.csv"
    table = pd.read_csv(place)
    return [place.parent / name for split in ("train", "test") for name in table[table["split"] == split]["file"]]


def read_predictions(run_folder: Path) -> pd.DataFrame:
    return pd.read_parquet(run_folder / "predictions.parquet")


def assert_same(run_folder: Path, wanted: list, tolerance: float) -> None:
    """Compare the predictions of the run with those of the saved model, in batches of several sizes."""
    stored = read_predictions(run_folder)
    scores = [name for name in map(str, stored) if name.startswith("score_")]
    model = rft.load(run_folder)
    for batch_size in (1, 7, 32):
        predictions = model.predict(wanted, batch_size=batch_size)
        assert predictions["prediction"].tolist() == stored["prediction"].tolist()
        assert np.abs(predictions[scores].to_numpy() - stored[scores].to_numpy()).max() <= tolerance


QUICK = {
    ("bert", "all", "auto", "float32"),
    ("bert", "all", "int8", "float32"),
    ("bert", "layer", "bfloat16", "float16"),
    ("hf_vit", "layer", "bfloat16", "float32"),
    ("whisper", "all", "bfloat16", "float32"),
    ("gpt2", "all", "int8", "float32"),
}
WAYS = [
    pytest.param(*way, marks=[] if way in QUICK else pytest.mark.slow)
    for way in product(
        ("bert", "gpt2", "hf_vit", "whisper", "wav2vec2", "wav2vec2/group"),
        ("all", "layer"),
        ("auto", "float32", "bfloat16", "int8"),
        ("float32", "float16"),
    )
]


@pytest.mark.parametrize(("family", "freeze", "precision", "cache"), WAYS)
def test_the_saved_model_predicts_what_the_audit_predicted(
    tmp_path: Path, family: str, freeze: str, precision: str, cache: str
) -> None:
    keys = f'freeze = "{ALL[family].layer if freeze == "layer" else "all"}"\n'
    path = write_audit(tmp_path, family, f'{keys}precision = "{precision}"\ncache = "{cache}"')
    if (family, precision) == ("gpt2", "int8"):  # its layers are of a kind of its own
        with pytest.raises(ModelError, match="linear layers of the frozen part, and none runs in it"):
            rft.audit(path)
        return
    run = rft.audit(path, tmp_path / "run")
    assert_same(tmp_path / "run", inputs_of(run, tmp_path), SAME if cache == "float32" else SAME_HALF)
    assert run.model.backbone.precision == ("float32" if precision == "auto" else precision)


@pytest.mark.slow
def test_precisions_differ_from_each_other(tmp_path: Path) -> None:
    """Or the tests above would hold by themselves."""
    path = write_audit(tmp_path, "bert", "")
    scores = {}
    for keys in (("float32", "float32"), ("bfloat16", "float32"), ("int8", "float32"), ("float32", "float16")):
        overrides = [f"model.{name}={value}" for name, value in zip(("precision", "cache"), keys, strict=True)]
        rft.audit(path, tmp_path / "run", overrides=overrides, force=True)
        scores[keys] = read_predictions(tmp_path / "run")["score_red"].to_numpy()
    first, *others = scores.values()
    assert all(np.abs(of_other_precision - first).max() > 1e-5 for of_other_precision in others)


@pytest.mark.parametrize(
    ("precision", "freeze"),
    [
        ("bfloat16", "all"),
        ("int8", "encoder.layer.2"),
        pytest.param("bfloat16", "encoder.layer.2", marks=pytest.mark.slow),
        pytest.param("int8", "all", marks=pytest.mark.slow),
    ],
)
def test_what_is_attacked_and_explained_is_what_is_predicted(tmp_path: Path, precision: str, freeze: str) -> None:
    path = write_audit(tmp_path, "bert", f'precision = "{precision}"\nfreeze = "{freeze}"')
    plan = read_plan(path)
    settings, trainer = plan.settings, check_plan(plan)
    dataset = data.read_dataset(settings.core.data, settings.folder, settings.core.seed)
    audited = fine_tune(settings, dataset, trainer, "cpu", offline=True)
    for split in ("train", "test"):
        rows = audited.predictions[audited.predictions["split"] == split]
        wanted = torch.tensor(rows[[f"score_{name}" for name in audited.facts.classes]].to_numpy())
        (attacked,) = linear_heads.compute_logits(audited.task, [audited.fit], audited.features[split])
        explained = Network(audited.model, "cpu").logits(audited.inputs.batch(split, np.arange(20)))
        for logits in (torch.tensor(attacked), explained):
            assert (logits.double().softmax(dim=1) - wanted).abs().max() <= SAME


class Telling(torch.nn.Module):
    """Returns, for each text, how long the batch was."""

    def forward(self, batch: dict) -> dict:
        mask = batch["attention_mask"]
        return {"features": mask.new_full((len(mask), 1), mask.shape[1]).float()}


def test_in_bfloat16_texts_run_without_padding() -> None:
    mask = (torch.arange(6) < torch.tensor([3, 6, 3, 1])[:, None]).long()
    inputs = {"input_ids": mask, "attention_mask": mask}
    assert run_frozen_part(Telling(), inputs, "bfloat16")["features"][:, 0].tolist() == [3, 6, 3, 1]
    assert run_frozen_part(Telling(), inputs, "float32")["features"][:, 0].tolist() == [6] * 4


@pytest.mark.parametrize(
    ("freeze", "layers"),
    [
        *(pytest.param(*known, marks=pytest.mark.slow) for known in (("all", 18), ("encoder.layer.2", 12))),
        ("encoder.layer.1", 6),
    ],
)  # of 3 blocks of 6; the pooler has weights, but never runs
def test_int8_counts_the_layers_that_run_before_the_cut(tmp_path: Path, freeze: str, layers: int) -> None:
    path = write_audit(tmp_path, "bert", f'freeze = "{freeze}"\nprecision = "int8"')
    run = rft.audit(path, tmp_path / "run")
    assert run.model.backbone.rounded_layers == layers
    assert f"the weights of {layers} linear layers of the frozen part" in (tmp_path / "run" / "report.html").read_text()
    assert run.finding("training.frozen_changed").value == 0


def test_int8_is_refused_where_no_linear_layer_is_frozen(tmp_path: Path, tiny: Path) -> None:
    path = write_audit(tmp_path, "bert", 'freeze = "encoder.layer.0"\nprecision = "int8"')
    with pytest.raises(ModelError, match="none runs in it"):
        rft.audit(path)
    with pytest.raises(ModelError, match="none runs in it"):  # its only linear layer was the head
        rft.audit(tiny, overrides=["model.precision=int8"])


@pytest.mark.slow
def test_a_setting_of_the_process_does_not_change_what_float32_is(tiny: Path, tmp_path: Path) -> None:
    """On hardware with bfloat16 or TF32 this setting makes matrices less exact."""
    rft.audit(tiny, tmp_path / "plain")
    plain = read_predictions(tmp_path / "plain")
    torch.set_float32_matmul_precision("medium")
    before = describe_float32()
    try:
        assert before["mkldnn.matmul"] == "bf16"
        seen: list[dict] = []
        with ieee_float32():
            seen.append(describe_float32())
        assert set(seen[0].values()) == {"ieee"}
        tiny.write_text(tiny.read_text().replace('name = "tiny"', 'name = "again"'), encoding="utf-8")
        rft.audit(tiny, tmp_path / "again")
        assert describe_float32() == before
        prediction = rft.load(tmp_path / "again").predict([tiny.parent / "data" / "000.png"])
    finally:
        torch.set_float32_matmul_precision("highest")
    pd.testing.assert_frame_equal(read_predictions(tmp_path / "again"), plain)
    assert prediction["score_red"][0] == pytest.approx(plain["score_red"][0], abs=SAME)


def test_features_of_other_devices_and_of_another_float32_are_not_mixed() -> None:
    tensors = {"weight": torch.ones(2)}
    keys = {store_key(tensors, {}, "float32", device=device) for device in ("cpu", "cuda", "mps")}
    assert len(keys) == 3
    assert store_key(tensors, {}, "float32", device="cuda:1") in keys  # the same kind
    with ieee_float32():
        assert store_key(tensors, {}, "float32") not in keys


def test_drawing_a_head_leaves_the_random_state_of_every_device_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """``torch.manual_seed`` would reseed accelerators too, and nobody would put their state back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        wanted = Head(4, 2).linear.weight.detach().clone()
    monkeypatch.setattr(torch, "manual_seed", lambda seed: pytest.fail("reseeds every device"))
    before = torch.random.get_rng_state()
    assert torch.equal(new_head(4, 2, False, 3).linear.weight, wanted)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_versions_of_cuda_are_recorded_where_it_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Pretended")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91000)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    packages = describe_environment("cuda:0", []).packages
    assert (packages["cuda"], packages["cudnn"]) == ("13.0", "91000")
    assert not {"cuda", "cudnn"} & describe_environment("cpu", []).packages.keys()
