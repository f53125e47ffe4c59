"""A recogniser of speech that others trained as the target: it transcribes the data, and its errors are counted."""

from __future__ import annotations

from dataclasses import replace

from rft.config.loader import LoadedConfig
from rft.data import Dataset
from rft.data.remarks import log_warnings
from rft.data.transcripts.recognized import compare_with_references
from rft.models.transcribing import describe_decoding, read_transcriber
from rft.pipeline.targets.audited import build_audited_model
from rft.plugins import AuditedModel
from rft.records import Training


def transcribe_dataset(settings: LoadedConfig, dataset: Dataset, device: str, *, offline: bool) -> AuditedModel:
    """Load a recogniser that others trained, have it transcribe the data, and count its errors.

    Args:
        settings: the config, with ``model.checkpoint`` and ``data.transcript``.
        dataset: what it transcribes.
        device: torch device name.
        offline: forbid downloads.

    Raises:
        RftError: the checkpoint cannot be loaded or run, or no transcript of the data has a word.
    """
    core = settings.core
    loaded = read_transcriber(core.network, settings.folder, device=device, offline=offline)
    preprocessing = loaded.transcriber.preprocessing
    inputs = preprocessing.inputs(dataset.splits, core.data, core.seed)
    transcripts = loaded.transcribe_splits(dataset.splits, inputs)
    texts = {name: [transcript.text for transcript in written] for name, written in transcripts.items()}
    recognized = compare_with_references(dataset.splits, texts, core.data)
    decoding = describe_decoding([transcript for written in transcripts.values() for transcript in written])
    log_warnings(decoding)
    audited = build_audited_model(
        settings,
        dataset,
        recognized.predictions,
        modality=core.data.modality,
        training=Training(mode="external"),
        preprocessing=preprocessing.facts(),
        revision=loaded.revision,
        model_sha256=loaded.sha256,
    )
    remarks = [*dataset.remarks, *recognized.remarks, *decoding]
    return replace(
        audited, words=recognized.words, remarks=remarks, device=device, show_examples=core.report.show_examples
    )
