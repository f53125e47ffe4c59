"""Which findings a run may have, so that a rule on any other is an error: it could never be settled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from rft.config.options import Options
from rft.config.schema import DataConfig, Rule
from rft.errors import ConfigError, near
from rft.plugins.protocol import Plugin
from rft.plugins.registry import discover_plugins
from rft.records import AuditRun, TaskName

MOST_NAMES = 8  # of findings that an error lists
Possible = dict[str, tuple[str, ...] | None]
"""Plugin that takes part -> the ids that its findings may have, ``*`` for any text; None where it does not say."""


def list_possible(taking_part: Iterable[tuple[Plugin[Any], Options]], data: DataConfig, task: TaskName) -> Possible:
    """Return the findings that these plugins may have with these options, of an audit of this task."""
    listed = {plugin.name: plugin.list_findings_for(task, options, data) for plugin, options in taking_part}
    return {name: None if ids is None else tuple(ids) for name, ids in listed.items()}


def list_possible_of_run(run: AuditRun) -> Possible:
    """Return the findings that a finished run may have: those that it has, and those that its config allows.

    A plugin that is not installed here, or whose table is that of another version of rft, does not say.
    """
    config, registry = run.run.config, discover_plugins()
    held = {section.plugin: tuple(finding.id for finding in section.findings) for section in run.sections}
    possible: Possible = {}
    for name in (*held, *(name for name in registry if name in config and name not in held)):
        try:
            plugin = registry[name].plugin
            data = DataConfig.model_validate(config.get("data", {}))
            options = plugin.options.model_validate(config.get(name, {}))
            listed = list_possible([(plugin, options)], data, run.model.task)[name]
        except (KeyError, ValidationError):
            listed = None
        possible[name] = None if listed is None else (*listed, *held.get(name, ()))
    return possible


def check_rule(rule: Rule, possible: Possible, *, where: str = "policy") -> None:
    """Raise ``ConfigError`` for a rule about a plugin that does not take part, or a finding that it cannot have.

    Args:
        rule: of a config, or of a file with rules for a run that is there.
        possible: what the run may have.
        where: the rule stands.
    """
    table = rule.finding.split(".")[0]
    if table not in possible:
        raise ConfigError(
            f"{rule.finding!r} belongs to no plugin that is switched on",
            where=where,
            remedy=near(table, list(possible)) or f"A plugin's table switches it on, such as [{table}].",
        )
    names = possible[table]
    if names is not None and not any(_may_be(name, rule.finding) for name in names):
        raise ConfigError(
            f"{rule.finding!r} cannot occur here, so that no rule on it could be settled",
            where=where,
            remedy=near(rule.finding, list(names)) or _list_some(table, names),
        )


def _list_some(table: str, names: Sequence[str]) -> str:
    if not names:
        return f"[{table}] does not apply here, and has no findings: remove the rule."
    return f"Findings of [{table}] here: {', '.join(names[:MOST_NAMES])}, ..."


def _may_be(name: str, finding: str) -> bool:
    """Tell whether a finding has a name in which ``*`` stands for any text."""
    return re.fullmatch(".*".join(map(re.escape, name.split("*"))), finding) is not None
