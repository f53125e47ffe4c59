"""The findings of the attribution section: results in, ``Finding`` out. Nothing here computes an attribution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from rft.number_format import format_fixed
from rft.plugins.attribution.modality_words import METHOD_NAMES, Wording
from rft.plugins.attribution.path import MAP_TOLERANCE, Completeness
from rft.records import Finding, FindingDefinition, MeasuredStatus
from rft.references import SAMEK, SUNDARARAJAN
from rft.stats import multiplicity
from rft.stats.intervals import mean_interval, wilson_interval

NO_MORE_THAN_CHANCE = 0.1  # of the lead: a map whose gain is surely below it marks nothing that is worth looking at
MAX_SAME_CLASS = 0.25  # of the baselines


def failed_maps_finding(method: str, sound: np.ndarray, words: Wording, *, layer: str | None = None) -> Finding:
    """Return how many attributions failed the checks, of (N,) ``sound`` or not: a count, so exact.

    ``layer`` is the one whose map was read, where there is one.
    """
    failed = int((~sound).sum())
    read = f"They are read at the layer {layer}, checked to be all that the prediction goes through."
    definition = FindingDefinition(
        f"attribution.failed_maps.{method}",
        f"Unusable {words.maps}: {METHOD_NAMES[method]}",
        f"Explained {words.many} whose {words.maps} say nothing for the predicted class or are not finite; they are "
        "left out of all else.",
        unit=words.many,
        better="lower",
        caveats=read if layer else "",
    )
    return definition.state_count(failed, n=len(sound), status="warn" if failed else "info")


def completeness_findings(examples: Sequence[Completeness], words: Wording) -> Iterator[Finding]:
    """Yield how far maps of integrated gradients have converged, how far off they are, and how many have no error.

    No comparison of runs judges them: they are the largest of a few examples drawn by chance.
    """
    largest_change = FindingDefinition(
        "attribution.map_change",
        f"Largest change of the {words.maps} by the last doubling of the steps",
        f"Integrated gradients take twice as many steps until the {words.maps} hardly change; this is the largest "
        "change that was left, as a share of all attribution.",
        unit="share of the attribution",
        caveats=f"Up to {MAP_TOLERANCE:g} counts as converged.",
        references=(SUNDARARAJAN,),
        cases="none",
    )
    largest_error = FindingDefinition(
        "attribution.completeness",
        "Largest completeness error of integrated gradients",
        f"Attributions should sum to what the prediction gained over {words.baseline}, on every stretch of the way. "
        "How far off they are is summed over the stretches, so that errors of opposite sign do not cancel, and divided "
        "by the sum of all changes on the way, up or down.",
        unit="relative error",
        caveats=f"Complete attributions can still point at the wrong {words.misled}: see the deletion test.",
        references=(SUNDARARAJAN,),
        cases="none",
    )
    without_error = FindingDefinition(
        "attribution.completeness_undefined",
        f"{words.many.capitalize()} without a completeness error",
        f"{words.many.capitalize()} whose logit hardly changes on the way, or is not finite: nothing to compare with.",
        unit=words.many,
    )
    changes = [example.map_change for example in examples if example.map_change is not None]
    errors = [example.error for example in examples if example.error is not None]
    if changes:
        status: MeasuredStatus = "warn" if max(changes) > MAP_TOLERANCE else "info"
        yield largest_change.state_fact(max(changes), n=len(changes), status=status)
    else:
        yield largest_change.state_not_measured(f"no explained {words.one} has usable {words.maps}", n=0)
    if errors:
        yield largest_error.state_fact(max(errors), n=len(errors))
    else:
        yield largest_error.state_not_measured(f"the error is not defined for any explained {words.one}", n=0)
    undefined = len(examples) - len(errors)
    yield without_error.state_count(undefined, n=len(examples), status="warn" if undefined else "info")


def baseline_finding(same: int, n: int, words: Wording) -> Finding:
    """Return how many of ``n`` baselines get the predicted class of what they stand in for: ``same`` of them."""
    definition = FindingDefinition(
        "attribution.baseline_same_class",
        "Baselines that keep the predicted class",
        f"Share of explained {words.many} for which {words.baseline} gets the same class. Integrated gradients tell "
        "what the rest adds: evidence that the baseline has too is not in them.",
        unit="fraction",
        better="lower",
        caveats=f"Above {MAX_SAME_CLASS:.0%} it needs a review.{words.other_baseline}".replace("%", " %"),
    )
    return definition.state_estimate(
        same / n,
        interval=wilson_interval(same, n),
        adjusted=multiplicity.adjust_interval(lambda level: wilson_interval(same, n, level=level)),
        n=n,
        status="warn" if same / n > MAX_SAME_CLASS else "info",
    )


def deletion_finding(
    method: str,
    gain: np.ndarray,
    units: np.ndarray | None,
    words: Wording,
    beyond: Mapping[str, np.ndarray] | None = None,
) -> Finding:
    """Return the mean of the deletion test.

    Args:
        method: its name.
        gain: (M,) how much more of the margin was lost by the attribution's deletion than by random ones.
        units: (M,) whose example each is, or None.
        words: of the modality.
        beyond: what knows nothing of what the network has learned, in words -> (M,) how much more was lost than by its
            deletion. An attribution that is not surely better than each of them is not said to mark what decides.
    """
    definition = _define_deletion(method, words)
    interval = mean_interval(gain, units) if len(gain) else None
    n = len(gain) if units is None else len(np.unique(units.astype(str)))
    if interval is None:
        reason = f"an interval needs usable {words.maps} of two independent {words.many}"
        return definition.state_not_measured(reason, n=n)
    intervals = {"chance": interval}
    for name, values in (beyond or {}).items():
        against = mean_interval(values, units)
        assert against is not None  # of as many cases
        intervals[name] = against
    unproven = [name for name, against in intervals.items() if against.low <= 0]
    no_better = [name for name in unproven if intervals[name].high < NO_MORE_THAN_CHANCE]
    said = f"The {words.maps} mark what decides."
    if no_better:
        said = f"The {words.maps} mark no more than {no_better[0]}: do not read them."
    elif unproven:
        said = f"Too few {words.many} to tell whether the {words.maps} mark more than {unproven[0]}."
    lead = "".join(
        f" Beyond {name}: {format_fixed(against.low, 2)} to {format_fixed(against.high, 2)}."
        for name, against in intervals.items()
        if name != "chance"
    )
    return definition.state_estimate(
        float(gain.mean()),
        interval=interval,
        adjusted=multiplicity.adjust_mean_interval(gain, units),
        n=n,
        status="warn" if no_better else "info",
        caveats=said + lead,
    )


def unavailable_methods(reasons: Mapping[str, str], words: Wording) -> Iterator[Finding]:
    """Yield ``not_measured`` for the methods that gave no attributions."""
    for method, reason in reasons.items():
        yield _define_deletion(method, words).state_not_measured(reason)


def _define_deletion(method: str, words: Wording) -> FindingDefinition:
    by_map, by_chance = words.deleted
    return FindingDefinition(
        f"attribution.deletion.{method}",
        f"Deletion test: {METHOD_NAMES[method]}",
        f"How much more of its lead over the other classes the predicted class loses when {by_map} than when "
        f"{by_chance}, as a share of that lead; at 0 or below the {words.maps} mark no more than chance.",
        unit="share of the lead",
        caveats=words.deletion_limits,
        references=(SAMEK,),
        better="higher",
    )
