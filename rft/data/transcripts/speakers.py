"""Whether utterances are of several speakers, without whom an error rate is of nobody else."""

from __future__ import annotations

import pandas as pd

from rft.errors import DataError


def require_speakers(speakers: pd.Series | pd.Categorical, unit: str, where: str, of_split: str = "") -> None:
    """Raise ``DataError`` where one speaker alone spoke.

    Args:
        speakers: (N,) who spoke each utterance.
        unit: the column that says so.
        where: the table it is a column of.
        of_split: the split that the utterances are all of; empty for a whole table.
    """
    names = list(speakers.unique())
    if len(names) == 1:
        rows = f"{len(speakers):,} rows{f' of {of_split}' if of_split else ''}"
        raise DataError(
            f"the unit column {unit!r} names one speaker, {names[0]!r}, in all {rows}; "
            "an error rate of one speaker says nothing of others",
            where=where,
            remedy="Name the column that says who speaks, or add utterances of other speakers"
            f"{f' to {of_split}' if of_split else ''}.",
        )
