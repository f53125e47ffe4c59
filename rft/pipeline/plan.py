"""What an audit is to do: its config, read once, and the plugins that take part. No torch, nothing loaded or run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rft.config import loader
from rft.config.loader import LoadedConfig
from rft.config.options import Options
from rft.config.schema import Rule
from rft.errors import ConfigError, near
from rft.plugins import Plugin, Registered, discover_plugins
from rft.runtime.libraries import import_library


@dataclass(frozen=True)
class ActivePlugin:
    """A plugin that takes part in a run, with the options of its table."""

    registered: Registered
    options: Options

    @property
    def plugin(self) -> Plugin[Any]:
        """The plugin itself."""
        return self.registered.plugin

    @property
    def name(self) -> str:
        """Its table in ``audit.toml``."""
        return self.plugin.name


@dataclass(frozen=True)
class AuditPlan:
    """A validated config, the plugins that take part, in the order of their sections, and all that are installed."""

    settings: LoadedConfig
    active: tuple[ActivePlugin, ...]
    registered: tuple[Registered, ...] = ()


def read_plan(path: str | Path, overrides: Sequence[str] = ()) -> AuditPlan:
    """Read a config and find the plugins that take part.

    Args:
        path: the config file.
        overrides: ``table.key=value`` strings that replace values of the config.

    Raises:
        ConfigError: for all that can be told to be wrong before torch is imported; ``check_plan`` of the stages tells
            the rest.
    """
    registry = discover_plugins()
    settings = read_settings(path, overrides, registry)
    active = activate_plugins(registry, settings)
    for rule in settings.core.policy:
        check_rule(rule, active)
    return AuditPlan(settings, active, tuple(registry.values()))


def read_settings(path: str | Path, overrides: Sequence[str], registry: Mapping[str, Registered]) -> LoadedConfig:
    """Read and validate a config with the tables of these plugins; raises ``ConfigError``."""
    options = {name: registered.plugin.options for name, registered in registry.items()}
    return loader.load_config(Path(path), list(overrides), options)


def activate_plugins(registry: Mapping[str, Registered], settings: LoadedConfig) -> tuple[ActivePlugin, ...]:
    """Return the plugins that take part with their options.

    Raises:
        ConfigError: what one needs is not installed or not set, which would else only fail after hours of work.
    """
    active = list_active(registry, settings)
    for participant in active:
        check_requirements(participant, settings)
    return active


def list_active(registry: Mapping[str, Registered], settings: LoadedConfig) -> tuple[ActivePlugin, ...]:
    """Return the plugins that are switched on with their options, whether or not they can take part."""
    return tuple(
        ActivePlugin(registered, settings.plugins.get(name) or registered.plugin.options())
        for name, registered in registry.items()
        if registered.plugin.always_on or name in settings.plugins
    )


def check_requirements(participant: ActivePlugin, settings: LoadedConfig) -> None:
    """Raise ``ConfigError`` unless the plugin's distributions are installed and its keys of ``[data]`` are set."""
    registered, options = participant.registered, participant.options
    where = f"[{registered.plugin.name}]"
    if unmet := registered.unmet_requirements(options):
        raise ConfigError(f"needs {'; '.join(unmet.values())}", where=where, remedy=registered.install_hint())
    for key in registered.plugin.needs:
        if not getattr(settings.core.data, key):
            raise ConfigError(f"needs data.{key}, which is not set", where=where, remedy=f"Add {key} = ... to [data].")


def check_imports(participant: ActivePlugin) -> None:
    """Import what the plugin requires, which takes seconds; raises ``ConfigError`` for a library that is broken."""
    registered = participant.registered
    for name in registered.plugin.requires_for(participant.options):
        import_library(
            name,
            error=ConfigError,
            where=f"[{participant.name}]",
            install=registered.install_hint(),
            owner=registered.distribution,
        )


def check_rule(rule: Rule, active: Sequence[ActivePlugin]) -> None:
    """Raise ``ConfigError`` for a rule about a plugin that does not take part."""
    table = rule.finding.split(".")[0]
    active_names = [participant.name for participant in active]
    if table not in active_names:
        raise ConfigError(
            f"{rule.finding!r} belongs to no plugin that is switched on",
            where="policy",
            remedy=near(table, active_names) or f"A plugin's table switches it on, such as [{table}].",
        )
