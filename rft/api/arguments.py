"""From the arguments of a function to the tables of a config, which the one loader validates."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rft.config.loader import examine_tables
from rft.errors import ConfigError, near
from rft.pipeline.plan import AuditPlan, build_plan
from rft.plugins import discover_plugins

Tables = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True)
class ConfigArguments:
    """The arguments of a function, as a config has them.

    Attributes:
        function: what errors name in the place of a file.
        keys: argument -> the key of the config that it stands for, such as ``data.label``.
        values: argument -> what was given for it; None or an empty list where nothing was.
        plugins: name -> its options, which switches it on.
    """

    function: str
    keys: Mapping[str, str]
    values: Mapping[str, object]
    plugins: Tables | None = None

    def plan_audit(self) -> AuditPlan:
        """Return what an audit is to do.

        Raises:
            ConfigError: for the first thing that is not as it should be.
        """
        registry = discover_plugins()
        options = {name: registered.plugin.options for name, registered in registry.items()}
        raw = self._write_tables()
        if not isinstance(self.plugins or {}, Mapping):
            remedy = 'Such as plugins={"fairness": {}}.'
            raise ConfigError("plugins: expected a mapping of names to options", where=self.function, remedy=remedy)
        for name, table in (self.plugins or {}).items():
            if name not in registry:
                remedy = near(name, list(registry)) or f"Installed are {', '.join(registry)}."
                raise ConfigError(f"plugins: there is no plugin {name!r}", where=self.function, remedy=remedy)
            raw[name] = to_plain(table)
        settings, problems = examine_tables(raw, options, where=self.function, folder=Path.cwd())
        if settings is None or problems:
            raise problems[0]
        return build_plan(settings, registry)

    def _write_tables(self) -> dict[str, object]:
        """Return the core's tables, as a TOML file would hold them."""
        raw: dict[str, Any] = {}
        for argument, key in self.keys.items():
            value = to_plain(self.values.get(argument))
            table, _, name = key.rpartition(".")
            content = raw.setdefault(table, {}) if table else raw
            if value is not None and value != []:
                content[name] = value
        return raw


def to_plain(value: object) -> object:
    """Return a value as TOML would give it: tables, lists, and Python's own numbers and texts."""
    if isinstance(value, Mapping):
        return {str(key): to_plain(content) for key, content in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [to_plain(content) for content in value]
    if isinstance(value, Path):
        return str(value)
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) in (0, 1):
        return value.tolist()  # type: ignore[attr-defined]
    return copy.copy(value)


def to_text(value: object) -> str | None:
    """Return a class as it is read in a table: ``1`` for the number 1, ``True`` for a truth value."""
    return None if value is None else str(value)
