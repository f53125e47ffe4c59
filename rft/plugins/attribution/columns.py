"""What the columns of the section's tables mean, in the order in which a reader wants them."""

from __future__ import annotations

from rft.plugins.attribution.modality_words import METHOD_NAMES
from rft.records import Columns, Role, list_columns

_METHODS = {"method": METHOD_NAMES}


def _list_means(start: str, label: str) -> Columns:
    """Return the columns of the means over recordings, of parts that begin as the column ``start`` says."""
    keys: dict[str, Role] = {"method": "name", "attribute": "attribute", "group": "group", "n": "count"}
    return list_columns(
        keys | {"strip": "key", start: "key", "value": "estimate"},
        labels={"n": "recordings", start: label},
        spellings=_METHODS,
    )


COLUMNS: dict[str, Columns] = {
    "shortcuts": list_columns(
        {
            "name": "key",
            "condition": "key",
            "flip_share": "estimate",
            "low": "low",
            "high": "high",
            "flips": "number",
            "visible_share": "number",
            "area_share": "number",
            **{f"{method}_share": "number" for method in METHOD_NAMES},
            "n": "count",
        },
        labels={"gradcam_share": "GradCAM share", "n": "examples"},
    ),
    "shortcuts_by_group": list_columns(
        {
            "name": "key",
            "attribute": "attribute",
            "group": "group",
            "excess": "estimate",
            "low": "low",
            "high": "high",
            "n": "count",
            "status": "status",
        },
        labels={"excess": "flips beyond the control", "n": "examples"},
    ),
    "map_quality": list_columns(
        {
            "method": "name",
            "measure": "key",
            "attribute": "attribute",
            "group": "group",
            "value": "estimate",
            "low": "low",
            "high": "high",
            "n": "count",
        },
        labels={"n": "examples"},
        spellings=_METHODS,
    ),
    "completeness": list_columns(
        {
            "method": "name",
            "image": "key",
            "text": "key",
            "recording": "key",
            "error": "number",
            "map_change": "number",
            "steps": "number",
        },
        spellings=_METHODS,
    ),
    "mean_maps": list_columns(
        {
            "method": "name",
            "attribute": "attribute",
            "group": "group",
            "n": "count",
            "row": "key",
            "column": "key",
            "value": "estimate",
        },
        labels={"n": "images"},
        spellings=_METHODS,
    ),
    "mean_map_counts": list_columns(
        {"method": "name", "attribute": "attribute", "group": "group", "n": "count", "drawn": "note"},
        labels={"n": "explained"},
        spellings=_METHODS,
    ),
    "mean_windows": _list_means("from_percent", "from, % of the time"),
    "mean_bands": _list_means("from_hertz", "from, Hz"),
    "examples": list_columns({"method": "name", "asset": "key", "clip": "key", "caption": "key"}),
    "position_profile": list_columns({"tenth": "key", "share": "estimate", "low": "low", "high": "high", "n": "count"}),
    "replacements": list_columns(
        {
            "method": "name",
            "replacement": "key",
            "shift": "number",
            "flip_share": "estimate",
            "low": "low",
            "high": "high",
            "n": "count",
            "used_as": "note",
        },
        labels={"shift": "mean shift of probabilities", "n": "examples"},
        spellings=_METHODS,
    ),
    "tokens": list_columns(
        {
            "method": "name",
            "text": "key",
            "position": "key",
            "token": "key",
            "caption": "key",
            "attribution": "number",
            "special": "note",
        },
        spellings=_METHODS,
    ),
}
