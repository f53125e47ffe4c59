"""The commands that look at backbones: rft cut-points and rft compare-backbones."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from rft.backbones.load import load_backbone, load_untrained
from rft.backbones.partition.cut_points import CutPoints
from rft.cli.main import app
from rft.config.schema import ModelConfig
from rft.errors import ModelError
from rft.pipeline.compare_backbones import compare_backbones
from tests.support.families import FAMILIES


def invoke_rft(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, done.stdout, done.stderr


def test_cut_points_are_listed_with_their_costs() -> None:
    code, stdout, _ = invoke_rft("cut-points", "torchvision/resnet18", "--image-size", "32")
    assert code == 0
    rows = {line.split()[0]: line.split() for line in stdout.splitlines()[1:] if line.strip()}
    assert next(iter(rows)) == "none"
    assert {"layer2", "layer3.1", "layer4", "all"} <= set(rows)
    assert rows["layer4"][1] == f"{8_393_728 + 2 * 512 + 2:,}"  # the block's own parameters, and the head's
    assert rows["layer4"][-5:] == ["4.1", "kB", "41.0", "MB", "yes"]  # 256 maps of 2 x 2 in float32
    assert rows["none"][2:] == ["100.0%", "none", "none", "yes"]


def test_places_are_ordered_from_nothing_frozen_to_everything(tmp_path: Path) -> None:
    loaded = FAMILIES["bert"].load(tmp_path)
    listed = list(CutPoints(loaded))
    cut_points = [place for place in listed if place.obstacle is None]
    assert [place.freeze for place in cut_points] == ["none", "encoder", "encoder.layer.1", "encoder.layer.2", "all"]
    assert [place.freeze for place in listed if place.obstacle is not None] == ["embeddings"]
    trained = [place.trained for place in cut_points]
    assert trained == sorted(trained, reverse=True)
    assert cut_points[0].cached is None
    assert cut_points[2].cached == loaded.preprocessing.max_length * 32 * 4  # one row a token
    assert cut_points[-1].cached == 32 * 4
    assert all(place.seconds is None for place in listed)


@pytest.mark.slow
def test_no_place_takes_longer_than_the_whole_model() -> None:
    backbone = load_untrained("torchvision/resnet18", Path.cwd(), image_size=64, offline=True)
    share = {place.freeze: place.seconds for place in CutPoints(backbone, timed=True) if place.seconds is not None}
    assert max(share.values()) < 1.2  # the noise of a step
    assert 0 < share["all"] < share["layer4"] < share["layer2"]


def test_a_machine_that_becomes_slower_does_not_change_the_shares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, now, lasts = FAMILIES["bert"].load(tmp_path), 0.0, 0.001

    def clock() -> float:  # from reading to reading, a tenth more time goes by
        nonlocal now, lasts
        now, lasts = now + lasts, lasts * 1.1
        return now

    monkeypatch.setattr("rft.backbones.partition.cut_points.time.process_time", clock)
    shares = [place.seconds for place in CutPoints(loaded, timed=True) if place.obstacle is None][1:]
    assert len(shares) == 4
    assert all(share == pytest.approx(1 / 1.1**2) for share in shares)  # the clock is read twice a step


def test_layers_of_an_unknown_backbone_are_refused_with_near_names() -> None:
    code, _, stderr = invoke_rft("cut-points", "torchvision/resnet81")
    assert (code, "Did you mean 'resnet18'" in stderr) == (2, True)


@pytest.mark.slow
def test_backbones_are_compared_on_training_examples_alone(tiny: Path) -> None:
    page = tiny.parent / "backbones.html"
    candidates = ("torchvision/resnet18=random", "torchvision/mobilenet_v2=random")
    code, stdout, stderr = invoke_rft("compare-backbones", tiny, *candidates, "--out", page)
    assert code == 0, stderr
    assert all(candidate in stdout for candidate in candidates)
    content = page.read_text(encoding="utf-8")
    assert all(candidate in content for candidate in candidates)
    assert "<svg" in content
    comparison = compare_backbones(tiny, candidates)
    assert comparison.n == 20  # the training split
    rows = {row["backbone"]: row for row in comparison.sections[0].tables["backbones"]}
    assert {name: row["dimension"] for name, row in rows.items()} == dict(zip(candidates, (512, 1280), strict=True))
    assert all(row["seconds"] > 0 and row["low"] <= row["accuracy"] <= row["high"] for row in rows.values())


def test_a_candidate_without_weights_is_refused(tiny: Path) -> None:
    code, _, stderr = invoke_rft("compare-backbones", tiny, "torchvision/resnet18=gone.pth")
    assert code == 2
    assert "no such file: gone.pth" in stderr


def test_every_adapter_target_must_exist(tmp_path: Path) -> None:
    from rft.backbones.partition.lora import add_adapters
    from rft.config.schema import LoraConfig

    pytest.importorskip("peft")
    classifier = FAMILIES["bert"].load(tmp_path).classifier(2, False, 0)
    with pytest.raises(ModelError, match=r"is called qeury\nDid you mean 'query'"):
        add_adapters(classifier, LoraConfig(target=["value", "qeury"]), None, 0)


def test_a_name_close_to_all_is_told(tmp_path: Path) -> None:
    from rft.backbones.partition.cut import cut_classifier

    loaded = load_backbone(
        ModelConfig(backbone="torchvision/resnet18", weights="random", image_size=32),
        tmp_path,
        modality="image",
        seed=0,
        offline=True,
    )
    with pytest.raises(ModelError, match=r"no layer 'al'\nDid you mean 'all'"):
        cut_classifier(loaded.classifier(2, False, 0), "al", "full", loaded.example)
