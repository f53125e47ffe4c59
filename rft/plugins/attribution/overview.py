"""The question of attribution: what does the model look at?"""

from __future__ import annotations

from rft import number_format
from rft.config.schema import SEE_WORDS
from rft.plugins.attribution.shortcuts.options import PLANTED
from rft.plugins.pillar import NOT_ASKED, ClaimDefinition, PillarDefinition, write_value
from rft.records import Finding, ModelFacts, Section

PILLAR = PillarDefinition(
    "Looks at",
    (
        ClaimDefinition("Maps of single examples", ("attribution.failed_maps.*", "attribution.failed*")),
        ClaimDefinition("Check of the maps", ("attribution.deletion.*",)),
        ClaimDefinition("Test of named shortcuts", ("attribution.shortcut.*",)),
    ),
)
_SHORTCUT = "attribution.shortcut."
_KIND = {"image": "region", "text": "word", "audio": "part of recordings"}


def summarize_attribution(section: Section | None, model: ModelFacts) -> str:
    """Return which of the named shortcuts decide, or that none was named."""
    if section is None:
        return NOT_ASKED
    shortcuts = [finding for finding in section.findings if finding.id.startswith(_SHORTCUT)]
    kind = _KIND.get(model.modality, "shortcut")
    if not shortcuts:
        return (
            f"What it relies on was not tested: the config names no {kind} to test. Maps show where it looks in single "
            f"examples, which proves nothing.{f' {SEE_WORDS}' * (SEE_WORDS in section.notes)}"
        )
    measured = [finding for finding in shortcuts if finding.value is not None]
    if not measured:
        return f"The named shortcuts could not be tested: {shortcuts[0].reason}."
    relied = [finding for finding in measured if finding.status == "warn"]
    sentences = [
        _say_flips(finding, section, model.modality, relied=finding in relied) for finding in (relied or measured)
    ]
    return " ".join(sentences)


def _say_flips(finding: Finding, section: Section, modality: str, *, relied: bool) -> str:
    name = finding.id.removeprefix(_SHORTCUT)
    if modality == "text":
        shortcut, change, control = f"words “{name}”", "changing them alters", "changing as many others"
    elif modality == "audio":
        noun = _first_condition(name, section).partition(",")[0]  # span, band or background
        shortcut, change, control = (
            f"{noun} “{name}”",
            "swapping in that of another class alters",
            "swapping in that of the same class",
        )
    elif _is_planted(name, section):
        shortcut, change, control = (
            f"mark “{name}”",
            "planting it alters",
            "covering its place with the mean colour there",
        )
    else:
        shortcut, change, control = (
            f"region “{name}”",
            "swapping in that of another class alters",
            "swapping in that of the same class",
        )
    flips = f"{change} {write_value(finding)} more of the predictions than {control}{_say_shares(name, section)}"
    relies = "predictions go by" if _is_planted(name, section) else "the model relies on"
    if relied:
        return f"{relies[0].upper()}{relies[1:]} the {shortcut}: {flips}."
    return f"It is not shown that {relies} the {shortcut}: {flips}."


def _is_planted(name: str, section: Section) -> bool:
    """Tell whether a shortcut of images is a mark that was planted: its first row says so."""
    return _first_condition(name, section) == PLANTED


def _first_condition(name: str, section: Section) -> str:
    """Return what the first row of a shortcut says was changed; empty where it has none."""
    conditions = [row["condition"] for row in section.tables.get("shortcuts", []) if row["name"] == name]
    return str(conditions[0]) if conditions else ""


def _say_shares(name: str, section: Section) -> str:
    """Say how many predictions either change alters: the first two rows of a shortcut."""
    shares = [row["flip_share"] for row in section.tables.get("shortcuts", []) if row["name"] == name]
    if len(shares) < 2 or None in shares[:2]:
        return ""
    these, others = (number_format.format_fixed(float(str(share)), 2) for share in shares[:2])
    return f" ({these} against {others})"
