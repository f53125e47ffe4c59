"""A device that is not there: tensors on ``cuda`` or ``mps`` whose numbers lie in ordinary memory.

Torch's own rules of devices hold. An operation on tensors of two devices raises, but for CPU scalars and for CPU
indices of a tensor on a device; no tensor on a device becomes a NumPy array; a generator belongs to its device; MPS has
no float64. A tensor's device is that of its storage, so views, parameters, gradients and what a backward pass makes
follow by themselves. What torch computes, how fast and how exactly, is the CPU's: of that nothing is shown here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from inspect import isclass
from pkgutil import resolve_name
from typing import Any
from unittest.mock import patch

import torch
import torch._dynamo  # which libraries import at any time, and which must find torch as it is
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

CPU = torch.device("cpu")
SCALARS_BESIDE = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"}
BETWEEN_DEVICES = {"copy_", "_to_copy", "_copy_from"}
MPS_FLOAT64 = "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."
STATE_BYTES = 16  # of a pretended generator: enough to see that it was left alone
GPU_BYTES = 80 * 2**30  # of memory


class PretendedDevices:
    """Which storages are pretended to lie where; a storage that is freed is forgotten, and its address with it."""

    def __init__(self) -> None:
        self._places: dict[int, tuple[StorageWeakRef, torch.device]] = {}
        self._calls = [CPU]  # where the arguments lie of the calls of torch that run

    @property
    def within(self) -> torch.device:
        """Where torch itself makes the tensors that a call needs beside its arguments, a causal mask for instance."""
        return self._calls[-1]

    @contextmanager
    def calling(self, *arguments: object) -> Iterator[None]:
        """Run a call of torch with these arguments."""
        tensors = (leaf for leaf in pytree.tree_leaves(arguments) if isinstance(leaf, Tensor))
        self._calls.append(next((place for place in map(self.find, tensors) if place != CPU), CPU))
        try:
            yield
        finally:
            self._calls.pop()

    def find(self, tensor: Tensor) -> torch.device:
        """Return the device of a tensor."""
        place = self._places.get(_address(tensor))
        return place[1] if place is not None and not place[0].expired() else CPU

    def put(self, tensor: Tensor, device: torch.device) -> Tensor:
        """Pretend that a tensor, and all that share its storage, lie on a device; return it."""
        if tensor.device.type != "cpu":  # meta
            return tensor
        if device.type == "mps" and tensor.dtype in (torch.float64, torch.complex128):
            raise TypeError(MPS_FLOAT64)
        if (address := _address(tensor)) not in self._places:
            storage = tensor.untyped_storage()
            self._places[address] = (StorageWeakRef(storage), device)
        elif self._places[address][0].expired():
            self._places[address] = (StorageWeakRef(tensor.untyped_storage()), device)
        else:
            self._places[address] = (self._places[address][0], device)
        if len(self._places) % 4096 == 0:
            self._places = {key: place for key, place in self._places.items() if not place[0].expired()}
        return tensor


def _address(tensor: Tensor) -> int:
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return int(tensor.untyped_storage()._cdata)


class _CheckedOperations(TorchDispatchMode):
    """Below autograd and functorch: what every operation reads must lie together, and what it makes lies there too."""

    def __init__(self, devices: PretendedDevices) -> None:
        super().__init__()
        self.devices = devices

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if name in SCALARS_BESIDE:
            tensors = [args[0], *([] if self.devices.find(args[0]) != CPU else tensors[1:])]
        places = {self.devices.find(tensor) for tensor in tensors if tensor.dim() or self.devices.find(tensor) != CPU}
        if len(places) > 1 and name not in BETWEEN_DEVICES:
            listed = " and ".join(sorted(map(str, places)))
            raise RuntimeError(f"Expected all tensors to be on the same device, but found {listed} in {name}")
        device = (
            self.devices.find(args[0])
            if name in BETWEEN_DEVICES
            else next(iter(places), CPU if tensors else self.devices.within)
        )
        output = func(*args, **(kwargs or {}))
        if device != CPU:
            for leaf in pytree.tree_leaves(output):
                if isinstance(leaf, Tensor):
                    self.devices.put(leaf, device)
        return output


class _Move(torch.autograd.Function):
    """A copy on another device, whose gradient comes back."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, devices: PretendedDevices, device: torch.device) -> Tensor:
        ctx.devices, ctx.origin = devices, devices.find(tensor)
        return _copy_to(tensor, devices, device)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _copy_to(gradient, ctx.devices, ctx.origin), None, None


def _copy_to(tensor: Tensor, devices: PretendedDevices, device: torch.device) -> Tensor:
    with _without_checks():
        copied = tensor.detach().clone()
    return devices.put(copied, device)


@contextmanager
def _without_checks() -> Iterator[None]:
    with torch.utils._python_dispatch._disable_current_modes():
        yield


class _DeviceNames(TorchFunctionMode):
    """What Python calls: devices are asked for and shown here; below, all lies in ordinary memory."""

    def __init__(self, devices: PretendedDevices, kind: str) -> None:
        super().__init__()
        self.devices, self.kind = devices, kind

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if (handle := HANDLERS.get(func)) is not None:
            return handle(self, func, args, kwargs)
        asked = self.parse(kwargs["device"]) if kwargs.get("device") is not None else None
        if asked is None:
            with self.devices.calling(args, kwargs):
                return func(*args, **kwargs)
        generator = kwargs.get("generator")
        if generator is not None and generator.device.type != asked.type:
            raise RuntimeError(f"Expected a '{asked.type}' device type for generator but found 'cpu'")
        if asked.type != self.kind:
            return func(*args, **kwargs)
        return self.devices.put(func(*args, **(kwargs | {"device": CPU})), asked)

    def parse(self, wanted: Any) -> torch.device:
        """Return a device as torch shows it, with its number where it has one."""
        device = torch.device(wanted)
        return torch.device(device.type, 0) if device.type == self.kind and device.index is None else device

    def move(self, tensor: Tensor, wanted: Any) -> Tensor:
        """Return the tensor itself where it is there, else a copy."""
        device, here = self.parse(wanted), self.devices.find(tensor)
        if device == here or device.type == "meta" or tensor.device.type == "meta":
            return tensor.to(device) if "meta" in (device.type, tensor.device.type) else tensor
        moved: Tensor = _Move.apply(tensor, self.devices, device)
        return moved


Handler = Callable[[_DeviceNames, Any, tuple[Any, ...], dict[str, Any]], Any]


def _show_device(names: _DeviceNames, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    shown = func(*args, **kwargs)
    return names.devices.find(args[0]) if shown.type == "cpu" else shown


def _show_kind(kind: str) -> Handler:
    return lambda names, func, args, kwargs: names.devices.find(args[0]).type == kind


def _call_to(names: _DeviceNames, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    tensor, *rest = args
    beside = kwargs.pop("other", rest[0] if rest and isinstance(rest[0], Tensor) else None)
    if beside is not None:
        device, dtype = names.devices.find(beside), beside.dtype
        layout: dict[str, Any] = {}
    else:
        copy = kwargs.pop("copy", False)
        device, dtype, _, memory_format = torch._C._nn._parse_to(*rest, **kwargs)
        layout = {"copy": copy} | ({} if memory_format is None else {"memory_format": memory_format})
    dtype = tensor.dtype if dtype is None else dtype
    device = names.devices.find(tensor) if device is None else names.parse(device)
    if device.type == "mps" and dtype == torch.float64:
        raise TypeError(MPS_FLOAT64)
    if device == CPU:  # the numbers come here first, and may then become float64
        return names.move(tensor, device).to(dtype, **layout)
    return names.move(tensor.to(dtype, **layout), device)


def _call_cpu(names: _DeviceNames, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return names.move(args[0], CPU)


def _call_accelerator(names: _DeviceNames, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return names.move(args[0], names.kind)


def _refuse_array(names: _DeviceNames, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if (device := names.devices.find(args[0])) != CPU and not kwargs.get("force"):
        raise TypeError(
            f"can't convert {device} device type tensor to numpy. "
            "Use Tensor.cpu() to copy the tensor to host memory first."
        )
    return func(*args, **kwargs)


def _parse_arguments(names: _DeviceNames, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return func(*args, **kwargs)


def _keep_device(names: _DeviceNames, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    output = func(*args, **kwargs)
    device = names.devices.find(args[0])
    return output if device == CPU else names.devices.put(output, device)


def _return_itself(names: _DeviceNames, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if names.devices.find(args[0]) != CPU:
        raise RuntimeError("cannot pin a tensor that lies on a device: only dense CPU tensors can be pinned")
    return args[0]


HANDLERS: dict[Any, Handler] = {
    Tensor.device.__get__: _show_device,
    Tensor.is_cuda.__get__: _show_kind("cuda"),  # type: ignore[attr-defined]
    Tensor.is_mps.__get__: _show_kind("mps"),  # type: ignore[attr-defined]
    Tensor.is_cpu.__get__: _show_kind("cpu"),  # type: ignore[attr-defined]
    Tensor.to: _call_to,
    Tensor.cpu: _call_cpu,
    Tensor.cuda: _call_accelerator,
    Tensor.numpy: _refuse_array,
    Tensor.__array__: _refuse_array,
    Tensor.__deepcopy__: _keep_device,
    Tensor.new_tensor: _keep_device,
    Tensor.pin_memory: _return_itself,
    torch._C._nn._parse_to: _parse_arguments,
}


class _Autocast(torch.autocast):
    """Autocast of a pretended device, which is that of the CPU."""

    def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
        super().__init__("cpu", *args, **kwargs)


class PretendedGenerator:
    """The random state of a pretended device: torch reseeds it with all others, and whoever does must put it back."""

    def __init__(self) -> None:
        self.state = torch.arange(STATE_BYTES, dtype=torch.uint8)

    def get_state(self) -> Tensor:
        """Return the (16,) uint8 state."""
        return self.state.clone()

    def set_state(self, state: Tensor) -> None:
        """Set it."""
        self.state = state.clone()

    def manual_seed(self, seed: int) -> PretendedGenerator:
        """Reseed."""
        self.state = torch.tensor([seed // 256**place % 256 for place in range(STATE_BYTES)], dtype=torch.uint8)
        return self


@contextmanager
def pretend_device(kind: str, count: int = 1) -> Iterator[list[PretendedGenerator]]:
    """Pretend that this machine has ``count`` devices of a kind, ``cuda`` or ``mps``; give their random states."""
    devices = PretendedDevices()
    generators = [PretendedGenerator() for _ in range(count)]
    seed_all = torch.manual_seed

    def manual_seed(seed: int) -> torch.Generator:
        for generator in generators:
            generator.manual_seed(int(seed))
        return seed_all(seed)

    names, run_backward = _DeviceNames(devices, kind), torch.autograd._engine_run_backward  # type: ignore[attr-defined]

    def run_backward_by_name(*args: Any, **kwargs: Any) -> Any:
        with (
            names,
            devices.calling(args),
        ):  # within a call of torch no mode is asked, and hooks of a backward pass are Python again
            return run_backward(*args, **kwargs)

    set_enabled, get_enabled = torch.set_autocast_enabled, torch.is_autocast_enabled
    patches = {
        "torch.autocast": _Autocast,
        "torch.set_autocast_enabled": lambda device, enabled: set_enabled("cpu", enabled),
        "torch.is_autocast_enabled": lambda device="cpu": get_enabled("cpu"),
        "torch.autograd._engine_run_backward": run_backward_by_name,
        "torch.manual_seed": manual_seed,
        "torch.random.manual_seed": manual_seed,
        "torch.optim.Optimizer._accelerator_graph_capture_health_check": lambda optimizer: None,  # asks the driver
    }
    with ExitStack() as stack:
        for name, replacement in (patches | _device_functions(kind, generators)).items():
            original = resolve_name(name)
            plain = isclass(original) or not callable(original)
            stack.enter_context(patch(name, replacement if plain else wraps(original)(replacement)))
        stack.enter_context(_CheckedOperations(devices))
        stack.enter_context(names)
        yield generators


def _device_functions(kind: str, generators: list[PretendedGenerator]) -> dict[str, Any]:
    """Return what torch tells of its devices, as far as rft asks."""

    def number(device: Any = None) -> int:
        index = device if isinstance(device, int) else torch.device(device or kind).index
        return 0 if index is None else int(index)

    if kind == "mps":
        return {
            "torch.backends.mps.is_available": lambda: True,
            "torch.mps.get_rng_state": lambda: generators[0].get_state(),
            "torch.mps.set_rng_state": lambda state: generators[0].set_state(state),
            "torch.mps.manual_seed": lambda seed: generators[0].manual_seed(seed),
            "torch.mps.empty_cache": lambda: None,
            "torch.mps.synchronize": lambda: None,
            "torch.mps.current_allocated_memory": lambda: 0,
            "torch.mps.driver_allocated_memory": lambda: 0,
            "torch.mps.recommended_max_memory": lambda: GPU_BYTES,
        }
    return {
        "torch.cuda.is_available": lambda: True,
        "torch.cuda.device_count": lambda: len(generators),
        "torch.cuda.get_device_name": lambda device=None: f"Pretended GPU {number(device)}",
        "torch.cuda.default_generators": tuple(generators),
        "torch.cuda.current_device": lambda: 0,
        "torch.cuda.init": lambda: None,
        "torch.backends.cudnn.version": lambda: None,
        "torch.cuda.get_rng_state": lambda device="cuda": generators[number(device)].get_state(),
        "torch.cuda.set_rng_state": lambda state, device="cuda": generators[number(device)].set_state(state),
        "torch.cuda.mem_get_info": lambda device=None: (GPU_BYTES, GPU_BYTES),
        "torch.cuda.memory_reserved": lambda device=None: 0,
        "torch.cuda.memory_allocated": lambda device=None: 0,
        "torch.cuda.max_memory_allocated": lambda device=None: 0,
        "torch.cuda.reset_peak_memory_stats": lambda device=None: None,
        "torch.cuda.empty_cache": lambda: None,
        "torch.cuda.synchronize": lambda device=None: None,
    }
