"""Which training examples predictions rest on, according to a linear refit, and how far that holds for the model."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from rft.config.applicability import TRAINED
from rft.config.schema import DataConfig
from rft.plugins import AuditedModel, Options, Plugin
from rft.records import Section


class InfluenceOptions(Options):
    """``[influence]``: which training examples predictions rest on, by a linear refit on the same features.

    Refused beside `privacy.epsilon`: it reads the training examples without noise.
    """

    shows_examples: ClassVar[bool] = True

    examples: Annotated[int, Field(ge=1, le=100), TRAINED] = 6
    """How many test predictions are traced to training examples, wrong ones first, where the report may show ids."""
    retrained_heads: Annotated[int, Field(ge=8, le=1024), TRAINED] = 32
    """Number of heads that are trained on random halves of the training examples, to see whether they answer to what is
    left out as the refit does."""

    @property
    def fits_by_itself(self) -> str | None:
        """Name the table: its ridge regression reads the training examples without noise."""
        return "influence"


class Influence(Plugin[InfluenceOptions]):
    """Exact leave-one-out influence in a ridge refit, with its agreement with the audited head's own training."""

    name = "influence"
    options = InfluenceOptions

    def list_findings(self, options: InfluenceOptions, data: DataConfig) -> tuple[str, ...]:
        """Return the ids that its findings may have."""
        return tuple(f"{self.name}.{name}" for name in ("agreement", "rests_on_one"))

    def audit(self, audited: AuditedModel, options: InfluenceOptions) -> Section:
        """Return the section; needs the features of training and test examples."""
        from rft.plugins.influence.audit import audit

        return audit(audited, options)
