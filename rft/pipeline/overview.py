"""The overview of a run: a row for each question that any plugin can ask, whether or not this run asked it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from rft.plugins import Plugin, Registered
from rft.plugins.pillar import state_inapplicable, state_pillar
from rft.records import Contrast, ModelFacts, Pillar, Section
from rft.report.format.words import end_sentence

log = logging.getLogger("rft")


def state_pillars(
    registered: Iterable[Registered], sections: Sequence[Section], model: ModelFacts
) -> tuple[Pillar, ...]:
    """Return the rows of the overview, in the order in which plugins are registered.

    Args:
        registered: all plugins that are installed.
        sections: what those that took part found, as it is published.
        model: what was audited.
    """
    by_plugin = {section.plugin: section for section in sections}
    return tuple(
        state_inapplicable(plugin.name, plugin.pillar, reason)
        if (reason := plugin.explain_task(model.task, trained=model.trained_here))
        else state_pillar(plugin.name, plugin.pillar, section, *_summarize(plugin, section, model), task=model.task)
        for plugin, section in ((entry.plugin, by_plugin.get(entry.plugin.name)) for entry in registered)
        if plugin.pillar is not None
    )


def _summarize(plugin: Plugin[Any], section: Section | None, model: ModelFacts) -> tuple[str, tuple[Contrast, ...]]:
    """Return the answer of a plugin, and the largest gaps between groups."""
    if section is not None and section.audit_missing:
        return end_sentence(f"Not measured: {section.findings[0].reason}"), ()
    try:
        return plugin.summarize(section, model), plugin.list_contrasts(section, model) if section else ()
    except Exception as error:  # a plugin is foreign code: what was measured must stand
        log.warning("the plugin %s could not be summarised: %s: %s", plugin.name, type(error).__name__, error)
        return "What it found stands in its section.", ()
