"""A batch of inputs, or of features, as every model and every part of one takes and gives it."""

from __future__ import annotations

from typing import Any

from torch import Tensor

# Images: {"pixels": (B, C, H, W)} in [0, 1]. Texts: {"input_ids": (B, T), "attention_mask": (B, T)}, padded on the
# right. Recordings: {"waveform": (B, T)} or {"spectrum": (B, T, F)}, with such a mask.
# Features: {"features": (B, ...)}, with "attention_mask" where there is one row a token, or one for each vector that a
# network makes of a recording.
Batch = dict[str, Tensor]

# The arguments of a call of a module, as torch's hooks see them.
Args = tuple[Any, ...]
Kwargs = dict[str, Any]
