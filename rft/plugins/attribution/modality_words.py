"""What the findings say of each modality: names and sentences."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rft.plugins.attribution.interventions import (
    DELETED_SHARES,
    MIN_EXAMPLES_PER_CONDITION,
    RANDOM_CONTROLS,
    Intervention,
)

METHOD_NAMES = {
    "class_activation": "class activation map",
    "gradcam": "GradCAM",
    "integrated_gradients": "integrated gradients",
    "patch_ablation": "patch ablation",
}
_SHARES = f"{', '.join(f'{100 * share:.0f}' for share in DELETED_SHARES[:-1])} and {100 * DELETED_SHARES[-1]:.0f} %"


@dataclass(frozen=True)
class Wording:
    """The words of a modality.

    Attributes:
        one, many: what an example is called.
        maps: what an attribution is called.
        baseline: what integrated gradients start from.
        other_baseline: a sentence on what else they could start from; empty where there is nothing.
        misled: what complete attributions may still get wrong.
        deleted: what the deletion test takes away by the attribution, and what in its control.
        deletion_limits: what the deletion test does not show.
    """

    one: str
    many: str
    maps: str
    baseline: str
    misled: str
    deleted: tuple[str, str]
    deletion_limits: str
    other_baseline: str = ""


_IMAGES = Wording(
    one="image",
    many="images",
    maps="maps",
    baseline="the blurred image",
    misled="pixels",
    deleted=(f"the {_SHARES} of the image that the map marks get its mean colour", "random equal parts do"),
    deletion_limits=f"Against {RANDOM_CONTROLS} random places an image; filled patches are not natural images.",
)
IMAGES = {
    "blur": replace(
        _IMAGES,
        other_baseline=' Another baseline is baseline = "mean", the mean training image.',
    ),
    "mean": replace(_IMAGES, baseline="the mean training image"),
}


def text_wording(baseline: str) -> Wording:
    """Return the words for texts whose tokens are replaced by the token ``baseline``."""
    return Wording(
        one="text",
        many="texts",
        maps="attributions",
        baseline=f"the text with {baseline} for each word",
        misled="tokens",
        deleted=(
            f"the {_SHARES} of the tokens that speak most for it are replaced by {baseline}",
            "as many random ones are",
        ),
        deletion_limits=f"Against {RANDOM_CONTROLS} random choices a text; a text with words replaced is no "
        "natural one.",
    )


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
