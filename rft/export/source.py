"""What an export is made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rft.records import AuditRun


@dataclass(frozen=True)
class ExportSource:
    """A finished run, and where its rules may be looked up.

    Attributes:
        run: what is exported.
        policy_file: the TOML file in which the rules stand, for the lines that SARIF points at. None: the file that the
            verdict names, in the current folder, if it is there.
    """

    run: AuditRun
    policy_file: Path | None = None
