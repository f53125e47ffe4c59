"""How plugins are found: built-in ones are registered like any other.

Third-party packages announce theirs in the entry-point group ``rft.plugins``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import Any

from rft.config.options import Options
from rft.errors import ConfigError
from rft.plugins.protocol import Plugin
from rft.runtime.libraries import find_unmet_requirement

GROUP = "rft.plugins"
BUILTIN = (
    "rft.plugins.dataset:Dataset",
    "rft.plugins.backbone:Backbone",
    "rft.plugins.label_errors:LabelErrors",
    "rft.plugins.influence:Influence",
    "rft.plugins.training:Training",
    "rft.plugins.performance:Performance",
    "rft.plugins.privacy:Privacy",
    "rft.plugins.fairness:Fairness",
    "rft.plugins.attribution:Attribution",
)
CORE_TABLES = ("data", "model", "train", "report", "card", "policy", "predictions")  # no names for plugins


@dataclass(frozen=True)
class Registered:
    """A plugin with the distribution and version it came from."""

    plugin: Plugin[Any]
    distribution: str
    version: str

    def unmet_requirements(self, options: Options | None = None) -> dict[str, str]:
        """Return what is absent or too old of the distributions that these options require; of all without options.

        Returns:
            Distribution -> how it falls short, as ``find_unmet_requirement`` says it.
        """
        required = self.plugin.requires if options is None else self.plugin.requires_for(options)
        unmet = {name: find_unmet_requirement(name, self.distribution) for name in required}
        return {name: problem for name, problem in unmet.items() if problem is not None}

    def install_hint(self) -> str:
        """Return the pip command that brings what is missing."""
        built_in = self.distribution == "rft"
        requirement = f'"rft[{self.plugin.name}]"' if built_in else " ".join(self.unmet_requirements())
        return f"pip install {requirement}"


def discover_plugins() -> dict[str, Registered]:
    """Return all plugins by name, built-in ones first; raises ``ConfigError`` for one that breaks the protocol."""
    registry: dict[str, Registered] = {}
    for target in BUILTIN:
        _register_plugin(registry, target, "rft", _distribution_version("rft"))
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        distribution = entry.dist.name if entry.dist else "unknown"
        _register_plugin(registry, entry.value, distribution, entry.dist.version if entry.dist else "unknown")
    return registry


def _register_plugin(registry: dict[str, Registered], target: str, distribution: str, version: str) -> None:
    where = f"plugin {target} of {distribution}"
    module, _, attribute = target.partition(":")
    try:
        plugin = getattr(import_module(module), attribute)()
    except Exception as error:
        remedy = None if distribution == "rft" else f"To go on without it: pip uninstall {distribution}"
        raise ConfigError(f"cannot be loaded ({error})", where=where, remedy=remedy) from error
    if not isinstance(plugin, Plugin):
        raise ConfigError("is no subclass of rft.plugins.Plugin", where=where)
    missing = [attribute for attribute in ("name", "options") if not hasattr(plugin, attribute)]
    if missing:
        raise ConfigError(f"is not a whole plugin: it lacks {' and '.join(missing)}", where=where)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", plugin.name) or plugin.name in CORE_TABLES:
        raise ConfigError(f"the name {plugin.name!r} is not allowed for a plugin", where=where)
    if plugin.name in registry:
        raise ConfigError(f"the name {plugin.name!r} is taken by {registry[plugin.name].distribution}", where=where)
    registry[plugin.name] = Registered(plugin, distribution, version)


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def _distribution_version(distribution: str) -> str:
    return version(distribution) if _is_installed(distribution) else "unknown"
