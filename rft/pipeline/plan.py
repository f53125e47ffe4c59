"""What an audit is to do: its config, read once, and the plugins that take part. No torch, nothing loaded or run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rft.config import loader
from rft.config.loader import LoadedConfig
from rft.config.options import Options
from rft.config.schema import DataConfig, Rule
from rft.errors import ConfigError, near
from rft.plugins import Plugin, Registered, discover_plugins
from rft.runtime.libraries import import_library

if TYPE_CHECKING:
    from rft.data import Dataset
    from rft.plugins import AuditedModel


class TargetInMemory(Protocol):
    """A model, or its predictions, that the caller of rft holds in memory: one of ``rft.pipeline.targets``."""

    def prepare(self, settings: LoadedConfig, device: str) -> tuple[Dataset, AuditedModel]:
        """Return its data and what is audited of it; raises ``RftError``."""


MOST_NAMES = 8  # of findings that an error lists


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
    """What an audit is to do.

    Attributes:
        settings: the validated config.
        active: the plugins that take part, in the order of their sections.
        registered: all that are installed.
        in_memory: what is audited where the caller holds it in memory; None: the config names it.
    """

    settings: LoadedConfig
    active: tuple[ActivePlugin, ...]
    registered: tuple[Registered, ...] = ()
    in_memory: TargetInMemory | None = None


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
    return build_plan(read_settings(path, overrides, registry), registry)


def build_plan(settings: LoadedConfig, registry: Mapping[str, Registered]) -> AuditPlan:
    """Return the plan of a validated config; raises ``ConfigError`` where its plugins cannot take part."""
    active = activate_plugins(registry, settings)
    for rule in settings.core.policy:
        check_rule(rule, active, settings.core.data)
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


def check_rule(rule: Rule, active: Sequence[ActivePlugin], data: DataConfig) -> None:
    """Raise ``ConfigError`` for a rule about a plugin that does not take part, or a finding that it cannot have."""
    table = rule.finding.split(".")[0]
    participant = next((participant for participant in active if participant.name == table), None)
    if participant is None:
        names = [other.name for other in active]
        raise ConfigError(
            f"{rule.finding!r} belongs to no plugin that is switched on",
            where="policy",
            remedy=near(table, names) or f"A plugin's table switches it on, such as [{table}].",
        )
    listed = participant.plugin.list_findings(participant.options, data)
    if listed is None:
        return
    names = list(listed)
    if not any(_may_be(name, rule.finding) for name in names):
        raise ConfigError(
            f"{rule.finding!r} cannot occur in this audit, so that no rule on it could be settled",
            where="policy",
            remedy=near(rule.finding, names) or f"Findings of [{table}] here: {', '.join(names[:MOST_NAMES])}, ...",
        )


def _may_be(name: str, finding: str) -> bool:
    """Tell whether a finding has a name in which ``*`` stands for any text."""
    return re.fullmatch(".*".join(map(re.escape, name.split("*"))), finding) is not None
