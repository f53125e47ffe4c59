"""The base of every table of ``audit.toml``, the core's and those of plugins."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ConfigTable(BaseModel):
    """Strict types; unknown keys are errors. What a key means stands below it, as its docstring.

    From there it goes into ``docs/config.md`` and the JSON Schema (``make reference``).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
