"""The question of attribution: what does the model look at?"""

from __future__ import annotations

from rft.plugins.pillar import NOT_ASKED, ClaimDefinition, PillarDefinition, write_value
from rft.records import Finding, ModelFacts, Section

PILLAR = PillarDefinition(
    "Looks at",
    (
        ClaimDefinition("Maps of what it looks at", ("attribution.failed_maps.*", "attribution.failed*")),
        ClaimDefinition("Check of the maps", ("attribution.deletion.*",)),
        ClaimDefinition("Test of named shortcuts", ("attribution.shortcut.*",)),
    ),
)
_SHORTCUT = "attribution.shortcut."
_KIND = {"image": "region", "text": "word"}


def summarize_attribution(section: Section | None, model: ModelFacts) -> str:
    """Return which of the named shortcuts decide, or that none was named."""
    if section is None:
        return NOT_ASKED
    shortcuts = [finding for finding in section.findings if finding.id.startswith(_SHORTCUT)]
    kind = _KIND.get(model.modality, "shortcut")
    if not shortcuts:
        return (
            f"What it relies on was not tested: the config names no {kind} that it should not look at. Maps of single "
            "examples prove nothing."
        )
    measured = [finding for finding in shortcuts if finding.value is not None]
    if not measured:
        return f"The named shortcuts could not be tested: {shortcuts[0].reason}."
    relied = [finding for finding in measured if finding.status == "warn"]
    sentences = [_say_flips(finding, kind, relied=finding in relied) for finding in (relied or measured)]
    return " ".join(sentences)


def _say_flips(finding: Finding, kind: str, *, relied: bool) -> str:
    name = finding.id.removeprefix(_SHORTCUT)
    flips = (
        f"{write_value(finding)} of the predictions change when the {kind} “{name}” is replaced by that of an example "
        "of another class"
    )
    if relied:
        return f"{flips}, more than with one of the same class: the model relies on it."
    return f"{flips}, not enough more than with one of the same class to say that the model relies on it."
