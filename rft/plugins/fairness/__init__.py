"""Whether the model treats groups alike: rates of each group and the gaps between them, with intervals."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from rft.errors import Unavailable
from rft.plugins import Options, Subject
from rft.plugins.fairness.mitigation import MitigationOptions
from rft.records import Section

MetricName = Literal["accuracy", "selection_rate", "tpr", "fpr", "fnr"]


class FairnessOptions(Options):
    """Options of ``[fairness]``.

    Attributes:
        attributes: the group attributes to look at; None for all that the data has.
        metrics: what to compare between groups.
        min_group: groups with fewer test rows are shown as too few and not scored.
        mitigation: the table ``[fairness.mitigation]``; None leaves mitigation out.
    """

    attributes: list[str] | None = Field(default=None, min_length=1)
    metrics: list[MetricName] = Field(default=["accuracy", "selection_rate", "tpr", "fpr", "fnr"], min_length=1)
    min_group: int = Field(default=10, ge=1)
    mitigation: MitigationOptions | None = None

    @property
    def own_fits(self) -> str | None:
        """Mitigation fits to the training data by itself."""
        return "fairness.mitigation" if self.mitigation else None


class Fairness:
    """Compares groups on the test split, through Fairlearn."""

    name = "fairness"
    always_on = False
    requires: tuple[str, ...] = ("fairlearn",)
    needs: tuple[str, ...] = ("groups", "positive")
    options: type[BaseModel] = FairnessOptions

    def trainer(self, options: BaseModel) -> None:
        """Leave training to the standard loop."""

    def audit(self, subject: Subject, options: BaseModel) -> Section:
        """Return the section; needs predictions with groups, and a favourable class."""
        from rft.plugins.fairness.audit import audit

        assert isinstance(options, FairnessOptions)
        if subject.facts.positive is None:
            raise Unavailable("no favourable class was given (data.positive), so rates of groups have no direction")
        return audit(subject, options, positive=subject.facts.positive)
