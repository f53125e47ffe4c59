"""Memory that ran out is told from errors of a network, on every kind of device."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rft.backbones.partition import quantization
from rft.errors import ModelError
from rft.runtime.out_of_memory import is_out_of_memory, raise_if_out_of_memory


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB"),
        torch.OutOfMemoryError("no room"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 4 bytes"),
        MemoryError(),
    ],
    ids=str,
)
def test_each_device_says_it_in_its_way(error: Exception) -> None:
    assert is_out_of_memory(error)
    with pytest.raises(ModelError, match="memory ran out") as raised:
        raise_if_out_of_memory(error)
    assert "batch_size" in (raised.value.remedy or "")


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), ValueError("out of memory"), AssertionError()], ids=str
)
def test_other_errors_are_left_alone(error: Exception) -> None:
    assert not is_out_of_memory(error)
    raise_if_out_of_memory(error)


def test_what_this_machine_says_is_known() -> None:
    with pytest.raises((RuntimeError, MemoryError)) as raised:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(raised.value)


def test_eight_bits_that_find_no_memory_are_not_called_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    torchao = pytest.importorskip("torchao.quantization")

    def fill_memory(*_arguments: object, **_options: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torchao, "quantize_", fill_memory)
    layers = nn.Sequential(nn.Linear(4, 4)).requires_grad_(False)
    inputs: Tensor = torch.zeros(1, 4)
    with pytest.raises(ModelError, match="memory ran out"):
        quantization.quantize_linear_layers(layers, inputs, "cpu")
