"""What is audited, made: a backbone that is cut and fine-tuned, or a model that others trained; and its predictions.

Of a table of predictions alone, most of an audited model is absent.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from rft import data
from rft.backbones.classifier import Batch, hash_tensors
from rft.backbones.load import LoadedBackbone, untrained_like
from rft.backbones.load import load as load_backbone
from rft.backbones.partition.cut import Cut, behind, cut
from rft.backbones.partition.lora import add_adapters, merge_adapters
from rft.backbones.partition.quantization import round_frozen_part
from rft.backbones.partition.replay import Prefix
from rft.config.loader import LoadedConfig
from rft.config.schema import Config, stored_backbone
from rft.data.text import Tokenisation
from rft.errors import ConfigError, ModelError, near
from rft.features import Features, Store
from rft.features.batch_independence import Company, measure_company
from rft.features.embeddings import Embeddings
from rft.features.extract import choose_precision, extract
from rft.features.pipeline import features_of, pooled, sample_of
from rft.models.external import LoadedExternal, check_finite, check_outputs
from rft.models.external import load as load_external
from rft.models.saved import write_model
from rft.plugins import AuditedModel
from rft.records import Backbone, ModelFacts, Split, Training
from rft.training import Fit, Job, Population, Recipe, Task, Trainer
from rft.training.loop import StandardTrainer

log = logging.getLogger("rft")

PREDICTED = 64  # examples that are predicted at once


def fine_tune(
    settings: LoadedConfig, dataset: data.Dataset, trainer: Trainer, device: str, *, offline: bool
) -> AuditedModel:
    """Load and cut the backbone, extract features, train on them and predict: everything that plugins then look at."""
    core, folder = settings.core, settings.folder
    backbone = load_backbone(core.network, folder, modality=core.data.modality, seed=core.seed, offline=offline)
    classes = dataset.classes
    precision = choose_precision(core.network.precision)
    parts = _cut(core, backbone, len(classes), precision)
    prefix, rounded = _frozen_part(parts, backbone, precision, device)
    frozen_before = parts.frozen_sha256()
    inputs = backbone.preparation.inputs(dataset.splits, core.data, core.seed)
    company = _company(trainer, prefix, backbone, device, precision)
    alone = company is not None and company.alone
    features = features_of(core, backbone, prefix, parts.freeze, inputs, dataset.splits, device, precision, alone=alone)

    task = replace(_task(core, folder, dataset, features["train"], parts, device, precision), company=company)
    if task.population is not None:
        task = replace(task, network=_network_identity(core, backbone, parts))
    fit, seconds = _fit(trainer, task, core.seed, cached=parts.cached)
    predictions = tabulate(dataset, partial(_scores, parts.trained_suffix(fit.state).to(device), features, device))
    model = parts.join(fit.state)
    facts = _backbone_facts(core, folder, backbone, parts, prefix, precision, frozen_before)
    facts = facts.model_copy(update={"rounded_layers": rounded})
    moved = facts.frozen_sha256_before != facts.frozen_sha256_after
    training = _training_facts(task.recipe, fit, core.data.unit, seconds, parts.cached, core.train.class_weights, moved)
    model = merge_adapters(model) if core.network.tune == "lora" else model
    return AuditedModel(
        facts=ModelFacts(
            name=core.name,
            modality=backbone.modality,
            classes=classes,
            positive=core.data.positive,
            backbone=facts,
            model_sha256=hash_tensors(model.state_dict()),
            training=training,
        ),
        seed=core.seed,
        splits=dataset.splits,
        predictions=predictions,
        remarks=dataset.remarks,
        model=model.to(device),
        inputs=inputs,
        features=features,
        task=task,
        trainer=trainer,
        plain_trainer=StandardTrainer(),
        fit=fit,
        embeddings=cache(partial(_representations, core, folder, backbone, dataset, device, precision)),
        write_model=partial(write_model, model=model, backbone=backbone, classes=classes),
        device=device,
        show_examples=core.report.show_examples,
    )


def _company(
    trainer: Trainer, prefix: Prefix | None, backbone: LoadedBackbone, device: str, precision: str
) -> Company | None:
    """Return what company does to the features, where it matters to what training promises and there are any."""
    if prefix is None or not trainer.apart:
        return None
    preparation = backbone.preparation
    tokens = preparation.max_length if isinstance(preparation, Tokenisation) else None
    return measure_company(prefix, backbone.example, tokens=tokens, device=device, precision=precision)


def _task(
    core: Config,
    folder: Path,
    dataset: data.Dataset,
    features: Features,
    parts: Cut,
    device: str,
    precision: str,
) -> Task:
    """Return what is trained on the features of the training split, and how."""
    train = dataset.splits["train"]
    return Task(
        features,
        torch.from_numpy(train.labels),
        train.units,
        parts.new_suffix,
        Recipe(**core.train.model_dump(exclude={"views", "class_weights"})),
        device,
        precision="bfloat16" if precision == "bfloat16" and parts.freeze != "all" else "float32",
        class_weights=_class_weights(core, dataset.classes),
        population=_population(core, train, folder),
    )


def _class_weights(core: Config, classes: Sequence[str]) -> torch.Tensor | None:
    """Return (K,) factors, 1 where the config names none; raises ``ConfigError`` for a class that does not exist."""
    given = core.train.class_weights
    if given is None:
        return None
    for name in given:
        if name not in classes:
            raise ConfigError(
                f"{name!r} is no class; the classes are {', '.join(classes)}",
                where="train.class_weights",
                remedy=near(name, list(classes)),
            )
    return torch.tensor([given.get(name, 1.0) for name in classes])


def _population(core: Config, train: Split, folder: Path) -> Population | None:
    if core.data.population is None:
        return None
    owners = train.ids if train.units is None else train.units
    return Population(core.data.population, owners, folder)


def _network_identity(core: Config, backbone: LoadedBackbone, parts: Cut) -> str:
    """Return the hash of all that the trained part is made from, but the seed.

    The whole table ``[model]`` is in it, but for what bounds memory: a new key of it is there by itself.
    """
    settings = core.network.model_dump(mode="json", exclude={"memory"})
    tensors = hash_tensors(parts.classifier.state_dict())
    facts = [settings, tensors, backbone.identity, backbone.preparation.facts(), parts.freeze, sorted(parts.trained)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _fit(trainer: Trainer, task: Task, seed: int, *, cached: bool) -> tuple[Fit, float]:
    """Train one suffix; return it and the seconds that training took."""
    trainer.prepare(task)
    if not cached:
        log.warning('nothing is cached (model.freeze = "none"): every step runs the whole network')
    start = time.monotonic()
    fit = trainer.fit(task, [Job(seed)])[0]
    return fit, time.monotonic() - start


def _backbone_facts(
    core: Config,
    folder: Path,
    backbone: LoadedBackbone,
    parts: Cut,
    prefix: Prefix | None,
    precision: str,
    frozen_before: str,
) -> Backbone:
    """Return what the report says of the backbone; the hash of the frozen part is made of what it is by now."""
    sizes = {name: parameter.numel() for name, parameter in parts.classifier.named_parameters()}
    trained = sum(size for name, size in sizes.items() if name in parts.trained)
    # A prefix in 8 bits has other tensors than the model; what it was made from is in the model still.
    after = parts.frozen() | (_frozen_in(prefix, parts) if prefix and precision != "int8" else {})
    return Backbone(
        name=stored_backbone(core.network.backbone or "", folder),
        weights=_stored_weights(core.network.weights),
        weights_sha256=backbone.weights_sha256,
        revision=backbone.revision,
        freeze=parts.freeze,
        tune=core.network.tune,
        frozen_parameters=sum(sizes.values()) - trained,
        trainable_parameters=trained,
        frozen_sha256_before=frozen_before,
        frozen_sha256_after=hash_tensors(after),
        preprocessing=backbone.preparation.facts(),
        precision=precision,
    )


def _frozen_part(parts: Cut, backbone: LoadedBackbone, precision: str, device: str) -> tuple[Prefix | None, int | None]:
    """Return the frozen part as it is run, None where nothing is frozen, and how many layers of it are in 8 bits."""
    if not parts.cached:
        return None, None
    return round_frozen_part(parts, backbone.example, device) if precision == "int8" else (parts.prefix(), None)


def _cut(core: Config, backbone: LoadedBackbone, classes: int, precision: str) -> Cut:
    """Join the backbone with a head, add adapters where asked for, and cut."""
    settings = core.network
    classifier = backbone.classifier(classes, settings.row_norm, core.seed)
    if settings.tune == "lora":
        where = None if settings.frozen == "none" else behind(classifier, settings.frozen, backbone.example)
        add_adapters(classifier, settings.lora, where, core.seed)
    parts = cut(classifier, settings.frozen, settings.tune, backbone.example)
    if not parts.cached:
        return parts
    # Weights in 8 bits are rounded in the model itself, which then computes in float32.
    computed = "bfloat16" if precision == "bfloat16" else "float32"
    return parts.computing_in(computed, settings.cache, backbone.example)


def _representations(
    core: Config, folder: Path, backbone: LoadedBackbone, dataset: data.Dataset, device: str, precision: str
) -> Embeddings:
    """Return pooled features of training examples by the backbone as loaded, and by its network untrained.

    With int8 the weights of the backbone have been rounded by now, and are run in float32.
    """
    precision = "float32" if precision == "int8" else precision
    train = dataset.splits["train"]
    sample = sample_of(train, core.seed)
    untrained = None
    if core.network.weights != "random":
        random = untrained_like(backbone, core.network, folder, core.seed)
        untrained = pooled(core, random, sample, device, precision)
    own = pooled(core, backbone, sample, device, precision)
    return Embeddings(own, untrained, sample.labels, sample.units, sample.groups, len(train))


def _frozen_in(prefix: Prefix, parts: Cut) -> dict[str, torch.Tensor]:
    """Return what the frozen part that ran holds of the tensors that must not move."""
    wanted = parts.frozen()
    return {name: tensor for name, tensor in prefix.tensors().items() if name in wanted}


def _stored_weights(weights: str) -> str:
    named = weights in ("pretrained", "random") or weights.startswith("package:")
    return weights if named else Path(weights).name


def _training_facts(
    recipe: Recipe,
    fit: Fit,
    unit: str | None,
    seconds: float,
    cached: bool,
    weights: dict[str, float] | None,
    moved: bool,
) -> Training:
    private = {key: fit.facts[key] for key in Training.model_fields if key != "mode" and key in fit.facts}
    if moved and fit.facts["mode"] == "private":
        private["void"] = "the frozen part of the model changed during the run, without noise"
    if private.get("void"):
        private |= {"epsilon": None, "delta": None}
    if private.get("unit") == "unit":
        private["unit"] = unit  # by the name of its column, which a task does not know
    shared: dict[str, Any] = {"seconds": round(seconds, 2), "cached": cached, "class_weights": weights}
    if fit.facts.get("recipe_used", True):
        named = ("epochs", "optimizer", "learning_rate", "batch_size")
        shared |= {name: getattr(recipe, name) for name in named}
    return Training(mode=fit.facts["mode"], **(shared | private))


def _scores(suffix: nn.Module, features: Mapping[str, Features], device: str, name: str) -> np.ndarray:
    """Return (N, K) probabilities of a split, float64, so that a certain prediction does not round to exactly one."""
    suffix.eval()
    rows = np.arange(len(features[name]))
    made = []
    with torch.no_grad():
        for start in range(0, len(rows), PREDICTED):
            batch = features[name].batch(rows[start : start + PREDICTED])
            logits = suffix({key: column.to(device) for key, column in batch.items()})
            made.append(logits.cpu().double().softmax(dim=1).numpy())
    return np.concatenate(made)


def tabulate(dataset: data.Dataset, scores: Callable[[str], np.ndarray]) -> pd.DataFrame:
    """Return the table of predictions: one row an example, a probability for each class."""
    frames = []
    for name, split in dataset.splits.items():
        probabilities = scores(name)
        columns = {
            "split": name,
            "id": split.ids,
            "unit": split.units if split.units is not None else None,
            "label": [dataset.classes[label] for label in split.labels],
            "prediction": [dataset.classes[index] for index in probabilities.argmax(axis=1)],
        }
        columns |= {f"score_{label}": probabilities[:, index] for index, label in enumerate(dataset.classes)}
        columns |= {f"group_{attribute}": values for attribute, values in split.groups.items()}
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def external(settings: LoadedConfig, dataset: data.Dataset, device: str, *, offline: bool) -> AuditedModel:
    """Load a model that others trained and predict with it; what belongs to training is absent."""
    core = settings.core
    made = load_external(
        core.network, settings.folder, dataset.classes, modality=core.data.modality, device=device, offline=offline
    )
    model, sha256 = made.classifier, hash_tensors(made.classifier.state_dict())
    inputs = made.preparation.inputs(dataset.splits, core.data, core.seed)
    logits = _logits(made, inputs, dataset, device, core.network.memory_bytes)
    check_outputs(torch.cat(list(logits.values())), core.network.outputs, made.where)
    if hash_tensors(model.state_dict()) != sha256:
        raise ModelError("changes its own tensors when it predicts, in eval mode", where=made.where)
    return AuditedModel(
        facts=ModelFacts(
            name=core.name,
            modality=core.data.modality,
            classes=dataset.classes,
            positive=core.data.positive,
            preprocessing=made.preparation.facts(),
            revision=made.revision,
            model_sha256=sha256,
            training=Training(mode="external"),
        ),
        seed=core.seed,
        splits=dataset.splits,
        predictions=tabulate(dataset, lambda name: logits[name].double().softmax(dim=1).numpy()),
        remarks=dataset.remarks,
        model=model,  # type: ignore[arg-type]  # a Classifier to all who do not ask for its parts
        inputs=inputs,
        device=device,
        show_examples=core.report.show_examples,
    )


def predicted(settings: LoadedConfig, dataset: data.Dataset, predictions: pd.DataFrame) -> AuditedModel:
    """Return what is audited of which nothing is known but a table of predictions."""
    core = settings.core
    return AuditedModel(
        facts=ModelFacts(
            name=core.name,
            modality="predictions",
            classes=dataset.classes,
            positive=core.data.positive,
            training=Training(mode="external"),
        ),
        seed=core.seed,
        splits=dataset.splits,
        predictions=predictions,
        remarks=dataset.remarks,
    )


class _AsFeatures(nn.Module):
    """A classifier in the place of a frozen prefix: its logits are what is extracted."""

    def __init__(self, made: LoadedExternal) -> None:
        super().__init__()
        self.model, self.where = made.classifier, made.where

    def forward(self, inputs: Batch) -> Batch:
        """Map a batch of inputs to ``{"features": (B, K)}`` logits; raises ``ModelError`` unless they are finite."""
        logits = self.model(inputs)
        check_finite(logits, self.where)
        return {"features": logits}


def _logits(
    made: LoadedExternal, inputs: data.Inputs, dataset: data.Dataset, device: str, memory: int | None
) -> dict[str, torch.Tensor]:
    """Return (N, K) logits of each split.

    They are not kept: a factory's code may change while its tensors stay the same.
    """
    options: dict[str, Any] = {"device": device, "precision": "float32", "memory": memory}
    with TemporaryDirectory(prefix="rft-") as folder:
        store = Store(Path(folder), "logits")
        return {
            name: extract(_AsFeatures(made), inputs, split, store, **options).batch(range(len(split)))["features"]
            for name, split in dataset.splits.items()
        }
