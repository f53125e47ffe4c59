"""Where the weights that a user names lie: a file, or the weights file inside an installed distribution. No torch."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from rft.errors import ModelError

WHERE = "model.weights"
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


def names_file(spec: str) -> bool:
    """Tell whether weights are named by a file or a distribution, and not by a name that their library knows."""
    return spec.startswith("package:") or Path(spec).suffix in SUFFIXES


def locate_weights(spec: str, folder: Path) -> Path:
    """Return the file of ``package:<distribution>[:<path>]``, or of a path relative to ``folder``.

    Raises:
        ModelError: there is no such file or distribution, or it has not exactly one weights file of this name.
    """
    if spec.startswith("package:"):
        name, _, inside = spec.removeprefix("package:").partition(":")
        return _find_in_package(name, inside)
    path = folder / spec
    if not os.path.isfile(path):  # which is false, too, of a name that no file can have
        raise ModelError(
            f"{path.name} is a folder; expected a file" if os.path.isdir(path) else f"no such file: {path.name}",
            where=WHERE,
            remedy='Expected "pretrained", "random", "package:<distribution>", or a path relative to the config.',
        )
    return path


def name_distribution(spec: str) -> str:
    """Return the distribution that ``package:<distribution>[:<path>]`` names; empty for a path."""
    return spec.removeprefix("package:").partition(":")[0] if spec.startswith("package:") else ""


def _find_in_package(name: str, inside: str) -> Path:
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        raise ModelError(
            f"the distribution {name!r} is not installed", where=WHERE, remedy=f"pip install {name}"
        ) from None
    wanted = f"/{inside}" if inside else ""
    matching = [file for file in files if file.suffix in SUFFIXES and f"/{file.as_posix()}".endswith(wanted)]
    if len(matching) != 1:
        known = ", ".join(file.as_posix() for file in files if file.suffix in SUFFIXES) or "none"
        raise ModelError(
            f"expected one weights file in {name}, found {len(matching)}",
            where=WHERE,
            remedy=f'Its weights files: {known}. Name one as "package:{name}:<path>".',
        )
    return Path(str(matching[0].locate()))
