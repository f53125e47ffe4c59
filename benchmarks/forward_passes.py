"""Forward passes and training steps of networks of images on one core: what is done to make them fast, and what is not.

    python benchmarks/forward_passes.py [--rounds 3] [--networks efficientnet_lite0 resnet50] [--batch 32]

Prints a table and writes ``forward_passes.json`` beside this file. Weights and images are random: neither the time nor
the memory depends on them. Each side runs in a process of its own with one thread, and the sides take turns; what is
compared are medians of the processor's time, which work beside it hardly moves.

``kept memory`` is how every audit runs (``rft.runtime.allocator``), ``plain`` how torch runs by itself. The others were
tried on top of it: BatchNorm folded into the convolution before it, and bfloat16 by autocast.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from rft.pipeline.environment import describe_environment
from rft.runtime.allocator import keep_freed_memory

ARCHITECTURES = {"efficientnet_lite0": "tf_efficientnet_lite0", "resnet50": "resnet50"}
SIDES = ("plain", "kept memory")
LAST_BLOCKS = {"efficientnet_lite0": "blocks.6", "resnet50": "layer4.2"}  # what a training step trains, with the rest


def main() -> None:
    """Run both sides in turns, print the medians and their ratios, and write them down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--networks", nargs="+", choices=ARCHITECTURES, default=[*ARCHITECTURES])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--side-length", type=int, default=224, help="of the images, in pixels")
    parser.add_argument("--one-side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_side:
        print(json.dumps(_run_side(options)))
        return
    results = {
        network: [{side: _ask_side(side, network, options) for side in SIDES} for _ in range(options.rounds)]
        for network in options.networks
    }
    summary = {network: _summarise(network, rounds) for network, rounds in results.items()}
    result = {
        "options": {"rounds": options.rounds, "batch": options.batch, "side length": options.side_length},
        "machine": {"processor": _name_processor(), "bfloat16 in hardware": _has_bfloat16()},
        "environment": describe_environment("cpu", ["timm", "torchvision"]).model_dump(mode="json"),
        "allocator": " ".join(platform.libc_ver()),
        "networks": summary,
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _summarise(network: str, rounds: list[dict[str, dict[str, float | str]]]) -> dict[str, object]:
    """Print and return medians over the rounds, and how many times faster than plain torch they are."""
    digests = {answer["digest"] for answers in rounds for answer in answers.values()}
    medians = {
        f"{name}, {side}": float(np.median([answers[side][name] for answers in rounds]))
        for side in SIDES
        for name in rounds[0][side]
        if name != "digest"
    }
    compared = {"forward": "forward, plain", "step": "training step, plain"}
    print(network)
    ratios = {}
    for name, milliseconds in medians.items():
        plain = medians[compared["step" if name.startswith("training") else "forward"]]
        ratios[name] = plain / milliseconds
        print(f"  {name:44} {milliseconds:8.1f} ms an image {ratios[name]:6.2f} times")
    print(f"  the outputs of both sides are equal to the last bit: {'yes' if len(digests) == 1 else 'no'}")
    return {"milliseconds an image": medians, "times as fast as plain": ratios, "bits equal": len(digests) == 1}


def _ask_side(side: str, network: str, options: argparse.Namespace) -> dict[str, float | str]:
    command = [sys.executable, __file__, "--one-side", side, "--networks", network, "--batch", str(options.batch)]
    command += ["--side-length", str(options.side_length)]
    answer: dict[str, float | str] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return answer


def _run_side(options: argparse.Namespace) -> dict[str, float | str]:
    """Return milliseconds of the processor for an image, and the sha256 of what the network gives."""
    if options.one_side == "kept memory":
        keep_freed_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    (name,) = options.networks
    network = timm.create_model(ARCHITECTURES[name], num_classes=2).eval().to(memory_format=torch.channels_last)
    pixels = torch.rand(options.batch, 3, options.side_length, options.side_length)
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        outputs: Tensor = network(pixels)
    answer: dict[str, float | str] = {"digest": hashlib.sha256(outputs.numpy().tobytes()).hexdigest()}
    answer["forward"] = _time_forward(network, pixels)
    answer["forward of 4 at a time"] = _time_forward(network, pixels[:4])
    answer["training step"] = _time_steps(network, LAST_BLOCKS[name], pixels)
    if options.one_side == "kept memory":
        folded = fold_batch_norms(network, pixels[:1])
        answer["forward, BatchNorm folded"] = _time_forward(folded, pixels)
        answer["forward of 4 in bfloat16"] = _time_forward(network, pixels[:4], bfloat16=True)
    return answer


def fold_batch_norms(network: nn.Module, example: Tensor) -> nn.Module:
    """Return a copy of a network in eval mode whose BatchNorm is part of the convolution that it directly follows."""
    folded = copy.deepcopy(network)
    for name, convolution in _find_followers(folded, example):
        norm: Any = folded.get_submodule(name)
        convolution.weight, convolution.bias = fuse_conv_bn_weights(
            *(convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps),
            *(norm.weight, norm.bias),
        )
        parent, _, leaf = name.rpartition(".")
        rest = nn.Sequential(norm.drop, norm.act) if hasattr(norm, "act") else nn.Identity()  # timm's has both inside
        setattr(folded.get_submodule(parent), leaf, rest)
    with torch.no_grad():
        torch.testing.assert_close(folded(example), network(example), rtol=1e-3, atol=1e-4)
    return folded.to(memory_format=torch.channels_last)


def _find_followers(network: nn.Module, example: Tensor) -> list[tuple[str, nn.Conv2d]]:
    """Return the name of each BatchNorm whose input is what a convolution gave, with that convolution."""
    # Outputs are kept: a tensor that is gone could leave its identity to another.
    convolutions: dict[int, tuple[nn.Conv2d, Tensor]] = {}
    followers: list[tuple[str, nn.Conv2d]] = []

    def note_output(convolution: nn.Conv2d, _: object, output: Tensor) -> None:
        convolutions[id(output)] = convolution, output

    def note_input(name: str, _: nn.Module, inputs: tuple[Tensor]) -> None:
        if id(inputs[0]) in convolutions:
            followers.append((name, convolutions[id(inputs[0])][0]))

    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(note_output))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(partial(note_input, name)))
    with torch.no_grad():
        network(example)
    for hook in hooks:
        hook.remove()
    return followers


def _time_forward(network: Callable[[Tensor], Tensor], pixels: Tensor, *, bfloat16: bool = False) -> float:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        return _time_twice(lambda: network(pixels)) / len(pixels)


def _time_steps(network: nn.Module, block: str, pixels: Tensor) -> float:
    """Return the time of a step that trains the last block, what goes before it frozen but not cached."""
    trained = copy.deepcopy(network).requires_grad_(False)
    trained.get_submodule(block).requires_grad_(True)
    return _time_twice(lambda: trained(pixels).square().mean().backward()) / len(pixels)


def _time_twice(work: Callable[[], object]) -> float:
    """Return the milliseconds of the second of two runs: the first one asks the system for memory in any case."""
    work()
    start = time.process_time()
    work()
    return 1000 * (time.process_time() - start)


def _read_processor(name: str) -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _name_processor() -> str:
    return _read_processor("model name") or platform.processor()


def _has_bfloat16() -> bool:
    return bool({"avx512_bf16", "amx_bf16"} & set(_read_processor("flags").split()))


if __name__ == "__main__":
    main()
