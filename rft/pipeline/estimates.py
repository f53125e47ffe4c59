"""What an audit will take, as far as it can be told beforehand: from a few examples that are run, and from sizes.

Every number says what it rests on, and what was not measured has none.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rft.backbones.batch import Batch
from rft.config.loader import LoadedConfig
from rft.data import Dataset
from rft.errors import RftError
from rft.features import cache_folder
from rft.features.extract import choose_device, run_batches
from rft.number_format import format_bytes, format_count, format_duration
from rft.pipeline.targets.partitioned import PartitionedBackbone, partition_backbone
from rft.runtime import memory as host
from rft.runtime.float32 import ieee_float32

TIMED_EXAMPLES = 8
FLOAT_BYTES = {"float32": 4, "float16": 2}


@dataclass(frozen=True)
class Estimate:
    """One thing that an audit takes.

    Attributes:
        name: what it is.
        value: how much, at least or about as ``basis`` says; None where it is not known.
        unit: of ``value``.
        basis: what it rests on, or why it is not known.
    """

    name: str
    value: float | None
    unit: Literal["seconds", "bytes"]
    basis: str

    def describe(self) -> str:
        """Return it in a line."""
        if self.value is None:
            return f"{self.name}: not known, {self.basis}"
        shown = format_duration(self.value) if self.unit == "seconds" else format_bytes(int(self.value))
        return f"{self.name}: {shown}, {self.basis}"


def estimate_audit(settings: LoadedConfig, dataset: Dataset) -> list[Estimate]:
    """Return what an audit takes of time, disk and memory; a few examples are run, nothing is downloaded or written.

    Args:
        settings: the config.
        dataset: what it reads.
    """
    audits = Estimate("audits", None, "seconds", "since they were not run; a line says what each took when it is over")
    if settings.core.external:
        elsewhere = "no model is run" if settings.core.model is None else "a model that others trained was not loaded"
        return [Estimate("predictions", None, "seconds", elsewhere), audits]
    try:
        with ieee_float32():
            partition = partition_backbone(settings, len(dataset.classes), choose_device(None), offline=True)
            return [*_measure_parts(partition, dataset), audits]
    except RftError as error:  # weights that the first run downloads, or a cut that it will refuse with this reason
        return [Estimate("features", None, "seconds", f"since the backbone was not loaded: {error.what}"), audits]


def _measure_parts(partition: PartitionedBackbone, dataset: Dataset) -> list[Estimate]:
    """Return what features, training and the model take."""
    parts = [*_estimate_features(partition, dataset), *_estimate_disk(partition), *_estimate_memory()]
    if partition.cut.cached:
        head = Estimate("training", None, "seconds", "since nothing was trained; it reads the features from the cache")
        return [*parts, head]
    whole = 'since nothing was trained; with freeze = "none" every step runs the whole network'
    return [*parts, Estimate("training", None, "seconds", whole)]


def _estimate_features(partition: PartitionedBackbone, dataset: Dataset) -> list[Estimate]:
    """Return time and size of the features, from a few training examples that are read and run twice."""
    if partition.prefix is None:
        return []
    core = partition.settings.core
    train = dataset.splits["train"]
    random = np.random.default_rng(core.seed)
    rows = np.sort(random.choice(len(train), min(TIMED_EXAMPLES, len(train)), replace=False))
    inputs = partition.backbone.preprocessing.inputs(dataset.splits, core.data, core.seed)
    for _ in range(2):  # the first time, memory is fetched and kernels are chosen
        start = time.perf_counter()
        computed = run_batches(
            partition.prefix, inputs, train.items, [rows], device=partition.device, precision=partition.precision
        )[0]
        seconds = time.perf_counter() - start
    views = {name: core.train.views if name == "train" else 1 for name in dataset.splits}
    n = sum(len(split) * views[name] for name, split in dataset.splits.items())
    numbers = _count_numbers(computed) / len(rows)
    size = numbers * FLOAT_BYTES[core.network.cache]
    counted = f"{format_count(n)} examples{' and views' if max(views.values()) > 1 else ''}"
    timed = f"{len(rows)} of them took {format_duration(seconds)} on {partition.device}, as busy as it is now"
    shape = f"{format_count(round(numbers))} numbers in {core.network.cache} each, in {cache_folder()}"
    return [
        Estimate("features", seconds / len(rows) * n, "seconds", f"{counted}; {timed}; less where they are cached"),
        Estimate("features on disk", size * n, "bytes", f"{counted} of {shape}, of which {_describe_free()} are free"),
    ]


def _count_numbers(computed: Batch) -> int:
    """Return how many numbers are kept of a batch: of texts with a row a token, those of real tokens."""
    features = computed["features"]
    mask = computed.get("attention_mask")
    return features.numel() if mask is None else int(mask.sum()) * features.shape[-1]


def _describe_free() -> str:
    """Return how much room there is where features are kept."""
    folder = cache_folder().absolute()
    existing = next(place for place in (folder, *folder.parents) if place.is_dir())
    return format_bytes(shutil.disk_usage(existing).free)


def _estimate_disk(partition: PartitionedBackbone) -> list[Estimate]:
    tensors = partition.cut.classifier.state_dict().values()
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    return [Estimate("model on disk", size, "bytes", "its tensors, in the run folder")]


def _estimate_memory() -> list[Estimate]:
    if not host.is_measurable():
        return [Estimate("memory", None, "bytes", "since this system does not say how much a process holds")]
    available = format_bytes(host.available_bytes())
    basis = f"at least: what this check held with the model and these examples; {available} are available"
    return [Estimate("memory", host.peak_bytes(), "bytes", basis)]
