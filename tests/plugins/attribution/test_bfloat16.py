"""Maps of a model in bfloat16 are held against those of the same weights in float32."""

from __future__ import annotations

import numpy as np
import pytest
from torch import Tensor, nn

from rft.backbones.classifier import Classifier, Head
from rft.backbones.partition.frozen_part import FrozenPart
from rft.plugins.attribution import AttributionOptions, Method
from rft.plugins.attribution.images.bfloat16 import bfloat16_finding
from rft.plugins.attribution.images.suited_methods import Attributed, attribute_images
from rft.plugins.attribution.network import Network
from rft.records import Finding
from tests.support.attribution_cases import Batch, Convolutional, explain_pixels, noise


class Features(nn.Module):
    """The convolutions of ``Convolutional``, pooled; ``lost`` is added before and taken away after they are rounded."""

    def __init__(self, lost: float) -> None:
        super().__init__()
        self.body, self.lost = Convolutional().body, lost
        self.last = nn.Conv2d(12, 12, 1, bias=False)

    def forward(self, inputs: Batch) -> Tensor:
        return (self.last(self.body(inputs["pixels"]) + self.lost) - self.lost).mean(dim=(2, 3))


def compare(precision: str, method: Method = "gradcam", lost: float = 0.0) -> tuple[Finding | None, Classifier]:
    model = Classifier(Features(lost).eval(), Head(12, 2), modality="image").requires_grad_(False)
    model.frozen_part = FrozenPart(precision="bfloat16" if precision == "bfloat16" else "float32")
    network = Network(model, "cpu")
    explained = explain_pixels(network, noise(5))
    options = AttributionOptions(methods=[method])
    groups, _ = attribute_images(network, explained, options, np.random.default_rng(0))
    [group] = groups
    assert isinstance(group, Attributed)
    return bfloat16_finding(network, group), model


def test_a_model_in_float32_has_no_such_finding() -> None:
    assert compare("float32")[0] is None


@pytest.mark.parametrize(("method", "lost", "status"), [("gradcam", 0.0, "info"), ("patch_ablation", 500.0, "warn")])
def test_maps_of_rounded_activations_are_compared_with_those_in_float32(
    method: Method, lost: float, status: str
) -> None:
    finding, model = compare("bfloat16", method, lost)
    assert finding is not None
    assert (finding.status, finding.n) == (status, 4)
    assert ((finding.value or 0) >= 0.99) == (status == "info")
    assert model.frozen_part.precision == "bfloat16"  # as it was
