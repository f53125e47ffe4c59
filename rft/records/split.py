"""The data of a run as it passes between the stages, with what is known of each example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Texts = Any  # (N,) strings: see ``Split``
PREDICTIONS_OF = "predictions of "  # begins the name of a table that a model in memory was asked for
IN_MEMORY = "memory:"  # what the name of an object that the caller of rft held in memory begins with


@dataclass(frozen=True)
class Recordings:
    """What was measured of recordings when they were read.

    Attributes:
        frames: (N,) samples of a channel, as recorded, int64.
        rates: (N,) of these in a second, as recorded, int64.
        silent: (N,) whether nothing is heard in it, booleans.
    """

    frames: np.ndarray
    rates: np.ndarray
    silent: np.ndarray

    def select_rows(self, rows: np.ndarray) -> Recordings:
        """Return those of (M,) rows."""
        return Recordings(self.frames[rows], self.rates[rows], self.silent[rows])

    @property
    def seconds(self) -> np.ndarray:
        """(N,) how long each lasts, float64."""
        lasting: np.ndarray = self.frames / self.rates
        return lasting


@dataclass(frozen=True)
class Split:
    """One side of the data: its items and what is known about each of them.

    Attributes:
        name: ``train``, ``validation`` or ``test``.
        ids: (N,) strings, unique over all splits.
        items: (N,) what the reader of the modality needs to load one example (a path for images); empty where only
            predictions are known.
        labels: (N,) indices into ``classes`` of the run, int64. Of transcripts that a model is trained to write (N, L)
            numbers of characters, filled up with the blank (``rft.data.transcripts.vocabulary``); (0,) where there is
            neither.
        groups: attribute -> (N,) strings; None where the value is missing.
        units: (N,) strings naming whose data each row is, or None when no unit was declared.
        digests: (N,) sha256 of the bytes of each item, as hex; None where there are no items.
        recordings: what was measured of the items; None where they are no recordings.
        transcripts: (N,) what is said in each item, as it stands; None where nobody is to write it.

    Texts are numpy arrays of objects. Those of a table of predictions alone, which may have millions of rows, are
    arrays of pandas: ids and units packed, groups categorical.
    """

    name: str
    ids: Texts
    items: Sequence[Any]
    labels: np.ndarray
    groups: Mapping[str, Texts] = field(default_factory=dict)
    units: Texts | None = None
    digests: np.ndarray | None = None
    recordings: Recordings | None = None
    transcripts: Texts | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class InputFile:
    """What the run read. Neither its name nor its hash may leave the machine: both are digested with a key.

    Attributes:
        path: of a file, relative to the config's folder, or absolute where the config or manifest says so; or
            ``memory:`` and the name of an object that the caller held in memory.
        sha256: of its bytes, as hex; of an object, of what was read of it (``rft.data.tables.digest``).
    """

    path: str
    sha256: str
