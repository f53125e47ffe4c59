"""The one door into a run folder: what is read there is checked against ``evidence.json`` first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rft.errors import EvidenceError
from rft.records import AuditRun
from rft.report.run_folder import evidence
from rft.report.run_folder.folder import load

KEYED_REMEDY = (
    "They are checked with the key of the run, which stays with the owner of the data: name it with --key. Without it "
    "rft compare --unpaired compares what needs no predictions."
)


def open_run(folder: str | Path, *, key: Path | None = None, private: Sequence[str] = ()) -> AuditRun:
    """Return the run of a folder of which every file that can be checked is the one that was written.

    Args:
        folder: of the run.
        key: the file with the key of the run; by default the one in the user's state folder, where there is one.
        private: names of files that are going to be read and are not for others, such as ``predictions.parquet``:
            without the key they cannot be trusted.

    Raises:
        DataError: there is no such run, or none that this version of rft can read.
        EvidenceError: a file is not the one that was written, or a private one cannot be checked.
    """
    folder = Path(folder)
    verification = evidence.verify_files(folder, key=key)
    if verification.problems:
        remedy = "Get the run again from whoever made it; nothing was read from this one."
        raise EvidenceError("; ".join(verification.problems), where=str(folder), remedy=remedy)
    unchecked = [name for name in private if name in verification.unchecked]
    if unchecked:
        raise EvidenceError(f"{', '.join(unchecked)} cannot be checked", where=str(folder), remedy=KEYED_REMEDY)
    return load(folder)
