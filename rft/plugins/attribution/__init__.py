"""What the model looks at: attribution maps with checks on them, and interventions on suspected shortcuts."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, field_validator

from rft.plugins import Options, Subject
from rft.records import Section

Method = Literal["gradcam", "integrated_gradients"]


class Suspect(Options):
    """A region that the model may rely on although it should not: one ``[[attribution.suspect]]`` table.

    Attributes:
        name: letters, digits, ``_`` and ``-``; the finding is ``attribution.suspect.<name>``.
        region: left, top, right, bottom as shares of the picture as the model sees it, after resizing and cropping.
        pairs: largest number of pairs of images between which the region is swapped.
        floor: smallest share of flipped predictions that matters.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    region: list[float]
    pairs: int = Field(default=200, ge=10)
    floor: float = Field(default=0.05, ge=0, lt=1)

    @field_validator("region")
    @classmethod
    def _inside(cls, region: list[float]) -> list[float]:
        if len(region) != 4:
            raise ValueError(f"expected [left, top, right, bottom], got {len(region)} numbers")
        left, top, right, bottom = region
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise ValueError(f"expected 0 <= left < right <= 1 and 0 <= top < bottom <= 1, got {region}")
        return region


class AttributionOptions(Options):
    """Options of ``[attribution]``.

    Attributes:
        samples: number of test images that are explained, capped at the size of the test split.
        methods: which maps are made.
        max_steps: largest number of gradients that integrated gradients may spend on one image.
        suspect: regions to be judged by intervention.
    """

    samples: int = Field(default=12, ge=1)
    methods: list[Method] = Field(default=["gradcam", "integrated_gradients"], min_length=1)
    max_steps: int = Field(default=256, ge=16)
    suspect: list[Suspect] = Field(default=[])

    @field_validator("methods")
    @classmethod
    def _once(cls, methods: list[Method]) -> list[Method]:
        if len(set(methods)) < len(methods):
            raise ValueError("a method is named twice")
        return methods

    @field_validator("suspect")
    @classmethod
    def _distinct(cls, suspects: list[Suspect]) -> list[Suspect]:
        names = [suspect.name for suspect in suspects]
        if len(set(names)) < len(names):
            raise ValueError("two suspects have the same name")
        return suspects


class Attribution:
    """GradCAM and integrated gradients through Captum, held against checks, and suspects judged by intervention."""

    name = "attribution"
    always_on = False
    requires: tuple[str, ...] = ("captum",)
    needs: tuple[str, ...] = ()
    options: type[BaseModel] = AttributionOptions

    def trainer(self, options: BaseModel) -> None:
        """Leave training to the standard loop."""

    def audit(self, subject: Subject, options: BaseModel) -> Section:
        """Return the section; needs the joined model, in eval mode, and the test images."""
        from rft.plugins.attribution.audit import audit

        assert isinstance(options, AttributionOptions)
        return audit(subject, options)
