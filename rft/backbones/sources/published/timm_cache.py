"""Whether weights of timm can be had, told without importing timm or torch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.util import find_spec

from rft.backbones.sources import hub
from rft.backbones.sources.published.library_source import parse_file_of_model
from rft.errors import ModelError

WHERE = "model.weights"
OWN = "timm/"  # what a repository of the same name as the model is called


def require_weights(name: str, weights: str, *, offline: bool) -> None:
    """Raise ``ModelError`` when no weights can be had; a distribution that is missing is told when it is loaded.

    Args:
        name: of the model, with or without a tag and a revision.
        weights: ``pretrained``; what else is no file, loading will tell.
        offline: downloads are forbidden.
    """
    if weights != "pretrained" or not (find_spec("timm") and find_spec("huggingface_hub")):
        return
    model, revision = hub.split_revision(name)
    repository = find_repository(model)
    if repository is not None:
        hub.require_model(f"{repository}@{revision}" if revision else repository, offline=offline, where=WHERE)
    else:
        hub.require_any_model(name, offline=offline)


def unavailable_weights(name: str, address: str, reason: str, *, reached: bool) -> ModelError:
    """Return the error that says why weights of another host than the hub are not there, and where they are from."""
    return ModelError(
        f"the weights of {name} could not be had{'' if reached else ' without the network'}: {reason}",
        where=WHERE,
        remedy=f"Fetch {address}, and give that file.",
    )


def find_repository(name: str) -> str | None:
    """Return the repository of the hub that timm takes the weights of a model from; None where its source hides it.

    It is read from the source of timm: a table of ``model.tag`` and what is known of it, in which the first one with
    weights is the usual one, but for a model without tag and tags that end with a star
    (``timm.models._registry.generate_default_cfgs``).
    """
    model, _, tag = name.partition(".")
    tree = parse_file_of_model("timm", model)
    entries = [(key.partition(".")[2], options) for key, options in _read_table(tree, model) if options]
    if tag:
        entries = [(entry_tag, options) for entry_tag, options in entries if entry_tag.strip("*") == tag]
    preferred = [entry for entry in entries if entry[0] == "" or entry[0].endswith("*")]
    chosen_tag, options = (preferred or entries or [("", {})])[0]
    if options.get("hf_hub_id") != OWN:  # an address elsewhere, which timm may replace by a copy of its own
        return None
    return f"{OWN}{model}.{chosen_tag.strip('*')}".rstrip(".")


def _read_table(tree: ast.Module | None, model: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the keys of a model in the tables of its file, with where its weights are."""
    for table in (node for node in ast.walk(tree) if isinstance(node, ast.Dict)) if tree else ():
        for key, value in zip(table.keys, table.values, strict=True):
            if isinstance(key, ast.Constant) and str(key.value).partition(".")[0] == model:
                keywords = value.keywords if isinstance(value, ast.Call) else []
                places = {word.arg: word.value for word in keywords if word.arg in ("hf_hub_id", "url")}
                texts = {str(arg): node.value for arg, node in places.items() if isinstance(node, ast.Constant)}
                yield str(key.value), {arg: text for arg, text in texts.items() if isinstance(text, str) and text}
