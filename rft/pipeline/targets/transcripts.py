"""Transcripts that a model is to write: what it writes with, by numbers, and what cannot be written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from rft.backbones.sources.speech.vocabularies import read_vocabulary
from rft.config.loader import LoadedConfig
from rft.data import Dataset
from rft.data.remarks import Remark, join_names
from rft.data.transcripts.normalizers import load_normalizer
from rft.data.transcripts.tokens import TokenVocabulary
from rft.data.transcripts.vocabulary import CharacterVocabulary, Vocabulary, count_needed_vectors
from rft.errors import DataError, ModelError
from rft.features.pipeline import select_rows
from rft.records import Split

TRIED = 200  # training transcripts that are cut into tokens and put together again
REFUSED = ("train", "validation")  # splits that a transcript which cannot be written is left out of


@dataclass(frozen=True)
class TargetTranscripts:
    """The transcripts of a run as training sees them.

    Attributes:
        dataset: the examples, whose labels are the numbers of characters or tokens.
        vocabulary: what the model writes with.
        normalizer: what makes a text alike.
    """

    dataset: Dataset
    vocabulary: Vocabulary
    normalizer: Callable[[str], str]


def encode_transcripts(settings: LoadedConfig, dataset: Dataset, *, offline: bool) -> TargetTranscripts:
    """Return the transcripts of a data set by numbers of characters or tokens.

    Raises:
        ConfigError: a library that the normaliser needs is not installed.
        ModelError: the backbone has no tokenizer where its vocabulary is asked for, or one that gives no text back.
        DataError: no training transcript has a character that the model could write.
    """
    name = settings.core.normalizer
    assert name is not None, "the config model guarantees it"
    normalizer = load_normalizer(name)
    alike = {split.name: [normalizer(str(text)) for text in _texts_of(split)] for split in dataset.splits.values()}
    vocabulary = _choose_vocabulary(settings, alike["train"], normalizer, offline=offline)
    length = max(len(vocabulary.encode(text)) for texts in alike.values() for text in texts)
    labels = {split: vocabulary.encode_all(texts, length) for split, texts in alike.items()}
    if not labels["train"].any():
        raise DataError(
            "no training transcript has a character that the model writes with",
            where=f"data.transcript = {settings.core.data.transcript!r}",
            remedy="Look at data.normalizer and data.characters, which say what is left of a transcript.",
        )
    splits = {split: replace(held, labels=labels[split]) for split, held in dataset.splits.items()}
    unknown = [vocabulary.find_unknown(text) for texts in alike.values() for text in texts]
    characters = sum(len(text) for texts in alike.values() for text in texts)
    strange = sorted({character for missed in unknown for character in missed})
    remarks = [*dataset.remarks, _describe_unknown(sum(map(len, unknown)), characters, strange)]
    return TargetTranscripts(replace(dataset, splits=splits, remarks=remarks), vocabulary, normalizer)


def _texts_of(split: Split) -> np.ndarray:
    assert split.transcripts is not None, "the config names their column"
    return np.asarray(split.transcripts, object)


def _choose_vocabulary(
    settings: LoadedConfig, training: list[str], normalizer: Callable[[str], str], *, offline: bool
) -> Vocabulary:
    data = settings.core.data
    if data.characters is not None:
        return CharacterVocabulary(tuple(sorted(data.characters)))
    if data.vocabulary == "tokenizer":
        backbone = settings.core.network.backbone or ""
        vocabulary = read_vocabulary(backbone, settings.folder, normalizer, offline=offline)
        if isinstance(vocabulary, TokenVocabulary):
            _require_words(vocabulary, training, normalizer)
        return vocabulary
    return CharacterVocabulary.from_texts(training)


def _require_words(vocabulary: TokenVocabulary, texts: list[str], normalizer: Callable[[str], str]) -> None:
    """Raise ``ModelError`` where few texts come back from their tokens word for word, such as with other blanks."""
    known = [text for text in texts[:TRIED] if text.split() and not vocabulary.find_unknown(text)]
    returned = [normalizer(vocabulary.join(vocabulary.encode(text))) for text in known]
    changed = [pair for pair in zip(known, returned, strict=True) if pair[0].split() != pair[1].split()]
    if 2 * len(changed) > len(known):
        raise ModelError(
            f"of {len(known):,} training transcripts {len(changed):,} do not come back word for word from the tokens "
            "that its tokenizer cuts them into",
            where="data.vocabulary",
            remedy="Give the tokenizer a decoder that puts words together as they were; or name the characters in "
            "data.characters.",
        )


def _describe_unknown(unknown: int, characters: int, names: list[str]) -> Remark:
    return Remark(
        id="unknown_characters",
        title="Characters that the model cannot write",
        value=unknown,
        unit="characters",
        n=characters,
        description=f"{unknown:,} of {characters:,} characters of all transcripts are none that the model writes with: "
        "training left them out, and on test each is an error.",
        status="warn" if unknown else "info",
        names=[repr(name) for name in names],
    )


def refuse_infeasible(dataset: Dataset, vectors: Mapping[str, np.ndarray]) -> Dataset:
    """Return a data set without the utterances of training and validation whose transcript cannot be written.

    They are counted. Those of test stay: what a model cannot write is an error.

    Args:
        dataset: with numbers of characters or tokens as labels.
        vectors: split -> (N,) how many vectors the encoder makes of each recording.

    Raises:
        DataError: no training utterance is left, or none of validation.
    """
    feasible = {name: is_feasible(split, vectors[name]) for name, split in dataset.splits.items()}
    for name in REFUSED:
        if name in feasible and not feasible[name].any():
            raise DataError(
                f"no transcript of {name} can be written: each needs more outputs than the encoder makes vectors of "
                "its recording",
                where="data.transcript",
                remedy="Look whether transcripts belong to their recordings, or take an encoder with more vectors a "
                "second.",
            )
    lost = {name: int((~mask).sum()) for name, mask in feasible.items()}
    splits = {
        name: select_rows(split, np.flatnonzero(feasible[name])) if name in REFUSED and lost[name] else split
        for name, split in dataset.splits.items()
    }
    refused = sum(lost.get(name, 0) for name in REFUSED)
    remarks = [*dataset.remarks, *_describe_infeasible(dataset, lost)]
    return replace(dataset, splits=splits, skipped=dataset.skipped + refused, remarks=remarks)


def is_feasible(split: Split, vectors: np.ndarray) -> np.ndarray:
    """Return (N,) whether each transcript can be written of its recording's (N,) vectors."""
    feasible: np.ndarray = count_needed_vectors(split.labels) <= vectors
    return feasible


def _describe_infeasible(dataset: Dataset, lost: Mapping[str, int]) -> Iterator[Remark]:
    """Yield the remark on transcripts that need more outputs than there are vectors, by split."""
    fitted = sum(lost.get(name, 0) for name in REFUSED)
    n = sum(len(split) for name, split in dataset.splits.items() if name in REFUSED)
    on_test = lost.get("test", 0)
    counted = join_names([f"{lost[name]:,} of {name}" for name in REFUSED if name in lost])
    yield Remark(
        id="infeasible_transcripts",
        title="Transcripts that need more outputs than their recordings have vectors",
        value=fitted,
        unit="utterances",
        n=n,
        description=f"Training refused {fitted:,} of {n:,} utterances ({counted}): no output of the encoder's vectors "
        f"could be their transcripts. So are {on_test:,} of test, where they stay and count as errors.",
        status="warn" if fitted or on_test else "info",
    )
