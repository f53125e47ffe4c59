"""What an audit is to do: its config, read once, and the plugins that take part. No torch, nothing loaded or run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rft.config import loader
from rft.config.loader import LoadedConfig
from rft.config.options import Options
from rft.config.rule_places import name_rule_places
from rft.errors import ConfigError
from rft.plugins import Plugin, Registered, discover_plugins
from rft.plugins.possible_findings import Possible, check_rule, list_possible
from rft.runtime.libraries import import_library

if TYPE_CHECKING:
    from rft.data import Dataset
    from rft.plugins import AuditedModel


POLICY = "policy"  # the table of rules


class TargetInMemory(Protocol):
    """A model, or its predictions, that the caller of rft holds in memory: one of ``rft.pipeline.targets``."""

    def prepare(self, settings: LoadedConfig, device: str) -> tuple[Dataset, AuditedModel]:
        """Return its data and what is audited of it; raises ``RftError``."""


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
    settings = read_settings(path, overrides, registry)
    return build_plan(settings, registry, locate_rules(settings, path, overrides))


def build_plan(settings: LoadedConfig, registry: Mapping[str, Registered], places: Sequence[str] = ()) -> AuditPlan:
    """Return the plan of a validated config.

    Args:
        settings: the config.
        registry: what is installed.
        places: where its rules stand, for errors; none where they stand in no file.

    Raises:
        ConfigError: plugins cannot take part, or a rule is on what they cannot find.
    """
    active = activate_plugins(registry, settings)
    for rule, place in zip(settings.core.policy, places or [POLICY] * len(settings.core.policy), strict=True):
        check_rule(rule, list_possible_findings(active, settings), where=place)
    return AuditPlan(settings, active, tuple(registry.values()))


def locate_rules(settings: LoadedConfig, path: str | Path, overrides: Sequence[str]) -> list[str]:
    """Return where each rule of a config stands, for errors: in its file, unless an override replaced them all."""
    count = len(settings.core.policy)
    if any(override.partition("=")[0].strip() == POLICY for override in overrides):
        return [f"--set {POLICY}, rule {number}" for number in range(1, count + 1)]
    return name_rule_places(Path(path), count)


def list_possible_findings(active: Sequence[ActivePlugin], settings: LoadedConfig) -> Possible:
    """Return what an audit with these plugins may find."""
    taking_part = [(participant.plugin, participant.options) for participant in active]
    return list_possible(taking_part, settings.core.data, settings.core.task)


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
    for key in registered.plugin.needs_for(settings.core.task):
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
