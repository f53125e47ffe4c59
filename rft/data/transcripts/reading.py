"""A table of transcripts, of any recogniser: what was said, what was written, and who spoke."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from rft.config.schema import Config
from rft.data.manifest import NO_LABELS, Dataset
from rft.data.prediction_rows import (
    check_ids,
    identify_sources,
    keep_complete_rows,
    number_rows,
    pack_texts,
    read_splits,
)
from rft.data.remarks import Remark, log_warnings
from rft.data.splits import SPLITS, split_names_remark
from rft.data.tables.columnar import Columns, read_columns
from rft.data.tables.example_columns import GROUP, check_levels
from rft.data.tables.in_memory import TableInMemory
from rft.data.tables.listing import find_table_files
from rft.data.tables.spelling import spelling_remarks
from rft.data.tables.table_file import ColumnRequest, TextLayout
from rft.data.transcripts.alignment import AlignedTranscripts, align_transcripts
from rft.data.transcripts.normalizers import load_normalizer
from rft.data.transcripts.speakers import require_speakers
from rft.errors import DataError
from rft.records import Split, WordOccurrences
from rft.stats.scores.error_rates import HYPOTHESIS_WORDS, RAW_WORDS, WORDS


class Transcripts(NamedTuple):
    """What a table of transcripts gives.

    Attributes:
        dataset: the splits, without items and labels.
        predictions: one row an utterance: split, id, unit, the counts of ``rft.stats.scores.error_rates`` and
            ``group_<attribute>``. No text is in it.
        words: every word of the references, and whether it was recognised.
    """

    dataset: Dataset
    predictions: pd.DataFrame
    words: WordOccurrences


def read_transcripts(core: Config, folder: Path, table: TableInMemory | None = None) -> Transcripts:
    """Read the table that ``[predictions]`` and ``[data]`` describe, and align its transcripts.

    An empty hypothesis is silence; an empty reference is an utterance in which nothing was said, and one that is
    missing is refused. In tables of text, where the two look alike, an empty cell is missing, and a blank one is empty.

    Args:
        core: a config with ``predictions.reference``.
        folder: what its paths are relative to.
        table: read in the place of ``predictions.file``, where the caller holds it in memory.

    Raises:
        ConfigError: a library that is needed is not installed.
        DataError: for a missing file or column, what is no text, a row without reference or speaker (unless such rows
            are to be skipped), one speaker alone, or references without a word.
    """
    named, data = core.predictions, core.data
    assert named is not None
    assert named.normalizer is not None, "the config model guarantees it"
    normalizer = load_normalizer(named.normalizer)
    reference, hypothesis, unit = str(named.reference), str(named.hypothesis), str(data.unit)
    layout = TextLayout(data.separator, data.encoding)
    files = [table] if table is not None else find_table_files(named.file, folder, None, layout)
    needed = [name for name in (reference, unit, data.split, data.id) if name is not None]
    wanted = list(dict.fromkeys([*needed, hypothesis, *data.groups]))
    held = read_columns(files, ColumnRequest(wanted, sentences=[reference, hypothesis]))
    sources = list(identify_sources(files, held, folder))
    for attribute in data.groups:
        check_levels(attribute, held.texts[attribute], held.places.source)
    held, skipped = keep_complete_rows(held, needed, skip=data.on_error == "skip")
    require_speakers(held.texts[unit], unit, held.places.source)
    check_ids(None if data.id is None else held.texts[data.id], held.places)
    split = read_splits(held, data.split)
    aligned = align_transcripts(held.texts[reference], held.texts[hypothesis], normalizer)
    _check_words(aligned, held, reference, named.normalizer)
    n = len(split)
    groups = {attribute: held.texts[attribute] for attribute in data.groups}
    ids = pack_texts(held.texts[data.id]) if data.id is not None else number_rows(n)
    units = pack_texts(held.texts[unit])
    remarks: list[Remark] = [
        *held.remarks,
        *(split_names_remark(held.texts[data.split].categories) if data.split is not None else []),
        *spelling_remarks(None, groups, held.texts[unit]),
        *describe_empty_transcripts(aligned),
    ]
    log_warnings(remarks)
    columns = {"split": split, "id": ids, "unit": units, **aligned.counts}
    columns |= {f"{GROUP}{attribute}": values for attribute, values in groups.items()}
    predictions = pd.DataFrame(columns, copy=False)
    dataset = Dataset(_build_splits(predictions), (), skipped, sources, remarks)
    return Transcripts(dataset, predictions, aligned.words)


def _build_splits(predictions: pd.DataFrame) -> dict[str, Split]:
    """Return the splits that have rows, in the usual order."""
    parts = {name: predictions[predictions["split"] == name] for name in SPLITS}
    return {
        name: Split(
            name=name,
            ids=part["id"].array,
            items=(),
            labels=NO_LABELS,
            groups={
                str(column).removeprefix(GROUP): part[column].array
                for column in part.columns
                if str(column).startswith(GROUP)
            },
            units=part["unit"].array,
        )
        for name, part in parts.items()
        if len(part)
    }


def _check_words(aligned: AlignedTranscripts, held: Columns, reference: str, normalizer: str) -> None:
    """Raise ``DataError`` where no reference has a word, as it stands or after the normaliser."""
    if not aligned.counts[RAW_WORDS].any():
        problem = f"no cell of the reference column {reference!r} has a word, and an error rate is over these"
        raise DataError(problem, where=held.places.source, remedy="Name the column of what was said.")
    if not aligned.counts[WORDS].any():
        raise DataError(
            f"the normaliser {normalizer!r} leaves no word of any reference in column {reference!r}",
            where=held.places.source,
            remedy='Choose another, such as predictions.normalizer = "none", which compares the texts as they stand.',
        )


def describe_empty_transcripts(aligned: AlignedTranscripts) -> list[Remark]:
    """Return remarks on utterances without words: nothing was said, the normaliser took it away, or nothing written."""
    counts = aligned.counts
    n = len(counts[WORDS])
    silent = counts[RAW_WORDS] == 0
    emptied = ~silent & (counts[WORDS] == 0)
    unwritten = (counts[HYPOTHESIS_WORDS] == 0) & (counts[WORDS] > 0)
    counted = {
        "empty_references": int(np.count_nonzero(silent)),
        "emptied_references": int(np.count_nonzero(emptied)),
        "empty_hypotheses": int(np.count_nonzero(unwritten)),
    }
    inserted = "What was written there counts as inserted; such an utterance has no error rate of its own."
    return [
        Remark(
            id="empty_references",
            title="Utterances in which nothing was said",
            value=counted["empty_references"],
            unit="utterances",
            n=n,
            description=f"{counted['empty_references']:,} of {n:,} references are empty. {inserted}",
            status="info",
        ),
        Remark(
            id="emptied_references",
            title="References that the normaliser emptied",
            value=counted["emptied_references"],
            unit="utterances",
            n=n,
            description=f"{counted['emptied_references']:,} of {n:,} references have words that the normaliser takes "
            f"away altogether. {inserted}",
            status="warn" if counted["emptied_references"] else "info",
        ),
        Remark(
            id="empty_hypotheses",
            title="Utterances for which nothing was written",
            value=counted["empty_hypotheses"],
            unit="utterances",
            n=n,
            description=f"For {counted['empty_hypotheses']:,} of {n:,} utterances the recogniser wrote no word though "
            "some were said: all of them count as deleted.",
            status="info",
        ),
    ]
