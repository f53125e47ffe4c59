"""The way from a subject to the section that suits the modality of its examples."""

from __future__ import annotations

from rft.errors import Unavailable
from rft.plugins import Subject
from rft.plugins.attribution import AttributionOptions
from rft.plugins.attribution.images import section as images
from rft.plugins.attribution.network import Network
from rft.plugins.attribution.texts import section as texts
from rft.records import Section

SECTIONS = {"image": images.section, "text": texts.section}


def audit(subject: Subject, options: AttributionOptions) -> Section:
    """Return the section of ``subject``'s joined model on its test split.

    Raises:
        Unavailable: when the subject has no model or inputs, no test example, examples of another modality, or a model
            in training mode.
    """
    model, modality = subject.need("model"), subject.facts.modality
    if modality not in SECTIONS:
        raise Unavailable(f"attribution explains pictures and texts, not {modality}")
    return SECTIONS[modality](subject, options, Network(model, subject.device))
