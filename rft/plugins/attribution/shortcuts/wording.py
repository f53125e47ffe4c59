"""What the findings say of each kind of shortcut: titles and sentences."""

from __future__ import annotations

from dataclasses import dataclass

from rft.plugins.attribution.interventions import MIN_EXAMPLES_PER_CONDITION, Intervention


@dataclass(frozen=True)
class ShortcutWording:
    """The words of one verdict.

    Attributes:
        title, description: of the finding.
        few: the reason when there are too few cases.
        control: what its control counts.
        caveat: what it does not show.
        unseen: the reason when the model sees too little of what it may rely on; empty where it sees all.
    """

    title: str
    description: str
    few: str
    control: str
    caveat: str
    unseen: str = ""


def region_wording(name: str, intervention: Intervention) -> ShortcutWording:
    """Return the words for a region that was swapped between images."""
    different, same = intervention.shortcut.n, intervention.control.n
    seen = f"he model sees {100 * intervention.visible_share:.0f} % of the region on average"
    unseen_pairs = f"; {intervention.left_out} pairs in which it sees less than half are left out"
    return ShortcutWording(
        title=f"Reliance on the region {name}",
        description="Share of predictions that change when the region comes from an image of another predicted class.",
        few=f"{different} pairs of different and {same} of the same predicted class; {MIN_EXAMPLES_PER_CONDITION} "
        "of each are needed",
        control="With the region from an image of the same class",
        caveat=f"T{seen}{unseen_pairs if intervention.left_out else ''}. Swapped images are not natural images.",
        unseen=f"t{seen}: its preprocessing cuts the rest off",
    )


def words_wording(name: str, intervention: Intervention, baseline: str) -> ShortcutWording:
    """Return the words for words that were replaced by the token ``baseline``."""
    return ShortcutWording(
        title=f"Reliance on the words {name}",
        description=f"Share of predictions that change when these words are replaced by {baseline} where a text has "
        "them.",
        few=f"{intervention.shortcut.n} test texts have these words and as many others beside them; "
        f"{MIN_EXAMPLES_PER_CONDITION} are needed",
        control="With at least as many random other words of the same texts replaced",
        caveat="Random words are often such as decide little; a text with words replaced is no natural one.",
    )
