"""What the model looks at: attribution maps with checks on them, and interventions on suspected shortcuts."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field, field_validator, model_validator

from rft.config.applicability import CLASSIFIED, EXAMPLES, IMAGES, Applies
from rft.config.schema import SEE_WORDS, DataConfig
from rft.config.tables.base import MOST
from rft.errors import ConfigError
from rft.plugins import AuditedModel, ExaminedData, Options, PlannedWork, Plugin
from rft.plugins.attribution.overview import PILLAR, summarize_attribution
from rft.plugins.attribution.shortcuts.options import Shortcut
from rft.records import ModelFacts, Section

# Of integrated gradients.
PATH_FINDINGS = ("map_change", "completeness", "completeness_undefined", "baseline_same_class")
# What an audit takes, about: gradients of one map that converges (EfficientNet-Lite0 took 252 for photos of faces,
# MiniLM 81 for comments, Whisper-tiny 60 to 252 for spoken commands), and of the coarser ones that it is compared with;
# passes of one example that is deleted from and inserted into, and of one pair. Of texts and recordings that is 25 to
# 28 passes a method; words are removed, and windows and bands filled, once for the attributions and twice to
# compare them: of texts about 20 words, of recordings of one second 10 windows and 12 bands. Up to 50 recordings are
# filled in three ways in either before that.
USUAL_STEPS = {"image": 252, "text": 81, "audio": 145}
COMPARED_STEPS = {"image": 32, "text": 24, "audio": 24}
DELETIONS, PASSES_OF_PAIR = {"image": 30, "text": 113, "audio": 128}, 4
FILLED_RECORDINGS, PASSES_OF_FILLED = 50, 7
SECOND_OPINIONS = 3  # images or recordings that get integrated gradients where the config names no methods
# Gradients of each of them where the config sets no other. Maps of photos of faces converge with 252 for MobileNetV2
# (the last doubling changed 6 of them by .035 to .038), and need 508 for EfficientNet-Lite0 (with 252 still .049 to
# .058): there the method is left out. Half as many settle neither, and twice as many would take a minute by themselves.
SECOND_OPINION_STEPS = 252
Method = Literal[
    "class_activation",
    "gradcam",
    "integrated_gradients",
    "patch_ablation",
    "word_removal",
    "window_occlusion",
    "band_occlusion",
]
METHODS_OF: dict[str, tuple[Method, ...]] = {
    "image": ("class_activation", "gradcam", "integrated_gradients", "patch_ablation"),
    "text": ("integrated_gradients", "word_removal"),
    "audio": ("window_occlusion", "band_occlusion", "integrated_gradients"),
}
QUALITIES = ("failed_maps", "deletion", "insertion", "randomization", "stability")  # of the attributions of a method
OCCLUSIONS: tuple[Method, ...] = ("window_occlusion", "band_occlusion")


class AttributionOptions(Options):
    """``[attribution]``: what the model looks at."""

    shows_examples: ClassVar[bool] = True

    samples: Annotated[int, Field(ge=1, le=MOST), EXAMPLES, CLASSIFIED] = 12
    """How many test examples are explained; at most all of them."""
    methods: Annotated[
        list[Method] | None,
        Field(min_length=1),
        EXAMPLES,
        CLASSIFIED,
        Applies(
            lambda run, value: (
                run.modality != "text" or not {"class_activation", "gradcam", "patch_ablation"} & {*(value or ())}
            ),
            "class_activation, gradcam and patch_ablation make maps of images, and texts have none",
        ),
        Applies(
            lambda run, value: run.modality == "text" or "word_removal" not in (value or ()),
            "word_removal takes words out, and these examples have none",
        ),
        Applies(
            lambda run, value: run.modality == "audio" or not {*OCCLUSIONS} & {*(value or ())},
            "window_occlusion and band_occlusion change recordings, and these examples are none",
        ),
        Applies(
            lambda run, value: run.modality != "audio" or set(METHODS_OF["audio"]) >= set(value or ()),
            "of recordings the methods are window_occlusion, band_occlusion and integrated_gradients",
        ),
    ] = None
    """Which attributions are made. By default those that suit the network, as measured: class activation maps where
    its head is linear in the mean of its last map, otherwise GradCAM, or patch ablation where it has no map; word
    removal of texts; occlusion of windows of time and of bands of recordings; and integrated gradients, of images and
    recordings on a few, and only where they converge. A method that is named explains all samples, or says why it
    cannot."""
    max_steps: Annotated[int, Field(ge=16, le=MOST), EXAMPLES, CLASSIFIED] = 256
    """Largest number of gradients that integrated gradients may spend on one example."""
    baseline: Annotated[
        Literal["blur", "mean"],
        IMAGES,
        Applies(
            lambda run, value: value != "mean" or run.trained,
            "no training images are read",
        ),
        Applies(
            lambda run, value: value != "mean" or not run.private,
            "with an epsilon the mean of the training images stays private: it would be in every map",
        ),
    ] = "blur"
    """What integrated gradients of an image start from: the image itself, blurred, or the mean training image, which is
    private data and so does not go with an epsilon."""
    shortcut: Annotated[list[Shortcut], EXAMPLES, CLASSIFIED] = Field(default=[])
    """Regions, marks, words, or parts of recordings to be judged by intervention."""

    @model_validator(mode="after")
    def _steps_are_taken(self) -> AttributionOptions:
        for key in ("max_steps", "baseline"):
            if key in self.model_fields_set and "integrated_gradients" not in (self.methods or [*get_args(Method)]):
                raise ValueError(f"{key} is for integrated_gradients, which methods leaves out: remove it")
        return self

    @field_validator("methods")
    @classmethod
    def _check_methods_distinct(cls, methods: list[Method] | None) -> list[Method] | None:
        if methods is not None and len(set(methods)) < len(methods):
            raise ValueError("a method is named twice")
        return methods

    @field_validator("shortcut")
    @classmethod
    def _check_names_distinct(cls, shortcuts: list[Shortcut]) -> list[Shortcut]:
        names = [shortcut.name for shortcut in shortcuts]
        if len(set(names)) < len(names):
            raise ValueError("two shortcuts have the same name")
        return shortcuts


class Attribution(Plugin[AttributionOptions]):
    """Attributions that suit the network, each held against checks, and shortcuts judged by intervention."""

    name = "attribution"
    requires = ("captum",)
    needs_model = True
    options = AttributionOptions
    pillar = PILLAR

    def summarize(self, section: Section | None, model: ModelFacts) -> str:
        """Return which named shortcuts decide."""
        return summarize_attribution(section, model)

    def list_findings(self, options: AttributionOptions, data: DataConfig) -> list[str]:
        """Return the ids that its findings may have."""
        methods = options.methods or METHODS_OF[data.modality]
        of_methods = [f"{quality}.{method}" for quality in QUALITIES for method in methods]
        gaps = [f"deletion_gap.{method}.{attribute}" for method in methods for attribute in data.groups]
        shortcuts = [f"shortcut.{shortcut.name}" for shortcut in options.shortcut]
        of_modality = {
            "image": ["bfloat16_maps"],
            "text": ["replacement_flips"],
            "audio": [f"replacement_flips.{method}" for method in OCCLUSIONS],
        }[data.modality]
        return [f"{self.name}.{name}" for name in (*of_methods, *gaps, *PATH_FINDINGS, *of_modality, *shortcuts)]

    def check(self, options: AttributionOptions, data: DataConfig) -> None:
        """Raise ``ConfigError`` where a shortcut names a column that is not among the groups, or no readable patch."""
        for number, shortcut in enumerate(options.shortcut, start=1):
            if shortcut.patch is not None:
                from rft.plugins.attribution.images.shortcuts.patch import read_patch

                read_patch(shortcut.patch, f"attribution.shortcut.{number}.patch")
            if shortcut.column is not None and shortcut.column not in data.groups:
                raise ConfigError(
                    f"{shortcut.column!r} is not among data.groups ({', '.join(data.groups)})",
                    where=f"attribution.shortcut.{number}.column",
                    remedy="Add the column to data.groups.",
                )

    def examine_data(self, options: AttributionOptions, examined: ExaminedData) -> tuple[str, ...]:
        """Return that words and texts are shown only where the config says so."""
        core = examined.core
        hidden = core.predictions is None and core.data.modality == "text" and not core.report.show_examples
        return (SEE_WORDS.removesuffix("."),) if hidden else ()

    def count_work(self, options: AttributionOptions, examined: ExaminedData) -> PlannedWork | None:
        """Return the gradients of the maps, and the passes of deletions and of swapped shortcuts."""
        if examined.core.predictions is not None:
            return None
        modality, test = examined.core.data.modality, len(examined.splits["test"])
        n, few = min(options.samples, test), min(SECOND_OPINIONS, options.samples, test)
        pairs = sum(min(shortcut.max_pairs, test) for shortcut in options.shortcut)
        second = modality != "text" and options.methods is None
        most = SECOND_OPINION_STEPS if second and "max_steps" not in options.model_fields_set else options.max_steps
        asked = "integrated_gradients" in (options.methods or METHODS_OF[modality])
        gradients = min(USUAL_STEPS[modality], most) + COMPARED_STEPS[modality]
        filled = PASSES_OF_FILLED * min(FILLED_RECORDINGS, test) if modality == "audio" else 0
        return PlannedWork(
            forwards=DELETIONS[modality] * n + PASSES_OF_PAIR * pairs + filled,
            gradients=gradients * (few if second else n) * asked,
        )

    def audit(self, audited: AuditedModel, options: AttributionOptions) -> Section:
        """Return the section; needs the joined model, in eval mode, and the test examples."""
        from rft.plugins.attribution.audit import audit

        return audit(audited, options)
