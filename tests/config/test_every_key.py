"""Every key of every table, in every mode: it has an effect, or it is refused with what to do."""

from __future__ import annotations

import json
import shutil
import types
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from pydantic import BaseModel
from transformers import BertConfig, BertForSequenceClassification

import rft
from rft import number_format
from rft.config.schema import Config
from rft.errors import ConfigError, RftError
from rft.pipeline.plan import read_plan
from rft.pipeline.stages import check_plan
from rft.plugins import discover_plugins
from tests.conftest import write_images
from tests.runs.test_texts_and_images import write_clips, write_texts
from tests.support import ROOT
from tests.support.families import FAMILIES, letter_tokenizer, write_hub_folder
from tests.support.recognizers import write_whisper
from tests.support.speech_families import SPEECH

TRAIN = "[train]\nepochs = 2\nlearning_rate = 0.05\nbatch_size = 8\n"
IMAGES = """
name = "tiny"
[data]
manifest = "data/images.csv"
image = "file"
label = "colour"
positive = "red"
groups = ["camera"]
split = "split"
"""
TEXTS = IMAGES.replace("data/images.csv", "texts.csv").replace('image = "file"', 'text = "text"')
RECORDINGS = IMAGES.replace("data/images.csv", "clips.csv").replace('image = "file"', 'audio = "file"')
SPOKEN = RECORDINGS.replace(
    'label = "colour"\npositive = "red"\n', 'transcript = "said"\nnormalizer = "simple"\nunit = "person"\n'
)
RESNET = '[model]\nbackbone = "torchvision/resnet18"\nweights = "random"\nimage_size = 32\n'
BERT = '[model]\nbackbone = "transformers/own"\n'
WAV2VEC2 = '[model]\nbackbone = "transformers/spoken/own"\n'
ALONE = """
name = "tiny"
[data]
label = "label"
positive = "red"
groups = ["camera"]
split = "split"
[predictions]
file = "scores.csv"
"""
TRANSCRIPTS = """
name = "tiny"
[data]
groups = ["camera"]
unit = "person"
[predictions]
file = "transcripts.csv"
reference = "said"
hypothesis = "written"
normalizer = "simple"
"""
PRIVATE = "[privacy]\nepsilon = 20.0\n"
CLASSES = 'classes = ["blue", "red"]\n'
MODES = {
    "images": IMAGES + RESNET + TRAIN,
    "images, adamw": IMAGES + RESNET + TRAIN + 'optimizer = "adamw"\n',
    "images in folders": f'name = "tiny"\n[data]\nfolder = "folders"\npositive = "red"\n{RESNET}{TRAIN}',
    "texts": TEXTS + BERT + TRAIN,
    "texts, a layer": TEXTS + BERT + 'freeze = "encoder.layer.2"\n' + TRAIN,
    "texts, adapters everywhere": TEXTS + BERT + 'tune = "lora"\n' + TRAIN,
    "private": IMAGES + CLASSES + RESNET + TRAIN + PRIVATE,
    "private, steps": IMAGES + CLASSES + RESNET + TRAIN.replace("epochs = 2\n", "") + PRIVATE + "steps = 3\n",
    "private, nothing frozen": TEXTS + CLASSES + BERT + 'freeze = "none"\n' + TRAIN + PRIVATE,
    "private, least squares": IMAGES + CLASSES + RESNET + "[train]\n" + PRIVATE + 'method = "least_squares"\n',
    "a checkpoint": TEXTS + '[model]\ncheckpoint = "classifier"\n',
    "a factory": IMAGES + '[model]\nfactory = "built:build"\nclasses = ["blue", "red"]\nimage_size = 32\n',
    "scores alone": ALONE + 'score = "p_red"\n',
    "decisions alone": ALONE + 'prediction = "decision"\n',
    "transcripts": TRANSCRIPTS,
    "recordings": RECORDINGS + WAV2VEC2 + TRAIN,
    "recordings, a recogniser": SPOKEN + '[model]\ncheckpoint = "recognizer"\n',
}
MODES_OF_LAYERS = ("texts, a layer", "texts, adapters everywhere", "private, nothing frozen")
# For each key a value, as TOML, that changes something where the key applies.
VALUES = {
    "name": '"other"',
    "seed": "1",
    "data.manifest": '"data/images.csv"',
    "data.train": '"data/images.csv"',
    "data.validation": '"data/images.csv"',
    "data.folder": '"folders"',
    "data.metadata": '"people.csv"',
    "data.root": '"data"',
    "data.separator": '","',
    "data.encoding": '"utf-8"',
    "data.image": '"file"',
    "data.text": '"text"',
    "data.audio": '"clip"',
    "data.label": '"colour"',
    "data.transcript": '"said"',
    "data.normalizer": '"none"',
    "data.vocabulary": '"tokenizer"',
    "data.characters": '"abcdefgh "',
    "data.id": '"id"',
    "data.classes": '["red", "blue"]',
    "data.positive": '"blue"',
    "data.groups": '["half"]',
    "data.unit": '"person"',
    "data.population": '"people"',
    "data.split": '"split"',
    "data.test": "0.5",
    "data.on_error": '"skip"',
    "data.max_pixels": "100",
    "data.max_seconds": "0.2",
    "model.backbone": '"torchvision/resnet18"',
    "model.checkpoint": '"classifier"',
    "model.factory": '"built:build"',
    "model.decoding": "{beams = 2}",
    "model.decoding.beams": "2",
    "model.decoding.language": '"de"',
    "model.decoding.task": '"translate"',
    "model.classes": '["red", "blue"]',
    "model.outputs": '"probabilities"',
    "model.weights": '"random"',
    "model.freeze": '"none"',
    "model.tune": '"bias"',
    "model.lora": "{rank = 2}",
    "model.lora.rank": "2",
    "model.lora.alpha": "4",
    "model.lora.dropout": "0.5",
    "model.lora.target": '["key"]',
    "model.pooling": '"cls"',
    "model.preprocessing": '"IMAGENET1K_V1"',
    "model.max_length": "4",
    "model.layer": "1",
    "model.precision": '"bfloat16"',
    "model.cache": '"float16"',
    "features.store": '"file:///shared"',
    "features.engine": '"ray"',
    "features.actors": "2",
    "model.memory": '"1MB"',
    "model.image_size": "40",
    "model.row_norm": "false",
    "predictions.file": '"scores.csv"',
    "predictions.layout": '"rft"',
    "predictions.prediction": '"decision"',
    "predictions.score": '"p_red"',
    "predictions.scores": '{red = "p_red", blue = "p_blue"}',
    "predictions.threshold": "0.9",
    "predictions.reference": '"said"',
    "predictions.hypothesis": '"written"',
    "predictions.normalizer": '"none"',
    "train.epochs": "5",
    "train.optimizer": '"sgd"',
    "train.learning_rate": "0.3",
    "train.schedule": '"constant"',
    "train.patience": "1",
    "train.momentum": "0.1",
    "train.weight_decay": "0.5",
    "train.batch_size": "5",
    "train.views": "2",
    "train.class_weights": "{red = 3.0}",
    "report.show_examples": "true",
    "report.suppress_below": "5",
    "card.intended_use": '"Sorting."',
    "card.out_of_scope": '"Decisions about people."',
    "card.owner": '"A team"',
    "card.contact": '"team@example.org"',
    "card.license": '"mit"',
    "card.base_model": '"timm/other"',
    "card.datasets": '["team/pictures"]',
    "policy.finding": '[{finding = "performance.accuracy", min = 0.0}]',
    "policy.max": '[{finding = "performance.accuracy", max = 0.0}]',
    "policy.min": '[{finding = "performance.accuracy", min = 0.0}]',
    "policy.because": '[{finding = "performance.accuracy", min = 0.0, because = "so"}]',
    "performance.bins": "2",
    "label_errors.review_share": "0.2",
    "influence.examples": "3",
    "influence.retrained_heads": "8",
    "privacy.epsilon": "30.0",
    "privacy.delta": "0.001",
    "privacy.max_grad_norm": "0.01",
    "privacy.noise_multiplier": "5.0",
    "privacy.sample_rate": "0.3",
    "privacy.steps": "3",
    "privacy.method": '"least_squares"',
    "privacy.randomness": '"seeded"',
    "privacy.ledger": '"book"',
    "privacy.overlaps": '["others"]',
    "privacy.budget": "50.0",
    "privacy.frontier": "[1.0]",
    "privacy.replicates": "2",
    "privacy.shadows": "8",
    "privacy.mechanism_runs": "60",
    "privacy.canaries": "20",
    "fairness.attributes": '["camera"]',
    "fairness.metrics": '["accuracy"]',
    "fairness.classes": '["red"]',
    "fairness.max_intersection_order": "1",
    "fairness.control_feature": '"camera"',
    "fairness.min_group_size": "5",
    "fairness.min_reported_size": "2",
    "fairness.tables": '["four_fifths"]',
    "fairness.ll144": '{sex = "camera", race = "half"}',
    "fairness.ll144.sex": '"camera"',
    "fairness.ll144.race": '"half"',
    "fairness.ll144.basis": '"score"',
    "fairness.ll144.small_left_out_because": '"few"',
    "fairness.mitigation": '{attribute = "camera", metric = "accuracy"}',
    "fairness.mitigation.attribute": '"camera"',
    "fairness.mitigation.metric": '"tpr"',
    "fairness.mitigation.methods": '["threshold"]',
    "fairness.mitigation.constraints": '["equalized_odds"]',
    "fairness.mitigation.max_gap": "0.3",
    "attribution.samples": "3",
    "attribution.methods": '["integrated_gradients"]',
    "attribution.max_steps": "16",
    "attribution.baseline": '"mean"',
    "attribution.shortcut": "[{name = 'it', KIND}]",
    "attribution.shortcut.name": "[{name = 'other', KIND}]",
    "attribution.shortcut.region": "[{name = 'it', region = [0.0, 0.0, 0.5, 0.5]}]",
    "attribution.shortcut.patch": "[{name = 'it', region = [0.0, 0.0, 0.5, 0.5], patch = 'mark.png'}]",
    "attribution.shortcut.column": "[{name = 'it', region = [0.0, 0.0, 0.5, 0.5], column = 'camera', value = 'a'}]",
    "attribution.shortcut.value": "[{name = 'it', region = [0.0, 0.0, 0.5, 0.5], column = 'camera', value = 'b'}]",
    "attribution.shortcut.tokens": "[{name = 'it', tokens = ['a']}]",
    "attribution.shortcut.swap": "[{name = 'it', swap = 'gender'}]",
    "attribution.shortcut.change": "[{name = 'it', tokens = ['a'], change = 'other_words'}]",
    "attribution.shortcut.seconds": "[{name = 'it', seconds = [0.0, 0.1]}]",
    "attribution.shortcut.hertz": "[{name = 'it', hertz = [0.0, 100.0]}]",
    "attribution.shortcut.background": "[{name = 'it', background = true}]",
    "attribution.shortcut.max_pairs": "[{name = 'it', KIND, max_pairs = 11}]",
    "attribution.shortcut.min_flip_rate": "[{name = 'it', KIND, min_flip_rate = 0.4}]",
}


def keys_of(table: type[BaseModel], path: str = "") -> Iterator[str]:
    """Yield the full names of the keys of a table, and of the tables in it."""
    for name, field in table.model_fields.items():
        full_name = f"{path}.{name}" if path else name
        nested = [kind for kind in classes_in(field.annotation) if issubclass(kind, BaseModel)]
        if not nested or path:
            yield full_name
        for kind in nested:
            yield from keys_of(kind, full_name)


def classes_in(annotation: Any) -> Iterator[type]:
    """Yield the classes that an annotation is made of."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        yield annotation
    for part in typing.get_args(annotation):
        yield from classes_in(part)


# Where that value is what the mode has without the key: adapters alone freeze nothing by its place.
OF_LAYERS = {"model.row_norm": "true", "train.optimizer": '"adamw"', "train.schedule": '"cosine"'}
OF_TRANSCRIPTS = ("predictions.reference", "predictions.hypothesis", "predictions.normalizer")
OF_CLASSES = (
    *("data.label", "data.classes", "data.positive", "performance.bins"),
    *(f"predictions.{key}" for key in ("layout", "prediction", "score", "scores", "threshold")),
    *(f"fairness.{key}" for key in ("metrics", "classes", "control_feature", "min_group_size", "min_reported_size")),
    *("fairness.tables", "fairness.ll144"),
)
VALUES_OF_A_MODE = {
    **{
        (mode, key): value.replace("accuracy", "word_error_rate")
        for mode in ("transcripts", "recordings, a recogniser")
        for key, value in VALUES.items()
        if key.startswith("policy.")
    },
    ("texts, adapters everywhere", "model.freeze"): '"encoder.layer.2"',
    **{(mode, key): value for mode in MODES_OF_LAYERS for key, value in OF_LAYERS.items()},
}
# What a key stands beside: without these it would be refused for another reason.
BESIDE = {
    "features.actors": ["features.engine='ray'"],
    "fairness.mitigation.": ("fairness.mitigation.attribute='camera'", "fairness.mitigation.metric='accuracy'"),
    "fairness.ll144": (
        *("data.groups=['camera', 'half']", "fairness.tables=['ll144']"),
        *("fairness.ll144.sex='camera'", "fairness.ll144.race='half'"),
    ),
    "privacy.replicates": ("privacy.frontier=[1.0]",),
    "privacy.ledger": ("data.id='id'", "data.population='people'"),
    "privacy.budget": ("data.id='id'", "data.population='people'"),
    "privacy.overlaps": ("data.id='id'", "data.population='people'"),
    "data.population": ("data.id='id'",),
    "fairness.control_feature": ("data.groups=['camera', 'half']",),
    "fairness.attributes": ("data.groups=['camera', 'half']",),
    "fairness.max_intersection_order": ("data.groups=['camera', 'half']",),
    "report.show_examples": ("attribution.samples=2",),
}

STANDS_ALONE = {
    (mode, "report.show_examples") for mode in ("transcripts", "recordings, a recogniser")
}  # words of transcripts are shown by themselves

# What the small data of these modes cannot show: all items can be read, one bin and too few rows to mitigate are all
# that there are, memory is no result, and the pipeline of resnet18 is the only one that it has. Private runs are seeded
# here, so that they can be compared, and nothing of what they promise is audited then.
EFFECT_SHOWN_BY = {
    "data.audio": "tests/data/audio/test_datasets.py",
    "data.on_error": "tests/data/test_folders.py",
    "data.root": "tests/data/test_remote_tables.py",
    "features.store": "tests/features/test_mirror.py",
    "features.engine": "tests/features/cluster/test_ray.py",
    "features.actors": "tests/features/cluster/test_ray.py",
    "data.separator": "tests/data/test_table_files.py",
    "data.encoding": "tests/data/test_table_files.py",
    "model.memory": "tests/runtime/test_memory.py",
    "model.preprocessing": "tests/backbones/test_preprocessing.py",
    "performance.bins": "tests/plugins/performance/test_performance.py",
    "label_errors.review_share": "tests/plugins/label_errors/test_label_errors.py",
    "influence.examples": "tests/plugins/influence/test_influence.py",
    "influence.retrained_heads": "tests/plugins/influence/test_influence.py",
    "privacy.canaries": "tests/plugins/privacy/empirical/test_empirical.py",
    "privacy.mechanism_runs": "tests/plugins/privacy/empirical/test_empirical.py",
    "privacy.randomness": "tests/plugins/privacy/test_audit.py",
    "fairness.ll144": "tests/plugins/fairness/test_legal.py",
    "fairness.mitigation.constraints": "tests/plugins/fairness/test_mitigation.py",
    "fairness.mitigation.max_gap": "tests/plugins/fairness/test_mitigation.py",
    "fairness.mitigation.methods": "tests/plugins/fairness/test_mitigation.py",
}


SHORTCUT_OF = {
    "images": "region = [0.0, 0.0, 0.5, 0.5]",
    "texts": "tokens = ['a']",
    "recordings": "seconds = [0.0, 0.1]",
}


def kind_of(mode: str) -> str:
    """Return what the examples of a mode are."""
    columns = {"texts": 'text = "text"', "recordings": 'audio = "file"'}
    return next((kind for kind, column in columns.items() if column in MODES[mode]), "images")


def overrides_of(mode: str, key: str) -> list[str]:
    """Return what sets a key, and what it stands beside."""
    starts = [start for start in BESIDE if key.startswith(start) and (mode, start) not in STANDS_ALONE]
    beside = [line for start in starts for line in BESIDE[start]]
    table = key.rpartition(".")[0]
    place = table if table in ("policy", "attribution.shortcut") else key  # a list of tables is given as a whole
    kind = SHORTCUT_OF[kind_of(mode)]
    return [line for line in beside if not line.startswith(f"{place}=")] + [
        f"{place}={VALUES_OF_A_MODE.get((mode, key), VALUES[key]).replace('KIND', kind)}"
    ]


def all_keys() -> list[str]:
    tables = {"": Config, **{name: registered.plugin.options for name, registered in discover_plugins().items()}}
    return [key for name, table in tables.items() for key in keys_of(table, name)]


def is_given(mode: str, key: str) -> bool:
    """Tell whether the config of a mode has a key already: then it has an effect, or the mode would be another."""
    section = ""
    for line in MODES[mode].splitlines():
        if line.startswith("["):
            section = line.strip("[]") + "."
        elif key.startswith(section) and line.startswith(f"{key.removeprefix(section)} ="):
            return True
    return False


@pytest.fixture(autouse=True)
def found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for plugins once, and not for every key."""
    monkeypatch.setattr("rft.pipeline.plan.discover_plugins", cache(discover_plugins))


def refused_keys(path: Path, mode: str) -> dict[str, str]:
    """Return key -> message for every key that is refused in a mode."""
    path.write_text(MODES[mode], encoding="utf-8")
    write_mark(path.parent)
    check_plan(read_plan(path))
    messages = {}
    for key in all_keys():
        if not is_given(mode, key):
            try:
                check_plan(read_plan(path, overrides_of(mode, key)))
            except RftError as error:
                messages[key] = str(error)
    return messages


def write_mark(folder: Path) -> None:
    """Write the picture that ``attribution.shortcut.patch`` names, which is looked at before anything else."""
    Image.new("RGB", (8, 8), (250, 240, 10)).save(folder / "mark.png")


def keys_below(*starts: str) -> set[str]:
    return {key for key in all_keys() for start in starts if key == start or key.startswith(f"{start}.")}


def with_epsilon_alone() -> set[str]:
    return keys_below("privacy") - {"privacy.shadows"}


OF_IMAGES = ("data.max_pixels", "model.image_size", "model.preprocessing", "train.views")
OF_TEXTS = ("model.pooling", "model.max_length")
OF_SPEECH = ("data.transcript", "data.normalizer", "data.vocabulary", "data.characters", "model.decoding")
OF_RECORDINGS = ("data.audio", "data.max_seconds", "model.layer", *OF_SPEECH)
SOURCES = ("data.train", "data.validation", "data.test", "data.folder", "data.metadata")
OTHERS = ("model.checkpoint", "model.factory", "model.classes", "model.outputs")
LORA = ("model.lora",)
OF_SGD = ("train.momentum",)
TRAINING = (
    *("model.weights", "model.freeze", "model.tune", "model.lora", "model.pooling", "model.precision", "model.cache"),
    *("features", "model.row_norm", "train", "privacy", "fairness.mitigation"),
)
PLAIN = {
    "images": keys_below("data.text", *OF_RECORDINGS, *SOURCES, *OTHERS, *LORA, *OF_TEXTS, "predictions", *OF_SGD),
    "texts": keys_below(
        "data.image", "data.root", *OF_RECORDINGS, *SOURCES, *OTHERS, *LORA, *OF_IMAGES, "predictions", *OF_SGD
    ),
    "recordings": keys_below(
        *("data.image", "data.text", *OF_SPEECH, *SOURCES, *OTHERS, *LORA, *OF_IMAGES, *OF_TEXTS, "predictions"),
        *OF_SGD,
    ),
}
SOUNDS = ("attribution.shortcut.seconds", "attribution.shortcut.hertz", "attribution.shortcut.background")
SHORTCUTS = {
    "images": {
        *("attribution.shortcut.tokens", "attribution.shortcut.swap", "attribution.shortcut.change"),
        *SOUNDS,
    },
    "texts": {
        "attribution.shortcut.region",
        "attribution.shortcut.patch",
        "attribution.shortcut.column",
        "attribution.shortcut.value",
        "attribution.baseline",
        *SOUNDS,
    },
    "recordings": {
        *("attribution.shortcut.tokens", "attribution.shortcut.swap", "attribution.shortcut.change"),
        *("attribution.shortcut.region", "attribution.shortcut.patch", "attribution.shortcut.column"),
        *("attribution.shortcut.value", "attribution.baseline"),
    },
}
ALONE_REFUSED = (
    *(
        "data.manifest",
        "data.image",
        "data.text",
        "data.root",
        "data.max_pixels",
        "data.population",
        *OF_RECORDINGS,
        *SOURCES,
    ),
    *(
        "model",
        "features",
        "train",
        "privacy",
        "fairness.mitigation",
        "attribution",
        "label_errors",
        "influence",
        "report.show_examples",
    ),
)


def expected(mode: str) -> set[str]:
    """Return the keys that have no effect in a mode."""
    private = "epsilon" in MODES[mode]
    if mode == "transcripts":
        return keys_below(*ALONE_REFUSED, *OF_CLASSES) - {"report.show_examples"}
    if mode in ("scores alone", "decisions alone"):
        more = {"performance.bins", "fairness.ll144.basis"} if mode == "decisions alone" else {"predictions.scores"}
        return keys_below(*ALONE_REFUSED) | more | {"predictions.layout", *OF_TRANSCRIPTS, *more_of(mode)}
    kind = kind_of(mode)
    keys = PLAIN[kind] | SHORTCUTS[kind]
    if mode == "images in folders":
        # Columns may be those of a metadata table: whether there is one, reading the folder shows.
        with_groups = {key for key in all_keys() if any("data.groups" in line for line in overrides_of(mode, key)[:-1])}
        keys = keys - {"data.folder", "data.test", "data.metadata"} | {"data.manifest", "data.root"}
        keys |= keys_below("fairness") - with_groups
        keys |= {"attribution.shortcut.column", "attribution.shortcut.value"}  # a column of data.groups
    if mode == "recordings, a recogniser":
        keys = keys - {"data.normalizer", "data.transcript"} - keys_below("model.decoding")
        keys |= keys_below(*TRAINING, *OF_CLASSES, "attribution", "label_errors", "influence")
        return keys | {"data.population", "model.backbone", "model.layer", "model.memory"}
    if mode in ("a checkpoint", "a factory"):
        keys = keys - {"model.classes", "model.outputs"} | keys_below(*TRAINING) | {"model.backbone"}
        # model.preprocessing names the transform of a factory, and takes the place of image_size.
        keys |= {"data.population", "model.preprocessing"}
        keys |= {"attribution.baseline", "label_errors.review_share"}  # the first: "mean", of training images
        keys |= keys_below("influence")
    elif private:
        keys |= {"attribution.baseline", "train.schedule", "train.patience"}  # the first: "mean", which is private
        keys |= keys_below("fairness.mitigation", "label_errors", "influence") | {
            "fairness.classes"
        }  # two are declared
    else:
        keys |= with_epsilon_alone() | {"data.population"}
    if mode == "texts, adapters everywhere":
        keys -= keys_below(*LORA)
    return keys | more_of(mode)


def more_of(mode: str) -> set[str]:
    return {
        "texts, a layer": keys_below("fairness.mitigation"),
        "texts, adapters everywhere": keys_below("fairness.mitigation", "features") | {"model.cache"},
        "private": {"privacy.steps", "privacy.method"},  # beside train.epochs
        "private, steps": {"train.epochs", "privacy.method"},
        "private, nothing frozen": {
            *("model.cache", "model.precision", "privacy.steps", "privacy.method"),
            *keys_below("features"),
        },
        "private, least squares": {
            *RECIPE,
            *(f"privacy.{key}" for key in ("sample_rate", "steps", "mechanism_runs", "max_grad_norm")),
        },
        "decisions alone": {"predictions.threshold"},
    }.get(mode, set())


RECIPE = {f"train.{key}" for key in ("epochs", "optimizer", "learning_rate", "momentum", "weight_decay", "batch_size")}
TO_DO = ("remove", "give ", "needs ", "add ")


def test_every_key_has_a_value_here() -> None:
    assert set(all_keys()) == set(VALUES)


@pytest.mark.parametrize("mode", MODES)
def test_a_key_without_effect_is_refused_and_says_what_to_do(tmp_path: Path, mode: str) -> None:
    messages = refused_keys(tmp_path / "audit.toml", mode)
    written_keys = {key for key in all_keys() if is_given(mode, key)}
    assert set(messages) == expected(mode) - written_keys
    silent = {key: text for key, text in messages.items() if not any(word in text.lower() for word in TO_DO)}
    assert not silent


def test_a_frontier_has_heads_without_privacy_that_are_trained_by_epochs(tmp_path: Path) -> None:
    path = tmp_path / "audit.toml"
    path.write_text(MODES["private"], encoding="utf-8")
    with pytest.raises(ConfigError, match=r"train\.epochs: has no effect here: privacy\.steps says how many"):
        check_plan(read_plan(path, ["privacy.steps=3"]))
    check_plan(read_plan(path, ["privacy.steps=3", "privacy.frontier=[1.0]"]))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with all that the configs name."""
    folder = tmp_path_factory.mktemp("every key")
    images = write_images(folder / "data", side=30)
    for split, label, file in zip(images["split"], images["colour"], images["file"], strict=True):
        (folder / "folders" / split / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "data" / file, folder / "folders" / split / label / file)
    write_texts(folder)
    for file in (folder / "data" / "images.csv", folder / "texts.csv"):
        table = pd.read_csv(file, dtype=str)
        table["id"] = [f"case {number}" for number in range(len(table))]
        table["person"] = [f"person {number // 2}" for number in range(len(table))]
        table["half"] = ["one", "other"] * (len(table) // 2)
        table.to_csv(file, index=False)
    share = np.linspace(0.05, 0.95, len(table)).round(2)
    table = table.rename(columns={"colour": "label"}).assign(p_red=share, p_blue=(1 - share).round(2))
    table["decision"] = np.where(share > 0.6, "red", "blue")
    table.to_csv(folder / "scores.csv", index=False)
    write_mark(folder)
    said = pd.DataFrame({"person": [f"person {number % 12}" for number in range(48)]})
    said["camera"] = np.where(said.index % 2 == 0, "a", "b")
    said["half"] = np.where(said.index % 12 < 6, "one", "other")
    said["id"] = [f"case {number}" for number in said.index]
    said["split"] = np.where(said.index < 36, "test", "train")
    said["said"] = [f"Well, {'so ' * (number % 5)}it went." for number in said.index]
    said["written"] = [f"well {'so ' * (number % 4)}it went" for number in said.index]
    said.to_csv(folder / "transcripts.csv", index=False)
    clips = write_clips(folder).assign(**said[["half", "id"]].head(40))
    clips["said"] = [f"{'ab ' * (number % 5)}x" for number in clips.index]
    clips.to_csv(folder / "clips.csv", index=False)
    SPEECH["wav2vec2"].load(folder / "spoken")
    write_whisper(folder / "recognizer")
    FAMILIES["bert"].load(folder)
    write_hub_folder(folder / "classifier", small_bert(), letter_tokenizer())
    (folder / "built.py").write_text(BUILT, encoding="utf-8")
    return folder


BUILT = """
import torch

class Mean(torch.nn.Module):
    def forward(self, pixels):
        return pixels.mean(dim=(2, 3))[:, [2, 0]] * 5

def build():
    return Mean()
"""


def small_bert() -> torch.nn.Module:
    settings = {"num_labels": 2, "id2label": {0: "blue", 1: "red"}, "label2id": {"blue": 0, "red": 1}}
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return BertForSequenceClassification(BertConfig(vocab_size=len(letter_tokenizer()), **sizes, **settings))


def audit_outcome(folder: Path, lines: list[str]) -> str:
    """Return all that an audit gives, but its times and what repeats the config; or why it was not made."""
    run_folder = folder / "run"
    try:
        run = rft.audit(folder / "audit.toml", run_folder, overrides=lines, offline=True, force=True)
    except RftError as error:
        return str(error)
    facts = json.loads(run.model_dump_json())
    for key in ("volatile", "config", "config_sha256", "environment"):
        del facts["run"][key]
    files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if "__pycache__" not in str(file))
    table = pd.read_parquet(run_folder / "predictions.parquet").to_csv(index=False)
    card = (
        (run_folder / "model-card.md")
        .read_text(encoding="utf-8")
        .replace(number_format.format_date(run.run.volatile.created), "")
    )
    return json.dumps([facts, files, table, card], sort_keys=True)


@pytest.mark.parametrize(("key", "file"), EFFECT_SHOWN_BY.items())
def test_the_effect_of_other_keys_is_shown_elsewhere(key: str, file: str) -> None:
    assert key in all_keys()
    assert key.rpartition(".")[2] in (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_a_key_that_is_accepted_changes_something(data: Path, mode: str, own_cache: Path) -> None:
    (data / "audit.toml").write_text(MODES[mode], encoding="utf-8")
    fixed = ["privacy.randomness='seeded'", "privacy.shadows=0"] if "epsilon" in MODES[mode] else []
    if "steps" not in MODES[mode] and fixed and "least_squares" not in MODES[mode]:
        fixed.append("privacy.mechanism_runs=0")
    idle = []
    outcomes: dict[tuple[str, ...], str] = {}  # without the key, by what it stands beside
    for key in sorted({key for key in all_keys() if not is_given(mode, key)} - expected(mode) - EFFECT_SHOWN_BY.keys()):
        *beside, line = overrides_of(mode, key)
        if tuple(beside) not in outcomes:
            outcomes[tuple(beside)] = audit_outcome(data, fixed + beside)
            shutil.rmtree(data / "book", ignore_errors=True)
            shutil.rmtree(own_cache / "state", ignore_errors=True)
        before = outcomes[tuple(beside)]
        after = audit_outcome(data, fixed + beside + [line])
        if after == before and after.startswith("["):  # what is refused when the data is read has no effect either
            idle.append(key)
        shutil.rmtree(data / "book", ignore_errors=True)
        shutil.rmtree(own_cache / "state", ignore_errors=True)
    assert idle == []
