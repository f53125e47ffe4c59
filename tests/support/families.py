"""Small random networks of every family that is supported, saved and loaded the way a user's own would be.

Those of torchvision and timm lie in the library's own cache, as a download leaves them; those of transformers in a
folder, laid out as the hub does. A few that only come large are built narrow, by their library's own class.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import timm
import torch
import transformers as hf
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers import models as tokenisers
from torch import Tensor, nn
from torchvision import models

from rft.backbones.classifier import ImageBackbone
from rft.backbones.identity import NamedIdentity
from rft.backbones.load import LoadedBackbone, load_backbone
from rft.config.schema import ModelConfig
from rft.data.images.preprocessing import plain_preprocessing

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
POSITIONS = 48  # tokens that the text models take
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
PRINTED = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}


@dataclass(frozen=True)
class Family:
    """A kind of network and what is known of it.

    Attributes:
        load: writes it into a folder and loads it from there.
        layer: a layer to cut at.
        behind: the modules of the network that then run behind the cut, with all that is in them.
        features: (folder, preprocessed inputs of one example) -> (1, D) by the library's own model; None where the
            network is built here and so is its own reference.
    """

    load: Callable[[Path], LoadedBackbone]
    layer: str
    behind: tuple[str, ...]
    features: Callable[[Path, Any], Tensor] | None = None


def settle_norms(network: nn.Module, side: int) -> nn.Module:
    """Give BatchNorms statistics of noise, so that they differ from their neutral start, and return in eval mode."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [module.momentum for module in norms]
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        network.eval()
        for module in norms:
            module.train().momentum = None  # the plain mean
        for _ in range(4 if norms else 0):
            network(torch.randn(8, 3, side, side) + torch.randn(8, 3, 1, 1))
    for module, momentum in zip(norms, momenta, strict=True):
        module.momentum = momentum
    return network.eval()


def build_seeded(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network whose random weights are the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build()


# ---------------------------------------------------------------- torchvision and timm, by name


REVISION = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def put_in_cache(library: str, name: str, state: dict[str, Tensor], cache: Path) -> Iterator[None]:
    """Have these weights in the library's cache, where a download of its own pretrained ones would have put them."""
    if library == "torchvision":
        place = cache / "checkpoints" / models.get_model_weights(name).DEFAULT.url.rpartition("/")[2]
        place.parent.mkdir()
        torch.save(state, place)
    else:
        repository = cache / f"models--{timm.get_pretrained_cfg(name).hf_hub_id.replace('/', '--')}"
        snapshot = repository / "snapshots" / REVISION
        snapshot.mkdir(parents=True)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(REVISION, encoding="utf-8")
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, snapshot / "model.safetensors")
    with patch("torch.hub.get_dir", lambda: str(cache)), patch("huggingface_hub.constants.HF_HUB_CACHE", str(cache)):
        yield


def named(library: str, name: str, layer: str, behind: tuple[str, ...], side: int = 64) -> Family:
    """Return a family by its name in torchvision or timm, whose pretrained weights are found in the library's cache."""

    def built() -> nn.Module:
        create = {"torchvision": models.get_model, "timm": timm.create_model}[library]
        return settle_norms(build_seeded(lambda: create(name)), side)

    def load_family(folder: Path) -> LoadedBackbone:
        config = ModelConfig(backbone=f"{library}/{name}", **({} if side == 224 else {"image_size": side}))
        with put_in_cache(library, name, built().state_dict(), folder):
            return load_backbone(config, folder, modality="image", seed=5, offline=True)

    def expected_features(_folder: Path, pixels: Tensor) -> Tensor:
        network = built()
        mean, std = IMAGENET if library == "torchvision" else (network.default_cfg["mean"], network.default_cfg["std"])
        mean, std = (torch.tensor(per_channel).view(3, 1, 1) for per_channel in (mean, std))
        if library == "timm":
            return network.forward_head(network.forward_features((pixels - mean) / std), pre_logits=True).flatten(1)
        seen: list[Tensor] = []
        last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
        last.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
        network((pixels - mean) / std)
        return seen[0]

    return Family(load_family, layer, behind, expected_features)


def built(build: Callable[[], nn.Module], layer: str, behind: tuple[str, ...], side: int = 32) -> Family:
    """Return a family whose network is built narrow, without a classifier."""

    def load_family(_folder: Path) -> LoadedBackbone:
        backbone = ImageBackbone(settle_norms(build_seeded(build), side), *IMAGENET).eval().requires_grad_(False)
        preprocessing = plain_preprocessing(side, side, "bilinear", *IMAGENET)
        shape = LoadedBackbone(backbone, 0, preprocessing, "", NamedIdentity(library="test", name="test"))
        return replace(shape, dimension=backbone(shape.example(1, 0, 0)).shape[1])

    return Family(load_family, layer, behind)


def narrow_vgg() -> nn.Module:
    """VGG with dropout behind its wide layers, as torchvision's, but a hundredth of the width."""
    network = models.VGG(models.vgg.make_layers([8, "M", 16, "M", 16, 16, "M"], batch_norm=True), init_weights=False)
    network.avgpool = nn.AdaptiveAvgPool2d(2)
    network.classifier = nn.Sequential(
        nn.Linear(64, 32), nn.ReLU(True), nn.Dropout(), nn.Linear(32, 32), nn.ReLU(True), nn.Dropout()
    )
    return network


def narrow_swin() -> nn.Module:
    """Return a shifted-window transformer of two stages."""
    network = models.SwinTransformer([4, 4], 16, [2, 2], [2, 4], [2, 2], stochastic_depth_prob=0.2)
    network.head = nn.Identity()
    return network


def narrow_vit() -> nn.Module:
    """Return a vision transformer of three blocks."""
    network = models.VisionTransformer(32, 8, 3, 4, 32, 64, dropout=0.1)
    network.heads = nn.Identity()
    return network


def narrow_timm_vit() -> nn.Module:
    """Return timm's vision transformer with three blocks."""
    return timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, depth=3, num_classes=0)


def narrow_timm_vgg() -> nn.Module:
    """Return timm's VGG with its fully connected layers as convolutions, as timm has them."""
    cfg = [8, "M", 16, "M", 16, 16, "M"]
    return timm.models.vgg.VGG(cfg, num_classes=0, mlp_ratio=0.01, drop_rate=0.2)


def narrow_timm_swin() -> nn.Module:
    """Return timm's shifted-window transformer of two stages."""
    sizes = {"embed_dim": 16, "depths": (2, 2), "num_heads": (2, 4), "window_size": 4}
    return timm.models.SwinTransformer(32, 4, num_classes=0, drop_path_rate=0.2, **sizes)


def narrow_convnext() -> nn.Module:
    """Return a ConvNeXt of two stages."""
    stages = [models.convnext.CNBlockConfig(8, 16, 1), models.convnext.CNBlockConfig(16, None, 2)]
    network = models.ConvNeXt(stages, stochastic_depth_prob=0.2)
    network.classifier[2] = nn.Identity()
    return network


def numbered(prefix: str, first: int, last: int) -> tuple[str, ...]:
    """Return the names of modules in a sequence."""
    return tuple(f"{prefix}.{number}" for number in range(first, last + 1))


IMAGES = {
    "resnet18": named("torchvision", "resnet18", "layer4.1", ("layer4.1",)),
    "mobilenet_v2": named("torchvision", "mobilenet_v2", "features.17", ("features.17", "features.18", "classifier")),
    "densenet121": named(
        "torchvision", "densenet121", "features.denseblock4", ("features.denseblock4", "features.norm5")
    ),
    "efficientnet_b0": named(
        "torchvision", "efficientnet_b0", "features.7", ("features.7", "features.8", "classifier")
    ),
    "vgg": built(narrow_vgg, "features.7", (*numbered("features", 7, 12), "classifier")),
    "swin": built(narrow_swin, "features.3", ("features.3", "norm")),
    "vit": built(narrow_vit, "encoder.layers.encoder_layer_2", ("encoder.layers.encoder_layer_2", "encoder.ln")),
    "convnext": built(narrow_convnext, "features.3.1", ("features.3.1", "classifier")),
    "timm/resnet": named("timm", "resnet10t", "layer4", ("layer4",)),
    "timm/vgg": built(narrow_timm_vgg, "features.6", (*numbered("features", 6, 10), "pre_logits", "head")),
    "timm/swin": built(narrow_timm_swin, "layers.1.blocks.1", ("layers.1.blocks.1", "norm")),
    "timm/vit": built(narrow_timm_vit, "blocks.2", ("blocks.2", "norm")),
    "timm/convnext": named("timm", "convnext_atto", "stages.3.blocks.1", ("stages.3.blocks.1", "head.norm")),
    "timm/mobilenet": named("timm", "mobilenetv3_small_050", "blocks.5", ("blocks.5", "conv_head", "norm_head")),
    "timm/lite0": named("timm", "tf_efficientnet_lite0", "blocks.6", ("blocks.6", "conv_head", "bn2")),
}
LARGE_IMAGES = {
    "vgg11": named("torchvision", "vgg11", "features.16", (*numbered("features", 16, 20), "classifier")),
    "convnext_tiny": named(
        "torchvision", "convnext_tiny", "features.7.1", (*numbered("features.7", 1, 2), "classifier")
    ),
    "swin_t": named("torchvision", "swin_t", "features.7.1", ("features.7.1", "norm")),
    "vit_b_16": named(
        "torchvision",
        "vit_b_16",
        "encoder.layers.encoder_layer_11",
        ("encoder.layers.encoder_layer_11", "encoder.ln"),
        224,
    ),
    "timm/vit_tiny": named("timm", "vit_tiny_patch16_224", "blocks.11", ("blocks.11", "norm"), 224),
    "timm/resnet18": named("timm", "resnet18", "layer4", ("layer4",)),
    "timm/vgg11": named("timm", "vgg11", "features.18", (*numbered("features", 18, 20), "pre_logits")),
    "timm/vgg11_bn": named("timm", "vgg11_bn", "features.25", (*numbered("features", 25, 28), "pre_logits")),
    "timm/swin_tiny": named(
        "timm", "swin_tiny_patch4_window7_224", "layers.3.blocks.1", ("layers.3.blocks.1", "norm"), 224
    ),
}


# ---------------------------------------------------------------- transformers, as the hub lays them out


def letter_tokenizer() -> hf.PreTrainedTokenizerFast:
    """Return a WordPiece tokenizer of single letters, as BERT's."""
    alphabet = [chr(97 + number) for number in range(26)]
    words = [*SPECIAL, *alphabet, *(f"##{letter}" for letter in alphabet)]
    model = tokenisers.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]")
    return _fast_tokenizer(model, normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer(), ends=True)


def byte_tokenizer() -> hf.PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer without merges, as GPT-2's: nothing marks where a text begins or ends."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    model = tokenisers.BPE({word: number for number, word in enumerate([*SPECIAL, *alphabet])}, [])
    before = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return _fast_tokenizer(model, None, before, ends=False, decoder=decoders.ByteLevel())


def _fast_tokenizer(
    model: Any, normalizer: Any, pre_tokenizer: Any, *, ends: bool, decoder: Any = None
) -> hf.PreTrainedTokenizerFast:
    word_tokenizer = Tokenizer(model)
    word_tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        word_tokenizer.normalizer = normalizer
    if decoder is not None:
        word_tokenizer.decoder = decoder
    if ends:
        marks = [("[CLS]", 2), ("[SEP]", 3)]
        word_tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=marks)
    names = dict(zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL, strict=True))
    tokens = {f"{kind}_token": token for kind, token in names.items()}
    return hf.PreTrainedTokenizerFast(tokenizer_object=word_tokenizer, model_max_length=POSITIONS, **tokens)


def write_hub_folder(folder: Path, network: nn.Module, tokenizer: Any = None, **files: dict[str, Any]) -> Path:
    """Write a model as the hub lays it out: config.json, model.safetensors, the tokenizer's files, and other JSON."""
    hf.utils.logging.disable_progress_bar()
    network.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def random_text_model(config: Any) -> nn.Module:
    """Return a model without a head for a config. Weights are wide enough for texts to differ."""
    network = build_seeded(lambda: hf.AutoModel.from_config(config))
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if tensor.dim() > 1 and "norm" not in name.lower():
                tensor.mul_(4)
    return network.eval()


def text(config: type, sizes: dict[str, Any], layer: str, behind: tuple[str, ...], *, gpt: bool = False) -> Family:
    """Return a text family: mean pooling over letters, or for causal models the last of the octets."""

    def load_family(folder: Path) -> LoadedBackbone:
        tokenizer = byte_tokenizer() if gpt else letter_tokenizer()
        network = random_text_model(config(vocab_size=len(tokenizer) + 8, **sizes))
        write_hub_folder(folder / "own", network, tokenizer)
        return load_backbone(ModelConfig(backbone="transformers/own"), folder, modality="text", seed=0, offline=True)

    def expected_features(folder: Path, first_text: str) -> Tensor:
        tokenizer = hf.AutoTokenizer.from_pretrained(folder / "own")
        network = hf.AutoModel.from_pretrained(folder / "own").eval()
        tokens = tokenizer(first_text, return_tensors="pt", return_token_type_ids=False)
        hidden = network(**tokens).last_hidden_state
        return hidden[:, -1] if gpt else hidden.mean(dim=1)

    return Family(load_family, layer, behind, expected_features)


_limits = {"max_position_embeddings": POSITIONS, "pad_token_id": 0}
_bert = {**SMALL, **_limits}
_llama = {**SMALL, **_limits, "num_key_value_heads": 2, "bos_token_id": 2, "eos_token_id": 3}
_distilbert = {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 64, **_limits}
_gpt2 = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": POSITIONS, "bos_token_id": 2, "eos_token_id": 3}
_relative = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False}

TEXTS = {
    "bert": text(hf.BertConfig, _bert, "encoder.layer.2", ("encoder.layer.2",)),
    # Its positions begin after the padding token: two more rows than tokens.
    "roberta": text(
        hf.RobertaConfig,
        {**SMALL, "max_position_embeddings": POSITIONS + 1, "pad_token_id": 0},
        "encoder.layer.1",
        numbered("encoder.layer", 1, 2),
    ),
    "distilbert": text(hf.DistilBertConfig, _distilbert, "transformer.layer.2", ("transformer.layer.2",)),
    "albert": text(
        hf.AlbertConfig,
        {**_bert, "embedding_size": 16, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1},
        "encoder.albert_layer_groups.0",
        ("encoder.albert_layer_groups.0",),
    ),
    "mpnet": text(
        hf.MPNetConfig,
        {**SMALL, "max_position_embeddings": POSITIONS + 2, "pad_token_id": 1},
        "encoder.layer.2",
        ("encoder.layer.2",),
    ),
    "deberta": text(hf.DebertaV2Config, {**_bert, **_relative}, "encoder.layer.2", ("encoder.layer.2",)),
    "modernbert": text(
        hf.ModernBertConfig,
        {**_bert, **PRINTED, "cls_token_id": 2, "sep_token_id": 3, "local_attention": 8},
        "layers.2",
        ("layers.2", "final_norm"),
    ),
    "gpt2": text(hf.GPT2Config, _gpt2, "h.2", ("h.2", "ln_f"), gpt=True),
    "llama": text(hf.LlamaConfig, _llama, "layers.2", ("layers.2", "norm"), gpt=True),
    "qwen2": text(hf.Qwen2Config, _llama, "layers.1", ("layers.1", "layers.2", "norm"), gpt=True),
}

_plain_images = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.25, 0.3]}


def tower(
    network: Callable[[], nn.Module],
    side: int,
    layer: str,
    behind: tuple[str, ...],
    pooled: Callable[[nn.Module, Tensor], Tensor],
) -> Family:
    """Return a vision tower of transformers. ``pooled`` gives the features that the library's own model has."""
    own_size = {"size": {"shortest_edge": side + 4}, "crop_size": {"height": side, "width": side}, "resample": 3}

    def load_family(folder: Path) -> LoadedBackbone:
        preprocessor = {"preprocessor_config": {**_plain_images, **own_size, "do_center_crop": True}}
        write_hub_folder(folder / "own", build_seeded(network).eval(), **preprocessor)
        return load_backbone(ModelConfig(backbone="transformers/own"), folder, modality="image", seed=0, offline=True)

    def expected_features(folder: Path, pixels: Tensor) -> Tensor:
        whole = hf.AutoModel.from_pretrained(folder / "own").eval()
        mean, std = (torch.tensor(per_channel).view(3, 1, 1) for per_channel in _plain_images.values())
        return pooled(whole, (pixels - mean) / std)

    return Family(load_family, layer, behind, expected_features)


def build_clip() -> nn.Module:
    """Return a whole CLIP: folders on the hub hold both towers."""
    vision = {**SMALL, "image_size": 32, "patch_size": 8}
    words = {**SMALL, "vocab_size": 60, "max_position_embeddings": 20, **PRINTED}
    return hf.CLIPModel(hf.CLIPConfig(text_config=words, vision_config=vision, projection_dim=16))


def _clip_pooled(model: nn.Module, pixels: Tensor) -> Tensor:
    return model.vision_model(pixel_values=pixels).pooler_output


def _class_token(model: nn.Module, pixels: Tensor) -> Tensor:
    return model(pixel_values=pixels).last_hidden_state[:, 0]


def _mean_map(model: nn.Module, pixels: Tensor) -> Tensor:
    return model(pixel_values=pixels).last_hidden_state.mean(dim=(2, 3))


def _build_transformer(model: type, config: type, patch: int, side: int) -> Callable[[], nn.Module]:
    sizes = {key: value for key, value in SMALL.items() if key != "intermediate_size"}
    return lambda: model(config(**sizes, image_size=side, patch_size=patch))


def _hf_resnet() -> nn.Module:
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 2], "layer_type": "basic"}
    return settle_norms(hf.ResNetModel(hf.ResNetConfig(**sizes)), 32)


TOWERS = {
    "dinov2": tower(
        _build_transformer(hf.Dinov2Model, hf.Dinov2Config, 14, 28),
        28,
        "encoder.layer.2",
        ("encoder.layer.2", "layernorm"),
        _class_token,
    ),
    "clip": tower(build_clip, 32, "encoder.layers.2", ("encoder.layers.2", "post_layernorm"), _clip_pooled),
    "hf_vit": tower(
        _build_transformer(hf.ViTModel, hf.ViTConfig, 8, 32), 32, "layers.2", ("layers.2", "layernorm"), _class_token
    ),
    "hf_resnet": tower(_hf_resnet, 32, "encoder.stages.1.layers.1", ("encoder.stages.1.layers.1",), _mean_map),
}

FAMILIES = IMAGES | TEXTS | TOWERS


def some_texts(count: int = 12) -> list[str]:
    """Return made-up texts of lengths from 3 to 20 letters; among every four, two are of the same length."""
    lengths = itertools.islice(itertools.cycle([3, 20, 9, 9, 14, 5, 11]), count)
    generator = torch.Generator().manual_seed(7)
    return ["".join(chr(97 + int(n)) for n in torch.randint(26, (length,), generator=generator)) for length in lengths]


def some_images(count: int, side: int) -> list[Tensor]:
    """Return made-up images, (3, side, side) in [0, 1]: noise, each on a colour of its own."""
    generator = torch.Generator().manual_seed(7)
    noise = torch.rand(count, 3, side, side, generator=generator)
    return list((noise + torch.rand(count, 3, 1, 1, generator=generator)) / 2)
