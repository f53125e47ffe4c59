"""Whether published weights of torchvision can be had, told without importing torchvision or torch."""

from __future__ import annotations

import ast
import os
from pathlib import Path

from rft.backbones.sources.hub import is_reachable
from rft.backbones.sources.published.library_source import parse_file_of_model
from rft.errors import ModelError


def require_weights(name: str, weights: str, *, offline: bool) -> None:
    """Raise ``ModelError`` where published weights are not cached, and no network leads to them.

    Args:
        name: of the model.
        weights: ``pretrained``, or one of the model's names of weights. What is neither, loading will tell.
        offline: downloads are forbidden.
    """
    published = list_addresses(name)
    address = published.get("DEFAULT" if weights == "pretrained" else weights.rpartition(".")[2])
    if address is None or (cache_folder() / file_name(address)).exists():
        return
    if offline or not is_reachable(address):
        raise unavailable_weights(name, address, "they are not in torchvision's cache", reached=False)


def find_default_weights(name: str) -> Path | None:
    """Return the file that ``weights = "pretrained"`` takes of a model, where it is in torchvision's cache."""
    address = list_addresses(name).get("DEFAULT")
    file = None if address is None else cache_folder() / file_name(address)
    return file if file is not None and file.is_file() else None


def unavailable_weights(name: str, address: str, reason: str, *, reached: bool) -> ModelError:
    """Return the error that says why published weights are not there, where they are from and where they belong."""
    return ModelError(
        f"the weights of {name} could not be had{'' if reached else ' without the network'}: {reason}",
        where="model.weights",
        remedy=f"Fetch {address} into {cache_folder()}, or give the file of that name.",
    )


def list_addresses(name: str) -> dict[str, str]:
    """Return the names of the published weights of a model with their addresses; empty where none can be read.

    They are read from torchvision's source: the class of the parameter ``weights`` of the model's function.
    """
    tree = parse_file_of_model("torchvision", name)
    statements = tree.body if tree else []
    enums = {node.name: node for node in statements if isinstance(node, ast.ClassDef)}
    functions = (node for node in statements if isinstance(node, ast.FunctionDef) and node.name == name)
    parameters = [parameter for function in functions for parameter in function.args.kwonlyargs]
    annotations = (parameter.annotation for parameter in parameters if parameter.arg == "weights")
    parts = [node for annotation in annotations if annotation for node in ast.walk(annotation)]
    addresses: dict[str, str] = {}
    for enum in (enums[node.id] for node in parts if isinstance(node, ast.Name) and node.id in enums):
        for member in (statement for statement in enum.body if isinstance(statement, ast.Assign)):
            if (address := _read_address(member.value, addresses)) is not None:
                addresses[ast.unparse(member.targets[0])] = address
    return addresses


def _read_address(value: ast.expr, known: dict[str, str]) -> str | None:
    """Return the address in ``Weights(url="...")``, or that of the member that ``DEFAULT`` stands for."""
    if isinstance(value, ast.Name):
        return known.get(value.id)
    keywords = value.keywords if isinstance(value, ast.Call) else []
    texts = (key.value.value for key in keywords if key.arg == "url" and isinstance(key.value, ast.Constant))
    return next((text for text in texts if isinstance(text, str)), None)


def file_name(address: str) -> str:
    """Return the name under which torchvision keeps what is at an address."""
    return address.rpartition("/")[2]


def cache_folder() -> Path:
    """Return the folder that torchvision keeps published weights in."""
    return torch_home() / "hub" / "checkpoints"


def torch_home() -> Path:
    """Return the folder that ``torch.hub`` keeps its downloads in."""
    usual = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "torch"
    return Path(os.environ.get("TORCH_HOME", usual)).expanduser()
