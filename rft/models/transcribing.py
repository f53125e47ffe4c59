"""A checkpoint that others trained to recognise speech transcribes the recordings of splits. Nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rft.backbones.classifier import hash_tensors
from rft.backbones.sources import snapshot
from rft.backbones.sources.speech.transcriber import Transcriber, Transcript
from rft.backbones.sources.speech.transcription import load_transcriber
from rft.backbones.sources.weights import check_finite as check_weights
from rft.config.schema import ModelConfig
from rft.data.audio.inputs import AudioInputs
from rft.data.remarks import Remark
from rft.errors import ConfigError, ModelError
from rft.models.checkpoint import WHERE
from rft.records import Split
from rft.runtime.progress import track_progress


@dataclass(frozen=True)
class LoadedTranscriber:
    """A checkpoint on its device.

    Attributes:
        transcriber: runs it.
        sha256: of its tensors.
        revision: the commit of the hub that it is of; None for one from elsewhere.
    """

    transcriber: Transcriber
    sha256: str
    revision: str | None

    def transcribe_splits(self, splits: Mapping[str, Split], inputs: AudioInputs) -> dict[str, list[Transcript]]:
        """Return split -> what was written of each of its N recordings, those of about one length at once.

        Raises:
            ModelError: it cannot decode, or decoding changes its tensors.
            DataError: a recording cannot be read any more.
        """
        batches = [(name, rows) for name, split in splits.items() for rows in self._batch_rows(split)]
        written: dict[str, dict[int, Transcript]] = {name: {} for name in splits}
        for name, rows in track_progress(batches, "Transcribing", total=len(batches)):
            clips = [recording.samples for recording in inputs.recordings(name, rows)]
            written[name] |= zip(rows, self.transcriber.transcribe(clips), strict=True)
        if hash_tensors(self.transcriber.network.state_dict()) != self.sha256:
            raise ModelError("changes its own tensors when it decodes, in eval mode", where=WHERE)
        return {name: [written[name][row] for row in range(len(split))] for name, split in splits.items()}

    def _batch_rows(self, split: Split) -> list[list[int]]:
        assert split.recordings is not None, "they were measured when they were read"
        by_length = np.argsort(split.recordings.seconds, kind="stable").tolist()
        size = self.transcriber.batch_size
        return [by_length[start : start + size] for start in range(0, len(by_length), size)]


def read_transcriber(settings: ModelConfig, folder: Path, *, device: str, offline: bool) -> LoadedTranscriber:
    """Load the checkpoint of ``model.checkpoint``, which recognises speech, in float32.

    Args:
        settings: the ``[model]`` table.
        folder: what its paths are relative to.
        device: where it is put.
        offline: forbid downloads.

    Raises:
        ConfigError: a key of ``[model]`` asks for what it cannot do.
        ModelError: it cannot be loaded, or is no recogniser.
    """
    if settings.precision not in ("auto", "float32"):
        raise ConfigError("models that others trained run in their own precision", where="model.precision")
    assert settings.checkpoint is not None, "the config model guarantees it"
    source = snapshot.find_snapshot(settings.checkpoint, folder, offline=offline, where=WHERE)
    transcriber = load_transcriber(source, settings)
    check_weights(transcriber.network, WHERE)
    transcriber.network.to(device).requires_grad_(False).eval()
    return LoadedTranscriber(transcriber, hash_tensors(transcriber.network.state_dict()), source.revision)


def describe_decoding(transcripts: Sequence[Transcript]) -> list[Remark]:
    """Return remarks on recordings that took several windows, and on texts that the model could not end."""
    n, windows = len(transcripts), sum(transcript.windows for transcript in transcripts)
    several = sum(transcript.windows > 1 for transcript in transcripts)
    cut = sum(transcript.cut > 0 for transcript in transcripts)
    return [
        Remark(
            id="decoded_in_windows",
            title="Recordings that were decoded in several windows",
            value=several,
            unit="recordings",
            n=n,
            description=f"{several:,} of {n:,} recordings are longer than what the model hears at once: they were "
            "decoded in windows, each of which begins where the model's own times say that the last one ended.",
            status="info",
        ),
        Remark(
            id="cut_transcripts",
            title="Transcripts that the model could not end",
            value=cut,
            unit="recordings",
            n=n,
            description=f"Of {cut:,} of {n:,} recordings a text ends where the model can write no more, in {windows:,} "
            "windows in all, often since it repeats itself. Such texts were compared as they are.",
            status="warn" if cut else "info",
        ),
    ]
