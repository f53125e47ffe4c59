"""The audit of one plugin: its section, or one that says why there is none."""

from __future__ import annotations

import logging
from typing import Any

from rft.errors import EvidenceError, IntegrityError, Unavailable
from rft.pipeline.plan import ActivePlugin
from rft.plugins import AuditedModel, Plugin
from rft.records import Absence, FindingDefinition, Section, TaskName

log = logging.getLogger("rft")


def audit_with_plugin(participant: ActivePlugin, audited: AuditedModel) -> Section:
    """Return a plugin's section; one that fails or refuses gives a finding that says so, never silence.

    Raises:
        EvidenceError, IntegrityError: a promise that does not hold is more than an audit that is missing.
    """
    facts = audited.facts
    inapplicable = state_inapplicable_audit(participant.plugin, facts.task, trained=facts.trained_here)
    if inapplicable is not None:
        return inapplicable
    try:
        section: Section = participant.plugin.audit(audited, participant.options)
    except Unavailable as reason:
        return _state_missing_audit(participant.plugin, str(reason))
    except (EvidenceError, IntegrityError):
        raise
    except Exception as error:  # a plugin is foreign code: whatever it raises, the other audits must stand
        return state_failed_audit(participant.plugin, error)
    return section


def state_failed_audit(plugin: Plugin[Any], error: Exception) -> Section:
    """Return the section of a plugin that failed. What it says may name files or people: the terminal alone tells."""
    log.warning("the plugin %s failed: %s: %s", plugin.name, type(error).__name__, error)
    log.debug("plugin %s failed", plugin.name, exc_info=error)
    return _state_missing_audit(plugin, f"the plugin failed ({type(error).__name__}); the terminal said more")


def state_inapplicable_audit(plugin: Plugin[Any], task: TaskName, *, trained: bool) -> Section | None:
    """Return the section of a plugin that does not apply to a task; None where it does."""
    reason = plugin.explain_task(task, trained=trained)
    return _state_missing_audit(plugin, reason, absence="not_applicable") if reason else None


def _state_missing_audit(plugin: Plugin[Any], reason: str, absence: Absence | None = None) -> Section:
    """Return the section of an audit that was not made. It is missed, unless nobody asked for what does not apply."""
    definition = FindingDefinition(
        f"{plugin.name}.audit", "Audit not made", f"The {plugin.name} audit gave no result in this run."
    )
    finding = definition.state_not_measured(reason, absence=absence)
    is_missed = absence is None or not plugin.always_on
    return Section(plugin=plugin.name, findings=(finding,), audit_missing=is_missed)
