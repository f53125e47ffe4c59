"""What the findings say of each kind of shortcut: titles and sentences."""

from __future__ import annotations

from dataclasses import dataclass

from rft.plugins.attribution.interventions import (
    MAX_RANDOM_FLIPS,
    MIN_EXAMPLES_PER_CONDITION,
    MIN_VISIBLE_SHARE,
    Intervention,
)
from rft.plugins.attribution.shortcuts.options import Shortcut


@dataclass(frozen=True)
class ShortcutWording:
    """The words of one verdict.

    Attributes:
        title, description: of the finding.
        cases: what its examples are called.
        few: the reason when there are too few cases.
        control: what its control changes, as the beginning of a sentence part.
        caveat: what it does not show.
        refusal: the reason where nothing can be said for all the cases there are; empty where something can.
    """

    title: str
    description: str
    cases: str
    few: str
    control: str
    caveat: str
    refusal: str = ""


def region_wording(shortcut: Shortcut, intervention: Intervention) -> ShortcutWording:
    """Return the words for a region that was swapped between images."""
    marked = f"Only images whose {shortcut.column} is {shortcut.value} are changed. " if shortcut.column else ""
    seen = f"he model sees {100 * intervention.visible_share:.0f} % of the region on average"
    unseen_pairs = f"; {intervention.left_out} pairs in which it sees less than half are left out"
    return ShortcutWording(
        title=f"Reliance on the region {shortcut.name}",
        description="Share of predictions that change when the region comes from an image of another predicted class, "
        "beyond the share that change when it comes from an image of the same class.",
        cases="images",
        few=f"{intervention.n} images have one of another and one of the same predicted class to take the region from; "
        f"{MIN_EXAMPLES_PER_CONDITION} are needed",
        control="with the region from an image of the same class",
        caveat=f"{marked}T{seen}{unseen_pairs if intervention.left_out else ''}. Swapped images are not natural "
        "images.",
        refusal=f"t{seen}: its preprocessing cuts the rest off"
        if intervention.visible_share < MIN_VISIBLE_SHARE
        else "",
    )


def patch_wording(shortcut: Shortcut, intervention: Intervention) -> ShortcutWording:
    """Return the words for a mark that was planted into images."""
    unmarked = f"Images whose {shortcut.column} is {shortcut.value} get none. " if shortcut.column else ""
    seen = f"he model sees {100 * intervention.visible_share:.0f} % of the place on average"
    unseen = f"; {intervention.left_out} images in which it sees less than half are left out"
    shuffled = intervention.elsewhere
    return ShortcutWording(
        title=f"Effect of the mark {shortcut.name}",
        description="Share of predictions that change when the mark is planted into images, beyond the share that "
        "change when its place is covered with the mean colour that the image has there.",
        cases="images",
        few=f"{intervention.n} test images can get the mark; {MIN_EXAMPLES_PER_CONDITION} are needed",
        control="with the place of the mark covered by its mean colour",
        caveat=f"{unmarked}T{seen}{unseen if intervention.left_out else ''}. "
        f"The same patch with its pixels in random order changes {shuffled.flips if shuffled else 0}: that is what the "
        "colours of the mark do, or anything strange in its place, whatever its shape. Images that have the class that "
        "the mark speaks for cannot change. A model that never met the mark can change its mind at it too: this says "
        "what the mark does, and not that training taught it.",
        refusal=f"t{seen}: its preprocessing cuts the rest off"
        if intervention.visible_share < MIN_VISIBLE_SHARE
        else "",
    )


def words_wording(name: str, intervention: Intervention, *, removed: bool) -> ShortcutWording:
    """Return the words for words that were removed, or had random words of other texts put in their place."""
    change = "taken out" if removed else "replaced by random words of other texts"
    return ShortcutWording(
        title=f"Reliance on the words {name}",
        description=f"Share of predictions that change when these words are {change} where a text has them, beyond the "
        "share that change when as many other words are.",
        cases="texts",
        few=_few_texts(intervention),
        control=f"with at least as many random other words of the same texts {change}",
        caveat="Random words are often such as decide little; a text with words changed is no natural one.",
        refusal=_refuse_random_flips(intervention, change),
    )


def swap_wording(name: str, intervention: Intervention, *, matched: bool) -> ShortcutWording:
    """Return the words for identity terms that were exchanged for their counterparts.

    ``matched``: whether the words of the control were drawn by how far they are from those that they replace. Then it
    is as large a change, and pairs say what the terms add to it, however many predictions it flips; flips by random
    words would say little. To refuse what flips more than ``MAX_RANDOM_FLIPS`` there too would leave next to nothing:
    on 2,354 comments of RedditBias the controls of MiniLM flip 9 % (gender), 11 % (religion), 15 % (ethnicity) and
    17 % (orientation). The caveat says so instead.
    """
    change = "exchanged for others" + (" as far from them in the model's word embeddings" if matched else "")
    upset = _refuse_random_flips(intervention, change)
    return ShortcutWording(
        title=f"Reliance on the identity terms {name}",
        description="Share of predictions that change when identity terms are exchanged for their counterparts where a "
        f"text has them, beyond the share that change when as many other words are {change}.",
        cases="texts",
        few=_few_texts(intervention),
        control=f"with at least as many random other words of the same texts {change}",
        caveat="The lists are small and English, and a counterpart is not always what a writer would have said."
        + (
            " More than 10 % of the predictions change by other words: the model is easily upset."
            if matched and upset
            else ""
        ),
        refusal="" if matched else upset,
    )


def _few_texts(intervention: Intervention) -> str:
    return (
        f"{intervention.n} test texts have these words and as many others beside them; "
        f"{MIN_EXAMPLES_PER_CONDITION} are needed"
    )


def _refuse_random_flips(intervention: Intervention, change: str) -> str:
    """Return why flips say nothing of the words, where random other words flip as many; empty where they do not."""
    control = intervention.control
    if not intervention.enough or (control.share or 0.0) <= MAX_RANDOM_FLIPS:
        return ""
    return (
        f"{control.flips} of {control.n} predictions change when random other words of the same texts are {change}, "
        f"more than {MAX_RANDOM_FLIPS:.0%}: flips say little of any word".replace("%", " %")
    )


def sound_wording(shortcut: Shortcut, intervention: Intervention, noun: str) -> ShortcutWording:
    """Return the words for a part of recordings, a span, a band or the background, that was swapped between them."""
    marked = f"Only recordings whose {shortcut.column} is {shortcut.value} are changed. " if shortcut.column else ""
    had = f"he recordings have {100 * intervention.visible_share:.0f} % of the {noun} on average"
    left_out = f"; {intervention.left_out} swaps in which one has less than half of it are left out"
    limits = {
        "span": "A span is cut in and fades over 32 ms: swapped recordings are no natural ones.",
        "band": "A band is cut in with the loudness of its donor: swapped recordings are no natural ones.",
        "background": "The background is what the quietest tenth of a recording holds. It is taken out by spectral "
        "subtraction, which leaves traces, in both conditions alike; noise that changes over time stays.",
    }
    return ShortcutWording(
        title=f"Reliance on the {noun} {shortcut.name}",
        description=f"Share of predictions that change when the {noun} comes from a recording of another predicted "
        "class, beyond the share that change when it comes from a recording of the same class.",
        cases="recordings",
        few=f"{intervention.n} recordings have one of another and one of the same predicted class to take the {noun} "
        f"from, with at least half of it; {MIN_EXAMPLES_PER_CONDITION} are needed",
        control=f"with the {noun} from a recording of the same class",
        caveat=f"{marked}T{had}{left_out if intervention.left_out else ''}. {limits[noun]}",
    )
