"""The software and hardware of a run; no host name, no user, no path."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from rft.records import Environment
from rft.version import CORE_PACKAGES, OPTIONAL_PACKAGES


def describe_environment(device: str, requires: Iterable[str]) -> Environment:
    """Return versions of the packages that made the numbers (those installed of them) and the device's kind."""
    packages = {}
    imported = {name for name in OPTIONAL_PACKAGES if name in sys.modules}  # those that the run used
    for name in sorted({*CORE_PACKAGES, *imported, *requires}):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue  # optional, and this run did not use it
    if device.startswith("cuda"):
        cudnn: Any = torch.backends.cudnn
        packages |= {"cuda": str(torch.version.cuda), "cudnn": str(cudnn.version())}
    return Environment(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        device=torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        threads=torch.get_num_threads(),
        packages=packages,
    )
