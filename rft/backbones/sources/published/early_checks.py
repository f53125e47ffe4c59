"""Which libraries can say that weights cannot be had, before torch is imported.

The record of a library (``library.py``) lies in a file that imports torch, which takes seconds. Its early check lies in
a file of its own beside this one, which imports neither torch nor the library, and is named here.
"""

from __future__ import annotations

from typing import Protocol

from rft.backbones.sources.published import timm_cache, torchvision_cache


class WeightsCheck(Protocol):
    """Raises ``ModelError`` when it is certain that the weights of a model cannot be had, by their name."""

    def __call__(self, name: str, weights: str, *, offline: bool) -> None: ...


# By the name of the library. What none of these knows is left to loading.
EARLY_CHECKS: dict[str, WeightsCheck] = {
    "torchvision": torchvision_cache.require_weights,
    "timm": timm_cache.require_weights,
}
