"""A mark that is given as a small picture: planted where it is not, beside a control; refused where it is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from rft.config.schema import DataConfig
from rft.data.images.geometry import Axis, Box, ImageGeometry
from rft.errors import ConfigError
from rft.plugins.attribution import Attribution, AttributionOptions
from rft.plugins.attribution.images.shortcuts.patch import Patch, read_patch
from rft.plugins.attribution.images.shortcuts.planting import choose_recipients, plant_patches
from rft.plugins.attribution.interventions import Intervention
from rft.plugins.attribution.network import Network
from rft.plugins.attribution.shortcuts.findings import ShortcutTest, judge_shortcuts
from rft.plugins.attribution.shortcuts.options import Shortcut
from rft.plugins.attribution.shortcuts.wording import patch_wording
from rft.records import Finding, Section
from tests.support.attribution_cases import CORNER, SIDE, Frozen, Images, Region, audited_model, noise

DATA = DataConfig(manifest="unused.csv", image="file", label="label")


def of_colour(red: float, green: float, blue: float, *, opacity: float = 1.0) -> Patch:
    return Patch(
        torch.tensor([red, green, blue], dtype=torch.float32).view(3, 1, 1).expand(3, 4, 4),
        torch.full((1, 4, 4), opacity),
    )


def plant(model: Frozen, pixels: Tensor, patch: Patch, box: Box, **shown: Any) -> Intervention:
    images = Images(pixels, **shown).test_images()
    rng = np.random.default_rng(0)
    [result] = plant_patches(Network(model, "cpu"), images, np.arange(len(pixels)), [(patch, box)], rng)
    return result


def judge(result: Intervention) -> Finding:
    shortcut = Shortcut(name="stamp", region=[*CORNER], patch="stamp.png")
    [finding] = judge_shortcuts([ShortcutTest(shortcut, result, patch_wording(shortcut, result))])
    return finding


class Checked(Frozen):
    """Decides for the second class where the corner shows a chequered mark, whatever its brightness."""

    def __init__(self) -> None:
        super().__init__()
        signs = torch.ones(4, 4)
        signs[::2, 1::2] = signs[1::2, ::2] = -1
        self.register_buffer("signs", signs)
        self.finish()

    def classify(self, pixels: Tensor) -> Tensor:
        score = (pixels[:, :, :4, :4] * self.signs).mean(dim=(1, 2, 3))
        return torch.stack([torch.full_like(score, 0.3), score], dim=1)


_CELLS = torch.arange(4)[:, None] + torch.arange(4)
CHEQUERED = Patch((_CELLS % 2 == 0).float().expand(3, 4, 4), torch.ones(1, 4, 4))


def test_a_mark_of_one_colour_is_found_though_its_pixels_in_another_order_are_the_same() -> None:
    pixels = noise(120)
    result = plant(Region(CORNER), pixels, of_colour(1, 0, 0), Box(*CORNER))
    blue = Network(Region(CORNER), "cpu").logits({"pixels": pixels}).argmax(dim=1) == 0
    assert np.array_equal(result.shortcut.flipped, blue.numpy())  # all of the other class, and none of its own
    assert result.control.flips == 0  # its mean colour is what the model reads there
    assert result.elsewhere is not None
    assert result.elsewhere.flips == result.shortcut.flips
    finding = judge(result)
    assert (finding.status, finding.value) == ("warn", result.shortcut.flips / 120)
    assert f"in random order changes {result.shortcut.flips}:" in finding.caveats


def test_a_mark_is_known_by_its_shape_where_the_model_reads_it() -> None:
    result = plant(Checked(), noise(60), CHEQUERED, Box(*CORNER))
    assert (result.shortcut.flips, result.control.flips) == (60, 0)
    assert result.elsewhere is not None
    assert result.elsewhere.flips < 10


def test_what_a_patch_hides_is_no_reliance_on_it() -> None:
    """The corner decides; a patch that takes it away flips as many as the control that takes it away."""
    pixels = noise(200)
    result = plant(
        Checked(),
        torch.where(torch.arange(200).view(-1, 1, 1, 1) % 2 == 0, pixels, _with_mark(pixels)),
        of_colour(0.5, 0.5, 0.5),
        Box(*CORNER),
    )
    assert result.shortcut.flips == result.control.flips == 100
    assert judge(result).status == "info"


def _with_mark(pixels: Tensor) -> Tensor:
    marked = pixels.clone()
    marked[:, :, :4, :4] = CHEQUERED.colours
    return marked


def test_what_is_transparent_leaves_the_image_as_it_is() -> None:
    result = plant(Region(CORNER), noise(40), of_colour(1, 0, 0, opacity=0.0), Box(*CORNER))
    assert [condition.flips for condition in result.conditions] == [0, 0, 0]


def test_a_patch_lies_where_the_file_shows_its_place_whatever_is_cut_off() -> None:
    """The input shows the left three quarters of each image: of the place from .5 to 1 it shows the left half."""
    shown = ImageGeometry(Axis(0, SIDE, 0.0, 0.75 / SIDE), Axis(0, SIDE, 0.0, 1 / SIDE))
    left_red = Patch(torch.cat([of_colour(1, 0, 0).colours, of_colour(0, 0, 1).colours], dim=2), torch.ones(1, 4, 8))
    pixels = torch.full((12, 3, SIDE, SIDE), 0.2)
    pixels[:, 2] = 0.3
    seen = plant(Region([10.7 / 16, 0.0, 1.0, 1.0]), pixels, left_red, Box(0.5, 0.0, 1.0, 1.0), geometries=[shown] * 12)
    assert (seen.n, seen.left_out, seen.visible_share) == (12, 0, pytest.approx(0.5))
    assert seen.shortcut.flips == 12  # red alone: the blue half is cut off
    hidden = plant(Region(CORNER), pixels, left_red, Box(0.7, 0.0, 1.0, 1.0), geometries=[shown] * 12)
    assert (hidden.n, hidden.left_out) == (0, 12)
    assert "its preprocessing cuts the rest off" in judge(hidden).reason


def test_recipients_are_of_one_image_a_unit_and_have_no_mark() -> None:
    marked, units = np.arange(60) % 3 == 0, np.arange(60) // 2
    chosen = choose_recipients(60, units, most=100, rng=np.random.default_rng(0), marked=marked)
    assert len(set(units[chosen])) == len(chosen) == 30
    assert not marked[chosen].any()
    assert len(choose_recipients(60, None, most=25, rng=np.random.default_rng(0))) == 25


def audit_patch(patch: Path, **given: Any) -> Section:
    pixels = noise(80)
    stamped = np.array(["yes" if row % 4 == 0 else "no" for row in range(80)], dtype=object)
    audited = audited_model(Region(CORNER), pixels, groups={"stamped": stamped})
    shortcut = {"name": "stamp", "region": CORNER, "patch": str(patch), **given}
    options = AttributionOptions.model_validate({"samples": 3, "methods": ["gradcam"], "shortcut": [shortcut]})
    Attribution().check(options, DATA.model_copy(update={"groups": ["stamped"]}))
    return Attribution().audit(audited, options)


def test_an_audit_plants_the_patch_of_a_file_into_images_without_the_mark(tmp_path: Path) -> None:
    Image.new("RGB", (7, 5), (255, 0, 0)).save(tmp_path / "stamp.png")
    section = audit_patch(tmp_path / "stamp.png", column="stamped", value="yes")
    finding = section.finding("attribution.shortcut.stamp")
    assert (finding.status, finding.n) == ("warn", 60)
    assert finding.title == "Effect of the mark stamp"
    assert "Images whose stamped is yes get none." in finding.caveats
    rows = section.tables["shortcuts"]
    assert [row["condition"] for row in rows] == [
        "patch",
        "its place in the mean colour",
        "patch, pixels in random order",
    ]
    assert {(row["area_share"], row["visible_share"]) for row in rows} == {(None, 1.0)}
    assert "Predictions go by the mark “stamp”: planting it alters" in Attribution().summarize(section, _facts())


def _facts() -> Any:
    return audited_model(Region(CORNER), noise(2)).facts


def write_damaged(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:900])


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: None, "no such file: '{folder}/mark.png'"),
        (write_damaged, "'{folder}/mark.png' cannot be read as an image: "),
        (lambda path: path.write_bytes(b"stamp"), "'{folder}/mark.png' cannot be read as an image: it is of no kind"),
        (
            lambda path: Image.new("L", (1025, 2)).save(path),
            "'{folder}/mark.png' has 1025 x 2 px, and",
        ),
        (lambda path: Image.new("RGBA", (4, 4)).save(path), "'{folder}/mark.png' is transparent everywhere"),
    ],
)
def test_what_is_no_patch_is_refused_before_anything_runs(tmp_path: Path, write: Any, said: str) -> None:
    path = tmp_path / "mark.png"
    write(path)
    options = AttributionOptions.model_validate(
        {"shortcut": [{"name": "a", "tokens": ["x"]}, {"name": "b", "region": CORNER, "patch": str(path)}]}
    )
    with pytest.raises(ConfigError) as caught:
        Attribution().check(options, DATA)
    first, remedy = str(caught.value).splitlines()
    assert first.startswith("attribution.shortcut.2.patch: " + said.format(folder=tmp_path.name))
    assert remedy
    assert str(tmp_path) not in str(caught.value)


def test_a_patch_keeps_its_colours_and_what_is_transparent_in_it(tmp_path: Path) -> None:
    image = Image.new("RGBA", (3, 2), (255, 0, 0, 255))
    image.putpixel((2, 1), (0, 255, 0, 51))
    image.save(tmp_path / "mark.png")
    patch = read_patch(str(tmp_path / "mark.png"), "here")
    assert patch.colours.shape == (3, 2, 3)
    assert patch.colours[:, 0, 0].tolist() == [1, 0, 0]
    assert patch.opacity[0].tolist() == [[1, 1, 1], [1, 1, pytest.approx(0.2)]]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tokens": ["x"]}, "patch needs region"),
        ({"region": [0.0, 0.0, 1.0, 0.6]}, "covers more than 0.5 of the image"),
    ],
)
def test_a_patch_needs_a_place_that_leaves_something_of_the_image(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Shortcut.model_validate({"name": "a", "patch": "a.png", **given})
