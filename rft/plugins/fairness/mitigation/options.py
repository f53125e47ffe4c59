"""The table ``[fairness.mitigation]``. Importing it is cheap."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from rft.plugins import Options
from rft.stats.scores.classification import FixedCaseMetricName

Method = Literal["threshold", "exponentiated_gradient", "dfr"]
Constraint = Literal["demographic_parity", "equalized_odds", "true_positive_rate_parity", "false_positive_rate_parity"]


class MitigationOptions(Options):
    """``[fairness.mitigation]``: other ways to decide on the cached features of a linear head, saved in ``mitigated``.

    They are fitted on train, chosen on validation, and measured once on test.
    """

    attribute: str
    """The group attribute whose gap is to shrink."""
    metric: FixedCaseMetricName
    """In what the groups are compared; of the favourable class, but for `accuracy`."""
    methods: list[Method] = Field(default=["threshold", "exponentiated_gradient", "dfr"], min_length=1)
    """What is tried. `dfr` is deep feature reweighting."""
    constraints: list[Constraint] = Field(
        default=["demographic_parity", "equalized_odds", "true_positive_rate_parity"], min_length=1
    )
    """What Fairlearn is told to hold, one candidate or more for each; `dfr` takes none."""
    max_gap: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.05
    """The candidate that is chosen is the most accurate with at most this gap on validation examples, or the one with
    the smallest gap where none keeps to it."""

    @field_validator("methods", "constraints")
    @classmethod
    def _each_once(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise ValueError("names something twice")
        return names

    @model_validator(mode="after")
    def _check_constraints_used(self) -> MitigationOptions:
        if "constraints" in self.model_fields_set and self.methods == ["dfr"]:
            raise ValueError('constraints has no effect with methods = ["dfr"], which takes none: remove it')
        return self
