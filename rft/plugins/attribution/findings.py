"""The findings of the attribution section: results in, ``Finding`` out. Nothing here computes an attribution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from rft.intervals import mean_interval
from rft.plugins.attribution.faithfulness import CONTROLS, SHARE
from rft.plugins.attribution.mean_maps import NAMES
from rft.plugins.attribution.methods import TOLERANCE, Completeness, Maps
from rft.plugins.attribution.suspects import FEWEST_PAIRS, Intervention
from rft.records import Finding, not_measured


def failed_maps(maps: Maps) -> Finding:
    """Return how many maps failed the checks: a count, so exact."""
    failed = int((~maps.sound).sum())
    return Finding(
        id=f"attribution.failed_maps.{maps.method}",
        title=f"Unusable maps: {NAMES[maps.method]}",
        status="warn" if failed else "info",
        value=failed,
        unit="images",
        exact=True,
        n=len(maps.sound),
        meaning="Explained images whose map is zero everywhere or not finite; they are left out of all else.",
    )


def completeness(images: tuple[Completeness, ...]) -> Iterator[Finding]:
    """Yield the largest completeness error of integrated gradients, and how many images have none."""
    id, title = "attribution.completeness", "Largest completeness error of integrated gradients"
    meaning = (
        "Attributions should sum to what the prediction gained over the blurred image; this is how far off they are."
    )
    errors = [each.error for each in images if each.error is not None]
    if errors:
        yield Finding(
            id=id,
            title=title,
            status="warn" if max(errors) > TOLERANCE else "info",
            value=max(errors),
            unit="relative error",
            exact=True,
            n=len(errors),
            meaning=meaning,
            limits="Complete attributions can still point at the wrong pixels: see the deletion test.",
            references=("Sundararajan et al. 2017, ICML",),
        )
    else:
        yield not_measured(id, title, "the error is not defined for any explained image", meaning, n=0)
    undefined = len(images) - len(errors)
    yield Finding(
        id="attribution.completeness_undefined",
        title="Images without a completeness error",
        status="warn" if undefined else "info",
        value=undefined,
        unit="images",
        exact=True,
        n=len(images),
        meaning="Images whose logit is the same with and without blur, or not finite: nothing to compare with.",
    )


def deletion(method: str, gain: np.ndarray, units: np.ndarray | None) -> Finding:
    """Return the mean of the deletion test.

    Args:
        method: ``gradcam`` or ``integrated_gradients``.
        gain: (M,) how much more probability was lost by the map's deletion than by random ones.
        units: (M,) whose image each is, or None.
    """
    id, title, meaning = _deletion_words(method)
    interval = mean_interval(gain, units) if len(gain) else None
    n = len(gain) if units is None else len(np.unique(units.astype(str)))
    if interval is None:
        return not_measured(id, title, "an interval needs usable maps of two independent images", meaning, n=n)
    return Finding(
        id=id,
        title=title,
        status="info" if interval.low > 0 else "warn",
        value=float(gain.mean()),
        unit="probability",
        interval=interval,
        n=n,
        meaning=meaning,
        limits=f"Against {CONTROLS} random places an image; blurred patches are not natural pictures.",
        references=("Samek et al. 2017, IEEE TNNLS 28:2660",),
    )


def unmade(reasons: Mapping[str, str]) -> Iterator[Finding]:
    """Yield ``not_measured`` for the methods that gave no maps."""
    for method, reason in reasons.items():
        id, title, meaning = _deletion_words(method)
        yield not_measured(id, title, reason, meaning)


def _deletion_words(method: str) -> tuple[str, str, str]:
    return (
        f"attribution.deletion.{method}",
        f"Deletion test: {NAMES[method]}",
        f"How much more the predicted class loses when the {100 * SHARE:.0f} % of the picture that the map marks is "
        "blurred than when a random equal part is; at 0 or below the map marks no more than chance.",
    )


def suspect(name: str, floor: float, intervention: Intervention) -> Finding:
    """Return the verdict on a suspect.

    It is ``warn`` when two things are sure: more predictions flip than in the control, and a larger share than
    ``floor``.
    """
    id, title = f"attribution.suspect.{name}", f"Reliance on the region {name}"
    meaning = "Share of predictions that change when the region comes from an image of another predicted class."
    arm, control = intervention.suspect, intervention.control
    if arm.interval is None or not intervention.enough:
        reason = (
            f"{arm.n} pairs of different and {control.n} of the same predicted class; {FEWEST_PAIRS} of each are needed"
        )
        return not_measured(id, title, reason, meaning, n=min(arm.n, control.n))
    excess = intervention.excess()
    relies = excess.low > 0 and arm.interval.low > floor
    return Finding(
        id=id,
        title=title,
        status="warn" if relies else "info",
        value=arm.share,
        unit="fraction",
        interval=arm.interval,
        n=arm.n,
        meaning=meaning,
        limits=f"With the region from an image of the same class {control.flips} of {control.n} change; the excess is "
        f"{excess.low:.3f} to {excess.high:.3f} ({excess.method}). It counts as reliance when the excess lies above 0 "
        f"and the share above {floor:g}. Swapped images are not natural pictures.",
    )
