import copy
import sys
from typing import Any

import pytest
import torch
from torch import nn

from rft.backbones.classifier import hash_tensors
from rft.backbones.partition.quantization import is_quantized, plain_tensors, quantize_linear_layers
from rft.errors import ConfigError, ModelError


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 32), nn.GELU(), nn.Linear(32, 8))
    return layers.eval().requires_grad_(False)


IMAGES = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_without_torchao_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(ConfigError, match="pip install"):
        quantize_linear_layers(network(), IMAGES, "cpu")


def test_plain_tensors_stay_as_they_are() -> None:
    state = network().state_dict()
    assert plain_tensors(state) == state
    assert not any(is_quantized(tensor) for tensor in state.values())


class TestWithTorchao:
    @pytest.fixture(autouse=True)
    def installed(self) -> None:
        pytest.importorskip("torchao")

    def test_linear_layers_are_rounded_and_near(self) -> None:
        plain, rounded = network(), network()
        weights = quantize_linear_layers(rounded, IMAGES, "cpu")
        assert list(weights) == ["2.weight", "4.weight"]
        gap = (rounded(IMAGES) - plain(IMAGES)).norm() / plain(IMAGES).norm()
        assert 0 < gap < 0.02
        stored = plain_tensors(rounded.state_dict())
        assert stored["2.weight.qdata"].dtype == torch.int8
        weight = stored["2.weight.qdata"] * stored["2.weight.scale"]  # by hand: integers times the scale of their row
        step = plain.get_parameter("2.weight").abs().amax(dim=1, keepdim=True) / 127
        assert ((weight - plain.get_parameter("2.weight")).abs() <= 0.51 * step).all()
        assert torch.allclose(weights["2.weight"], weight)

    def test_the_hash_covers_the_integers(self) -> None:
        rounded = network()
        quantize_linear_layers(rounded, IMAGES, "cpu")
        before = hash_tensors(plain_tensors(rounded.state_dict()))
        assert hash_tensors(plain_tensors(copy.deepcopy(rounded).state_dict())) == before
        weight: Any = rounded.get_parameter("4.weight")
        weight.qdata[0, 0] += 1
        assert hash_tensors(plain_tensors(rounded.state_dict())) != before

    def test_a_network_without_linear_layers_is_refused(self) -> None:
        with pytest.raises(ModelError, match="none runs in it"):
            quantize_linear_layers(nn.Sequential(nn.Conv2d(3, 4, 3)).requires_grad_(False), IMAGES, "cpu")

    def test_layers_that_never_run_or_are_spared_stay_as_they_are(self) -> None:
        holder = nn.ModuleDict({"used": network(), "idle": nn.Linear(4, 4)}).requires_grad_(False)
        holder.forward = lambda images: holder["used"](images)
        assert list(quantize_linear_layers(holder, IMAGES, "cpu", {"used.2"})) == ["used.4.weight"]
        assert not is_quantized(holder["idle"].weight)
        assert not is_quantized(holder["used"][2].weight)
