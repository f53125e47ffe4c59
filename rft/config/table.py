"""What all tables of ``audit.toml`` have in common."""

from __future__ import annotations

from pydantic import ConfigDict

STRICT = ConfigDict(extra="forbid", frozen=True, strict=True)  # no unknown keys, nothing converted, nothing changed
