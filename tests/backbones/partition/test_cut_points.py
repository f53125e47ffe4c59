"""What a cut costs, counted from one pass: against torch's own counter, published counts, and the cut that is made."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rft.backbones.classifier import Classifier, Head, ImageBackbone
from rft.backbones.load import LoadedBackbone, load_untrained
from rft.backbones.partition.cut import Cut, Uncuttable, cut_at_layer, cut_classifier, plan_replay
from rft.backbones.partition.cut_points import CutPoints, count_example_tokens
from rft.backbones.partition.op_trace import OpTrace
from rft.backbones.partition.trace import ModelTrace
from tests.backbones.partition.test_cut import PastIt, Small, add_head, example
from tests.support.families import FAMILIES

GROUPED = ("mobilenet_v2", "efficientnet_b0")  # torch's counter takes the weights' gradient of grouped convolutions
# for that of full ones: with as many groups as channels, that many times what is computed
SLOW = ("resnet18", "mobilenet_v2", "densenet121", "efficientnet_b0", "vgg", "swin", "mpnet", "hf_vit")
CHECKED = ["vit", "bert", *SLOW]


def count_step_by_torch(cut: Cut, backbone: LoadedBackbone) -> int:
    """Return the FLOPs of a step as torch's counter sees them while forward and backward are really run."""
    inputs = backbone.example(1, count_example_tokens(backbone), 0)
    with torch.no_grad():
        features = cut.prefix()(inputs) if cut.cached else inputs
    suffix = cut.shared_suffix(cached=cut.cached).eval()
    with FlopCounterMode(display=False) as counter:
        suffix(features).square().mean().backward()
    return int(counter.get_total_flops())


@pytest.mark.parametrize("family", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in CHECKED])
def test_each_place_is_priced_as_the_cut_that_is_made_there(family: str, tmp_path: Path) -> None:
    backbone = FAMILIES[family].load(tmp_path)
    places = list(CutPoints(backbone))
    classifier = backbone.classifier(2, False, 0)
    trace = ModelTrace.record(classifier, backbone.example)
    whole = count_step_by_torch(cut_classifier(classifier, "none", "full", backbone.example), backbone)
    possible = [place for place in places[1:-1] if place.obstacle is None]
    assert len(possible) > 2
    for place in possible:
        cut = cut_at_layer(classifier, place.freeze, "full", trace, backbone.example)  # verified by running it
        sizes = [value.numel() for name, value in cut.classifier.named_parameters() if name in cut.trained]
        features = cut.prefix()(backbone.example(1, count_example_tokens(backbone), 0))["features"]
        assert place.trained == sum(sizes)
        assert place.cached == features.numel() * features.element_size()
        if family not in GROUPED:
            assert place.flops == pytest.approx(count_step_by_torch(cut, backbone) / whole, rel=1e-3)
    for place in places:
        if place.obstacle is not None:
            with pytest.raises(Uncuttable):
                cut_at_layer(classifier, place.freeze, "full", trace, backbone.example)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "vgg16", "vit_b_16"])
def test_the_forward_pass_costs_what_torchvision_publishes(name: str) -> None:
    from torchvision.models import get_model_weights

    published = next(iter(get_model_weights(name))).meta["_ops"]  # 10^9 multiply-adds, of the classifier too
    backbone = load_untrained(f"torchvision/{name}", Path.cwd(), image_size=None, offline=True)
    trace = OpTrace.record(backbone.classifier(1000, False, 0), backbone.example(1, 0, 0))
    assert sum(op.flops for op in trace.ops) / 2e9 == pytest.approx(published, rel=0.005)


def test_the_flops_of_bert_are_those_of_its_matrices(tmp_path: Path) -> None:
    backbone = FAMILIES["bert"].load(tmp_path)
    tokens = count_example_tokens(backbone)
    config = backbone.backbone.network.config
    width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    multiplied = tokens * (4 * width**2 + 2 * width * inner) + 2 * tokens**2 * width  # projections, scores, values
    trace = OpTrace.record(backbone.classifier(2, False, 0), backbone.example(1, tokens, 0))
    assert sum(op.flops for op in trace.ops) == 2 * (layers * multiplied + width * 2)


class ResidualAroundSequence(Small):
    """The branch passes by through the very tensor that the layer is given."""

    def forward(self, pixels: Tensor) -> Tensor:
        stem = self.stem(pixels)
        return self.last((stem + self.block["first"](stem)).mean(dim=(2, 3)))


class ChangedInPlace(Small):
    """Nothing passes by: what is read behind the block is what the block left in the tensor that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.block["first"] = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        stem = self.stem(pixels)
        return self.last((self.block["first"](stem) + stem).mean(dim=(2, 3)))


@pytest.mark.parametrize(
    ("network", "layer", "passes"),
    [
        (Small(), "block.first", False),
        (PastIt(), "block.second", True),
        (ResidualAroundSequence(), "block.first", True),
        (ChangedInPlace(), "block.first", False),
    ],
)
def test_a_branch_that_passes_by_is_seen_without_running_the_cut(network: nn.Module, layer: str, passes: bool) -> None:
    classifier = add_head(network)
    position = plan_replay(ModelTrace.record(classifier, example), f"backbone.network.{layer}", "image").position
    trace = OpTrace.record(classifier, example(1, 0, 0))
    assert trace.passes_by(f"backbone.network.{layer}", position) is passes


def test_parameters_in_one_storage_are_told_apart() -> None:
    """As safetensors loads them: all tensors of a file are views of one storage."""
    backbone = ImageBackbone(Small().eval(), (0.5,) * 3, (0.25,) * 3)
    classifier = Classifier(backbone, Head(5, 2), modality="image")
    flat = torch.cat([parameter.detach().flatten() for parameter in classifier.parameters()])
    begin = 0
    for parameter in classifier.parameters():
        parameter.data = flat[begin : begin + parameter.numel()].view(parameter.shape)
        begin += parameter.numel()
    trace = OpTrace.record(classifier, example(1, 0, 0))
    behind = ("backbone.network.last", "head.linear")
    assert trace.trained_parameters("backbone.network.last") == {
        f"{module}.{kind}" for module in behind for kind in ("weight", "bias")
    }
    assert trace.trained_parameters() == {name for name, _ in classifier.named_parameters()}
