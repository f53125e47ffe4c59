"""Labels that look wrong: training examples whose label the features of all other examples speak against."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from rft.config.applicability import TRAINED
from rft.config.schema import DataConfig
from rft.plugins import AuditedModel, Options, Plugin
from rft.records import Section


class LabelErrorsOptions(Options):
    """``[label_errors]``: which training labels look wrong, and how many wrong ones such a list finds.

    Refused beside `privacy.epsilon`: it reads the training examples without noise.
    """

    shows_examples: ClassVar[bool] = True

    review_share: Annotated[float, Field(gt=0, le=0.5), TRAINED] = 0.05
    """Share of the training examples that somebody can look at again: so long is the list."""

    @property
    def fits_by_itself(self) -> str | None:
        """Name the table: its ridge regression reads the training examples without noise."""
        return "label_errors"


class LabelErrors(Plugin[LabelErrorsOptions]):
    """Ranks training examples by how much a ridge regression that has not seen them contradicts their label."""

    name = "label_errors"
    options = LabelErrorsOptions

    def list_findings(self, options: LabelErrorsOptions, data: DataConfig) -> tuple[str, ...]:
        """Return the ids that its findings may have."""
        return tuple(f"{self.name}.{name}" for name in ("planted_recall", "contradicted"))

    def audit(self, audited: AuditedModel, options: LabelErrorsOptions) -> Section:
        """Return the section; needs the features of training examples."""
        from rft.plugins.label_errors.audit import audit

        return audit(audited, options)
