"""A finished audit in the process that made it: the record, and what is written beside it."""

from __future__ import annotations

from pathlib import Path

from pydantic import PrivateAttr

from rft.records import Artifacts, AuditRun
from rft.report import save, summary_html


class FinishedRun(AuditRun):
    """An audit as ``rft.audit`` returns it. ``artifacts`` is what ``save`` writes beside ``audit.json``."""

    _artifacts: Artifacts | None = PrivateAttr(default=None)

    def with_artifacts(self, artifacts: Artifacts) -> FinishedRun:
        """Return this run with the things that ``save`` writes beside ``audit.json``."""
        copy = self.model_copy()
        copy._artifacts = artifacts
        return copy

    @property
    def artifacts(self) -> Artifacts | None:
        """What belongs to the run beside ``audit.json``; None for a run that was read from a file."""
        return self._artifacts

    def save(self, folder: str | Path, *, force: bool = False, share: bool = False) -> Path:
        """Write the run folder, whole or not at all; raises ``OutputError`` when it holds a run already.

        With ``share`` the group of the folder may read the report, the card, the record and the evidence.
        """
        return save(self, Path(folder), self.artifacts, force=force, share=share)

    def _repr_html_(self) -> str:
        return summary_html(self)
