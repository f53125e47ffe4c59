"""The verdict on each shortcut: what interventions did in, ``Finding`` out.

The same examples are changed under the shortcut and under its control, so what counts are the pairs that differ. All
shortcuts of an audit are judged together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rft.number_format import format_fixed
from rft.plugins.attribution.interventions import Intervention
from rft.plugins.attribution.shortcuts.options import Shortcut
from rft.plugins.attribution.shortcuts.wording import ShortcutWording
from rft.records import Finding, FindingDefinition
from rft.references import HOLM, MCNEMAR, TANGO
from rft.stats import multiplicity
from rft.stats.discordant_pairs import mcnemar_p_value, smallest_excess
from rft.stats.gaps.max_t import adjust_by_holm
from rft.stats.gaps.power import POWER

ALPHA = 0.001  # to accuse: of McNemar's exact test, after Holm's correction for all shortcuts of the audit


class ShortcutTest(NamedTuple):
    """A shortcut, what changing it did, and the words for it."""

    shortcut: Shortcut
    intervention: Intervention
    words: ShortcutWording

    @property
    def obstacle(self) -> str:
        """Why nothing can be measured; empty where something can."""
        return self.words.refusal or ("" if self.intervention.enough else self.words.few)


def judge_shortcuts(tested: Sequence[ShortcutTest]) -> Iterator[Finding]:
    """Yield the verdict on each shortcut.

    It is ``warn`` when two things hold: by McNemar's exact test, corrected by Holm's method for all shortcuts that were
    measured, more predictions flip than in the control; and the interval of the share beyond the control lies above the
    shortcut's floor.
    """
    measured = [case for case in tested if not case.obstacle]
    p_values = adjust_by_holm([mcnemar_p_value(case.intervention.won, case.intervention.lost) for case in measured])
    corrected = {case.shortcut.name: p_value for case, p_value in zip(measured, p_values, strict=True)}
    for case in tested:
        if case.obstacle:
            yield _define_shortcut(case).state_not_measured(case.obstacle, n=case.intervention.n)
        else:
            yield _judge_shortcut(case, corrected[case.shortcut.name], len(measured))


def _judge_shortcut(case: ShortcutTest, p_value: float, shortcuts: int) -> Finding:
    intervention = case.intervention
    definition = _define_shortcut(case)
    interval = intervention.excess_interval()
    relies = p_value <= ALPHA and interval.low > case.shortcut.min_flip_rate
    detectable = _smallest_excess(case, shortcuts)
    if detectable is None and not relies:
        return definition.state_not_measured(
            f"with {intervention.n} {case.words.cases} not even reliance of all predictions would be found with "
            f"{POWER:.0%} power".replace("%", " %"),
            n=intervention.n,
        )
    return definition.state_estimate(
        intervention.excess,
        interval=interval,
        adjusted=multiplicity.adjust_interval(intervention.excess_interval),
        n=intervention.n,
        status="warn" if relies else "info",
        caveats=" ".join(filter(None, (_explain_verdict(case, p_value, shortcuts, detectable), case.words.caveat))),
    )


def _define_shortcut(case: ShortcutTest) -> FindingDefinition:
    name, words = case.shortcut.name, case.words
    return FindingDefinition(
        f"attribution.shortcut.{name}",
        words.title,
        words.description,
        unit="fraction",
        better="lower",
        references=(MCNEMAR, HOLM, TANGO),
        remedy=f"Add training examples in which “{name}” says nothing of the class, or take it out; then have the "
        "model trained again.",
    )


def _smallest_excess(case: ShortcutTest, shortcuts: int) -> float | None:
    """Return the smallest share beyond the control that would have been found, with as many flips in the control.

    The first step of Holm's method holds whatever the other shortcuts show: ``ALPHA`` over their number. How often the
    control alone flips is known from few cases, and is never taken to be 0.
    """
    intervention = case.intervention
    lost = (intervention.lost + 0.5) / (intervention.n + 1)
    return smallest_excess(intervention.n, lost, alpha=ALPHA / shortcuts, floor=case.shortcut.min_flip_rate)


def _explain_verdict(case: ShortcutTest, p_value: float, shortcuts: int, detectable: float | None) -> str:
    intervention, floor = case.intervention, case.shortcut.min_flip_rate
    corrected = f", corrected for {shortcuts} shortcuts (Holm)" if shortcuts > 1 else ""
    said = (
        f"{intervention.shortcut.flips} of {intervention.n} predictions change; {case.words.control} "
        f"{intervention.control.flips} do. McNemar's exact test: p = {p_value:.2g}{corrected}. It counts as reliance "
        f"when p is at most {ALPHA:g} and the interval lies above {floor:g}."
    )
    if detectable is None:
        return said
    return f"{said} A share of {format_fixed(detectable, 2)} would be found with {POWER:.0%} power.".replace("%", " %")


_NAMED = {"image": "a region", "text": "words", "audio": "a part of recordings"}
_WANTED = {
    "image": "region = [...]",
    "text": "tokens = [...] or swap",
    "audio": "seconds = [...], hertz = [...] or background = true",
}


def list_unsuited(shortcuts: Sequence[Shortcut], modality: str, many: str) -> list[Finding]:
    """Return ``not_measured`` for each shortcut of another modality, such as a region of texts."""
    return [
        unmeasured_shortcut(
            shortcut,
            f"the shortcut names {_NAMED[shortcut.modality]}, and the examples are {many}, whose shortcuts are named "
            f"with {_WANTED[modality]}",
        )
        for shortcut in shortcuts
        if shortcut.modality != modality
    ]


def unmeasured_shortcut(shortcut: Shortcut, reason: str) -> Finding:
    """Return ``not_measured`` for a shortcut that could not be taken away."""
    definition = FindingDefinition(
        f"attribution.shortcut.{shortcut.name}",
        f"Reliance on the shortcut {shortcut.name}",
        "Share of predictions that change when what is suspected is changed, beyond those that a control changes.",
    )
    return definition.state_not_measured(reason)
