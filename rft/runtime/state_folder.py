"""Where the user's own records lie, apart from all runs: ledgers, what is remembered of them, and keys of runs."""

from __future__ import annotations

import os
from pathlib import Path


def state_folder() -> Path:
    """Return ``$RFT_STATE``, else ``rft`` in ``$XDG_STATE_HOME``, else in ``~/.local/state``."""
    if configured := os.environ.get("RFT_STATE"):
        return Path(configured)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "rft"
