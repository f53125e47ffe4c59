"""From the config to features: what is run over which examples, and what the cache is told about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from rft import data
from rft.backbones.load import LoadedBackbone
from rft.backbones.partition.cut import cut_classifier
from rft.backbones.partition.quantization import quantize_linear_layers
from rft.backbones.partition.replay import Prefix
from rft.config.schema import Config
from rft.data.items import select_items
from rft.errors import ConfigError
from rft.features import Features, Lazy, Store
from rft.features.batches import MAX_ROWS_PER_BATCH
from rft.features.cluster.ray_extraction import store_by_ray
from rft.features.extract import Extraction, extract_features, features_identity, row_digests, store_key
from rft.features.shared_extraction import store_shares
from rft.records import Split
from rft.runtime.cache_folder import cache_folder
from rft.runtime.ranks.group import RankGroup

SAMPLE_SIZE = 1000  # training examples that a backbone is judged by before anything is trained
SAMPLE_STREAM = 0x5EED  # sets that sample apart from other uses of the run's seed


def split_features(
    core: Config,
    backbone: LoadedBackbone,
    prefix: Prefix | None,
    layer: str,
    inputs: data.Inputs,
    splits: Mapping[str, Split],
    device: str,
    precision: str,
    *,
    cache: Path | None = None,
    alone: bool = False,
    ranks: RankGroup | None = None,
    for_all: bool = False,
) -> dict[str, Features]:
    """Run the frozen part over every split, or leave the inputs as they are where nothing is frozen.

    Args:
        core: the config.
        backbone: what ``prefix`` is a part of.
        prefix: the frozen part, in 8 bits where it is to be; None when nothing is frozen.
        layer: where it stops, as in ``model.freeze``.
        inputs: reads the items of ``splits``.
        splits: what it is run over.
        device, precision: as ``choose_device`` and ``choose_precision`` return them.
        cache: where features are kept; the usual place when None.
        alone: whether each example is run by itself; such features are kept apart from others.
        ranks: the processes that share this; the first gets features.
        for_all: whether the others get them as well, or nothing.
    """
    views = {name: core.train.views if name == "train" else 1 for name in splits}
    facts: dict[str, JsonValue] = {
        "layer": layer,
        "preprocessing": backbone.preprocessing.facts().model_dump(mode="json"),
    }
    facts |= backbone.identity.model_dump(mode="json") | ({"alone": True} if alone else {})
    tensors = {} if prefix is None else prefix.tensors()
    key = store_key(tensors, facts, precision, core.network.cache, device)
    if prefix is None:
        return {
            name: Lazy(inputs, name, len(split), views[name], features_identity(key, inputs, split, views[name]))
            for name, split in splits.items()
        }
    store = Store(cache or cache_folder(), key, core.features.store_url)
    by_ray = core.features.engine == "ray"
    if by_ray and ranks is not None:
        raise ConfigError(
            "several processes of torchrun share this audit, and Ray would share it, too",
            where="features.engine",
            remedy="Run rft audit without torchrun, or remove features.engine.",
        )
    if by_ray or ranks is not None:
        most_rows = 1 if alone else MAX_ROWS_PER_BATCH
        works = {
            name: Extraction(prefix, inputs, split.items, views[name], device, precision, most_rows)
            for name, split in splits.items()
        }
        digests = {name: row_digests(inputs, split, views[name]) for name, split in splits.items()}
        dtype, memory = core.network.cache, core.network.memory_bytes
        if by_ray:
            store_by_ray(works, digests, store, dtype=dtype, memory=memory, actors=core.features.actors)
        elif ranks is not None:
            store_shares(ranks, works, digests, store, dtype=dtype, memory=memory)
            if not ranks.place.leads and not for_all:
                return {}
    return {
        name: extract_features(
            prefix,
            inputs,
            split,
            store,
            device=device,
            precision=precision,
            dtype=core.network.cache,
            views=views[name],
            memory=core.network.memory_bytes,
            alone=alone,
        )
        for name, split in splits.items()
    }


def sample_split(split: Split, seed: int) -> Split:
    """Return a random sample of a split, as a split of the same name: all of it when it is small."""
    rng = np.random.default_rng([seed, SAMPLE_STREAM])
    return select_rows(split, np.sort(rng.choice(len(split), min(SAMPLE_SIZE, len(split)), replace=False)))


def pooled_features(
    core: Config, backbone: LoadedBackbone, sample: Split, device: str, precision: str, *, cache: Path | None = None
) -> np.ndarray:
    """Return (N, D) float32 pooled features of a sample of the training split, kept in ``cache`` or the usual place."""
    prefix = cut_classifier(backbone.classifier(2, False, 0), "all", "full", backbone.example).prefix()
    if precision == "int8":
        quantize_linear_layers(prefix, backbone.example(2, 6, 0), device)
    inputs = backbone.preprocessing.inputs({"train": sample}, core.data, core.seed)
    changed = {
        "train": core.train.model_copy(update={"views": 1}),
        "features": core.features.model_copy(update={"engine": "process"}),  # a sample is no work for a cluster
    }
    plain = core.model_copy(update=changed)
    features = split_features(
        plain, backbone, prefix, "all", inputs, {"train": sample}, device, precision, cache=cache
    )["train"]
    return features.batch(np.arange(len(sample)))["features"].numpy()


def select_rows(split: Split, rows: np.ndarray) -> Split:
    """Return (M,) rows of a split as a split of the same name."""
    return replace(
        split,
        ids=split.ids[rows],
        items=select_items(split.items, rows),
        labels=split.labels[rows],
        groups={attribute: values[rows] for attribute, values in split.groups.items()},
        units=None if split.units is None else split.units[rows],
        digests=None if split.digests is None else split.digests[rows],
        recordings=None if split.recordings is None else split.recordings.select_rows(rows),
        transcripts=None if split.transcripts is None else split.transcripts[rows],
    )
