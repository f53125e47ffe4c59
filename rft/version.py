"""The version of rft, as it was installed, and those of the libraries that make its numbers."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("rft")
except PackageNotFoundError:  # run from a source tree that was not installed
    __version__ = "0+unknown"

CORE_PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pandas", "pillow")
OPTIONAL_PACKAGES = ("timm", "transformers", "tokenizers", "peft", "torchao")
PLUGIN_PACKAGES = ("opacus", "dp-accounting", "fairlearn", "captum")


def list_libraries() -> list[str]:
    """Return a line for Python, and one for each library that is installed: ``torch 2.6.0``."""
    lines = [f"python {platform.python_version()}"]
    for name in (*CORE_PACKAGES, *PLUGIN_PACKAGES, *OPTIONAL_PACKAGES):
        try:
            lines.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue  # an extra that is not installed
    return lines
