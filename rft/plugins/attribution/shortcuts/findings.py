"""The verdict on each shortcut: what interventions did in, ``Finding`` out."""

from __future__ import annotations

from rft.number_format import format_fixed
from rft.plugins.attribution.interventions import MIN_VISIBLE_SHARE, Intervention
from rft.plugins.attribution.shortcuts.options import Shortcut
from rft.plugins.attribution.shortcuts.wording import ShortcutWording
from rft.records import Finding, FindingDefinition
from rft.stats import multiplicity
from rft.stats.intervals import clopper_pearson_interval


def judge_shortcut(shortcut: Shortcut, intervention: Intervention, words: ShortcutWording) -> Finding:
    """Return the verdict on a shortcut.

    It is ``warn`` when two things are sure: more predictions flip than in the control, and a larger share than the
    shortcut's floor.
    """
    id = f"attribution.shortcut.{shortcut.name}"
    remedy = (
        f"Add training examples in which “{shortcut.name}” says nothing of the class, or take it out; then have "
        "the model trained again."
    )
    definition = FindingDefinition(id, words.title, words.description, unit="fraction", better="lower", remedy=remedy)
    condition, control = intervention.shortcut, intervention.control
    if intervention.visible_share < MIN_VISIBLE_SHARE:
        return definition.state_not_measured(words.unseen, n=0)
    if condition.share is None or condition.interval is None or not intervention.enough:
        return definition.state_not_measured(words.few, n=min(condition.n, control.n))
    excess = intervention.excess_interval()
    relies = excess.low > 0 and condition.interval.low > shortcut.min_flip_rate
    return definition.state_estimate(
        condition.share,
        interval=condition.interval,
        adjusted=multiplicity.adjust_interval(
            lambda level: clopper_pearson_interval(condition.flips, condition.n, level=level)
        ),
        n=condition.n,
        status="warn" if relies else "info",
        caveats=f"{words.control} {control.flips} of {control.n} change; the excess is "
        f"{format_fixed(excess.low, 3)} to {format_fixed(excess.high, 3)} ({excess.method}). It counts as reliance "
        f"when the excess lies above 0 and the share above {shortcut.min_flip_rate:g}. {words.caveat}",
    )


def unsuited_shortcut(shortcut: Shortcut, many: str) -> Finding:
    """Return ``not_measured`` for a shortcut of another modality: a region of texts, words of images."""
    named, wanted = ("a region", "tokens = [...]") if shortcut.region else ("words", "region = [...]")
    return unmeasured_shortcut(
        shortcut, f"the shortcut names {named}, and the examples are {many}, whose shortcuts are named with {wanted}"
    )


def unmeasured_shortcut(shortcut: Shortcut, reason: str) -> Finding:
    """Return ``not_measured`` for a shortcut that could not be taken away."""
    definition = FindingDefinition(
        f"attribution.shortcut.{shortcut.name}",
        f"Reliance on the shortcut {shortcut.name}",
        "Share of predictions that change when what is suspected is taken away.",
    )
    return definition.state_not_measured(reason)
