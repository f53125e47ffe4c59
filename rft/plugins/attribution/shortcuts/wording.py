"""What the findings say of each kind of shortcut: titles and sentences."""

from __future__ import annotations

from dataclasses import dataclass

from rft.plugins.attribution.interventions import MIN_EXAMPLES_PER_CONDITION, MIN_VISIBLE_SHARE, Intervention


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


def region_wording(name: str, intervention: Intervention) -> ShortcutWording:
    """Return the words for a region that was swapped between images."""
    seen = f"he model sees {100 * intervention.visible_share:.0f} % of the region on average"
    unseen_pairs = f"; {intervention.left_out} pairs in which it sees less than half are left out"
    return ShortcutWording(
        title=f"Reliance on the region {name}",
        description="Share of predictions that change when the region comes from an image of another predicted class, "
        "beyond the share that change when it comes from an image of the same class.",
        cases="images",
        few=f"{intervention.n} images have one of another and one of the same predicted class to take the region from; "
        f"{MIN_EXAMPLES_PER_CONDITION} are needed",
        control="with the region from an image of the same class",
        caveat=f"T{seen}{unseen_pairs if intervention.left_out else ''}. Swapped images are not natural images.",
        refusal=f"t{seen}: its preprocessing cuts the rest off"
        if intervention.visible_share < MIN_VISIBLE_SHARE
        else "",
    )


def words_wording(name: str, intervention: Intervention, baseline: str) -> ShortcutWording:
    """Return the words for words that were replaced by the token ``baseline``."""
    return ShortcutWording(
        title=f"Reliance on the words {name}",
        description=f"Share of predictions that change when these words are replaced by {baseline} where a text has "
        "them, beyond the share that change when as many other words are.",
        cases="texts",
        few=f"{intervention.n} test texts have these words and as many others beside them; "
        f"{MIN_EXAMPLES_PER_CONDITION} are needed",
        control="with at least as many random other words of the same texts replaced",
        caveat="Random words are often such as decide little; a text with words replaced is no natural one.",
    )
