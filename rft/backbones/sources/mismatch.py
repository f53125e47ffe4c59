"""What is said of weights that do not fit a model: how many do, where they differ, and what they look like."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rft.errors import ModelError

LEAST_ALIKE = 0.9  # share of tensors with the same name and shape from which weights are said to be of a model


@dataclass(frozen=True)
class Family:
    """A family of networks, known by the name of a tensor that all of them have.

    Attributes:
        words: what they are, with the library whose names these are.
        pattern: found in the name of one of their tensors.
        members: models of torchvision among which the very one is looked for.
    """

    words: str
    pattern: str
    members: Sequence[str] = ()


ADAPTER = Family("an adapter of peft", r"\.lora_[AB]\b|\.base_layer\.")
FAMILIES = (
    ADAPTER,
    Family("a BERT of transformers", r"attention\.self\.query"),
    Family("a vision transformer of transformers", r"embeddings\.patch_embeddings\.projection"),
    Family("a GPT-2 of transformers", r"h\.0\.attn\.c_attn"),
    Family("a language model such as Llama or Qwen, of transformers", r"layers\.0\.mlp\.gate_proj"),
    Family("a CLIP of transformers", r"vision_model\.encoder\.layers"),
    Family("a CLIP of OpenAI or open_clip", r"transformer\.resblocks\.0\."),
    Family("a DistilBERT of transformers", r"transformer\.layer\.0\.attention\.q_lin"),
    Family(
        "a vision transformer of torchvision",
        r"encoder\.layers\.encoder_layer_0\.",
        ("vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32"),
    ),
    Family("a Swin transformer of torchvision", r"features\.1\.0\.attn\.qkv", ("swin_t", "swin_s", "swin_b")),
    Family("a Swin transformer of timm", r"layers\.0\.blocks\.0\.attn\.qkv"),
    Family("a vision transformer of timm, or a DINO", r"blocks\.0\.attn\.qkv"),
    Family("an EfficientNet or MobileNet of timm", r"^conv_stem\.|\.conv_pwl?\."),
    Family("a ConvNeXt of timm", r"stages\.0\.blocks\.0\.conv_dw"),
    Family(
        "a DenseNet",
        r"denseblock1\.denselayer1\.",
        ("densenet121", "densenet169", "densenet201"),
    ),
    Family(
        "a ResNet",
        r"layer1\.0\.conv1\.",
        ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "wide_resnet50_2"),
    ),
    Family("a ConvNeXt of torchvision", r"features\.1\.0\.layer_scale", ("convnext_tiny", "convnext_small")),
    Family(
        "a MobileNet or EfficientNet of torchvision",
        r"features\.0\.0\.weight|features\.1\.conv\.0\.0\.",
        ("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0", "efficientnet_b1"),
    ),
    Family(
        "a VGG or AlexNet of torchvision",
        r"features\.0\.weight",
        ("vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn", "alexnet"),
    ),
)


def find_family(names: Collection[str]) -> Family | None:
    """Return the first family of which a tensor bears the name, or None.

    >>> find_family(["bert.encoder.layer.0.attention.self.query.weight"]).words
    'a BERT of transformers'
    """
    return next((family for family in FAMILIES if any(re.search(family.pattern, name) for name in names)), None)


def find_model(state: Mapping[str, Tensor], family: Family) -> tuple[str, int, int] | None:
    """Return the model of torchvision that weights are most like, with how many of its tensors they have; or None."""
    from torchvision import models

    shares: list[tuple[float, str, int, int]] = []
    for name in family.members:
        with torch.device("meta"):
            expected = models.get_model(name, weights=None).state_dict()
        fitting = count_fitting(state, expected)
        shares.append((fitting / max(len(expected), len(state)), name, fitting, len(expected)))
    share, name, fitting, total = max(shares, default=(0.0, "", 0, 0))
    return (name, fitting, total) if share >= LEAST_ALIKE else None


def count_fitting(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> int:
    """Return how many tensors have the name and the shape that is expected."""
    return sum(name in state and state[name].shape == tensor.shape for name, tensor in expected.items())


def mismatch_error(
    state: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    *,
    missing: Collection[str],
    unknown: Collection[str],
    where: str,
) -> ModelError:
    """Return the error for weights that do not fit a model.

    Args:
        state: the tensors of the file, under the names of the model as far as they are known.
        expected: the tensors that the model must be given.
        missing: names of those that the file lacks.
        unknown: names of the file's that the model lacks.
        where: the key that named the file.
    """
    reshaped = sorted(name for name in expected if name in state and state[name].shape != expected[name].shape)
    differences = []
    if reshaped:
        first = reshaped[0]
        shapes = f"{tuple(state[first].shape)} where the backbone has {tuple(expected[first].shape)}"
        has = "has" if len(reshaped) == 1 else "have"
        differences.append(f"{len(reshaped)} {has} another shape, first {first!r}: {shapes}")
    if missing:
        differences.append(f"{_count_tensors(missing, 'of the backbone')} not in the file, first {min(missing)!r}")
    if unknown:
        differences.append(f"{_count_tensors(unknown, 'of the file')} not in the backbone, first {min(unknown)!r}")
    fitting = len(expected) - len(set(reshaped) | set(missing))
    what = f"{fitting} of the {len(expected)} tensors of the backbone fit; {'; '.join(differences)}"
    return ModelError(what, where=where, remedy=suggest_source(state, fitting / max(1, len(expected))))


def _count_tensors(names: Collection[str], owner: str) -> str:
    return f"1 tensor {owner} is" if len(names) == 1 else f"{len(names)} tensors {owner} are"


def suggest_source(state: Mapping[str, Tensor], fitting: float) -> str:
    """Return what weights look like, and what to do; ``fitting`` is the share that fits the model at hand."""
    family = find_family(state)
    if family is None:
        return "Name the architecture that they were saved from in model.backbone, or build it with model.factory."
    if family is ADAPTER:
        return "These are tensors of an adapter: merge it with merge_and_unload() and save the model."
    likely = find_model(state, family)
    if likely is not None:
        name, count, total = likely
        use = "Build the changed one with model.factory" if fitting >= LEAST_ALIKE else "Name it in model.backbone"
        return f"They look like torchvision/{name}: {count} of its {total} tensors are there. {use}."
    if fitting >= LEAST_ALIKE:
        return "They look like a changed one of this kind: build it with model.factory."
    return f"They look like {family.words}: name the architecture that they were saved from in model.backbone."
