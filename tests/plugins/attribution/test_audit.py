"""The attribution section as a whole, on a network that learned a planted shortcut."""

from __future__ import annotations

import dataclasses
import io
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torch import Tensor, nn

from rft.config.schema import DataConfig
from rft.disclosure.withheld import Withheld
from rft.errors import Unavailable
from rft.plugins import Plugin
from rft.plugins.attribution import SECOND_OPINIONS, Attribution, AttributionOptions
from rft.plugins.attribution.group_means import MIN_MAPS_PER_GROUP
from rft.plugins.attribution.images.section import _mean_training_image
from rft.plugins.attribution.modality_words import IMAGES
from rft.plugins.attribution.quality.findings import explain_no_cases
from rft.records import Section
from tests.support.attribution_cases import CORNER, SIDE, Convolutional, Images, Linear, Region, audited_model, noise

OPPOSITE = [0.75, 0.75, 1.0, 1.0]


def options(**changes: Any) -> AttributionOptions:
    shortcuts = [{"name": "stamp", "region": CORNER}, {"name": "other-corner", "region": OPPOSITE}]
    return AttributionOptions.model_validate({"samples": 20, "shortcut": shortcuts} | changes)


def stamp_images(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return noise with a bright stamp in the top left corner of every second image, and which have it."""
    pixels = 0.6 * noise(n, seed=seed)
    labels = torch.arange(n) % 2
    pixels[labels == 1, :, :3, :3] += 0.4
    return pixels, labels


@pytest.fixture(scope="module")
def shortcut() -> nn.Module:
    """Return a convolutional network that was trained to tell the stamp, the only thing that speaks for the label."""
    torch.manual_seed(0)
    model = Convolutional()
    model.requires_grad_(True)
    pixels, labels = stamp_images(256, seed=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model({"pixels": pixels}), labels).backward()
        optimizer.step()
    model.requires_grad_(False)
    model.linear.requires_grad_(True)  # as after training a head
    model.zero_grad()
    pixels, labels = stamp_images(80, seed=2)
    assert (model({"pixels": pixels}).argmax(dim=1) == labels).float().mean() > 0.9
    return model


def planted_model(model: nn.Module, **parts: Any) -> Any:
    pixels, _ = stamp_images(80, seed=3)
    groups = {"camera": np.array(["left", "right"] * 40, dtype=object), "rare": np.array(["few"] + ["many"] * 79)}
    groups["camera"][:8] = None
    return audited_model(model, pixels, groups=groups, **parts)


@pytest.fixture(scope="module")
def section(shortcut: nn.Module) -> Section:
    return Attribution().audit(planted_model(shortcut), options())


def test_the_planted_shortcut_is_found_and_the_other_corner_is_not(section: Section) -> None:
    stamp, finding = section.finding("attribution.shortcut.stamp"), section.finding("attribution.shortcut.other-corner")
    assert stamp.status == "warn"
    assert stamp.interval is not None
    assert stamp.interval.low > 0.5
    assert stamp.n == 40  # pairs, not images
    assert finding.status == "info"
    assert finding.value is not None
    assert finding.value < 0.2


def test_the_findings_and_tables_have_their_names(section: Section) -> None:
    assert [finding.id for finding in section.findings] == [
        "attribution.shortcut.stamp",
        "attribution.shortcut.other-corner",
        "attribution.failed_maps.class_activation",
        "attribution.deletion.class_activation",
        "attribution.insertion.class_activation",
        "attribution.randomization.class_activation",
        "attribution.stability.class_activation",
        *(f"attribution.deletion_gap.class_activation.{attribute}" for attribute in ("camera", "rare")),
        "attribution.failed_maps.integrated_gradients",
        "attribution.map_change",
        "attribution.completeness",
        "attribution.completeness_undefined",
        "attribution.baseline_same_class",
        "attribution.deletion.integrated_gradients",
        "attribution.insertion.integrated_gradients",
        "attribution.randomization.integrated_gradients",
        "attribution.stability.integrated_gradients",
    ]
    assert {finding.id for finding in section.findings} <= set(
        Attribution().list_findings(
            options(),
            DataConfig.model_validate({"manifest": "m.csv", "image": "f", "label": "y", "groups": ["camera", "rare"]}),
        )
    )
    assert set(section.tables) == {
        *("completeness", "map_quality", "mean_maps", "mean_map_counts", "shortcuts", "shortcuts_by_group")
    }
    assert list(section.tables["completeness"][0]) == ["image", "method", "steps", "map_change", "error"]
    assert list(section.tables["mean_maps"][0]) == ["method", "attribute", "group", "n", "row", "column", "value"]
    assert set(section.captions) == set(section.tables)
    for figure in section.figures:
        assert set(figure.encode.values()) <= set(section.tables[figure.table][0])


def test_completeness_is_an_exact_fact_of_the_run(section: Section) -> None:
    finding = section.finding("attribution.completeness")
    errors = [row["error"] for row in section.tables["completeness"] if row["error"] is not None]
    assert finding.deterministic
    assert finding.value == max(errors)
    assert finding.n == len(errors)
    undefined = section.finding("attribution.completeness_undefined")
    assert undefined.value == SECOND_OPINIONS - len(errors)


def test_mean_maps_have_shares_and_small_groups_are_counted_only(section: Section) -> None:
    sums: dict[tuple[Any, ...], float] = {}
    for row in section.tables["mean_maps"]:
        key = (row["method"], row["attribute"], row["group"])
        sums[key] = sums.get(key, 0.0) + float(row["value"] or 0)
    assert {method for method, *_ in sums} == {"class_activation"}  # of what explains all images, and no handful
    assert all(abs(total) <= 1 for total in sums.values())
    assert min(float(row["value"] or 0) for row in section.tables["mean_maps"]) < 0  # signs are kept
    drawn = {("predicted class", "red"), ("rare", "many"), (None, None)}
    assert {("class_activation", *group) for group in drawn} <= set(sums)
    for row in section.tables["mean_map_counts"]:
        assert (row["drawn"] == "yes") == (int(row["n"] or 0) >= MIN_MAPS_PER_GROUP)
        assert ((row["method"], row["attribute"], row["group"]) in sums) == (row["drawn"] == "yes")
    by_camera = [row for row in section.tables["mean_map_counts"] if row["attribute"] == "camera"]
    sound = section.finding("attribution.failed_maps.class_activation")
    assert sum(int(row["n"] or 0) for row in by_camera) == 20 - int(sound.value or 0)


def test_every_mean_map_has_a_figure_of_its_own_rows(section: Section) -> None:
    shown = 0
    for figure in (figure for figure in section.figures if figure.table == "mean_maps"):
        rows = [
            row for row in section.tables["mean_maps"] if all(row[key] == cell for key, cell in figure.where.items())
        ]
        assert rows
        shown += len(rows)
    assert shown == len(section.tables["mean_maps"])


def test_mass_understates_reliance_and_stands_beside_the_area(section: Section) -> None:
    rows = {(row["name"], row["condition"]): row for row in section.tables["shortcuts"]}
    stamp = rows["stamp", "region, other class"]
    assert stamp["area_share"] == pytest.approx(1 / 16)
    assert 0 < stamp["integrated_gradients_share"] < stamp["flip_share"]
    assert 0 <= stamp["class_activation_share"] <= 1
    assert stamp["low"] <= stamp["flip_share"] <= stamp["high"]
    assert rows["stamp", "region, same class"]["area_share"] == stamp["area_share"]


def test_flips_beyond_the_control_are_told_by_group(section: Section) -> None:
    rows = {(row["name"], row["group"]): row for row in section.tables["shortcuts_by_group"]}
    assert set(rows) == {(name, group) for name in ("stamp", "other-corner") for group in ("left", "right", "many")} | {
        row
        for row in rows
        if row[1] == "few"  # whether the one image of this group was drawn is left to chance
    }
    whole = section.finding("attribution.shortcut.stamp")
    stamp = [rows["stamp", group] for group in ("left", "right")]
    assert all(float(row["low"] or 0) < float(row["excess"] or 0) <= float(row["high"] or 0) for row in stamp)
    assert sum(int(row["n"] or 0) for row in stamp) < (whole.n or 0)  # eight images have no camera
    for row in rows.values():
        assert (row["excess"] is None) == (int(row["n"] or 0) < 10) == (row["status"] is not None)


def test_withheld_groups_have_no_row_among_the_flips(shortcut: nn.Module) -> None:
    withheld = Withheld(below=15)
    audited = dataclasses.replace(planted_model(shortcut), withheld=withheld)
    shown = Attribution().audit(audited, options(shortcut=[{"name": "stamp", "region": CORNER}]))
    rows = shown.tables.get("shortcuts_by_group", [])
    assert all(int(row["n"] or 0) >= 15 for row in rows)
    assert "few" not in {row["group"] for row in rows}


def test_examples_appear_only_when_they_may(section: Section, shortcut: nn.Module) -> None:
    assert not section.assets
    assert "examples" not in section.tables
    assert all(figure.kind != "images" for figure in section.figures)
    shown = Attribution().audit(planted_model(shortcut, show_examples=True), options(shortcut=[]))
    table = shown.tables["examples"]
    assert {row["asset"] for row in table} == set(shown.assets)
    assert all(re.match(r"label \w+, predicted \w+; \d+ % of what speaks", str(row["caption"])) for row in table)
    assert sum(figure.kind == "images" for figure in shown.figures) == 1
    for png in shown.assets.values():
        assert Image.open(io.BytesIO(png)).size == (160, 320)  # as it is, and below it with its map


def test_the_model_is_as_it_was(shortcut: nn.Module) -> None:
    def hooks_and_modes() -> list[Any]:
        hooks = [
            (len(module._forward_hooks), len(module._forward_pre_hooks), len(module._backward_hooks), module.training)
            for module in shortcut.modules()
        ]
        return hooks + [(parameter.requires_grad, parameter.grad) for parameter in shortcut.parameters()]

    tensors = {name: tensor.clone() for name, tensor in shortcut.state_dict().items()}
    before = hooks_and_modes()
    Attribution().audit(planted_model(shortcut), options(samples=4))
    assert hooks_and_modes() == before
    assert all(torch.equal(tensors[name], tensor) for name, tensor in shortcut.state_dict().items())


def test_another_suspect_changes_nothing_for_the_first(section: Section, shortcut: nn.Module) -> None:
    alone = Attribution().audit(planted_model(shortcut), options(shortcut=[{"name": "stamp", "region": CORNER}]))
    stamp, beside = alone.finding("attribution.shortcut.stamp"), section.finding("attribution.shortcut.stamp")
    assert (stamp.value, stamp.interval, stamp.n) == (beside.value, beside.interval, beside.n)
    assert alone.tables["shortcuts"] == [row for row in section.tables["shortcuts"] if row["name"] == "stamp"]


def test_samples_are_capped_and_methods_chosen() -> None:
    picked = options(samples=500, methods=["integrated_gradients"], shortcut=[])
    section = Attribution().audit(audited_model(Convolutional(), noise(7)), picked)
    assert len(section.tables["completeness"]) == 7
    assert not any("gradcam" in finding.id for finding in section.findings)


def test_without_a_spatial_map_gradcam_is_not_measured() -> None:
    section = Attribution().audit(audited_model(Linear(), noise(8)), options(shortcut=[]))
    finding = section.finding("attribution.deletion.gradcam")
    assert finding.status == "not_measured"
    assert finding.reason == "this backbone has no spatial map"
    assert section.finding("attribution.deletion.integrated_gradients").value is not None


class TwoSplits(Images):
    """Images of which those for training are others."""

    def __init__(self, pixels: Tensor, training: Tensor) -> None:
        super().__init__(pixels)
        self.training = training

    def batch(self, split: str, rows: np.ndarray) -> dict[str, Tensor]:
        return {"pixels": self.training[torch.as_tensor(rows)]} if split == "train" else super().batch(split, rows)


def test_the_mean_training_image_is_a_baseline() -> None:
    model = Linear()
    audited = audited_model(model, noise(6))
    training = noise(40, seed=5)
    train = dataclasses.replace(audited.splits["test"], name="train", ids=np.arange(40), labels=np.zeros(40, np.int64))
    audited = dataclasses.replace(
        audited, splits=audited.splits | {"train": train}, inputs=TwoSplits(noise(6), training)
    )
    torch.testing.assert_close(_mean_training_image(audited), training.mean(dim=0))
    section = Attribution().audit(audited, options(shortcut=[], methods=["integrated_gradients"], baseline="mean"))
    finding = section.finding("attribution.baseline_same_class")
    assert "the mean training image gets the same class" in finding.description
    target, of_mean = (model({"pixels": pixels}).argmax(dim=1) for pixels in (noise(6), training.mean(dim=0)[None]))
    assert finding.value == int((target == of_mean).sum()) / 6


class WithoutGradients(Region):
    """Fails where gradients are asked for."""

    def classify(self, pixels: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            raise KeyError("/home/somebody/secret")
        return super().classify(pixels)


def test_a_method_that_a_network_breaks_is_not_measured_and_the_rest_stands(caplog: pytest.LogCaptureFixture) -> None:
    section = Attribution().audit(audited_model(WithoutGradients(CORNER), noise(60)), options())
    finding = section.finding("attribution.deletion.integrated_gradients")
    assert finding.status == "not_measured"
    assert finding.reason == "the method failed on this network (KeyError); the terminal said more"
    assert "/home/somebody/secret" in caplog.text
    assert section.finding("attribution.shortcut.stamp").status == "warn"  # a swap needs no gradients


class Dead(Convolutional):
    """Its last map speaks against every class, so GradCAM is zero everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.linear.weight.fill_(-1.0)
        self.linear.bias.zero_()


def test_zero_maps_are_counted_and_used_for_nothing() -> None:
    section = Attribution().audit(audited_model(Dead(), noise(8)), options(methods=["gradcam"], shortcut=[]))
    failed = section.finding("attribution.failed_maps.gradcam")
    assert (failed.status, failed.value) == ("warn", 8)
    assert section.finding("attribution.deletion.gradcam").status == "not_measured"
    assert section.finding("attribution.stability.gradcam").reason == explain_no_cases(IMAGES["blur"])
    assert not {"mean_maps", "map_quality"} & set(section.tables)


def test_of_a_method_without_a_usable_map_no_example_is_shown() -> None:
    audited = audited_model(Dead(), noise(8), show_examples=True)
    section = Attribution().audit(audited, options(shortcut=[]))
    assert section.finding("attribution.failed_maps.class_activation").value == 8
    assert {row["method"] for row in section.tables["examples"]} == {"integrated gradients"}


def test_deletion_counts_units_not_images() -> None:
    units = np.repeat([f"u{number}" for number in range(10)], 2)
    audited = audited_model(Region(CORNER), noise(20), units=units)
    section = Attribution().audit(audited, options(methods=["integrated_gradients"], shortcut=[]))
    finding = section.finding("attribution.deletion.integrated_gradients")
    assert finding.n == 10
    assert finding.interval is not None
    assert "10 units" in finding.interval.method


def test_training_mode_and_absent_parts_are_refused() -> None:
    with pytest.raises(Unavailable, match="training mode"):
        Attribution().audit(audited_model(Convolutional().train(), noise(8)), options())
    with pytest.raises(Unavailable, match="no test example"):
        Attribution().audit(audited_model(Linear(), torch.zeros(0, 3, SIDE, SIDE)), options())


def test_the_plugin_follows_the_protocol_and_is_light() -> None:
    assert isinstance(Attribution(), Plugin)
    assert Attribution().trainer(AttributionOptions()) is None
    code = "import rft.plugins.attribution, sys; assert not {'torch', 'captum'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"samples": 0},
        {"max_steps": 8},
        {"methods": []},
        {"methods": ["gradcam", "gradcam"]},
        {"methods": ["lrp"]},
        {"shortcut": [{"name": "a b", "region": CORNER}]},
        {"shortcut": [{"name": "a.b", "region": CORNER}]},
        {"shortcut": [{"name": "a", "region": [0.5, 0, 0.5, 1]}]},
        {"shortcut": [{"name": "a", "region": [0, 0, 1.5, 1]}]},
        {"shortcut": [{"name": "a", "region": [0, 0, 1]}]},
        {"shortcut": [{"name": "a", "region": CORNER, "min_flip_rate": -0.1}]},
        {"shortcut": [{"name": "a", "region": CORNER}] * 2},
        {"unknown": 1},
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AttributionOptions.model_validate(wrong)


def test_whole_numbers_are_fine_as_borders() -> None:
    assert options(shortcut=[{"name": "all", "region": [0, 0, 1, 1]}]).shortcut[0].region == [0, 0, 1, 1]
