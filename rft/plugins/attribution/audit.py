"""The way from an audited model to the section that suits the modality of its examples."""

from __future__ import annotations

from rft.errors import Unavailable
from rft.plugins import AuditedModel
from rft.plugins.attribution import AttributionOptions
from rft.plugins.attribution.images import section as images
from rft.plugins.attribution.network import Network
from rft.plugins.attribution.speech import section as speech
from rft.plugins.attribution.texts import section as texts
from rft.records import Section

SECTIONS = {"image": images.build_section, "text": texts.build_section, "audio": speech.build_section}


def audit(audited: AuditedModel, options: AttributionOptions) -> Section:
    """Return the section of ``audited``'s joined model on its test split.

    Raises:
        Unavailable: when predictions alone were given, there is no test example, examples are of another modality, or
            the model is in training mode.
    """
    model, modality = audited.require_model(), audited.facts.modality
    if modality not in SECTIONS:
        raise Unavailable(f"attribution explains images, texts and recordings, not {modality}")
    return SECTIONS[modality](audited, options, Network(model, audited.device))
