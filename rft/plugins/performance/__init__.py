"""How well the model predicts: the usual measures of a classifier with intervals, beside a trivial baseline."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from rft.config.applicability import Applies
from rft.plugins import Options, Subject
from rft.records import Section


class PerformanceOptions(Options):
    """Options of ``[performance]``; ``bins`` is the largest number of bins of the calibration error."""

    bins: Annotated[
        int, Field(ge=1), Applies(lambda run, _: run.scores, "calibration is that of probabilities, and none are given")
    ] = 10


class Performance:
    """Always on: accuracy and its relatives, calibration and confusion, with intervals."""

    name = "performance"
    always_on = True
    requires: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    options: type[BaseModel] = PerformanceOptions

    def trainer(self, options: BaseModel) -> None:
        """Leave training to the standard loop."""

    def audit(self, subject: Subject, options: BaseModel) -> Section:
        """Return the section; needs nothing but the subject's predictions and classes."""
        from rft.plugins.performance.audit import audit

        assert isinstance(options, PerformanceOptions)
        return audit(subject, bins=options.bins)
