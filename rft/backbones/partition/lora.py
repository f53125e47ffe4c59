"""Low-rank adapters by peft, put into the layers behind a cut (Hu et al. 2022, ICLR)."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from torch import nn

from rft.backbones.classifier import Classifier
from rft.config.schema import LoraConfig
from rft.errors import ModelError, near
from rft.runtime.devices.random_state import seeded_torch
from rft.runtime.libraries import library_import

NETWORK = "backbone.network."
# Projections of attention under the names that the usual families give them.
USUAL_TARGETS = (
    "query",
    "value",
    "q_proj",
    "v_proj",
    "q_lin",
    "v_lin",
    "c_attn",
    "qkv",
    "Wqkv",
    "query_proj",
    "value_proj",
)
WHERE = "model.lora.target"


def add_adapters(classifier: Classifier, settings: LoraConfig, behind: Iterable[str] | None, seed: int) -> list[str]:
    """Put adapters into a classifier, in place; return the names of the layers, in the network, that got one.

    Args:
        classifier: the joined model.
        settings: rank, scale and layers.
        behind: modules that run behind the cut; None: all.
        seed: the adapters' first values follow from it.

    Raises:
        ModelError: no layer behind the cut has a name that was asked for, or peft has no adapter for it.
    """
    peft = _import_peft()
    wanted = settings.target or USUAL_TARGETS
    allowed = None if behind is None else set(behind)
    named = {
        name: module
        for name, module in classifier.named_modules()
        if name.startswith(NETWORK) and (allowed is None or name in allowed)
    }
    layers_by_ending = {end: [name for name in named if f".{name}".endswith(f".{end}")] for end in wanted}
    chosen = sorted({name for names in layers_by_ending.values() for name in names})
    lacking = [end for end in wanted if not layers_by_ending[end]] if settings.target else []
    if not chosen or lacking:
        asked = lacking or wanted
        linear = sorted({name.rpartition(".")[2] for name, module in named.items() if isinstance(module, nn.Linear)})
        listed = f"the linear ones are {', '.join(linear[:12])}" if linear else "there are no linear ones"
        raise ModelError(
            f"no layer behind the cut is called {' or '.join(asked)}",
            where=WHERE,
            remedy=(near(asked[0], linear) if settings.target else None)
            or f"Name layers by the end of their name; {listed}.",
        )
    options = peft.LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, lora_dropout=settings.dropout, target_modules=chosen
    )
    try:
        with warnings.catch_warnings(), seeded_torch(seed):
            warnings.filterwarnings("ignore", message="fan_in_fan_out", category=UserWarning)
            peft.inject_adapter_in_model(options, classifier)
    except ValueError as error:
        raise ModelError(f"peft has no adapter for it: {str(error).splitlines()[0]}", where=WHERE) from error
    return [name.removeprefix(NETWORK) for name in chosen]


def merge_adapters(classifier: Classifier) -> Classifier:
    """Add what the adapters learned to the layers they sit on, in place, and take them away."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapted = [(name, module) for name, module in classifier.named_modules() if isinstance(module, BaseTunerLayer)]
    for name, module in adapted:
        module.merge(safe_merge=True)
        path, _, attribute = name.rpartition(".")
        setattr(classifier.get_submodule(path), attribute, module.get_base_layer())
    return classifier.requires_grad_(False).eval()


def _import_peft() -> Any:
    install = 'pip install "rft[transformers]"'
    with library_import("peft", error=ModelError, where="model.tune", install=install, user='tune = "lora"'):
        import peft
    return peft
