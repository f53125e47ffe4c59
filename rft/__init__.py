"""rft: responsible fine-tuning. Fine-tune a pretrained model and audit it in the same run."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # as type checkers know it; typing itself takes long to import
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from rft.api.model import audit_model
    from rft.api.predictions import audit_predictions
    from rft.errors import RftError
    from rft.models.saved import SavedModel
    from rft.records import AuditRun, Figure, Finding, Interval, Section, Split
    from rft.run import FinishedRun, open_run
    from rft.version import __version__

__all__ = [
    "AuditRun",
    "Figure",
    "Finding",
    "Interval",
    "RftError",
    "Section",
    "Split",
    "__version__",
    "audit",
    "audit_model",
    "audit_predictions",
    "load",
    "open_run",
]

IMPORTED_WHEN_ASKED_FOR = {"__version__": "rft.version", "RftError": "rft.errors"} | dict.fromkeys(
    ("AuditRun", "Figure", "Finding", "Interval", "Section", "Split"), "rft.records"
)
IMPORTED_WHEN_ASKED_FOR |= {
    "audit_model": "rft.api.model",
    "audit_predictions": "rft.api.predictions",
    "open_run": "rft.run",
}


def __getattr__(name: str) -> Any:
    """Return what takes long to import, such as pydantic: the command answers signals before that is imported."""
    if name not in IMPORTED_WHEN_ASKED_FOR:
        raise AttributeError(f"module 'rft' has no attribute {name!r}")
    return getattr(import_module(IMPORTED_WHEN_ASKED_FOR[name]), name)


def __dir__() -> list[str]:
    """List what ``__getattr__`` offers too."""
    return sorted({*globals(), *__all__})


def audit(
    config: str | Path,
    out: str | Path | None = None,
    *,
    overrides: list[str] | None = None,
    device: str | None = None,
    offline: bool = False,
    force: bool = False,
    share: bool = False,
) -> FinishedRun:
    """Fine-tune and audit as ``audit.toml`` says.

    Args:
        config: the config file.
        out: the run folder to write; None writes nothing (``FinishedRun.save`` does it later).
        overrides: ``table.key=value`` strings that replace values of the config.
        device: torch device name; chosen by itself when None.
        offline: forbid downloads of weights.
        force: replace a run that ``out`` holds.
        share: let the group of ``out`` read the report; predictions and the model stay private.

    Raises:
        RftError: for anything that the user can mend; its message says what, where and how.
    """
    from rft.api.run import run_plan
    from rft.pipeline.preflight import plan_audit

    plan = plan_audit(config, overrides or [], offline=offline)  # before torch is imported, which takes seconds
    return run_plan(plan, out, device=device, offline=offline, force=force, share=share)


def load(folder: str | Path) -> SavedModel | Any:
    """Load the model of a run folder to predict with it; see ``SavedModel.predict``.

    A folder that a plugin wrote holds a model of its own, such as ``mitigated``; see ``MitigatedModel.predict``.
    """
    from pathlib import Path

    from rft.models.saved import load_model
    from rft.plugins import discover_plugins

    for registered in discover_plugins().values():
        if (model := registered.plugin.load_model(Path(folder))) is not None:
            return model
    return load_model(folder)
