"""Where what can be computed again is kept: features, and what was measured of recordings."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return ``$RFT_CACHE``, else ``rft`` in the user's cache folder."""
    configured = os.environ.get("RFT_CACHE")
    if configured:
        return Path(configured)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rft"
