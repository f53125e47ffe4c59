"""What the model looks at: attribution maps with checks on them, and interventions on suspected shortcuts."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field, field_validator, model_validator

from rft.config.applicability import EXAMPLES, IMAGES, TEXTS, Applies
from rft.config.schema import DataConfig
from rft.config.tables.base import MOST
from rft.plugins import AuditedModel, ExaminedData, Options, Plugin
from rft.plugins.attribution.overview import PILLAR, summarize_attribution
from rft.records import ModelFacts, Section

# Of integrated gradients.
PATH_FINDINGS = ("map_change", "completeness", "completeness_undefined", "baseline_same_class")
Method = Literal["class_activation", "gradcam", "integrated_gradients", "patch_ablation"]
QUALITIES = ("failed_maps", "deletion", "insertion", "randomization", "stability")  # of the maps of each method


class Shortcut(Options):
    """``[[attribution.shortcut]]``: what the model may rely on although it should not.

    A shortcut is either a region of images or words of texts.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$", description='letters, digits, "_" and "-"')
    """Letters, digits, `_` and `-`; the finding is `attribution.shortcut.<name>`."""
    region: Annotated[list[float] | None, IMAGES] = None
    """Left, top, right and bottom, as shares of the image as its file shows it, upright."""
    tokens: Annotated[list[str] | None, Field(min_length=1), TEXTS] = None
    """Words or phrases of texts, found whole, in any case and Unicode form, and over line breaks."""
    max_pairs: int = Field(default=200, ge=10, le=MOST)
    """Largest number of pairs of images between which the region is swapped, or of texts whose words are replaced."""
    min_flip_rate: float = Field(default=0.05, ge=0, lt=1)
    """Smallest share of predictions that change which matters."""

    @field_validator("region")
    @classmethod
    def _check_region(cls, region: list[float] | None) -> list[float] | None:
        if region is None:
            return None
        if len(region) != 4:
            raise ValueError(f"expected [left, top, right, bottom], got {len(region)} numbers")
        left, top, right, bottom = region
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise ValueError(f"expected 0 <= left < right <= 1 and 0 <= top < bottom <= 1, got {region}")
        return region

    @field_validator("tokens")
    @classmethod
    def _check_tokens(cls, tokens: list[str] | None) -> list[str] | None:
        if any(not token or token != token.strip() for token in tokens or ()):
            raise ValueError("expected words without blanks around them, and none that is empty")
        return tokens

    @model_validator(mode="after")
    def _one_kind(self) -> Shortcut:
        if (self.region is None) == (self.tokens is None):
            raise ValueError("expected either region (of images) or tokens (of texts)")
        return self


class AttributionOptions(Options):
    """``[attribution]``: what the model looks at."""

    shows_examples: ClassVar[bool] = True

    samples: Annotated[int, Field(ge=1, le=MOST), EXAMPLES] = 12
    """How many test examples are explained; at most all of them."""
    methods: Annotated[
        list[Method] | None,
        Field(min_length=1),
        EXAMPLES,
        Applies(
            lambda run, value: run.modality != "text" or {"integrated_gradients"} >= set(value or ()),
            "class_activation, gradcam and patch_ablation make maps of images, and texts have none",
        ),
    ] = None
    """Which attributions are made. By default those that suit the network, as measured: class activation maps where
    its head is linear in the mean of its last map, otherwise GradCAM, or patch ablation where it has no map; and
    integrated gradients, of images on a few. A method that is named explains all samples, or says why it cannot."""
    max_steps: Annotated[int, Field(ge=16, le=MOST), EXAMPLES] = 256
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
    shortcut: Annotated[list[Shortcut], EXAMPLES] = Field(default=[])
    """Regions or words to be judged by intervention."""

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
    options = AttributionOptions
    pillar = PILLAR

    def summarize(self, section: Section | None, model: ModelFacts) -> str:
        """Return which named shortcuts decide."""
        return summarize_attribution(section, model)

    def list_findings(self, options: AttributionOptions, data: DataConfig) -> list[str]:
        """Return the ids that its findings may have."""
        methods = options.methods or get_args(Method)
        of_methods = [f"{quality}.{method}" for quality in QUALITIES for method in methods]
        shortcuts = [f"shortcut.{shortcut.name}" for shortcut in options.shortcut]
        return [f"{self.name}.{name}" for name in (*of_methods, *PATH_FINDINGS, *shortcuts)]

    def examine_data(self, options: AttributionOptions, examined: ExaminedData) -> tuple[str, ...]:
        """Return that nothing can be measured, where predictions alone are given."""
        if examined.core.predictions is None:
            return ()
        return ("predictions alone have no model to look at: nothing is measured, and the verdict is uncertain",)

    def audit(self, audited: AuditedModel, options: AttributionOptions) -> Section:
        """Return the section; needs the joined model, in eval mode, and the test examples."""
        from rft.plugins.attribution.audit import audit

        return audit(audited, options)
