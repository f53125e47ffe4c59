"""CycloneDX 1.7: a bill of materials of the model with its model card.

It goes where the model goes, as ``model-card.md`` does, and so withholds the same small cells.
"""

from __future__ import annotations

import re
import uuid

from rft.export.bom_card import describe_model_card
from rft.export.source import ExportSource
from rft.export.texts import Json, with_visible_texts, write_json
from rft.records import AuditRun, Backbone, SplitFacts
from rft.report.render.publishable import make_publishable
from rft.report.views.model_facts import describe_model, split_names

SCHEMA = "http://cyclonedx.org/schema/bom-1.7.schema.json"
MODEL, BACKBONE = "model", "backbone"  # references within the file
HASHED = "rft:hash"
OF_TENSORS = "SHA-256 over the names, types, shapes and bytes of all tensors, in the order of their names"
OF_WEIGHTS = "SHA-256 of the file of weights, or of the tensors where there is no single file"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def write_cyclonedx(source: ExportSource) -> str:
    """Return the bill of materials of a run: the model, its backbone, and the splits of its data."""
    run = make_publishable(source.run)
    backbone, volatile = run.model.backbone, run.run.volatile
    splits = {f"data-{name}": name for name in split_names(run)}
    bom: dict[str, Json] = {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, f'{volatile.id} {volatile.created}')}",
        "version": 1,
        "metadata": {
            "timestamp": volatile.created,
            "tools": {"components": [{"type": "application", "name": "rft", "version": run.rft_version}]},
            "component": _describe_model(run, tuple(splits)),
        },
        "components": [
            *([_describe_backbone(backbone)] if backbone else []),
            *(_describe_split(reference, name, run.data.splits[name]) for reference, name in splits.items()),
        ],
        "dependencies": [{"ref": MODEL, "dependsOn": [BACKBONE] if backbone else []}],
    }
    return write_json(with_visible_texts(bom))


def _describe_model(run: AuditRun, data: tuple[str, ...]) -> Json:
    return {
        "type": "machine-learning-model",
        "bom-ref": MODEL,
        "name": run.model.name,
        "description": describe_model(run),
        **_list_hashes(run.model.model_sha256, OF_TENSORS),
        "modelCard": describe_model_card(run, data),
    }


def _describe_backbone(backbone: Backbone) -> Json:
    return {
        "type": "machine-learning-model",
        "bom-ref": BACKBONE,
        "name": backbone.name,
        **({"version": backbone.revision} if backbone.revision else {}),
        "description": f"the pretrained part; weights: {backbone.weights}",
        **_list_hashes(backbone.weights_sha256, OF_WEIGHTS),
    }


def _list_hashes(sha256: str | None, what: str) -> dict[str, Json]:
    """Return the hash of a component, and of what it is a hash; nothing where there is none."""
    if sha256 is None or not _SHA256.fullmatch(sha256):
        return {}
    return {"hashes": [{"alg": "SHA-256", "content": sha256}], "properties": [{"name": HASHED, "value": what}]}


def _describe_split(reference: str, name: str, facts: SplitFacts) -> Json:
    labels = {f"label:{label}": count for label, count in facts.labels.items()}
    counts = {"examples": facts.n, "units": facts.n_units} | labels
    shown = {what: str(count) for what, count in counts.items() if count is not None}
    properties = [{"name": f"rft:{what}", "value": count} for what, count in shown.items()]
    return {
        "type": "data",
        "bom-ref": reference,
        "name": name,
        "data": [
            {
                "type": "dataset",
                "name": name,
                "description": f"the {name} split",
                "contents": {"properties": properties},
                "sensitiveData": [f"group attribute: {attribute}" for attribute in facts.groups],
            }
        ],
    }
