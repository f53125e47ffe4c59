"""The attribution section of recordings."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

from rft.config.applicability import Situation, list_idle_keys
from rft.config.schema import DataConfig
from rft.errors import Unavailable
from rft.plugins.attribution import Attribution, AttributionOptions
from rft.records import Section
from tests.support.attribution_speech_cases import (
    RATE,
    Bands,
    Hearing,
    audited_model,
    make_sounds,
    spectrum_preprocessing,
)

SHORTCUTS = [
    {"name": "beep", "seconds": [0.2, 0.3]},
    {"name": "end", "seconds": [-0.2, 0]},
    {"name": "room", "background": True},
]
QUALITIES = ("deletion", "insertion", "randomization", "stability")
GROUPS = {"sex": np.array(["f", "m"] * 12, dtype=object)}


def audit(folder: Path, model: nn.Module | None = None, *, sounds: Any = None, **changes: Any) -> Section:
    audited_options = {name: changes.pop(name) for name in ("preprocessing", "show_examples") if name in changes}
    audited = audited_model(model or Hearing(), sounds or make_sounds(24), folder, groups=GROUPS, **audited_options)
    options = AttributionOptions.model_validate({"shortcut": SHORTCUTS, "samples": 12} | changes)
    return Attribution().audit(audited, options)


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory) -> Section:
    return audit(tmp_path_factory.mktemp("clips"))


def test_the_planted_span_is_found_and_others_are_not(section: Section) -> None:
    beep = section.finding("attribution.shortcut.beep")
    assert (beep.status, beep.value, beep.n) == ("warn", 1.0, 12)
    assert "12 of 12 predictions change; with the span from a recording of the same class 0 do" in beep.caveats
    for name in ("end", "room"):
        assert section.finding(f"attribution.shortcut.{name}").value in (0.0, None)


def test_the_findings_and_tables_have_their_names(section: Section) -> None:
    of_occlusion = [
        f"{name}.{method}{suffix}"
        for method in ("window_occlusion", "band_occlusion")
        for name, suffix in (
            ("failed_maps", ""),
            *((quality, "") for quality in QUALITIES),
            ("deletion_gap", ".sex"),
        )
    ]
    of_path = ["map_change", "completeness", "completeness_undefined", "baseline_same_class"]
    assert [finding.id.removeprefix("attribution.") for finding in section.findings] == [
        *("shortcut.beep", "shortcut.end", "shortcut.room"),
        *("replacement_flips.window_occlusion", "replacement_flips.band_occlusion"),
        *of_occlusion,
        *("failed_maps.integrated_gradients", *of_path),
        *(f"{quality}.integrated_gradients" for quality in QUALITIES),
    ]
    means = {"mean_windows", "mean_bands", "mean_map_counts"}
    assert {"map_quality", "shortcuts", "shortcuts_by_group", "replacements", *means} <= set(section.tables)
    assert set(section.captions) == set(section.tables)
    assert not section.assets
    for figure in section.figures:
        assert set(figure.encode.values()) <= set(section.tables[figure.table][0])
        assert figure.alt


def test_every_finding_is_announced(section: Section) -> None:
    data = DataConfig.model_validate({"manifest": "x.csv", "audio": "file", "label": "y", "groups": ["sex"]})
    options = AttributionOptions.model_validate({"shortcut": SHORTCUTS})
    assert {finding.id for finding in section.findings} <= set(Attribution().list_findings(options, data))


def test_means_by_group_are_shares_and_point_at_the_planted_tenth(section: Section) -> None:
    rows = section.tables["mean_windows"]
    of_all = [row for row in rows if row["attribute"] is None]
    assert [row["from_percent"] for row in of_all] == list(range(0, 100, 10))
    sound = 12 - (section.finding("attribution.failed_maps.window_occlusion").value or 0)
    assert {row["n"] for row in of_all} == {sound}
    loud = [float(row["value"]) for row in rows if row["group"] == "loud"]
    assert int(np.argmax(loud)) in (2, 3)  # 0.2 to 0.3 of 0.8 s
    assert sum(map(abs, loud)) == pytest.approx(1, abs=0.05)


def test_examples_are_pictures_and_clips_and_only_where_they_may_be_shown(tmp_path: Path) -> None:
    section = audit(tmp_path, show_examples=True, shortcut=[], methods=["window_occlusion", "band_occlusion"])
    table = section.tables["examples"]
    assert 1 <= len(table) <= 6
    for row in table:
        picture = Image.open(io.BytesIO(section.assets[str(row["asset"])]))
        assert picture.format == "PNG"
        with wave.open(io.BytesIO(section.assets[str(row["clip"])])) as clip:
            assert (clip.getnchannels(), clip.getsampwidth(), clip.getframerate()) == (1, 2, RATE)
            assert clip.getnframes() == round(0.8 * RATE)
    assert any("strongest for it: 0.20 to 0.30 s" in str(row["caption"]) for row in table)


def test_a_long_clip_is_cut_and_says_so(tmp_path: Path) -> None:
    sounds = make_sounds(4, planted=1.0, seconds=10.0)
    audited = audited_model(Hearing(), sounds, tmp_path, show_examples=True)
    section = Attribution().audit(
        audited, AttributionOptions.model_validate({"methods": ["band_occlusion"], "samples": 1})
    )
    (row,) = section.tables["examples"]
    assert str(row["caption"]).endswith("the first 8.0 s can be played")
    assert len(section.assets[str(row["clip"])]) < 130_000


def test_spectra_are_explained_by_their_own_preprocessing(tmp_path: Path) -> None:
    sounds = make_sounds(24, hertz=2_000)  # column 20 of 41 up to 4,000 Hz
    model = Bands(20, slice(20, 30))
    section = audit(
        tmp_path, model, sounds=sounds, preprocessing=spectrum_preprocessing(), methods=["window_occlusion"]
    )
    assert section.finding("attribution.shortcut.beep").n is not None
    assert section.finding("attribution.failed_maps.window_occlusion").status in ("info", "warn")


def test_methods_of_others_and_other_shortcuts_are_not_measured(tmp_path: Path) -> None:
    shortcuts = [{"name": "corner", "region": [0, 0, 0.1, 0.1]}]
    section = audit(tmp_path, methods=["gradcam", "window_occlusion"], shortcut=shortcuts)
    assert section.finding("attribution.deletion.gradcam").reason == "GradCAM is no method for recordings"
    corner = section.finding("attribution.shortcut.corner")
    assert (corner.status, corner.value) == ("not_measured", None)
    assert "the examples are recordings" in (corner.reason or "")


def test_without_a_preprocessing_there_is_nothing_to_change(tmp_path: Path) -> None:
    audited = audited_model(Hearing(), make_sounds(4), tmp_path)

    class Foreign:
        def batch(self, split: str, rows: Any) -> Any: ...

    object.__setattr__(audited, "inputs", Foreign())
    with pytest.raises(Unavailable, match="without the preprocessing of their model"):
        Attribution().audit(audited, AttributionOptions())


@pytest.mark.parametrize(
    ("table", "modality", "idle"),
    [
        ({"methods": ["window_occlusion", "band_occlusion"]}, "audio", []),
        ({"methods": ["window_occlusion"]}, "image", ["attribution.methods"]),
        ({"methods": ["band_occlusion"]}, "text", ["attribution.methods"]),
        ({"methods": ["word_removal"]}, "audio", ["attribution.methods", "attribution.methods"]),
        ({"methods": ["gradcam"]}, "audio", ["attribution.methods"]),
        ({"methods": ["gradcam"]}, "text", ["attribution.methods"]),
        ({"baseline": "blur"}, "audio", ["attribution.baseline"]),
        ({"shortcut": [{"name": "x", "seconds": [0, 1]}]}, "audio", []),
        ({"shortcut": [{"name": "x", "seconds": [0, 1]}]}, "image", ["attribution.shortcut.1.seconds"]),
        ({"shortcut": [{"name": "x", "background": True, "column": "a", "value": "b"}]}, "audio", []),
        ({"shortcut": [{"name": "x", "region": [0, 0, 1, 1]}]}, "audio", ["attribution.shortcut.1.region"]),
        ({"shortcut": [{"name": "x", "tokens": ["a"]}]}, "audio", ["attribution.shortcut.1.tokens"]),
    ],
)
def test_keys_of_another_modality_are_refused(table: dict[str, Any], modality: Any, idle: list[str]) -> None:
    options = AttributionOptions.model_validate(table)
    errors = list_idle_keys(options, "attribution", Situation(modality=modality), "audit.toml")
    assert [str(error.what).partition(":")[0] for error in errors] == idle
