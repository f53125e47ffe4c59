"""Why a run folder holds no model, and where the model is to be had."""

from __future__ import annotations

from pathlib import Path

from rft.errors import ModelError
from rft.records import IN_MEMORY, AuditRun

RUN_FILE = "audit.json"


def explain_absent_model(folder: Path) -> ModelError | None:
    """Return the error for a run folder that holds no model; None for a folder that is no run.

    Args:
        folder: that has no folder ``model``.
    """
    try:
        run = AuditRun.from_json((folder / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # no run, or one that this rft cannot read: it cannot say why
        return None
    where = str(folder)
    if run.run.config.get("predictions") is not None:
        return ModelError(
            "audited a table of predictions, so the run has no model",
            where=where,
            remedy="Load the model where it came from; rft was given only what it predicted.",
        )
    model = run.run.table("model")
    if (checkpoint := model.get("checkpoint")) is not None:
        return ModelError(
            f"audited the checkpoint {checkpoint}, which others trained; a run keeps no copy of it",
            where=where,
            remedy="Load it from there with the from_pretrained of transformers.",
        )
    if isinstance(factory := model.get("factory"), str):
        return _explain_factory(factory, where)
    return ModelError(
        "holds no folder model: it was left out or taken away",
        where=where,
        remedy="Load the folder that rft audit wrote.",
    )


def _explain_factory(factory: str, where: str) -> ModelError:
    if factory.startswith(IN_MEMORY):
        return ModelError(
            f"audited a {factory.removeprefix(IN_MEMORY)} that was in memory; a run keeps no copy of it",
            where=where,
            remedy="Save the module yourself, such as its state_dict with safetensors.",
        )
    module, _, function = factory.partition(":")
    return ModelError(
        f"audited the model of the factory {factory}, which others trained; a run keeps no copy of it",
        where=where,
        remedy=f"Build it as the audit did: from {module} import {function}.",
    )
