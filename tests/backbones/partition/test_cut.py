"""Where a model cannot be cut, and what is trained behind a cut: on small networks with one peculiarity each."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor, nn

from rft.backbones.batch import Batch
from rft.backbones.classifier import Classifier, Head, ImageBackbone, TextBackbone, hash_tensors
from rft.backbones.load import LoadedBackbone
from rft.backbones.partition.cut import Cut, cut_classifier, modules_behind
from rft.backbones.partition.lora import add_adapters, merge_adapters
from rft.config.schema import LoraConfig
from rft.errors import ModelError
from rft.training import trained_state
from tests.support import families
from tests.support.plain_loops import CLASSES, SEED, PlainLoop, shuffle, train_from_cache, train_steps

SIDE = 8


def example(count: int, _tokens: int, seed: int) -> Batch:
    return {"pixels": torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))}


def add_head(network: nn.Module) -> Classifier:
    backbone = ImageBackbone(network.eval(), (0.5,) * 3, (0.25,) * 3)
    dimension = backbone(example(1, 0, 0)).shape[1]
    return Classifier(backbone, Head(dimension, CLASSES), modality="image")


def read(rows: list[int]) -> Batch:
    return {"pixels": example(12, 0, 1)["pixels"][rows]}


class Small(nn.Module):
    """Two convolutions in a block, and a linear layer. Subclasses differ in how these are put together."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.block = nn.ModuleDict({"first": nn.Conv2d(4, 4, 3, padding=1), "second": nn.Conv2d(4, 4, 3, padding=1)})
        self.last = nn.Linear(4, 5)

    def forward(self, pixels: Tensor) -> Tensor:
        hidden = self.block["second"](self.block["first"](self.stem(pixels)).relu())
        return self.last(hidden.mean(dim=(2, 3)))


class PastIt(Small):
    def forward(self, pixels: Tensor) -> Tensor:
        stem = self.stem(pixels)
        return self.last((stem + self.block["second"](self.block["first"](stem).relu())).mean(dim=(2, 3)))


class WithTwoArguments(Small):
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, first: Tensor, second: Tensor) -> Tensor:
            return self.scale * first + second

    def __init__(self) -> None:
        super().__init__()
        self.sum = self.Sum()

    def forward(self, pixels: Tensor) -> Tensor:
        stem = self.stem(pixels)
        return self.last(self.sum(self.block["first"](stem), stem).mean(dim=(2, 3)))


class WithAChoice(Small):
    """One layer or the other, as the first pixel says."""

    def forward(self, pixels: Tensor) -> Tensor:
        firsts = [float(example(2, 0, seed)["pixels"][0, 0, 0, 0]) for seed in (0, 1)]
        way = "first" if pixels[0, 0, 0, 0] * 0.25 + 0.5 > sum(firsts) / 2 else "second"
        return self.last(self.block[way](self.stem(pixels)).mean(dim=(2, 3)))


class NormalisedTwice(Small):
    """One BatchNorm runs before the second convolution and behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)

    def forward(self, pixels: Tensor) -> Tensor:
        hidden = self.norm(self.block["first"](self.stem(pixels)).relu())
        return self.last(self.norm(self.block["second"](hidden)).mean(dim=(2, 3)))


class TiedAcross(Small):
    """Both convolutions of the block have the same weights, under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.block["second"].weight = self.block["first"].weight


class TiedBehind(Small):
    """Two layers behind the cut have the same weights."""

    def __init__(self) -> None:
        super().__init__()
        self.third = nn.Conv2d(4, 4, 3, padding=1)
        self.third.weight = self.block["second"].weight

    def forward(self, pixels: Tensor) -> Tensor:
        hidden = self.block["second"](self.block["first"](self.stem(pixels)).relu()).relu()
        return self.last(self.third(hidden).mean(dim=(2, 3)))


class Overwriting(Small):
    """What runs first behind the cut changes its argument in place."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, pixels: Tensor) -> Tensor:
        hidden = self.block["second"](self.relu(self.block["first"](self.stem(pixels))))
        return self.last(hidden.mean(dim=(2, 3)))


class Regularised(Small):
    """BatchNorm and dropout on both sides of the second convolution; the frozen ones keep still."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.BatchNorm2d(4), nn.BatchNorm2d(4)])
        self.drops = nn.ModuleList([nn.Dropout(0.3), nn.Dropout(0.3)])

    def forward(self, pixels: Tensor) -> Tensor:
        hidden = self.drops[0](self.norms[0](self.block["first"](self.stem(pixels))).relu())
        return self.last(self.drops[1](self.norms[1](self.block["second"](hidden))).mean(dim=(2, 3)))


def build_small(kind: type[Small]) -> Classifier:
    return add_head(families.settle_norms(families.build_seeded(kind), SIDE))


# ---------------------------------------------------------------- where it cannot be cut


@pytest.mark.parametrize(
    ("kind", "layer", "message"),
    [
        (PastIt, "block.second", "a branch passes by"),
        (WithTwoArguments, "sum", "2 of its arguments carry"),
        (WithAChoice, "last", "which layers run depends on the data"),
        (NormalisedTwice, "block.second", "a branch passes by"),
        (Small, "block.third", "no layer 'block.third'\nDid you mean 'block.first'"),
        (Small, "stem", None),
        (TiedAcross, "block.second", None),
    ],
)
def test_a_cut_is_refused_with_its_reason_or_works(kind: type[Small], layer: str, message: str | None) -> None:
    classifier = build_small(kind)
    if message is None:
        assert cut_classifier(classifier, layer, "full", example).cached
        return
    with pytest.raises(ModelError) as caught:
        cut_classifier(classifier, layer, "full", example)
    assert message in str(caught.value)
    assert str(caught.value).startswith("model.freeze: ")
    assert len(str(caught.value).splitlines()) == 2


def test_the_refusal_of_a_cut_within_a_residual_names_a_layer_that_works(tmp_path: Path) -> None:
    loaded = families.FAMILIES["resnet18"].load(tmp_path)
    with pytest.raises(ModelError, match=r"(?s)cannot cut at 'layer4\.1\.conv2'.*It can be cut at 'layer4\.1'\."):
        cut_classifier(loaded.classifier(CLASSES, False, 0), "layer4.1.conv2", "full", loaded.example)
    with pytest.raises(ModelError, match=r"(?s)cannot cut at 'avgpool'.*has no weights.*freeze = \"all\""):
        cut_classifier(loaded.classifier(CLASSES, False, 0), "avgpool", "full", loaded.example)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> LoadedBackbone:
    return families.TEXTS["bert"].load(tmp_path_factory.mktemp("bert"))


def new_classifier(loaded: LoadedBackbone) -> Classifier:
    """Return a joined model of its own: adapters are put into it in place."""
    return copy.deepcopy(loaded.classifier(CLASSES, False, 0))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("encoder.layer.1.output", "2 of its arguments carry the example"),
        ("encoder.layer.22", "the backbone has no layer 'encoder.layer.22'\nDid you mean 'encoder.layer.2'"),
        ("embeddings", 'its argument is the input itself: freeze = "none" trains everything'),
        ("embeddings.word_embeddings", 'its argument is the input itself: freeze = "none" trains everything'),
    ],
)
def test_a_text_model_refuses_such_cuts(bert: LoadedBackbone, layer: str, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        cut_classifier(new_classifier(bert), layer, "full", bert.example)
    assert message in str(caught.value)


def test_the_refusal_within_a_transformer_names_its_block(bert: LoadedBackbone) -> None:
    with pytest.raises(ModelError, match=r"It can be cut at 'encoder\.layer\.1'\."):
        cut_classifier(new_classifier(bert), "encoder.layer.1.output", "full", bert.example)


# ---------------------------------------------------------------- what happens behind a cut


@pytest.mark.parametrize(
    ("kind", "layer", "behind"),
    [
        (TiedBehind, "block.second", ("block.second", "third", "last")),
        (Overwriting, "relu", ("relu", "block.second", "last")),
        (Regularised, "block.second", ("block.second", "norms.1", "drops.1", "last")),
    ],
)
def test_peculiar_networks_train_as_in_a_plain_loop(kind: type[Small], layer: str, behind: tuple[str, ...]) -> None:
    classifier = build_small(kind)
    parts = cut_classifier(classifier, layer, "full", example)
    plain = PlainLoop(classifier, behind)
    assert parts.trained == plain.names
    expected = plain.train(read, 12)
    losses, model = train_from_cache(parts, read, 12)
    assert max(abs(first - second) for first, second in zip(losses, expected, strict=True)) <= 1e-5
    for name, tensor in model.state_dict().items():
        assert torch.allclose(tensor, plain.model.state_dict()[name], atol=1e-5), name


def test_weights_shared_with_what_is_before_the_cut_stay_frozen() -> None:
    classifier = build_small(TiedAcross)
    parts = cut_classifier(classifier, "block.second", "full", example)
    assert "backbone.network.block.first.weight" not in parts.trained
    assert "backbone.network.block.second.bias" in parts.trained
    before = parts.frozen_sha256()
    _, model = train_from_cache(parts, read, 12)
    network = model.backbone.network
    assert torch.equal(network.block["second"].weight, classifier.backbone.network.block["first"].weight)
    assert parts.frozen_sha256() == before
    assert model(read([0, 1])).shape == (2, CLASSES)


def test_batch_norms_before_the_cut_keep_still_and_those_behind_it_move() -> None:
    classifier = build_small(Regularised)
    parts = cut_classifier(classifier, "block.second", "full", example)
    suffix = parts.whole_suffix(SEED).train()
    training = {name for name, module in suffix.classifier.named_modules() if module.training}
    network = "backbone.network."
    assert {network + "norms.1", network + "drops.1", network + "block.second"} <= training
    assert not {network + "norms.0", network + "drops.0", network + "block.first", network + "stem"} & training
    train_steps(suffix, ((read(rows.tolist()), labels) for rows, labels in shuffle(12)))
    for position, moves in ((0, False), (1, True)):
        for kind in ("running_mean", "running_var", "num_batches_tracked"):
            name = f"norms.{position}.{kind}"
            first, second = (model.get_buffer(f"backbone.network.{name}") for model in (classifier, suffix.classifier))
            assert torch.equal(first, second) != moves, name
    assert not any(module.training for module in suffix.train(False).modules())


def test_the_cached_tensor_is_left_as_it_was() -> None:
    parts = cut_classifier(build_small(Overwriting), "relu", "full", example)
    features = parts.prefix()(read([0, 1]))
    before = features["features"].clone()
    assert before.min() < 0
    parts.new_suffix(0)(features)
    assert torch.equal(features["features"], before)


def test_a_suffix_does_without_the_tensors_of_the_frozen_part(bert: LoadedBackbone) -> None:
    classifier = new_classifier(bert)
    suffix = cut_classifier(classifier, "encoder.layer.2", "full", bert.example).new_suffix(0)
    held = sum(parameter.numel() for parameter in suffix.parameters())
    behind = sum(parameter.numel() for parameter in classifier.backbone.network.encoder.layer[2].parameters())
    assert held == behind + 32 * CLASSES + CLASSES


# ---------------------------------------------------------------- biases and adapters


def text_reader(bert: LoadedBackbone) -> Callable[[list[int]], Batch]:
    items = families.some_texts(12)
    return lambda rows: bert.preprocessing([items[row] for row in rows])


@pytest.mark.parametrize("freeze", ["encoder.layer.1", "none"])
def test_only_biases_move(bert: LoadedBackbone, freeze: str) -> None:
    classifier = new_classifier(bert)
    parts = cut_classifier(classifier, freeze, "bias", bert.example)
    assert parts.cached == (freeze != "none")
    numbers = (1, 2) if parts.cached else (0, 1, 2)
    per_layer = {name for name in parts.trained if ".layer.1." in name}
    assert len(per_layer) == 8  # query, key, value, two outputs, the intermediate layer, two normalisations
    assert {name.split(".")[4] for name in parts.trained if ".layer." in name} == {str(number) for number in numbers}
    check_that_only_these_move(parts, text_reader(bert), parts.trained)


def check_that_only_these_move(parts: Cut, reader: Callable[[list[int]], Batch], names: frozenset[str]) -> None:
    before, loaded = parts.frozen_sha256(), hash_tensors(parts.classifier.state_dict())
    if parts.cached:
        losses, model = train_from_cache(parts, reader, 12)
    else:
        suffix = parts.new_suffix(SEED)
        losses = train_steps(suffix.train(), ((reader(rows.tolist()), labels) for rows, labels in shuffle(12)))
        model = parts.join(trained_state(suffix))
    assert losses
    assert parts.frozen_sha256() == before
    assert hash_tensors(parts.classifier.state_dict()) == loaded
    start, end = parts.classifier.state_dict(), model.state_dict()
    assert {name for name in end if not torch.equal(start[name], end[name])} == names


def with_adapters(loaded: LoadedBackbone, freeze: str, **settings: object) -> tuple[Classifier, list[str], Cut]:
    classifier = new_classifier(loaded)
    where = None if freeze == "none" else modules_behind(classifier, freeze, loaded.example)
    placed = add_adapters(classifier, LoraConfig(**settings), where, seed=0)
    return classifier, placed, cut_classifier(classifier, freeze, "lora", loaded.example)


def test_adapters_lie_behind_the_cut_and_only_they_move(bert: LoadedBackbone) -> None:
    _, placed, parts = with_adapters(bert, "encoder.layer.1", rank=2, alpha=6)
    self_attention = [f"encoder.layer.{number}.attention.self." for number in (1, 2)]
    assert placed == [f"{name}{projection}" for name in self_attention for projection in ("query", "value")]
    adapters = {f"backbone.network.{name}.lora_{part}.default.weight" for name in placed for part in "AB"}
    assert parts.trained == adapters | {"head.linear.weight", "head.linear.bias"}
    assert parts.cached
    check_that_only_these_move(parts, text_reader(bert), parts.trained)


def test_without_a_cut_adapters_are_everywhere_and_nothing_is_cached(bert: LoadedBackbone) -> None:
    _, placed, parts = with_adapters(bert, "none", target=["query"])
    assert len(placed) == 3
    assert not parts.cached
    check_that_only_these_move(parts, text_reader(bert), parts.trained)


def test_adapters_train_from_the_cache_as_in_a_plain_loop(bert: LoadedBackbone) -> None:
    classifier, _, parts = with_adapters(bert, "encoder.layer.1", rank=2, dropout=0.2)
    plain = PlainLoop(classifier, ("encoder.layer.1", "encoder.layer.2"))
    start = parts.new_suffix(SEED).classifier.state_dict()
    for name, parameter in plain.model.named_parameters():
        parameter.requires_grad_(".lora_" in name or name.startswith("head."))
        if ".lora_" in name:
            parameter.data.copy_(start[name])
    expected = plain.train(text_reader(bert), 12)
    losses, _ = train_from_cache(parts, text_reader(bert), 12)
    assert max(abs(first - second) for first, second in zip(losses, expected, strict=True)) <= 1e-4


@pytest.mark.parametrize(
    ("family", "freeze", "settings"),
    [
        ("bert", "encoder.layer.1", {"rank": 2, "alpha": 6}),
        ("gpt2", "h.2", {"rank": 2, "alpha": 1}),  # its layers keep their weights transposed
        ("timm/vit", "blocks.2", {}),
        ("resnet18", "layer4.1", {"target": ["conv2"], "rank": 3}),
    ],
)
def test_merged_adapters_give_the_same_logits(
    tmp_path: Path, family: str, freeze: str, settings: dict[str, object]
) -> None:
    loaded = families.FAMILIES[family].load(tmp_path)
    plain = new_classifier(loaded)
    classifier, placed, parts = with_adapters(loaded, freeze, **settings)
    inputs = loaded.example(6, 9, 3)
    with torch.no_grad():
        assert torch.equal(classifier(inputs), plain(inputs))  # a new adapter adds nothing
        suffix = parts.new_suffix(SEED)
        for name, parameter in suffix.named_parameters():
            if name.endswith("lora_B.default.weight"):
                parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
        model = parts.join(trained_state(suffix))
        expected = model(inputs)
        deltas = {name: model.get_submodule(f"backbone.network.{name}").get_delta_weight("default") for name in placed}
        merged = merge_adapters(model)
        assert float((expected - plain(inputs)).abs().max()) > 1e-2
        assert torch.allclose(merged(inputs), expected, atol=1e-5 * float(expected.abs().max()))
    assert set(merged.state_dict()) == set(plain.state_dict())
    for name in placed:
        first, second = (model.get_submodule(f"backbone.network.{name}").weight for model in (merged, plain))
        assert torch.allclose(first - second, deltas[name], atol=1e-5)


def test_an_adapter_adds_alpha_over_rank_of_its_product(bert: LoadedBackbone) -> None:
    classifier, placed, _ = with_adapters(bert, "encoder.layer.2", rank=2, alpha=6, target=["value"])
    layer = classifier.get_submodule(f"backbone.network.{placed[0]}")
    up = layer.lora_B["default"].weight.data.normal_()
    hidden = torch.randn(4, 32)
    down = layer.lora_A["default"].weight
    by_hand = hidden @ layer.base_layer.weight.T + layer.base_layer.bias + 6 / 2 * (hidden @ down.T @ up.T)
    assert torch.allclose(layer(hidden), by_hand, atol=1e-4)


def test_adapters_start_from_the_jobs_seed(bert: LoadedBackbone) -> None:
    _, placed, parts = with_adapters(bert, "encoder.layer.2", rank=2)
    name = f"classifier.backbone.network.{placed[0]}.lora_A.default.weight"
    first, again, second = (parts.new_suffix(seed).state_dict()[name] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (["querry"], "no layer behind the cut is called querry\nDid you mean 'query'"),
        (["zzz"], "the linear ones are dense, key, query, value"),
        (["LayerNorm"], "peft has no adapter for it"),
    ],
)
def test_targets_that_are_no_layers_are_refused(bert: LoadedBackbone, target: list[str], message: str) -> None:
    with pytest.raises(ModelError) as caught:
        with_adapters(bert, "encoder.layer.2", target=target)
    assert message in str(caught.value)
    assert str(caught.value).startswith("model.lora.target: ")


def test_a_target_before_the_cut_is_refused() -> None:
    classifier = build_small(Small)
    with pytest.raises(ModelError, match="no layer behind the cut is called stem"):
        add_adapters(classifier, LoraConfig(target=["stem"]), modules_behind(classifier, "block.second", example), 0)


def test_without_peft_the_error_says_what_to_install(bert: LoadedBackbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    monkeypatch.setattr("rft.runtime.libraries.version", Mock(side_effect=PackageNotFoundError))
    with pytest.raises(ModelError, match=r"(?s)needs peft, which is not installed.*pip install"):
        with_adapters(bert, "encoder.layer.2")


def test_adapters_that_are_never_called_are_refused(tmp_path: Path) -> None:
    loaded = families.FAMILIES["vit"].load(tmp_path)  # torchvision's attention reads the weights of its projections
    with pytest.raises(ModelError, match=r"model\.tune: .*the layers behind the cut never call their adapters"):
        with_adapters(loaded, "none", target=["out_proj"])
    with pytest.raises(ModelError, match=r"is called out_proj\nName layers by the end of their name; the linear ones"):
        with_adapters(loaded, "encoder.layers.encoder_layer_2", target=["out_proj"])


def test_a_network_without_biases_cannot_have_them_tuned(tmp_path: Path) -> None:
    loaded = families.FAMILIES["llama"].load(tmp_path)
    assert isinstance(loaded.backbone, TextBackbone)
    with pytest.raises(ModelError, match=r"(?s)no layer behind the cut has a bias.*tune = \"full\""):
        cut_classifier(new_classifier(loaded), "layers.2", "bias", loaded.example)
