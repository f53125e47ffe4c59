"""Images are prepared as each library's own pipeline prepares them: the same pixels, and the same probabilities."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import transformers as hf
from PIL import Image
from torch import Tensor, nn
from torchvision import models

import rft
from rft.backbones.load import LoadedBackbone, load_backbone
from rft.backbones.sources.image_processor import measure_processor
from rft.config.schema import ModelConfig
from rft.data.images.inputs import to_tensor
from rft.data.images.preprocessing import ImagePreprocessing
from rft.errors import ConfigError, ModelError, RftError
from rft.models import external
from rft.models.saved import load_model, write_model
from rft.records import ImagePreprocessingFacts
from tests.conftest import CONFIG, write_images
from tests.support import families

EQUAL = 1e-5  # in pixels and in probabilities


def draw_photo(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Return an image with edges, slopes and some noise, unlike its mirror and its turns."""
    random = np.random.default_rng(width * height)
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [np.sin(columns / (7 + 5 * channel)) + np.cos(rows / (11 + 3 * channel)) for channel in range(3)]
    values = (
        127 + 50 * np.stack(waves, axis=2) + 20 * (columns > rows)[..., None] + random.normal(0, 8, (height, width, 3))
    )
    return Image.fromarray(values.clip(0, 255).astype(np.uint8)).convert(mode)


SHAPES = [(300, 200), (120, 260), (97, 97), (640, 31), (24, 24)]
PHOTOS = [draw_photo(*shape) for shape in SHAPES]


def normalise_image(preprocessing: ImagePreprocessing, image: Image.Image) -> np.ndarray:
    """Return the (C, H, W) values that the model's network is given for an image."""
    pixels = to_tensor([preprocessing(image)])
    assert pixels.dtype == torch.float32
    mean, std = torch.tensor([preprocessing.mean, preprocessing.std], dtype=torch.float32).view(2, 1, -1, 1, 1)
    return ((pixels - mean) / std)[0].numpy()


def assert_same_pixels(
    preprocessing: ImagePreprocessing,
    pipeline: Callable[[Image.Image], Any],
    mode: str = "RGB",
    photos: int = len(SHAPES),
) -> None:
    """Compare with a pipeline, in units of pixels from 0 to 1."""
    scale = np.reshape(preprocessing.scale, (-1, 1, 1))
    for image in PHOTOS[:photos]:
        expected = np.asarray(pipeline(image.convert(mode)), np.float64)
        values = normalise_image(preprocessing, image)
        assert values.shape == expected.shape == preprocessing.shape
        assert np.abs((values - expected) / scale).max() <= EQUAL


def assert_same_probabilities(
    loaded: LoadedBackbone, folder: Path, features: Callable[[Tensor], Tensor], pipeline: Callable[[Image.Image], Any]
) -> float:
    """Compare a backbone with a head, as it is and when it was saved and loaded, with the library's own features.

    Returns:
        How far the probabilities of the images differ from each other.
    """
    classifier = loaded.classifier(3, False, seed=1)
    with torch.no_grad():
        logits = classifier({"pixels": torch.cat([to_tensor([loaded.preprocessing(image)]) for image in PHOTOS])})
        classifier.head.linear.weight.div_(logits.std())  # neither all alike nor all certain
    write_model(folder / "saved", model=classifier, backbone=loaded, classes=("a", "b", "c"))
    saved = load_model(folder / "saved")
    assert saved.preprocessing.facts() == loaded.preprocessing.facts()
    table = saved.predict(PHOTOS)[["score_a", "score_b", "score_c"]].to_numpy(float)
    for image, scores in zip(PHOTOS, table, strict=True):
        with torch.no_grad():
            probabilities = classifier({"pixels": to_tensor([loaded.preprocessing(image)])}).softmax(dim=1)[0]
            values = torch.as_tensor(np.asarray(pipeline(image)))[None]
            expected = classifier.head({"features": features(values)}).softmax(dim=1)[0]
        assert (probabilities - expected).abs().max() <= EQUAL
        assert np.abs(scores - expected.numpy()).max() <= EQUAL
    return float(np.ptp(table, axis=0).max())


# ---------------------------------------------------------------- torchvision


def torchvision_file(folder: Path, name: str, **options: Any) -> nn.Module:
    """Write random weights of a model as torchvision would build it with published ones; return the model."""
    options |= {"transform_input": True} if name in ("googlenet", "inception_v3") else {}
    side = 224 if name.startswith("maxvit") else 96  # its windows divide no other size
    network = families.settle_norms(families.build_seeded(lambda: models.get_model(name, **options)), side)
    torch.save(network.state_dict(), folder / "w.pth")
    return network


def before_classifier(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return a function from the inputs of a network to what its last linear layer is given."""
    seen: list[Tensor] = []
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    last.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))

    def run(values: Tensor) -> Tensor:
        network(values)
        return seen.pop()

    return run


SLOW = ("mobilenet_v2", "efficientnet_b0", "shufflenet_v2_x0_5", "mnasnet0_5", "regnet_y_400mf", "vit_b_16", "swin_t")
SLOW += ("densenet121", "inception_v3", "convnext_tiny", "maxvit_t", "vgg11_bn", "resnext50_32x4d")


@pytest.mark.parametrize(
    "name",
    ["resnet18", "googlenet", "mobilenet_v3_small"] + [pytest.param(name, marks=pytest.mark.slow) for name in SLOW],
)
def test_torchvision_models_see_what_their_weights_transforms_give(tmp_path: Path, name: str) -> None:
    network = torchvision_file(tmp_path, name)
    recipe = next(iter(models.get_model_weights(name)))
    settings = ModelConfig(backbone=f"torchvision/{name}", weights="w.pth")
    loaded = load_backbone(settings, tmp_path, modality="image", seed=9, offline=True)
    assert loaded.preprocessing.facts().recipe == str(recipe)
    assert_same_pixels(loaded.preprocessing, recipe.transforms())
    features = before_classifier(network.eval())
    assert assert_same_probabilities(loaded, tmp_path, features, recipe.transforms()) > 1e-3


def all_recipes_of_torchvision() -> list[Any]:
    """Return published weights of torchvision, of those with the same transforms one."""
    seen = {}
    for name in models.list_models(module=models):
        for recipe in models.get_model_weights(name):
            transforms = recipe.transforms()
            seen[(*transforms.resize_size, *transforms.crop_size, transforms.interpolation)] = recipe
    return list(seen.values())


@pytest.mark.parametrize("largest", [256, pytest.param(1000, marks=pytest.mark.slow)])
def test_every_published_recipe_of_torchvision_is_run_as_it_is(largest: int) -> None:
    from rft.backbones.sources import torchvision

    recipes = [recipe for recipe in all_recipes_of_torchvision() if recipe.transforms().crop_size[0] <= largest]
    assert len(recipes) > 8
    for recipe in recipes:
        assert_same_pixels(torchvision.read_preprocessing(recipe), recipe.transforms(), photos=2)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3", "vit_b_16", "maxvit_t", "resnet18", "densenet121"])
def test_architectures_are_built_as_with_published_weights(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from rft.backbones.sources import torchvision

    enum = models.get_model_weights(name)
    for recipe in enum:
        with torch.device("meta"):
            built = torchvision.build_architecture(name, str(recipe))
            state = built.state_dict()
            monkeypatch.setattr(enum, "get_state_dict", lambda _self, state=state, **_options: dict(state))
            published = models.get_model(name, weights=recipe)
        assert getattr(built, "transform_input", None) == getattr(published, "transform_input", None)
        shapes = [{key: tensor.shape for key, tensor in model.state_dict().items()} for model in (built, published)]
        assert shapes[1].items() <= shapes[0].items()  # without heads that only help training


def test_published_weights_are_recognised_and_chosen_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rft.backbones.sources import torchvision

    first, second = models.ResNet50_Weights.IMAGENET1K_V1, models.ResNet50_Weights.IMAGENET1K_V2
    for recipe in (first, second):
        start = recipe.url.rsplit("-", 1)[1].removesuffix(".pth")
        assert torchvision.find_recipe("resnet50", "w.pth", start + "0" * 56, None) is recipe
        assert torchvision.find_recipe("resnet50", recipe.name, None, None) is recipe
        assert torchvision.find_recipe("resnet50", str(recipe), None, None) is recipe
        assert torchvision.find_recipe("resnet50", "w.pth", "f" * 64, recipe.name) is recipe
    assert torchvision.find_recipe("resnet50", "pretrained", None, None) is second
    assert torchvision.find_recipe("resnet50", "random", None, None) is first
    assert torchvision.find_recipe("resnet50", "w.pth", "f" * 64, None) is first
    with pytest.raises(
        ModelError, match=r"model\.preprocessing: 'V3' names no weights of resnet50\nExpected one of IMAGE"
    ):
        torchvision.find_recipe("resnet50", "w.pth", None, "V3")

    network = families.build_seeded(lambda: models.resnet50())
    for recipe in (first, second):
        with monkeypatch.context() as patched:
            patched.setenv("TORCH_HOME", str(tmp_path / recipe.name))
            place = Path(torch.hub.get_dir()) / "checkpoints"
            place.mkdir(parents=True)
            torch.save(network.state_dict(), place / recipe.url.rsplit("/", 1)[1])
            settings = ModelConfig(backbone="torchvision/resnet50", weights=recipe.name)
            loaded = load_backbone(settings, tmp_path, modality="image", seed=9, offline=True)
        assert torch.equal(loaded.backbone.network.conv1.weight, network.conv1.weight)
        assert_same_pixels(loaded.preprocessing, recipe.transforms())
        assert loaded.preprocessing.facts().recipe == f"ResNet50_Weights.{recipe.name}"


def test_names_of_weights_that_there_are_not_are_told_with_those_that_there_are(tmp_path: Path) -> None:
    settings = ModelConfig(backbone="torchvision/resnet50", weights="IMAGENET1K_V3")
    with pytest.raises(ModelError, match="resnet50 has no published weights 'IMAGENET1K_V3'\nDid you mean") as caught:
        load_backbone(settings, tmp_path, modality="image", seed=9, offline=True)
    assert "Its names: IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT" in str(caught.value)


def test_a_file_of_ones_own_takes_the_recipe_that_is_named(tmp_path: Path) -> None:
    network = models.resnet50()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    keys = {"backbone": "torchvision/resnet50", "weights": "w.pth", "preprocessing": "IMAGENET1K_V2"}
    loaded = load_backbone(ModelConfig(**keys), tmp_path, modality="image", seed=9, offline=True)
    assert_same_pixels(loaded.preprocessing, models.ResNet50_Weights.IMAGENET1K_V2.transforms())
    smaller = load_backbone(ModelConfig(**keys, image_size=96), tmp_path, modality="image", seed=9, offline=True)
    resized = models.ResNet50_Weights.IMAGENET1K_V2.transforms(resize_size=round(232 * 96 / 224), crop_size=96)
    assert_same_pixels(smaller.preprocessing, resized)


@pytest.mark.parametrize(
    "keys",
    [
        {"backbone": "timm/resnet18", "preprocessing": "IMAGENET1K_V2"},
        {"backbone": "transformers/x", "preprocessing": "IMAGENET1K_V2"},
        {"checkpoint": "model", "preprocessing": "IMAGENET1K_V2"},
        {"factory": "a:b", "preprocessing": "IMAGENET1K_V2"},
        {"factory": "a:b", "preprocessing": "a:c", "image_size": 64},
    ],
)
def test_a_recipe_is_not_named_where_the_model_says_it(keys: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"preprocessing"):
        ModelConfig(**keys)


# ---------------------------------------------------------------- timm


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize("crop_pct", [0.8, 1.0])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
def test_every_way_of_timm_to_crop(crop_mode: str, crop_pct: float, interpolation: str) -> None:
    from rft.backbones.sources import timm as ours

    network = timm.create_model("test_resnet")
    changes = {"crop_mode": crop_mode, "crop_pct": crop_pct, "interpolation": interpolation, "mean": (0.5, 0.4, 0.3)}
    network.pretrained_cfg = network.pretrained_cfg | changes
    for side in (None, 96):
        config = timm.data.resolve_model_data_config(network, {} if side is None else {"img_size": side})
        preprocessing = ours.read_preprocessing(network, image_size=side)
        assert_same_pixels(preprocessing, timm.data.create_transform(**config))
        again = ours.saved_preprocessing(
            ImagePreprocessingFacts.model_validate_json(preprocessing.facts().model_dump_json())
        )
        assert again.facts() == preprocessing.facts()
        assert_same_pixels(again, timm.data.create_transform(**config))


@pytest.mark.parametrize("largest", [192, pytest.param(600, marks=pytest.mark.slow)])
def test_every_recipe_that_timm_publishes_is_run_as_it_is(largest: int) -> None:
    from rft.backbones.sources import timm as ours

    seen = set()
    for name in timm.list_models(pretrained=True):
        config = timm.get_pretrained_cfg(name)
        key = (config.input_size, config.interpolation, config.mean, config.std, config.crop_pct, config.crop_mode)
        if key in seen or max(config.input_size) > largest:
            continue
        seen.add(key)
        network = nn.Identity()
        network.pretrained_cfg = config.to_dict()
        expected = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
        assert_same_pixels(ours.read_preprocessing(network), expected, photos=2)
    assert len(seen) > 10


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet"])
def test_timm_models_see_what_timms_transform_gives(tmp_path: Path, name: str) -> None:
    network = families.settle_norms(families.build_seeded(lambda: timm.create_model(name)), 160)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    loaded = load_backbone(
        ModelConfig(backbone=f"timm/{name}", weights="w.pth"), tmp_path, modality="image", seed=9, offline=True
    )
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
    assert_same_pixels(loaded.preprocessing, transform)

    def features(values: Tensor) -> Tensor:
        return network.forward_head(network.forward_features(values), pre_logits=True).flatten(1)

    assert assert_same_probabilities(loaded, tmp_path, features, transform) > 1e-3


def test_grey_models_of_timm_are_given_grey_images() -> None:
    from rft.backbones.sources import timm as ours

    network = nn.Identity()
    network.pretrained_cfg = {"input_size": (1, 28, 28), "mean": (0.13,), "std": (0.31,), "crop_pct": 1.0}
    preprocessing = ours.read_preprocessing(network)
    assert preprocessing.shape == (1, 28, 28)
    config = timm.data.resolve_model_data_config(network)
    assert_same_pixels(preprocessing, timm.data.create_transform(**config), "L")
    view = preprocessing.augmented_view(PHOTOS[0], np.random.default_rng(0))
    assert view.shape == (28, 28, 1)
    network.pretrained_cfg = network.pretrained_cfg | {"input_size": (4, 28, 28), "mean": (0.5,) * 4, "std": (0.5,) * 4}
    with pytest.raises(ModelError, match="it takes images of 4 channels"):
        ours.read_preprocessing(network)


def test_a_recipe_of_another_height_than_width() -> None:
    from rft.backbones.sources import timm as ours

    network = nn.Identity()
    for mode in ("center", "squash", "border"):
        network.pretrained_cfg = {"input_size": (3, 64, 48), "crop_pct": 0.9, "crop_mode": mode}
        config = timm.data.resolve_model_data_config(network)
        assert_same_pixels(ours.read_preprocessing(network), timm.data.create_transform(**config))


# ---------------------------------------------------------------- transformers

SQUARE, SHORTEST = {"height": 32, "width": 32}, {"shortest_edge": 32}
PROCESSORS: dict[str, Callable[[], Any]] = {
    "vit": lambda: hf.ViTImageProcessor(size=SQUARE),
    "vit_pil": lambda: hf.ViTImageProcessorPil(size=SQUARE),
    "vit_nearest": lambda: hf.ViTImageProcessor(size=SQUARE, resample=0),
    "vit_lanczos": lambda: hf.ViTImageProcessorPil(size=SQUARE, resample=1),
    "vit_wide": lambda: hf.ViTImageProcessor(size={"height": 24, "width": 40}),
    "vit_plain": lambda: hf.ViTImageProcessor(size=SQUARE, do_normalize=False),
    "vit_steps": lambda: hf.ViTImageProcessor(size=SQUARE, do_normalize=False, do_rescale=False),
    "vit_unscaled": lambda: hf.ViTImageProcessor(
        size=SQUARE, do_rescale=False, image_mean=[120.0] * 3, image_std=[60.0] * 3
    ),
    "vit_rescaled": lambda: hf.ViTImageProcessor(size=SQUARE, do_normalize=False, rescale_factor=1 / 127.5),
    "deit": lambda: hf.DeiTImageProcessor(size={"height": 40, "width": 40}, crop_size=SQUARE),
    "deit_pil": lambda: hf.DeiTImageProcessorPil(size={"height": 40, "width": 40}, crop_size=SQUARE),
    "siglip": lambda: hf.SiglipImageProcessor(size=SQUARE),
    "clip": lambda: hf.CLIPImageProcessor(size=SHORTEST, crop_size=SQUARE),
    "clip_pil": lambda: hf.CLIPImageProcessorPil(size=SHORTEST, crop_size=SQUARE),
    "clip_padded": lambda: hf.CLIPImageProcessor(size={"shortest_edge": 20}, crop_size=SQUARE),
    "bit": lambda: hf.BitImageProcessor(size={"shortest_edge": 36}, crop_size=SQUARE),
    "bit_longest": lambda: hf.BitImageProcessor(
        size={"shortest_edge": 20, "longest_edge": 32}, do_center_crop=True, crop_size=SQUARE
    ),
    "convnext": lambda: hf.ConvNextImageProcessor(size=SHORTEST, crop_pct=0.8),
    "convnext_pil": lambda: hf.ConvNextImageProcessorPil(size=SHORTEST, crop_pct=0.8),
    "convnext_squashed": lambda: hf.ConvNextImageProcessor(size={"shortest_edge": 384}),
    "efficientnet": lambda: hf.EfficientNetImageProcessor(size=SQUARE),
    "efficientnet_offset": lambda: hf.EfficientNetImageProcessor(
        size=SQUARE, rescale_offset=True, rescale_factor=1 / 127.5
    ),
    "efficientnet_plain": lambda: hf.EfficientNetImageProcessor(
        size=SQUARE, include_top=False, do_center_crop=True, crop_size=SQUARE
    ),
    "mobilenet_v1": lambda: hf.MobileNetV1ImageProcessor(size={"shortest_edge": 40}, crop_size=SQUARE),
    "mobilenet_v2": lambda: hf.MobileNetV2ImageProcessor(size={"shortest_edge": 40}, crop_size=SQUARE),
    "mobilevit": lambda: hf.MobileViTImageProcessor(size={"shortest_edge": 40}, crop_size=SQUARE),
    "levit": lambda: hf.LevitImageProcessor(size={"shortest_edge": 32}, crop_size=SQUARE),
    "pvt": lambda: hf.PvtImageProcessor(size=SQUARE),
    "poolformer": lambda: hf.PoolFormerImageProcessor(size=SHORTEST, crop_size=SQUARE, crop_pct=0.9),
    "beit": lambda: hf.BeitImageProcessor(size=SQUARE, do_center_crop=True, crop_size={"height": 28, "width": 28}),
    "vivit_padded": lambda: hf.BitImageProcessor(
        size={"max_height": 32, "max_width": 32}, do_center_crop=True, crop_size=SQUARE
    ),
}


def run_processor(processor: Any) -> Callable[[Image.Image], np.ndarray]:
    return lambda image: processor(images=image, return_tensors="pt")["pixel_values"][0].numpy()


@pytest.mark.parametrize("name", sorted(PROCESSORS))
def test_every_image_processor_is_run_as_it_is(tmp_path: Path, name: str) -> None:
    processor = PROCESSORS[name]()
    preprocessing = measure_processor(processor, "test")
    assert_same_pixels(preprocessing, run_processor(processor))
    preprocessing.facts()
    view = preprocessing.augmented_view(PHOTOS[0], np.random.default_rng(0))
    assert view.shape == (*preprocessing.shape[1:], 3)
    assert preprocessing.augmented_view(PHOTOS[0], np.random.default_rng(1)).tolist() != view.tolist()


def test_blue_comes_first_in_views_too_where_a_network_wants_it_so() -> None:
    processor = PROCESSORS["mobilevit"]()
    preprocessing = measure_processor(processor, "test")
    red = Image.new("RGB", (80, 60), (250, 20, 10))
    for pixels in (preprocessing(red), preprocessing.augmented_view(red, np.random.default_rng(0))):
        assert to_tensor([pixels])[0, :, 5, 5].mul(255).round().tolist() == [10, 20, 250]


def test_images_of_several_sizes_are_refused() -> None:
    processor = hf.BitImageProcessor(size={"shortest_edge": 32}, do_center_crop=False)
    with pytest.raises(ModelError, match="gives images of several sizes") as caught:
        measure_processor(processor, "model.checkpoint")
    assert "a centre crop" in str(caught.value)


SIZES = {**families.SMALL, "num_hidden_layers": 2}
CONV = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
STAGES = {"hidden_sizes": [8, 12, 16, 24], "depths": [1, 1, 1, 1]}
NETWORKS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "vit": (lambda: hf.ViTForImageClassification(hf.ViTConfig(**SIZES, image_size=32, patch_size=8)), "vit"),
    "deit": (lambda: hf.DeiTForImageClassification(hf.DeiTConfig(**SIZES, image_size=32, patch_size=8)), "deit"),
    "swin": (
        lambda: hf.SwinForImageClassification(
            hf.SwinConfig(image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4)
        ),
        "vit",
    ),
    "siglip": (
        lambda: hf.SiglipForImageClassification(
            hf.SiglipConfig(vision_config={**SIZES, "image_size": 32, "patch_size": 8})
        ),
        "siglip",
    ),
    "dinov2": (
        lambda: hf.Dinov2ForImageClassification(
            hf.Dinov2Config(
                **{key: value for key, value in SIZES.items() if key != "intermediate_size"},
                image_size=28,
                patch_size=14,
            )
        ),
        "beit",
    ),
    "resnet": (lambda: hf.ResNetForImageClassification(hf.ResNetConfig(**CONV)), "convnext"),
    "convnext": (lambda: hf.ConvNextForImageClassification(hf.ConvNextConfig(**STAGES)), "convnext"),
    "convnextv2": (lambda: hf.ConvNextV2ForImageClassification(hf.ConvNextV2Config(**STAGES)), "convnext_pil"),
    "regnet": (
        lambda: hf.RegNetForImageClassification(
            hf.RegNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], groups_width=4)
        ),
        "clip",
    ),
    "bit": (
        lambda: hf.BitForImageClassification(
            hf.BitConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_groups=4)
        ),
        "bit",
    ),
    "mobilenet_v1": (
        lambda: hf.MobileNetV1ForImageClassification(hf.MobileNetV1Config(depth_multiplier=0.25)),
        "mobilenet_v1",
    ),
    "mobilenet_v2": (
        lambda: hf.MobileNetV2ForImageClassification(hf.MobileNetV2Config(depth_multiplier=0.25)),
        "mobilenet_v2",
    ),
    "mobilevit": (
        lambda: hf.MobileViTForImageClassification(
            hf.MobileViTConfig(image_size=32, hidden_sizes=[16, 24, 32], neck_hidden_sizes=[8, 8, 16, 16, 16, 16, 32])
        ),
        "mobilevit",
    ),
    "efficientnet": (
        lambda: hf.EfficientNetForImageClassification(
            hf.EfficientNetConfig(image_size=32, width_coefficient=0.25, depth_coefficient=0.25, hidden_dim=320)
        ),
        "efficientnet",
    ),
    "pvt": (
        lambda: hf.PvtForImageClassification(
            hf.PvtConfig(
                num_labels=3,
                image_size=32,
                hidden_sizes=[8, 16, 16, 32],
                num_attention_heads=[1, 1, 2, 4],
                depths=[1, 1, 1, 1],
            )
        ),
        "pvt",
    ),
    "poolformer": (lambda: hf.PoolFormerForImageClassification(hf.PoolFormerConfig(**STAGES)), "poolformer"),
    "levit": (
        lambda: hf.LevitForImageClassification(
            hf.LevitConfig(
                image_size=32,
                hidden_sizes=[16, 24, 32],
                num_attention_heads=[1, 2, 2],
                depths=[1, 1, 1],
                key_dim=[8, 8, 8],
            )
        ),
        "levit",
    ),
    "beit": (lambda: hf.BeitForImageClassification(hf.BeitConfig(**SIZES, image_size=28, patch_size=14)), "beit"),
    "clip": (
        lambda: hf.CLIPForImageClassification(
            hf.CLIPConfig(
                vision_config={**SIZES, "image_size": 32, "patch_size": 8},
                text_config={**SIZES, "vocab_size": 60, "max_position_embeddings": 20, **families.PRINTED},
            )
        ),
        "clip",
    ),
}


def write_classifier(folder: Path, name: str) -> tuple[nn.Module, Any]:
    """Write a random classifier of a family and its processor as a training would have saved them."""
    build, kind = NETWORKS[name]
    network = families.build_seeded(build)
    network.config.id2label, network.config.label2id = {0: "a", 1: "b", 2: "c"}, {"a": 0, "b": 1, "c": 2}
    network = families.settle_norms(
        families.build_seeded(lambda: type(network)(network.config)), 32 if name not in ("beit", "dinov2") else 28
    )
    families.write_hub_folder(folder, network)
    PROCESSORS[kind]().save_pretrained(folder)
    return network.eval(), hf.AutoImageProcessor.from_pretrained(folder)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_checkpoints_of_transformers_say_what_they_say_with_their_own_processor(tmp_path: Path, name: str) -> None:
    network, processor = write_classifier(tmp_path / "model", name)
    settings = ModelConfig(checkpoint="model")
    loaded = external.load_external(settings, tmp_path, ("a", "b", "c"), modality="image", device="cpu", offline=True)
    assert_same_pixels(loaded.preprocessing, run_processor(processor))
    for image in PHOTOS:
        with torch.no_grad():
            probabilities = loaded.classifier({"pixels": to_tensor([loaded.preprocessing(image)])}).softmax(dim=1)
            expected = network(**processor(images=image, return_tensors="pt")).logits.softmax(dim=1)
        assert (probabilities - expected).abs().max() <= EQUAL


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_backbones_of_transformers_see_what_their_own_processor_gives(tmp_path: Path, name: str) -> None:
    _, processor = write_classifier(tmp_path / "model", name)
    settings = ModelConfig(backbone="transformers/model")
    loaded = load_backbone(settings, tmp_path, modality="image", seed=0, offline=True)
    assert_same_pixels(loaded.preprocessing, run_processor(processor))
    network, pooled = loaded.backbone.network, loaded.backbone.pooled
    assert_same_probabilities(loaded, tmp_path, lambda values: pooled(network(values)), run_processor(processor))


@pytest.mark.parametrize("processor", [hf.ViTImageProcessor(size={"height": 32, "width": 48}), None])
def test_a_saved_model_of_transformers_prepares_images_as_before(tmp_path: Path, processor: Any) -> None:
    families.write_hub_folder(tmp_path / "model", families.build_seeded(NETWORKS["resnet"][0]))
    sized = {} if processor else {"image_size": 40}
    if processor:
        processor.save_pretrained(tmp_path / "model")
    settings = ModelConfig(backbone="transformers/model", **sized)
    loaded = load_backbone(settings, tmp_path, modality="image", seed=0, offline=True)
    assert loaded.preprocessing.shape == ((3, 32, 48) if processor else (3, 40, 40))
    write_model(tmp_path / "saved", model=loaded.classifier(2, False, 0), backbone=loaded, classes=("a", "b"))
    saved = load_model(tmp_path / "saved")
    assert saved.preprocessing.facts() == loaded.preprocessing.facts()
    for image in PHOTOS:
        assert np.array_equal(saved.preprocessing(image), loaded.preprocessing(image))


@pytest.mark.parametrize("name", ["vit", "clip", "convnext", "deit", "levit", "bit", "efficientnet"])
def test_another_size_shows_the_same_of_an_image(tmp_path: Path, name: str) -> None:
    network = families.build_seeded(NETWORKS["resnet"][0])
    families.write_hub_folder(tmp_path / "model", network)
    PROCESSORS[name]().save_pretrained(tmp_path / "model")
    settings = ModelConfig(backbone="transformers/model", image_size=64)
    loaded = load_backbone(settings, tmp_path, modality="image", seed=0, offline=True)
    assert loaded.preprocessing.shape == (3, 64, 64)
    processor = hf.AutoImageProcessor.from_pretrained(tmp_path / "model")
    sizes = json.loads(processor.to_json_string())
    doubled = {
        key: {edge: pixels * 2 for edge, pixels in sizes[key].items() if pixels}
        for key in ("size", "crop_size")
        if sizes.get(key)
    }
    pretrained = hf.AutoImageProcessor.from_pretrained(tmp_path / "model", **doubled)
    assert_same_pixels(loaded.preprocessing, run_processor(pretrained))
    write_model(tmp_path / "saved", model=loaded.classifier(2, False, 0), backbone=loaded, classes=("a", "b"))
    assert load_model(tmp_path / "saved").preprocessing.facts() == loaded.preprocessing.facts()


def test_a_model_of_timm_in_transformers_is_prepared_by_timm(tmp_path: Path) -> None:
    network = families.build_seeded(lambda: timm.create_model("test_resnet", num_classes=3))
    config = hf.TimmWrapperConfig.from_dict(
        {
            "architecture": "test_resnet",
            "num_classes": 3,
            "label_names": ["a", "b", "c"],
            "pretrained_cfg": network.pretrained_cfg,
        }
    )
    wrapped = families.build_seeded(lambda: hf.TimmWrapperForImageClassification(config)).eval()
    families.write_hub_folder(tmp_path / "model", wrapped)
    loaded = external.load_external(
        ModelConfig(checkpoint="model"), tmp_path, ("a", "b", "c"), modality="image", device="cpu", offline=True
    )
    assert_same_pixels(loaded.preprocessing, timm.data.create_transform(**timm.data.resolve_model_data_config(network)))


def test_grey_models_of_transformers_are_given_grey_images(tmp_path: Path) -> None:
    config = hf.ViTConfig(**SIZES, image_size=32, patch_size=8, num_channels=1, id2label={0: "a", 1: "b"})
    network = families.build_seeded(lambda: hf.ViTForImageClassification(config)).eval()
    families.write_hub_folder(tmp_path / "model", network)
    processor = hf.ViTImageProcessor(size=SQUARE, image_mean=[0.3], image_std=[0.2])
    processor.save_pretrained(tmp_path / "model")
    settings = ModelConfig(checkpoint="model")
    loaded = external.load_external(settings, tmp_path, ("a", "b"), modality="image", device="cpu", offline=True)
    assert isinstance(loaded.preprocessing, ImagePreprocessing)
    assert loaded.preprocessing.shape == (1, 32, 32)
    assert_same_pixels(loaded.preprocessing, run_processor(processor), "L")
    backbone = load_backbone(
        ModelConfig(backbone="transformers/model"), tmp_path, modality="image", seed=0, offline=True
    )
    assert backbone.example(2, 0, 0)["pixels"].shape == (2, 1, 32, 32)


# ---------------------------------------------------------------- a factory's own transform

FACTORY = """
import numpy as np
import torch
from torch import nn
from torchvision import transforms

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d({channels}, 6, 3, stride=2), nn.Linear(6, 2)

    def forward(self, values):
        return self.head(self.conv(values.float()).relu().mean((2, 3)))

transform = {transform}

def build():
    return {result}
"""
CENTRE = "transforms.Compose([transforms.Resize(40), transforms.CenterCrop(32), transforms.ToTensor(), {}])"
NORMALISED = CENTRE.format("transforms.Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.1])")
SQUASHED = "transforms.Compose([transforms.Resize((24, 36)), transforms.PILToTensor()])"
GREY = CENTRE.format("transforms.Grayscale(1)")
STANDARD = CENTRE.format("transforms.Lambda(lambda values: (values - values.mean()) / (values.std() + 1e-6))")
GAMMA = CENTRE.format("transforms.Lambda(lambda values: values ** 2.2)")
ARRAY = "lambda image: np.asarray(image.resize((32, 32)), np.float32).transpose(2, 0, 1) / 127.5 - 1"


def load_factory(folder: Path, transform: str, result: str = "Net(), transform", channels: int = 3, **keys: Any) -> Any:
    body = FACTORY.format(transform=transform, result=result, channels=channels)
    (folder / "made.py").write_text(body, encoding="utf-8")
    settings = ModelConfig(factory="made:build", classes=["a", "b"], **keys)
    return external.load_external(settings, folder, ("a", "b"), modality="image", device="cpu", offline=True)


@pytest.mark.parametrize("result", ["Net(), transform", "Net(), None, transform", "Net()"])
@pytest.mark.parametrize("transform", [NORMALISED, SQUASHED, GREY, STANDARD, GAMMA, ARRAY])
def test_a_factory_brings_the_transform_of_its_model(tmp_path: Path, transform: str, result: str) -> None:
    keys = {"preprocessing": "made:transform"} if result == "Net()" else {}
    loaded = load_factory(tmp_path, transform, result, channels=1 if transform == GREY else 3, **keys)
    space: dict[str, Any] = {}
    exec((tmp_path / "made.py").read_text(encoding="utf-8"), space)
    network = space["Net"]().eval()
    assert_same_pixels(loaded.preprocessing, space["transform"])
    for image in PHOTOS:
        with torch.no_grad():
            probabilities = loaded.classifier({"pixels": to_tensor([loaded.preprocessing(image)])}).softmax(dim=1)
            values = torch.as_tensor(np.asarray(space["transform"](image)), dtype=torch.float32)
            expected = network(values[None]).softmax(dim=1)
        assert (probabilities - expected).abs().max() <= EQUAL
    name = "made:transform" if keys else "that of made:build"
    assert loaded.preprocessing.facts().recipe == name


@pytest.mark.parametrize(
    ("transform", "keys", "said"),
    [
        (
            NORMALISED,
            {"image_size": 32},
            "model.image_size: the size of the images is that of the factory's transform",
        ),
        (
            NORMALISED,
            {"preprocessing": "made:transform"},
            "model.preprocessing: the factory returns a transform of its own",
        ),
        ("3", {}, "the transform of made:build is int, and cannot be called on an image"),
        ("transforms.Compose([transforms.RandomCrop(16), transforms.ToTensor()])", {}, "other values each time"),
        (
            "transforms.Compose([transforms.RandomHorizontalFlip(), transforms.Resize((9, 9)), transforms.ToTensor()])",
            {},
            "for evaluation",
        ),
        ("transforms.Compose([transforms.Resize(32), transforms.ToTensor()])", {}, "images of several sizes"),
        ("transforms.Resize((32, 32))", {}, "gives an image and not its values"),
        ("lambda image: 1 / 0", {}, "its preprocessing fails on an image of 60 x 90 px: division by zero"),
    ],
)
def test_transforms_that_cannot_be_used_are_refused(
    tmp_path: Path, transform: str, keys: dict[str, Any], said: str
) -> None:
    with pytest.raises(RftError) as caught:
        load_factory(tmp_path, transform, **keys)
    assert said in str(caught.value)


def test_a_transform_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"model\.preprocessing: made has no function 'transforn'\nDid you mean 'transform'"
    ):
        load_factory(tmp_path, NORMALISED, "Net()", preprocessing="made:transforn")


@pytest.mark.parametrize("transform", [SQUASHED, STANDARD, GREY])
def test_an_audit_looks_at_the_images_as_the_transform_gives_them(tmp_path: Path, transform: str) -> None:
    parts = {"transform": transform, "result": "Net(), transform"}
    (tmp_path / "made.py").write_text(FACTORY.format(channels=1 if transform == GREY else 3, **parts), encoding="utf-8")
    write_images(tmp_path / "data")
    model = '[model]\nfactory = "made:build"\nclasses = ["blue", "red"]\n\n[attribution]\nsamples = 2\n'
    report = "\n[report]\nshow_examples = true\n"
    (tmp_path / "audit.toml").write_text(CONFIG.split("[model]")[0] + model + report, encoding="utf-8")
    run = rft.audit(tmp_path / "audit.toml", tmp_path / "run", device="cpu")
    space: dict[str, Any] = {}
    exec((tmp_path / "made.py").read_text(encoding="utf-8"), space)
    network = space["Net"]().eval()
    names = [tmp_path / "data" / f"{number:03}.png" for number in range(len(run.artifacts.predictions))]
    with torch.no_grad():
        values = torch.stack([space["transform"](Image.open(name).convert("RGB")) for name in names])
        expected = network(values).softmax(dim=1)[:, 1].numpy()
    assert np.abs(run.artifacts.predictions["score_red"].to_numpy() - expected).max() <= EQUAL
    assert run.finding("attribution.failed_maps.integrated_gradients").value == 0
    assert run.model.preprocessing.recipe == "that of made:build"
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Preprocessing" in page
    assert "that of made:build" in page


@pytest.mark.parametrize(
    ("mean", "std"),
    [((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), ((0.0,) * 3, (1 / 255,) * 3), ((-2000.0,) * 3, (1e-3,) * 3)],
    ids=["ImageNet", "levels", "too far off for float32"],
)
def test_a_normalisation_is_taken_back_as_in_float64(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (50, 70, 3), dtype=np.uint8))
    offset, scale = (np.reshape(values, (-1, 1, 1)) for values in (mean, std))

    def normalise(picture: Image.Image) -> np.ndarray:
        pixels = np.asarray(picture.resize((40, 40))).transpose(2, 0, 1) / 255
        return ((pixels - offset) / scale).astype(np.float32 if abs(mean[0]) < 10 else np.float64)

    preprocessing = ImagePreprocessing.measure(normalise, {"recipe": "test"}, "model", normalisation=(mean, std))
    expected = np.asarray(image.resize((40, 40)))
    pixels = preprocessing(image)
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, expected)


def test_values_between_the_levels_of_8_bits_are_kept() -> None:
    def scale_pixels(picture: Image.Image) -> np.ndarray:
        return np.asarray(picture.resize((8, 8)), np.float32).transpose(2, 0, 1) / 255

    smooth = replace(
        ImagePreprocessing.measure(scale_pixels, {"recipe": "test"}, "model"),
        pipeline=lambda picture: scale_pixels(picture) + np.float32(0.3 / 255),
    )
    pixels = smooth(Image.new("RGB", (8, 8), (10, 20, 30)))
    assert pixels.dtype == np.float32
    assert pixels[0, 0] == pytest.approx(np.array([10.3, 20.3, 30.3]) / 255, rel=1e-6)
