"""Regions are shares of the image in its file, whatever the preprocessing cuts off: read, swapped and drawn there."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from rft.config.schema import DataConfig
from rft.data.images.geometry import Box
from rft.data.images.preprocessing import plain_preprocessing
from rft.plugins import AuditedModel
from rft.plugins.attribution import Attribution, AttributionOptions
from rft.records import Section
from tests.support.attribution_cases import Frozen, audited_model

MARK = Box(0.26, 0.6, 0.36, 0.75)  # in 300 x 200 px it is left of the centre, and stays when the sides are cut off
PREPROCESSING = plain_preprocessing(40, 32, "bicubic", (0.5,) * 3, (0.5,) * 3)


class LooksForColour(Frozen):
    """Decides by the strongest colour anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.finish()

    def classify(self, pixels: Tensor) -> Tensor:
        blueness = pixels[:, 2] - pixels[:, 0]
        return 20 * torch.stack([blueness.amax(dim=(1, 2)), -blueness.amin(dim=(1, 2))], dim=1)


def write_marked(folder: Path, sizes: Sequence[tuple[int, int]], mark: Box) -> list[Path]:
    """Write grey noise with a mark, blue or red by turns, and return the files."""
    rng = np.random.default_rng(0)
    files = []
    for number, (width, height) in enumerate(sizes):
        image = Image.fromarray(rng.integers(110, 140, (height, width), dtype=np.uint8)).convert("RGB")
        edges = [round(share * side) for share, side in zip(mark, (width, height) * 2, strict=True)]
        image.paste((255, 0, 0) if number % 2 else (0, 0, 255), tuple(edges))
        files.append(folder / f"{number}.png")
        image.save(files[-1])
    return files


def audited_files(files: Sequence[Path], *, show_examples: bool = False) -> AuditedModel:
    model = LooksForColour()
    pixels = torch.stack(
        [torch.from_numpy(PREPROCESSING(Image.open(file))).permute(2, 0, 1).float() / 255 for file in files]
    )
    audited = audited_model(model, pixels, show_examples=show_examples)
    test = replace(audited.splits["test"], items=list(files))
    inputs = PREPROCESSING.inputs({"test": test}, DataConfig(manifest="unused.csv", image="file", label="label"), 0)
    return replace(audited, splits={"test": test}, inputs=inputs)


def audit_regions(audited: AuditedModel, **regions: Box) -> Section:
    shortcuts: list[dict[str, Any]] = [{"name": name, "region": [*box]} for name, box in regions.items()]
    return Attribution().audit(
        audited,
        AttributionOptions.model_validate({"samples": 4, "methods": ["integrated_gradients"], "shortcut": shortcuts}),
    )


def test_a_mark_off_centre_is_found_in_images_that_are_cut(tmp_path: Path) -> None:
    section = audit_regions(
        audited_files(write_marked(tmp_path, [(300, 200)] * 86, MARK)), mark=MARK, corner=Box(0.0, 0.0, 0.1, 0.1)
    )
    mark, corner = section.finding("attribution.shortcut.mark"), section.finding("attribution.shortcut.corner")
    assert (mark.status, mark.value, mark.n) == ("warn", 1.0, 43)
    assert corner.status == "not_measured"  # cut off
    assert corner.reason == "the model sees 0 % of the region on average: its preprocessing cuts the rest off"
    row = section.tables["shortcuts"][0]
    assert row["visible_share"] == 1.0
    assert row["area_share"] == pytest.approx(0.1 * 0.15 / ((32 / 60) * (32 / 40)), rel=0.2)


@pytest.mark.slow
def test_images_of_several_sizes_have_a_place_each(tmp_path: Path) -> None:
    sizes = [(300, 200), (200, 300), (150, 150), (640, 400)] * 6 + [
        (200, 300),
        (300, 200),
        (640, 400),
        (150, 150),
    ] * 6
    section = audit_regions(
        audited_files(write_marked(tmp_path, sizes, Box(0.4, 0.3, 0.6, 0.5))), mark=Box(0.4, 0.3, 0.6, 0.5)
    )
    finding = section.finding("attribution.shortcut.mark")
    assert (finding.status, finding.value, finding.n) == ("warn", 1.0, 24)


@pytest.mark.slow
def test_the_region_is_drawn_where_the_model_sees_it(tmp_path: Path) -> None:
    audited = audited_files(write_marked(tmp_path, [(300, 200)] * 40, MARK), show_examples=True)
    plain, boxed = audit_regions(audited), audit_regions(audited, mark=MARK)
    name = str(boxed.tables["examples"][0]["asset"])
    before = np.asarray(Image.open(_file(plain, str(plain.tables["examples"][0]["asset"]))).convert("RGB")).astype(int)
    after = np.asarray(Image.open(_file(boxed, name)).convert("RGB")).astype(int)
    differences = np.abs(after - before).sum(axis=2)
    assert np.array_equal(
        differences[:160] > 0, differences[160:] > 0
    )  # in the image as it is, and below it with a map
    rows, columns = np.nonzero(differences[160:])
    # 300 x 200 becomes 60 x 40 with the middle 32 x 32 in it, shown five times as large
    left, right = (5 * (60 * share - 14) for share in (MARK.left, MARK.right))
    top, bottom = (5 * (40 * share - 4) for share in (MARK.top, MARK.bottom))
    drawn = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(drawn, [left, top, right, bottom], atol=4)
    [outline] = next(figure for figure in boxed.figures if figure.table == "mean_maps").outlines
    edges = [outline.left, outline.top, outline.right, outline.bottom]
    np.testing.assert_allclose(np.array(edges) * 160, [left, top, right, bottom], atol=4)


def _file(section: Section, name: str) -> io.BytesIO:
    return io.BytesIO(section.assets[name])
