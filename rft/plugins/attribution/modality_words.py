"""What the findings say of each modality: names and sentences."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rft.plugins.attribution.interventions import DELETED_SHARES, NOISE, RANDOM_CONTROLS

METHOD_NAMES = {
    "class_activation": "class activation map",
    "gradcam": "GradCAM",
    "integrated_gradients": "integrated gradients",
    "patch_ablation": "patch ablation",
    "word_removal": "word removal",
    "window_occlusion": "window occlusion",
    "band_occlusion": "band occlusion",
}
PARTS_BY_CHANCE = "with parts in random order"
_NOISE = f"{100 * NOISE:g} %"
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
        inserted: what the insertion test shows by the attribution, and what in its control.
        insertion_limits: what the insertion test does not show.
        content: what an example holds whatever was learned, which attributions are compared with.
        by_chance: which attributions, compared with each other, are alike by chance alone.
        noise: what is added to an example that should change its attributions little.
        slight_noise: the same, where it changes them.
    """

    one: str
    many: str
    maps: str
    baseline: str
    misled: str
    deleted: tuple[str, str]
    deletion_limits: str
    inserted: tuple[str, str]
    insertion_limits: str
    content: str
    by_chance: str
    noise: str
    slight_noise: str
    other_baseline: str = ""


_IMAGES = Wording(
    one="image",
    many="images",
    maps="maps",
    baseline="the blurred image",
    misled="pixels",
    deleted=(f"the {_SHARES} of the image that the map marks get its mean colour", "random equal parts do"),
    deletion_limits=f"Against {RANDOM_CONTROLS} random places an image; filled patches are not natural images.",
    inserted=(
        "the parts of an image that the map marks, alone on the image's mean colour,",
        "random equal parts",
    ),
    insertion_limits="Parts of an image on one colour are no natural image.",
    content="the contrast of the image",
    by_chance="of different images",
    noise=f"noise of {_NOISE} of the range of its pixels",
    slight_noise="noise that nobody sees",
)
IMAGES = {
    "blur": replace(
        _IMAGES,
        other_baseline=' Another baseline is baseline = "mean", the mean training image.',
    ),
    "mean": replace(_IMAGES, baseline="the mean training image"),
}


def text_wording(baseline: str, deleted_by: str) -> Wording:
    """Return the words for texts: gradients start from the token ``baseline``, and ``deleted_by`` deletes tokens."""
    return Wording(
        one="text",
        many="texts",
        maps="attributions",
        baseline=f"the text with {baseline} for each word",
        misled="tokens",
        deleted=(
            f"the {_SHARES} of the tokens that speak most for it give way to {deleted_by}",
            "as many random ones do",
        ),
        deletion_limits=f"Against {RANDOM_CONTROLS} random choices a text; a text with words replaced is no "
        "natural one.",
        inserted=(
            f"the {_SHARES} of the tokens that speak most for it, with {deleted_by} in the place of all others,",
            "as many random ones",
        ),
        insertion_limits="A few words of a text are no natural text.",
        content="how far the embeddings of the tokens are from the baseline",
        by_chance=PARTS_BY_CHANCE,
        noise=f"noise of {_NOISE} of the range of the word embeddings in each of them",
        slight_noise="small noise in the word embeddings",
    )


def recording_wording(filled_by: str, *, bands: bool) -> Wording:
    """Return the words for recordings: ``filled_by`` fills what is deleted, ``bands`` or windows of time."""
    parts = "bands" if bands else "windows of time"
    return Wording(
        one="recording",
        many="recordings",
        maps="attributions",
        baseline=f"the recording with {filled_by} in its place",
        misled="windows",
        deleted=(
            f"the {_SHARES} of the {parts} that speak most for it give way to {filled_by}",
            "as many random ones do",
        ),
        deletion_limits=f"Against {RANDOM_CONTROLS} random choices a recording; a recording with parts filled is no "
        "natural one.",
        inserted=(
            f"the {_SHARES} of the {parts} that speak most for it, with {filled_by} in the place of all others,",
            "as many random ones",
        ),
        insertion_limits="A few parts of a recording are no natural recording.",
        content=f"the loudness of the {parts}",
        by_chance=PARTS_BY_CHANCE,
        noise=f"white noise of {_NOISE} of the range of its samples",
        slight_noise="faint noise",
    )


def explain_unsuited(method: str, many: str) -> str:
    """Return why a method of another modality gives nothing for ``many``, the examples that there are."""
    return f"{METHOD_NAMES[method]} is no method for {many}"
