"""The stages of an audit, in order. Nothing flows back."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pydantic import BaseModel

from rft import __version__, config, data, policy
from rft.backbones import Classifier, LoadedBackbone, hash_tensors, new_head
from rft.backbones import load as load_backbone
from rft.backbones.load import preprocessing_facts
from rft.backbones.saved import write_model
from rft.environment import describe as describe_environment
from rft.errors import ConfigError, Unavailable
from rft.features import Features, Store, cache_folder
from rft.features.extract import choose_device, choose_precision, extract, store_key
from rft.plugins import Plugin, Registered, Subject, discover
from rft.records import (
    Artifacts,
    AuditRun,
    Backbone,
    Finding,
    Run,
    Section,
    SubjectFacts,
    Training,
    not_measured,
)
from rft.training import Fit, Job, Recipe, Task, Trainer
from rft.training.loop import StandardTrainer

log = logging.getLogger("rft")

Active = list[tuple[Registered, BaseModel]]


def audit(
    path: str | Path, *, overrides: Sequence[str] = (), device: str | None = None, offline: bool = False
) -> AuditRun:
    """Fine-tune and audit as ``audit.toml`` says; return the finished run, which nothing has been written of yet.

    Args:
        path: the config file.
        overrides: ``table.key=value`` strings that replace values of the config.
        device: torch device name; chosen by itself when None.
        offline: forbid downloads of weights.

    Raises:
        RftError: for anything that the user can mend.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    registered = discover()
    options = {name: each.plugin.options for name, each in registered.items()}
    settings = config.load(Path(path), list(overrides), options)
    active = _activate(registered, settings)
    trainer = _trainer(active)
    device = choose_device(device)

    dataset = data.read(settings.core.data, settings.folder, settings.core.seed)
    backbone = load_backbone(settings.core.model, settings.folder, seed=settings.core.seed, offline=offline)
    subject = _subject(settings, dataset, backbone, trainer, device)
    sections = tuple(_audit(plugin, subject) for plugin in active)

    run = AuditRun(
        rft_version=__version__,
        run=_frame(settings, active, started, time.monotonic() - clock, device),
        subject=subject.facts,
        data=dataset.facts(),
        sections=sections,
        verdict=policy.judge(settings.core.policy, sections),
    )
    writer = partial(
        write_model, model=subject.need("model"), facts=subject.facts, row_norm=settings.core.model.row_norm
    )
    return run.with_artifacts(Artifacts(subject.predictions, dataset.inputs, writer))


def _activate(registered: Mapping[str, Registered], settings: config.LoadedConfig) -> Active:
    """Return the plugins that take part with their options; refuse now what would only fail after hours of work."""
    active: Active = []
    for name, each in registered.items():
        if not each.plugin.always_on and name not in settings.plugins:
            continue
        if missing := each.missing():
            raise ConfigError(
                f"needs {', '.join(missing)}, which is not installed", where=f"[{name}]", remedy=each.install_hint()
            )
        for key in each.plugin.needs:
            if not getattr(settings.core.data, key):
                raise ConfigError(
                    f"needs data.{key}, which is not set", where=f"[{name}]", remedy=f"Add {key} = ... to [data]."
                )
        active.append((each, settings.plugins.get(name) or each.plugin.options()))
    for rule in settings.core.policy:
        if rule.finding.split(".")[0] not in {each.plugin.name for each, _ in active}:
            raise ConfigError(
                f"{rule.finding!r} belongs to no plugin that is switched on",
                where="policy",
                remedy=f"A plugin's table switches it on, such as [{rule.finding.split('.')[0]}].",
            )
    return active


def _trainer(active: Active) -> Trainer:
    """Return the trainer of the one plugin that takes over training, or the standard one."""
    offered = [(each.plugin.name, each.plugin.trainer(options)) for each, options in active]
    taken = [(name, trainer) for name, trainer in offered if trainer is not None]
    if len(taken) > 1:
        raise ConfigError(f"{' and '.join(name for name, _ in taken)} both want to train the model")
    return taken[0][1] if taken else StandardTrainer()


def _subject(
    settings: config.LoadedConfig, dataset: data.Dataset, backbone: LoadedBackbone, trainer: Trainer, device: str
) -> Subject:
    """Extract features, train the head on them and predict: everything that plugins then look at."""
    core = settings.core
    frozen_before = hash_tensors(backbone.prefix.state_dict())
    precision = choose_precision(core.model.precision, device)
    preparation = preprocessing_facts(backbone.preprocessing)
    store = Store(cache_folder(), store_key(backbone.prefix, preparation, precision))
    inputs = data.Inputs(dataset.splits, backbone.preprocessing, core.data.max_pixels)
    cached = {
        name: Features(extract(backbone.prefix, inputs, split, store, device=device, precision=precision))
        for name, split in dataset.splits.items()
    }

    train = dataset.splits["train"]
    build = partial(new_head, backbone.dimension, len(dataset.classes), core.model.row_norm)
    recipe = Recipe(**core.train.model_dump())
    task = Task(cached["train"], torch.from_numpy(train.labels), train.units, build, recipe, device)
    trainer.prepare(task)
    fit = trainer.fit(task, [Job(core.seed)])[0]

    model = backbone.classifier(len(dataset.classes), core.model.row_norm, core.seed)
    model.suffix.load_state_dict(fit.state)
    facts = SubjectFacts(
        name=core.name,
        modality="image",
        classes=dataset.classes,
        positive=core.data.positive,
        backbone=_backbone_facts(core.model, backbone, model, precision, frozen_before),
        model_sha256=hash_tensors(model.state_dict()),
        training=_training_facts(recipe, fit, core.data.unit),
    )
    return Subject(
        facts=facts,
        seed=core.seed,
        splits=dataset.splits,
        predictions=_predict(model, dataset, cached),
        model=model.to(device),
        inputs=inputs,
        features=cached,
        task=task,
        trainer=trainer,
        fit=fit,
        device=device,
        show_examples=core.report.show_examples,
    )


def _backbone_facts(
    settings: config.ModelConfig, backbone: LoadedBackbone, model: Classifier, precision: str, frozen_before: str
) -> Backbone:
    return Backbone(
        name=settings.backbone,
        weights=settings.weights if _is_named(settings.weights) else Path(settings.weights).name,
        weights_sha256=backbone.weights_sha256,
        frozen_parameters=sum(parameter.numel() for parameter in model.prefix.parameters()),
        trainable_parameters=sum(parameter.numel() for parameter in model.suffix.parameters()),
        frozen_sha256_before=frozen_before,
        frozen_sha256_after=model.frozen_sha256(),
        preprocessing=preprocessing_facts(backbone.preprocessing),
        precision=precision,
    )


def _is_named(weights: str) -> bool:
    return weights in ("pretrained", "random") or weights.startswith("package:")


def _training_facts(recipe: Recipe, fit: Fit, unit: str | None) -> Training:
    private = {key: fit.facts[key] for key in Training.model_fields if key != "mode" and key in fit.facts}
    if private.get("unit") == "unit":
        private["unit"] = unit  # by the name of its column, which a task does not know
    shared: dict[str, Any] = {
        "epochs": recipe.epochs,
        "optimizer": recipe.optimizer,
        "learning_rate": recipe.learning_rate,
        "batch_size": recipe.batch_size,
    }
    return Training(mode=fit.facts["mode"], **(shared | private))


def _predict(model: Classifier, dataset: data.Dataset, cached: Mapping[str, Features]) -> pd.DataFrame:
    """Return the table of predictions: one row an example, a probability for each class."""
    model.suffix.eval()
    frames = []
    for name, split in dataset.splits.items():
        with torch.no_grad():
            # float64, so that the probability of a certain prediction does not round to exactly one
            scores = model.suffix(cached[name].all()).double().softmax(dim=1).numpy()
        columns = {
            "split": name,
            "id": split.ids,
            "unit": split.units if split.units is not None else None,
            "label": [dataset.classes[label] for label in split.labels],
            "prediction": [dataset.classes[index] for index in scores.argmax(axis=1)],
        }
        columns |= {f"score_{label}": scores[:, index] for index, label in enumerate(dataset.classes)}
        columns |= {f"group_{attribute}": values for attribute, values in split.groups.items()}
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def _audit(plugin: tuple[Registered, BaseModel], subject: Subject) -> Section:
    """Return a plugin's section; one that fails or refuses gives a finding that says so, never silence."""
    each, options = plugin
    try:
        section = each.plugin.audit(subject, options)
    except Unavailable as reason:
        return _unmeasured(each.plugin, str(reason))
    except Exception as error:  # a plugin is foreign code: whatever it raises, the other audits must stand
        log.debug("plugin %s failed", each.plugin.name, exc_info=True)
        return _unmeasured(each.plugin, f"the plugin failed: {type(error).__name__}: {error}")
    return _untouched(section, subject)


def _unmeasured(plugin: Plugin, reason: str) -> Section:
    finding = not_measured(
        f"{plugin.name}.audit", "Audit not made", reason, f"The {plugin.name} audit gave no result in this run."
    )
    return Section(plugin=plugin.name, findings=(finding,))


def _untouched(section: Section, subject: Subject) -> Section:
    """Add a failed finding when the plugin changed the model that it was to look at."""
    if subject.model is None or hash_tensors(subject.model.state_dict()) == subject.facts.model_sha256:
        return section
    broken = Finding(
        id=f"{section.plugin}.model_untouched",
        title="Model changed while it was audited",
        status="fail",
        value=0.0,
        unit="yes or no",
        exact=True,
        meaning=f"The {section.plugin} audit changed the model, so its results are about another one.",
    )
    return section.model_copy(update={"findings": (*section.findings, broken)})


def _frame(settings: config.LoadedConfig, active: Active, started: datetime, seconds: float, device: str) -> Run:
    return Run(
        id=secrets.token_hex(8),
        name=settings.core.name,
        created=started.isoformat(timespec="seconds"),
        seconds=round(seconds, 1),
        seed=settings.core.seed,
        config=settings.public(),
        config_sha256=settings.sha256,
        environment=describe_environment(device, [name for each, _ in active for name in each.plugin.requires]),
    )
