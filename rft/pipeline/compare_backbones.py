"""Backbones side by side before anything is trained: which carries furthest on these training examples."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rft import data
from rft.backbones.load import load_backbone
from rft.config.schema import Config, ModelConfig
from rft.disclosure.withheld import Withheld
from rft.errors import ConfigError
from rft.features.embeddings import Embeddings
from rft.features.extract import choose_device, choose_precision
from rft.features.pipeline import pooled_features, sample_split
from rft.pipeline.plan import read_settings
from rft.plugins import CandidateBackbone, discover_plugins
from rft.records import Section
from rft.runtime.allocator import keep_freed_memory
from rft.runtime.float32 import ieee_float32
from rft.runtime.progress import track_progress


@dataclass(frozen=True)
class BackboneComparison:
    """The name of the audit it was made for, how many training examples it rests on, and what came out."""

    name: str
    n: int
    sections: tuple[Section, ...]


def compare_backbones(
    path: str | Path,
    candidates: Sequence[str],
    *,
    overrides: Sequence[str] = (),
    device: str | None = None,
    offline: bool = False,
) -> BackboneComparison:
    """Compare backbones on a sample of the training examples that ``audit.toml`` describes.

    Args:
        path: the config file; its ``[model]`` says all but the backbone.
        candidates: ``library/name``, or ``library/name=weights`` where the weights are not the pretrained ones.
        overrides, device, offline: as for ``audit``.

    Raises:
        RftError: for anything that the user can mend.
    """
    registry = discover_plugins()
    settings = read_settings(path, overrides, registry)
    core, device = settings.core, choose_device(device)
    keep_freed_memory()
    models = {name: _candidate_config(_base_config(core), name) for name in dict.fromkeys(candidates)}
    dataset = data.read_dataset(core.data, settings.folder, core.seed)
    train = dataset.splits["train"]
    sample = sample_split(train, core.seed)
    measured: dict[str, CandidateBackbone] = {}
    for name, model in track_progress(models.items(), "Backbones", total=len(models)):
        backbone = load_backbone(model, settings.folder, modality=core.data.modality, seed=core.seed, offline=offline)
        start = time.monotonic()
        # A folder and not the cache: what was there already would take no time.
        with ieee_float32(), TemporaryDirectory(prefix="rft-") as folder:
            precision = choose_precision(model.precision)
            features = pooled_features(core, backbone, sample, device, precision, cache=Path(folder))
        seconds = time.monotonic() - start
        embeddings = Embeddings(features, None, sample.labels, sample.units, sample.groups, len(train))
        measured[name] = CandidateBackbone(embeddings, seconds)
    withheld = Withheld(core.report.suppress_below or 0)
    compared = [
        registered.plugin.compare_backbones(measured, seed=core.seed, withheld=withheld)
        for registered in registry.values()
    ]
    return BackboneComparison(core.name, len(sample), tuple(section for section in compared if section))


def _base_config(core: Config) -> ModelConfig:
    if core.external:
        raise ConfigError("the config audits a finished model; backbones are tried for one that is to be trained")
    return core.network


def _candidate_config(base: ModelConfig, candidate: str) -> ModelConfig:
    """Return the ``[model]`` table with another backbone; the one of the config keeps its weights."""
    name, _, weights = candidate.partition("=")
    chosen = weights or (base.weights if name == base.backbone else "pretrained")
    return base.model_copy(update={"backbone": name, "weights": chosen, "image_size": base.image_size})
