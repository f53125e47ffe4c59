"""What a model wrote of the recordings of each split, aligned with what is said in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from rft.config.tables.data import DataConfig
from rft.data.remarks import Remark, log_warnings
from rft.data.tables.example_columns import GROUP
from rft.data.transcripts.alignment import align_transcripts
from rft.data.transcripts.normalizers import load_normalizer
from rft.data.transcripts.reading import describe_empty_transcripts
from rft.records import Split, WordOccurrences


class RecognizedSpeech(NamedTuple):
    """What is counted of a model's transcripts.

    Attributes:
        predictions: one row an utterance, as of ``rft.data.transcripts.reading.Transcripts``. No text is in it.
        words: every word of the references, and whether it was recognised.
        remarks: on utterances without words.
    """

    predictions: pd.DataFrame
    words: WordOccurrences
    remarks: Sequence[Remark]


def compare_with_references(
    splits: Mapping[str, Split], hypotheses: Mapping[str, Sequence[str]], config: DataConfig
) -> RecognizedSpeech:
    """Align what a model wrote with the transcripts of the data.

    Args:
        splits: with ``transcripts`` and ``units``.
        hypotheses: split -> what the model wrote of each of its N recordings.
        config: ``[data]``, which names the normaliser.

    Raises:
        ConfigError: a library that is needed is not installed.
    """
    assert config.normalizer is not None, "the config model guarantees it"
    references = np.concatenate([np.asarray(split.transcripts, object) for split in splits.values()])
    written = [text for name in splits for text in hypotheses[name]]
    aligned = align_transcripts(
        pd.Categorical(references), pd.Categorical(np.array(written, object)), load_normalizer(config.normalizer)
    )
    remarks = describe_empty_transcripts(aligned)
    log_warnings(remarks)
    parts = list(splits.values())
    columns: dict[str, object] = {
        "split": np.repeat(list(splits), [len(split) for split in parts]),
        "id": np.concatenate([np.asarray(split.ids, object) for split in parts]),
        "unit": np.concatenate([np.asarray(split.units, object) for split in parts]),
        **aligned.counts,
    }
    for attribute in config.groups:
        values = np.concatenate([np.asarray(split.groups[attribute], object) for split in parts])
        columns[f"{GROUP}{attribute}"] = pd.Categorical(values)
    return RecognizedSpeech(pd.DataFrame(columns, copy=False), aligned.words, remarks)
