"""Where the user's own records lie, apart from all runs: ledgers, what is remembered of them, and keys of runs."""

from __future__ import annotations

import os
from pathlib import Path


def state_folder() -> Path:
    """Return ``$RFT_STATE``, else ``rft`` in ``$XDG_STATE_HOME``, else in ``~/.local/state``."""
    if own := os.environ.get("RFT_STATE"):
        return Path(own)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "rft"
