"""Whether weights of timm can be had, told without importing timm or torch."""

from __future__ import annotations

from importlib.util import find_spec

from rft.backbones.sources import hub


def require_weights(name: str, *, offline: bool) -> None:
    """Raise ``ModelError`` when no weights can be had; a distribution that is missing is told when it is loaded."""
    if find_spec("timm") and find_spec("huggingface_hub"):
        hub.require_weights(name, offline=offline)
