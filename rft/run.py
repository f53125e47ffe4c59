"""A finished audit in Python: its record, in the process that made it or opened again, and what stands beside it."""

from __future__ import annotations

from pathlib import Path

from pydantic import PrivateAttr

from rft.errors import OutputError
from rft.records import Artifacts, AuditRun
from rft.report import open_run as open_record
from rft.report import save, summary_html


class FinishedRun(AuditRun):
    """An audit as ``rft.audit`` and ``rft.open_run`` return it.

    ``artifacts`` is what ``save`` writes beside ``audit.json``; ``folder`` is where the run stands, if it does.
    """

    _artifacts: Artifacts | None = PrivateAttr(default=None)
    _folder: Path | None = PrivateAttr(default=None)
    _is_opened: bool = PrivateAttr(default=False)

    def with_artifacts(self, artifacts: Artifacts) -> FinishedRun:
        """Return this run with the things that ``save`` writes beside ``audit.json``."""
        copy = self.model_copy()
        copy._artifacts = artifacts
        return copy

    @property
    def artifacts(self) -> Artifacts | None:
        """What belongs to the run beside ``audit.json``; None for a run that was read from a file."""
        return self._artifacts

    @property
    def folder(self) -> Path | None:
        """The run folder that was written or opened last; None for a run that stands in memory alone."""
        return self._folder

    def save(self, folder: str | Path, *, force: bool = False, share: bool = False) -> Path:
        """Write the run folder, whole or not at all, and return it.

        With ``share`` the group of the folder may read the report, the card, the record and the evidence.

        Raises:
            OutputError: the folder holds a run already, or the run was opened: predictions, model and key stay with the
                folder that it stands in.
        """
        if self._is_opened:
            remedy = "Copy that folder whole; rft report RUN --out DIR writes the report again."
            raise OutputError("was opened, and stands in its folder already", where=str(self._folder), remedy=remedy)
        self._folder = save(self, Path(folder), self.artifacts, force=force, share=share)
        return self._folder

    def _repr_html_(self) -> str:
        return summary_html(self)


def open_run(folder: str | Path, *, key: str | Path | None = None) -> FinishedRun:
    """Return the run of a folder, such as one that was received; nothing of it is read before it was checked.

    Every file of the folder that can be checked must be the one that was written (``evidence.json``).

    Args:
        folder: that ``rft audit`` or ``rft report`` wrote.
        key: the file with the key of the run, which checks predictions and images too; by default the one in the user's
            state folder, where there is one.

    Raises:
        DataError: there is no such run, or none that this version of rft can read.
        EvidenceError: a file is not the one that was written.
    """
    record = open_record(folder, key=None if key is None else Path(key))
    run = FinishedRun.model_validate(record, from_attributes=True)
    run._folder, run._is_opened = Path(folder), True
    return run
