"""float32 as IEEE 754 has it: no TF32 and no bfloat16 behind the back of a number that is called float32.

cuDNN's convolutions use TF32 unless told otherwise, and ``torch.set_float32_matmul_precision`` or transformers'
``tf32 = True`` switch it on for matrices too: 10 bits of mantissa instead of 23. Features, gradients whose norms are
bounded, and the predictions of the saved model must not depend on such a setting of the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch

IEEE, INHERITED = "ieee", "none"


class _HasFloat32Precision(Protocol):
    fp32_precision: str


def _float32_settings() -> dict[str, _HasFloat32Precision]:
    """Return what has a precision of float32 of its own; the older flags (``allow_tf32``) are views of these."""
    backends: Any = torch.backends
    return {
        "cuda.matmul": backends.cuda.matmul,
        "cudnn.conv": backends.cudnn.conv,
        "cudnn.rnn": backends.cudnn.rnn,
        "mkldnn.matmul": backends.mkldnn.matmul,
        "mkldnn.conv": backends.mkldnn.conv,
        "mkldnn.rnn": backends.mkldnn.rnn,
    }


def describe_float32() -> dict[str, str]:
    """Return what float32 means now: setting -> ``ieee``, ``tf32``, ``bf16``, or ``none`` where nobody said."""
    return {name: setting.fp32_precision for name, setting in _float32_settings().items()}


@contextmanager
def ieee_float32() -> Iterator[None]:
    """Compute float32 in IEEE arithmetic here, and leave the settings of the process as they were."""
    before = describe_float32()
    try:
        for setting in _float32_settings().values():
            setting.fp32_precision = IEEE
        yield
    finally:
        for name, setting in _float32_settings().items():
            setting.fp32_precision = INHERITED  # what followed ``torch.backends.fp32_precision`` follows it again
            if setting.fp32_precision != before[name]:
                setting.fp32_precision = before[name]
