"""Suspected parts of recordings: each is swapped between recordings of different classes, and flips are counted.

As with regions of images, the control is the same part from a recording of the same predicted class: the same kind of
content, with the same seams, that speaks for no other class. What another part of the same size from the same
recording of another class flips stands beside, and decides nothing: it may hold the speech itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from rft.data.audio.decoding import Recording
from rft.plugins import AuditedModel
from rft.plugins.attribution.interventions import MIN_VISIBLE_SHARE, Condition, Intervention
from rft.plugins.attribution.network import Network, batch_slices
from rft.plugins.attribution.shortcuts.choices import Choice, change_together, plan_choice
from rft.plugins.attribution.shortcuts.findings import ShortcutTest
from rft.plugins.attribution.shortcuts.options import Shortcut
from rft.plugins.attribution.shortcuts.pairing import SwapPlan
from rft.plugins.attribution.shortcuts.wording import sound_wording
from rft.plugins.attribution.speech.clips import TestClips
from rft.plugins.attribution.speech.shortcuts.changes import SoundChange, choose_change
from rft.plugins.attribution.speech.spectra import ShortTimeSpectrum
from rft.runtime.progress import track_progress


def measure_sounds(
    audited: AuditedModel, network: Network, clips: TestClips, shortcuts: Sequence[Shortcut]
) -> list[ShortcutTest]:
    """Return what swapping the part of each shortcut did, for those that name parts of recordings."""
    named = [shortcut for shortcut in shortcuts if shortcut.modality == "audio"]
    results = change_together(named, partial(_swap_together, audited, network, clips))
    return [
        ShortcutTest(
            shortcut,
            results[shortcut.name],
            sound_wording(shortcut, results[shortcut.name], choose_change(shortcut).noun),
        )
        for shortcut in named
    ]


def _swap_together(
    audited: AuditedModel, network: Network, clips: TestClips, shortcuts: Sequence[Shortcut], choice: Choice
) -> list[Intervention]:
    plan = plan_choice(audited, choice)
    return swap_sounds(network, clips, plan, [choose_change(shortcut) for shortcut in shortcuts])


def swap_sounds(
    network: Network, clips: TestClips, plan: SwapPlan, changes: Sequence[SoundChange]
) -> list[Intervention]:
    """Swap each of several parts between test recordings and count the predictions that change.

    Recordings are read, and predicted as they are, once for all parts together.

    Args:
        network: the classifier.
        clips: reads the test split.
        plan: who gets a part from whom.
        changes: the parts. Swaps in which a recording has less than half of the part are left out.

    Returns:
        For each part ``shortcut``: it comes from a recording of another predicted class. ``control``: it comes from one
        of the same predicted class. ``elsewhere``: another part of the same size, from the recordings of ``shortcut``,
        where those have one; None for the background.
    """
    tests = [_PartTest(change) for change in changes]
    for part in track_progress(list(batch_slices(len(plan.recipients))), "Interventions"):
        recordings = clips.read(plan.recipients[part])
        recipients, donors, likes = (
            [ShortTimeSpectrum.from_recording(recording) for recording in group]
            for group in (recordings, clips.read(plan.donors[part]), clips.read(plan.likes[part]))
        )
        predict = _Predict(network, clips)
        before = predict.classes(recordings)
        for test in tests:
            test.count_flips(predict, before, recipients, donors, likes)
    return [test.conclude(plan) for test in tests]


@dataclass(frozen=True)
class _Predict:
    network: Network
    clips: TestClips

    def classes(self, recordings: Sequence[Recording]) -> np.ndarray:
        """Return (B,) predicted classes."""
        predicted: np.ndarray = self.network.logits(self.clips.prepare(recordings)).argmax(dim=1).numpy()
        return predicted


@dataclass(frozen=True)
class _PartTest:
    """The swaps of one part.

    Attributes:
        change: the part.
        shares: how much of it both recordings of a swap have, of each pair of swaps the smaller.
        flips: condition -> whether each prediction changed; None where it was not swapped.
    """

    change: SoundChange
    shares: list[float] = field(default_factory=list)
    flips: dict[str, list[bool | None]] = field(default_factory=lambda: {"other": [], "same": [], "elsewhere": []})

    def count_flips(
        self,
        predict: _Predict,
        before: np.ndarray,
        recipients: list[ShortTimeSpectrum],
        donors: list[ShortTimeSpectrum],
        likes: list[ShortTimeSpectrum],
    ) -> None:
        """Note which predictions change for some of the swaps, of recordings with the predictions ``before`` (B,)."""
        shares = [
            min(self.change.find_share(spectrum) for spectrum in group)
            for group in zip(recipients, donors, likes, strict=True)
        ]
        changes = [self.change if share >= MIN_VISIBLE_SHARE else None for share in shares]
        elsewhere = [
            self.change.find_elsewhere(min(pair, key=lambda spectrum: spectrum.seconds))
            for pair in zip(recipients, donors, strict=True)
        ]
        self.shares.extend(shares)
        self.flips["other"] += _find_flips(predict, before, changes, recipients, donors)
        self.flips["same"] += _find_flips(predict, before, changes, recipients, likes)
        self.flips["elsewhere"] += _find_flips(predict, before, elsewhere, recipients, donors)

    def conclude(self, plan: SwapPlan) -> Intervention:
        """Return what the swaps did of which the recordings have enough."""
        seen = np.array([flip is not None for flip in self.flips["other"]], dtype=bool)
        shortcut, control, elsewhere = (
            np.array([flip for flip in flips if flip is not None], dtype=bool) for flips in self.flips.values()
        )
        noun = self.change.noun
        return Intervention(
            shortcut=Condition(f"{noun}, other class", shortcut),
            control=Condition(f"{noun}, same class", control),
            rows=plan.recipients[seen],
            elsewhere=Condition(f"another {noun} of the same size, other class", elsewhere) if len(elsewhere) else None,
            visible_share=float(np.mean(self.shares)) if self.shares else 1.0,
            left_out=int((~seen).sum()),
        )


def _find_flips(
    predict: _Predict,
    before: np.ndarray,
    changes: Sequence[SoundChange | None],
    recipients: list[ShortTimeSpectrum],
    donors: list[ShortTimeSpectrum],
) -> list[bool | None]:
    """Return whether each prediction changes by its change; None where it has none."""
    flips: list[bool | None] = [None] * len(recipients)
    places = [place for place, change in enumerate(changes) if change is not None]
    changed = [
        change.take_from(recipient, donor).to_recording()
        for change, recipient, donor in zip(changes, recipients, donors, strict=True)
        if change is not None
    ]
    if changed:
        for place, after in zip(places, predict.classes(changed), strict=True):
            flips[place] = bool(after != before[place])
    return flips
