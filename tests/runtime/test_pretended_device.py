"""The pretended device is true to torch: what raises on a GPU raises there, and what does not does not."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.support.pretended_device import pretend_device


@pytest.fixture(params=["cuda", "mps"])
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    with pretend_device(request.param):
        yield request.param


REFUSED: dict[str, tuple[Callable[[Tensor, str], object], type[Exception]]] = {
    "a sum of two devices": (lambda x, kind: x + torch.ones(3, 4), RuntimeError),
    "a list of two devices": (lambda x, kind: torch.cat([x, torch.ones(1, 4)]), RuntimeError),
    "a layer elsewhere": (lambda x, kind: nn.Linear(4, 2)(x), RuntimeError),
    "an input elsewhere": (lambda x, kind: nn.Linear(4, 2).to(kind)(torch.ones(1, 4)), RuntimeError),
    "an index on the device into what is not": (
        lambda x, kind: torch.ones(3)[torch.zeros(1, dtype=torch.long, device=kind)],
        RuntimeError,
    ),
    "rows gathered elsewhere": (lambda x, kind: x.index_select(0, torch.tensor([0])), RuntimeError),
    "numpy": (lambda x, kind: x.numpy(), TypeError),
    "an array": (lambda x, kind: np.asarray(x), TypeError),
    "a generator of the CPU": (
        lambda x, kind: torch.randn(3, device=kind, generator=torch.Generator()),
        RuntimeError,
    ),
}


@pytest.mark.parametrize("way", REFUSED)
def test_what_torch_refuses_is_refused(kind: str, way: str) -> None:
    attempt, error = REFUSED[way]
    with pytest.raises(error):
        attempt(torch.ones(3, 4, device=kind), kind)


def test_what_torch_allows_is_allowed(kind: str) -> None:
    x = torch.ones(3, 4, device=kind)
    there = [x[0], x * 2, x * torch.tensor(2.0), x[torch.tensor([0])], torch.zeros_like(x), x.new_zeros(2), x.T.clone()]
    there += [x.new_tensor([1.0]), torch.arange(3, device=x.device), copy.deepcopy(x), torch.zeros(3).to(x)]
    assert {tensor.device for tensor in there} == {torch.device(kind, 0)}
    assert x.sum().item() == 12.0
    assert x.cpu().device == torch.device("cpu")
    assert x.cpu().double().numpy().sum() == 12.0
    assert (x.is_cuda, x.is_mps) == (kind == "cuda", kind == "mps")


def test_only_mps_lacks_float64() -> None:
    with pretend_device("cuda"):
        assert torch.ones(2, device="cuda").double().dtype == torch.float64
    with pretend_device("mps"):
        for attempt in (
            lambda x: x.double(),
            lambda x: x.to(torch.float64),
            lambda x: torch.zeros_like(x, dtype=torch.float64),
            lambda x: x.sum(dtype=torch.float64),
            lambda x: torch.ones(2, dtype=torch.float64, device="mps"),
            lambda x: torch.ones(2, dtype=torch.float64).to("mps"),
        ):
            with pytest.raises(TypeError, match="doesn't support float64"):
                attempt(torch.ones(2, device="mps"))
        assert torch.ones(2, dtype=torch.float64).to("mps", torch.float32).device.type == "mps"


def test_a_training_stays_where_the_network_is(kind: str) -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2)).to(kind)
    optimizer = torch.optim.AdamW(network.parameters())
    hooked: list[torch.device] = []
    network[0].register_full_backward_hook(lambda _module, _inputs, outputs: hooked.append(outputs[0].device))
    source = torch.ones(3, 4, requires_grad=True)
    network(source.to(kind)).sum().backward()
    optimizer.step()
    place = torch.device(kind, 0)
    assert {parameter.grad.device for parameter in network.parameters()} == {place}
    assert {optimizer.state[parameter]["exp_avg"].device for parameter in network.parameters()} == {place}
    assert hooked == [place]
    assert source.grad.device == torch.device("cpu")
    assert network.cpu()(torch.ones(3, 4)).device == torch.device("cpu")


def test_mapped_gradients_and_autocast_are_of_the_device(kind: str) -> None:
    layer = nn.Linear(4, 2).to(kind)
    x = torch.ones(3, 4, device=kind)

    def loss(values: dict[str, Tensor], row: Tensor) -> Tensor:
        return torch.func.functional_call(layer, values, (row,)).sum()

    gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(dict(layer.named_parameters()), x)
    assert gradients["weight"].device.type == kind
    with torch.autocast(kind, torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert layer(x).dtype == torch.float32


def test_nothing_is_pretended_afterwards() -> None:
    with pretend_device("mps"):
        kept = torch.ones(2, device="mps")
    assert kept.device == torch.device("cpu")
    assert not torch.backends.mps.is_available()
