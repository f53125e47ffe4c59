"""A model that is fine-tuned in this run as the target: backbone, features, training, predictions."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, partial

import pandas as pd

from rft.backbones.classifier import Classifier, hash_tensors
from rft.backbones.load import LoadedBackbone, untrained_like
from rft.backbones.partition.lora import merge_adapters
from rft.config.loader import LoadedConfig
from rft.data import Dataset, Inputs
from rft.features import Features
from rft.features.batch_independence import BatchDependence
from rft.features.embeddings import Embeddings
from rft.features.pipeline import pooled_features, sample_split
from rft.models.saved import write_model
from rft.pipeline.targets.audited import build_audited_model
from rft.pipeline.targets.partitioned import PartitionedBackbone, partition_backbone
from rft.pipeline.targets.prediction_table import predict_probabilities, tabulate_predictions
from rft.pipeline.targets.training_run import TrainingRun, build_task, describe_training, run_training
from rft.plugins import AuditedModel
from rft.runtime.ranks.group import current_ranks
from rft.training import Trainer
from rft.training.batch_gradients import mixes_examples
from rft.training.loop import StandardTrainer
from rft.training.sharing import ALONE, TrainingShare

log = logging.getLogger("rft")


def fine_tune(
    settings: LoadedConfig, dataset: Dataset, trainer: Trainer, device: str, *, offline: bool
) -> AuditedModel:
    """Load and cut the backbone, extract features, train on them and predict: everything that plugins then look at.

    Args:
        settings: the config, with ``model.backbone``.
        dataset: what is trained on and predicted.
        trainer: trains the part behind the cut.
        device: torch device name.
        offline: forbid downloads.

    Raises:
        RftError: for anything that the user can mend.
    """
    extracted = extract_splits(settings, dataset, trainer, device, offline=offline)
    partition, features = extracted.partition, extracted.features
    run = _train_suffix(extracted, dataset, trainer)
    suffix = partition.cut.trained_suffix(run.fit.state).to(device)
    predictions = tabulate_predictions(dataset, partial(predict_probabilities, suffix, features, device))
    audited, model = describe_target(partition, dataset, features, run, predictions)
    embed = partial(_embed_training_sample, settings, partition.backbone, dataset, device, partition.precision)
    return replace(
        audited,
        inputs=extracted.inputs,
        embeddings=cache(embed),
        write_model=partial(write_model, model=model, backbone=partition.backbone, classes=dataset.classes),
    )


def help_to_fine_tune(
    settings: LoadedConfig, dataset: Dataset, trainer: Trainer, device: str, *, offline: bool
) -> None:
    """Do this process's part of what process 0 does in ``fine_tune``; arguments and errors as of it."""
    extracted = extract_splits(settings, dataset, trainer, device, offline=offline)
    if extracted.share is not ALONE:
        _train_suffix(extracted, dataset, trainer)


def _train_suffix(extracted: ExtractedSplits, dataset: Dataset, trainer: Trainer) -> TrainingRun:
    """Train what is behind the cut; other processes that helped are free afterwards."""
    partition = extracted.partition
    task = build_task(trainer, partition, dataset, extracted.features, extracted.batch_dependence)
    seed, cached = partition.settings.core.seed, partition.cut.cached
    run = run_training(trainer, task, seed, cached=cached, share=extracted.share)
    extracted.share.part()
    return run


@dataclass(frozen=True)
class ExtractedSplits:
    """The features of every split, and what they were made by and from.

    Attributes:
        partition: the backbone as it was cut.
        inputs: reads the items.
        batch_dependence: measured where the trainer needs examples to be independent.
        features: split -> outputs of the frozen part; empty in a process that only helps to extract.
        share: this process's part of the training; ``ALONE`` where one process trains.
    """

    partition: PartitionedBackbone
    inputs: Inputs
    batch_dependence: BatchDependence | None
    features: Mapping[str, Features]
    share: TrainingShare


def extract_splits(
    settings: LoadedConfig, dataset: Dataset, trainer: Trainer, device: str, *, offline: bool
) -> ExtractedSplits:
    """Load and cut the backbone and run its frozen part; arguments and errors as of ``fine_tune``."""
    partition = partition_backbone(settings, len(dataset.classes), device, offline=offline)
    inputs = partition.backbone.preprocessing.inputs(dataset.splits, settings.core.data, settings.core.seed)
    batch_dependence = partition.measure_batch_dependence() if trainer.needs_independent_examples else None
    alone = batch_dependence is not None and batch_dependence.alone
    ranks = current_ranks()
    share = ALONE if ranks is None or not _is_worth_sharing(partition) else TrainingShare(ranks)
    features = partition.extract_features(inputs, dataset.splits, alone=alone, ranks=ranks, for_all=share is not ALONE)
    if ranks is not None and share is ALONE:
        ranks.part()
    return ExtractedSplits(partition, inputs, batch_dependence, features, share)


def _is_worth_sharing(partition: PartitionedBackbone) -> bool:
    """Tell whether several processes can train what is behind the cut; a head alone is trained sooner by one."""
    if partition.cut.freeze == "all":
        return False
    if not mixes_examples(partition.cut.new_suffix(0).train()):
        return True
    log.warning("one process trains: a BatchNorm behind the cut makes the examples of a batch depend on each other")
    return False


def describe_target(
    partition: PartitionedBackbone,
    dataset: Dataset,
    features: Mapping[str, Features],
    run: TrainingRun,
    predictions: pd.DataFrame,
) -> tuple[AuditedModel, Classifier]:
    """Return what was trained with what is known of it, but what reads or writes it; and the joined model.

    Hashes are taken when all has been predicted.
    """
    core, device = partition.settings.core, partition.device
    audited, model = _build_target(partition, dataset, run, predictions)
    described = replace(
        audited,
        model=model.to(device),
        features=features,
        task=run.task,
        trainer=run.trainer,
        plain_trainer=StandardTrainer(),
        fit=run.fit,
        training_seconds=run.seconds,
        device=device,
        show_examples=core.report.show_examples,
    )
    return described, model


def _build_target(
    partition: PartitionedBackbone, dataset: Dataset, run: TrainingRun, predictions: pd.DataFrame
) -> tuple[AuditedModel, Classifier]:
    """Return what every target has, and the joined model."""
    model, backbone_facts = _joined_model(partition, run), partition.describe()
    frozen_changed = backbone_facts.frozen_sha256_before != backbone_facts.frozen_sha256_after
    audited = build_audited_model(
        partition.settings,
        dataset,
        predictions,
        modality=partition.backbone.modality,
        training=describe_training(
            partition.settings.core, run, cached=partition.cut.cached, frozen_changed=frozen_changed
        ),
        backbone=backbone_facts,
        model_sha256=hash_tensors(model.state_dict()),
    )
    return audited, model


def _joined_model(partition: PartitionedBackbone, run: TrainingRun) -> Classifier:
    """Return the backbone with what was trained in its place, adapters merged into its weights."""
    model = partition.cut.join(run.fit.state)
    return merge_adapters(model) if partition.settings.core.network.tune == "lora" else model


def _embed_training_sample(
    settings: LoadedConfig, backbone: LoadedBackbone, dataset: Dataset, device: str, precision: str
) -> Embeddings:
    """Return pooled features of training examples by the backbone as loaded, and by its network untrained.

    With int8 the weights of the backbone have been rounded by now, and are run in float32.
    """
    core, train = settings.core, dataset.splits["train"]
    precision = "float32" if precision == "int8" else precision
    sample = sample_split(train, core.seed)
    untrained = None
    if core.network.weights != "random":
        random_backbone = untrained_like(backbone, core.network, settings.folder, core.seed)
        untrained = pooled_features(core, random_backbone, sample, device, precision)
    pretrained = pooled_features(core, backbone, sample, device, precision)
    return Embeddings(pretrained, untrained, sample.labels, sample.units, sample.groups, len(train))
