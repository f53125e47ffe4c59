"""rft: responsible fine-tuning. Fine-tune a pretrained model and audit it in the same run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rft.errors import RftError
from rft.version import __version__

if TYPE_CHECKING:
    from rft.models.saved import SavedModel
    from rft.records import AuditRun, Figure, Finding, Interval, Section, Split
    from rft.run import FinishedRun

__all__ = ["AuditRun", "Figure", "Finding", "Interval", "RftError", "Section", "Split", "__version__", "audit", "load"]


def __getattr__(name: str) -> Any:
    """Import the classes of records when they are asked for: pydantic and numpy take longer than ``rft --help``."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rft import records

    return getattr(records, name)


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
) -> FinishedRun:
    """Fine-tune and audit as ``audit.toml`` says.

    Args:
        config: the config file.
        out: the run folder to write; None writes nothing (``FinishedRun.save`` does it later).
        overrides: ``table.key=value`` strings that replace values of the config.
        device: torch device name; chosen by itself when None.
        offline: forbid downloads of weights.
        force: replace a run that ``out`` holds.

    Raises:
        RftError: for anything that the user can mend; its message says what, where and how.
    """
    from rft.pipeline.preflight import plan_audit

    plan = plan_audit(config, overrides or [], offline=offline)  # before torch is imported, which takes seconds
    from rft.pipeline.stages import run_audit
    from rft.report import check_storable, check_writable

    if out is not None:
        check_storable()
        check_writable(Path(out), force=force)
    run = run_audit(plan, device=device, offline=offline)
    if out is not None:
        run.save(out, force=force)
    return run


def load(folder: str | Path) -> SavedModel | Any:
    """Load the model of a run folder to predict with it; see ``SavedModel.predict``.

    A folder that a plugin wrote holds a model of its own, such as ``mitigated``; see ``MitigatedModel.predict``.
    """
    from rft.models.saved import load_model
    from rft.plugins import discover_plugins

    for registered in discover_plugins().values():
        if (model := registered.plugin.load_model(Path(folder))) is not None:
            return model
    return load_model(folder)
