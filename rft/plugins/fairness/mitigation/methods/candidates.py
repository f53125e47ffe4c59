"""What a method offers: one candidate for each setting, with its rule, or with the reason why there is none."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from rft.plugins.fairness.mitigation.decision_rules import Rule
from rft.stats.cross_validation import limit_to_one_thread

UNMITIGATED = "unmitigated"


@dataclass(frozen=True)
class Candidate:
    """One way to decide.

    Attributes:
        method, constraint, setting: what it was made by; constraint and setting are empty where there is none.
        rule: None for the fine-tuned model itself, and where it could not be fitted.
        reason: why it could not be fitted; empty otherwise.
    """

    method: str
    constraint: str = ""
    setting: str = ""
    rule: Rule | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        """What it is called in sentences."""
        return ", ".join(part.replace("_", " ") for part in (self.method, self.constraint, self.setting) if part)


@contextmanager
def suppress_warnings() -> Iterator[None]:
    """Use one thread of linear algebra, and keep the warnings of scikit-learn and Fairlearn to themselves."""
    with warnings.catch_warnings(), limit_to_one_thread(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore")
        yield
