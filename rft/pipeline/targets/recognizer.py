"""A recogniser that is fine-tuned here as the target: its vocabulary, features over time, training, transcripts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
import pandas as pd
import torch
from torch import nn

from rft.config.loader import LoadedConfig
from rft.data import Dataset, Inputs
from rft.data.tables.example_columns import GROUP
from rft.data.transcripts.alignment import AlignedTranscripts, align_transcripts
from rft.data.transcripts.reading import describe_empty_transcripts
from rft.data.transcripts.vocabulary import BLANK, Vocabulary
from rft.features import Features
from rft.features.columns import count_vectors
from rft.features.embeddings import Embeddings
from rft.features.pipeline import sample_split
from rft.models.saved import write_model
from rft.pipeline.targets.fine_tuned import describe_target
from rft.pipeline.targets.partitioned import PartitionedBackbone, partition_backbone
from rft.pipeline.targets.prediction_table import ROWS_PER_BATCH
from rft.pipeline.targets.training_run import build_task, run_training
from rft.pipeline.targets.transcripts import (
    REFUSED,
    TargetTranscripts,
    encode_transcripts,
    is_feasible,
    refuse_infeasible,
)
from rft.plugins import AuditedModel
from rft.records import BLANK_SHARE, LOSS, Split
from rft.training import Trainer
from rft.training.objectives import CTC


def fine_tune_recognizer(
    settings: LoadedConfig, dataset: Dataset, trainer: Trainer, device: str, *, offline: bool
) -> tuple[Dataset, AuditedModel]:
    """Train a head that writes on a frozen encoder; return the data that took part, and what is audited.

    Args:
        settings: the config, with ``data.transcript``.
        dataset: what is trained on and transcribed.
        trainer: trains the head.
        device: torch device name.
        offline: forbid downloads.

    Raises:
        RftError: for anything that the user can mend.
    """
    core = settings.core
    target = encode_transcripts(settings, dataset, offline=offline)
    partition = partition_backbone(settings, len(target.vocabulary), device, offline=offline)
    read = partial(partition.backbone.preprocessing.inputs, config=core.data, seed=core.seed)
    batch_dependence = partition.measure_batch_dependence() if trainer.needs_independent_examples else None
    alone = batch_dependence is not None and batch_dependence.alone
    inputs = read(target.dataset.splits)
    features = dict(partition.extract_features(inputs, target.dataset.splits, alone=alone))
    vectors = {name: count_vectors(held) for name, held in features.items()}
    fitting = refuse_infeasible(target.dataset, vectors)
    for name in REFUSED:
        if name in features and len(fitting.splits[name]) < len(features[name]):
            features |= partition.extract_features(inputs, {name: fitting.splits[name]}, alone=alone)
    inputs = read(fitting.splits)
    task = build_task(trainer, partition, fitting, features, batch_dependence)
    run = run_training(trainer, task, core.seed, cached=partition.cut.cached)
    suffix = partition.cut.trained_suffix(run.fit.state).to(device)
    written = {
        name: transcribe(suffix, features[name], split, target, device) for name, split in fitting.splits.items()
    }
    predictions, aligned = _tabulate(fitting, written, target)
    fitting = replace(fitting, remarks=[*fitting.remarks, *describe_empty_transcripts(aligned)])
    audited, model = describe_target(partition, fitting, features, run, predictions)
    write = partial(write_model, model=model, backbone=partition.backbone, classes=(), vocabulary=target.vocabulary)
    embed = cache(partial(_embed_training_sample, partition, inputs, fitting.splits["train"], alone))
    return fitting, replace(audited, words=aligned.words, inputs=inputs, embeddings=embed, write_model=write)


@dataclass(frozen=True)
class Written:
    """What a recogniser makes of the N utterances of a split.

    Attributes:
        transcripts: N texts.
        losses: (N,) float64, in nats, by connectionist temporal classification; infinite where a transcript cannot be
            written of its recording's vectors.
        blank_shares: (N,) share of the vectors whose most probable output is the blank, in [0, 1].
    """

    transcripts: list[str]
    losses: np.ndarray
    blank_shares: np.ndarray


@torch.no_grad()
def transcribe(suffix: nn.Module, features: Features, split: Split, target: TargetTranscripts, device: str) -> Written:
    """Return what a trained head writes for a split: the most probable output of each vector, by itself."""
    suffix.eval()
    labels = torch.from_numpy(split.labels)
    parts = [
        _transcribe_batch(suffix, features, rows, labels[rows], target.vocabulary, device)
        for rows in torch.arange(len(split)).split(ROWS_PER_BATCH)
    ]
    losses = np.concatenate([part.losses for part in parts])
    losses[~is_feasible(split, count_vectors(features))] = np.inf
    return Written(
        [text for part in parts for text in part.transcripts],
        losses,
        np.concatenate([part.blank_shares for part in parts]),
    )


def _transcribe_batch(
    suffix: nn.Module, features: Features, rows: torch.Tensor, labels: torch.Tensor, vocabulary: Vocabulary, device: str
) -> Written:
    batch = features.batch(rows)
    logits = suffix({name: column.to(device) for name, column in batch.items()}).cpu().double()
    lengths = batch["attention_mask"].sum(1)
    best = [outputs[:length] for outputs, length in zip(logits.argmax(2).numpy(), lengths.tolist(), strict=True)]
    return Written(
        [vocabulary.decode(outputs.tolist()) for outputs in best],
        CTC.example_losses(logits, labels).numpy(),
        np.array([float((outputs == BLANK).mean()) for outputs in best]),
    )


def _tabulate(
    dataset: Dataset, written: Mapping[str, Written], target: TargetTranscripts
) -> tuple[pd.DataFrame, AlignedTranscripts]:
    """Return the table of predictions, in which no text is, and the alignment that its counts are of."""
    splits = list(dataset.splits.values())
    said: list[object] = [str(text) for split in splits for text in np.asarray(split.transcripts, object)]
    hypotheses: list[object] = [text for split in splits for text in written[split.name].transcripts]
    aligned = align_transcripts(pd.Categorical(said), pd.Categorical(hypotheses), target.normalizer)
    frame = pd.concat([_describe_rows(split, written[split.name]) for split in splits], ignore_index=True)
    after = list(frame.columns).index("unit") + 1
    for position, (name, counts) in enumerate(aligned.counts.items()):
        frame.insert(after + position, name, counts)
    return frame, aligned


def _describe_rows(split: Split, written: Written) -> pd.DataFrame:
    columns = {"split": split.name, "id": split.ids, "unit": split.units}
    columns |= {LOSS: written.losses, BLANK_SHARE: written.blank_shares}
    return pd.DataFrame(columns | {f"{GROUP}{name}": values for name, values in split.groups.items()})


def _embed_training_sample(partition: PartitionedBackbone, inputs: Inputs, train: Split, alone: bool) -> Embeddings:
    """Return the means over time of the features of training examples; nobody is to tell classes by them."""
    sample = sample_split(train, partition.settings.core.seed)
    features = partition.extract_features(inputs, {"train": sample}, alone=alone)["train"]
    means = np.concatenate(list(_average_over_time(features)))
    return Embeddings(means, None, np.zeros(0, np.int64), sample.units, sample.groups, len(train))


def _average_over_time(features: Features) -> Iterator[np.ndarray]:
    for rows in torch.arange(len(features)).split(ROWS_PER_BATCH):
        batch = features.batch(rows)
        mask = batch["attention_mask"][..., None]
        yield ((batch["features"] * mask).sum(1) / mask.sum(1)).numpy()
