"""How much memory of an accelerator this process holds: what torch allocated there, and not what its libraries take."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

import torch

from rft.runtime import memory


class MemoryWatch(Protocol):
    """The most memory that was held since ``forget_peak``, in bytes."""

    def __enter__(self) -> MemoryWatch: ...

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def forget_peak(self) -> None:
        """Forget what was seen."""

    def peak(self) -> int:
        """Return the bytes held at the highest point since ``forget_peak``."""


class DevicePeakWatch:
    """The most memory that tensors of torch held on an accelerator since ``forget_peak``; exact on CUDA.

    MPS counts what its pool took from the system, which grows to the peak and is emptied by ``release_device_memory``.
    """

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)

    def __enter__(self) -> DevicePeakWatch:
        self.forget_peak()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def forget_peak(self) -> None:
        """Forget what was seen."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)

    def peak(self) -> int:
        """Return the bytes held at the highest point since ``forget_peak``."""
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        return int(torch.mps.driver_allocated_memory())


def is_accelerator(device: str) -> bool:
    """Return whether a torch device has memory of its own, apart from that of the process."""
    return torch.device(device).type in ("cuda", "mps")


def watch_peak(device: str) -> MemoryWatch:
    """Return what watches the memory that batches on this device take: its own, or that of the process."""
    return DevicePeakWatch(device) if is_accelerator(device) else memory.PeakWatch()


def held_bytes(device: str) -> int:
    """Return the bytes that tensors hold on an accelerator now, or that the process holds where they are the CPU's."""
    place = torch.device(device)
    if place.type == "cuda":
        return int(torch.cuda.memory_allocated(place))
    return int(torch.mps.driver_allocated_memory()) if place.type == "mps" else memory.resident_bytes()


def available_bytes(device: str) -> int:
    """Return the bytes that more tensors can take on this device."""
    place = torch.device(device)
    if place.type == "cuda":
        kept = int(torch.cuda.memory_reserved(place)) - int(torch.cuda.memory_allocated(place))
        return int(torch.cuda.mem_get_info(place)[0]) + kept
    if place.type == "mps":
        return max(0, int(torch.mps.recommended_max_memory()) - int(torch.mps.driver_allocated_memory()))
    return memory.available_bytes()
