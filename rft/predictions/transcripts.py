"""The counted errors of the utterances of one split as numbers: by speaker, and by group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rft.stats.scores.error_rates import COUNTS, ErrorRate
from rft.stats.unit_ratio import UnitRatio


@dataclass(frozen=True)
class TranscriptArrays:
    """The utterances of one split.

    Attributes:
        counts: (N,) whole numbers by the names of ``rft.stats.scores.error_rates.COUNTS``.
        units: (N,) codes from 0 on of who speaks.
    """

    counts: Mapping[str, np.ndarray]
    units: np.ndarray

    def __len__(self) -> int:
        return len(self.units)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> TranscriptArrays:
        """Return the rows of a table of predictions (see ``rft.plugins.AuditedModel``) of a recogniser."""
        counts = {name: frame[name].to_numpy(np.int64) for name in COUNTS}
        return cls(counts, pd.factorize(frame["unit"])[0].astype(np.int64))

    def select_rows(self, mask: np.ndarray) -> TranscriptArrays:
        """Return the rows of a (N,) mask; units keep their codes."""
        return TranscriptArrays({name: values[mask] for name, values in self.counts.items()}, self.units[mask])

    @property
    def n(self) -> int:
        """The number of speakers."""
        return len(np.unique(self.units))

    def count(self, *names: str) -> int:
        """Return the sum of some counts over all rows."""
        return int(sum(self.counts[name].sum() for name in names))

    def estimate_rate(self, rate: ErrorRate) -> UnitRatio | None:
        """Return a rate of errors of all rows; None where their references hold nothing that it could be over."""
        errors = np.sum([self.counts[name] for name in rate.errors], axis=0)
        return UnitRatio.from_rows(errors, self.counts[rate.length], self.units)
