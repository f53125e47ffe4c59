"""A Whisper checkpoint of CTranslate2 (``model.bin``) as the tensors of transformers' Whisper.

The file is read as its writer lays it out (CTranslate2, ``python/ctranslate2/specs/model_spec.py``, binary version 6):
a name, a revision, variables with name, shape, type and bytes, then names that stand for another variable.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from rft.errors import ModelError

FILE = "model.bin"
VERSION, SPEC = 6, b"WhisperSpec"
# What the file calls a type -> torch's. Weights in 8 bits come with scales of their own and are not read.
TYPES = {0: torch.float32, 1: torch.int8, 2: torch.int16, 3: torch.int32, 4: torch.float16, 5: torch.bfloat16}
WEIGHTS = (torch.float32, torch.float16, torch.bfloat16)
MOST_DIMENSIONS = 4
REMEDY = "Convert the checkpoint again with ct2-transformers-converter, without quantization or with float16."


@dataclass(frozen=True)
class WhisperCheckpoint:
    """What a file holds.

    Attributes:
        tensors: by their names in ``WhisperModel`` of transformers, float32.
        sizes: the keys of ``WhisperConfig`` that follow from them.
    """

    tensors: dict[str, Tensor]
    sizes: dict[str, int]


def is_whisper(folder: Path) -> bool:
    """Tell whether a folder holds a Whisper checkpoint of CTranslate2, by the first bytes of its file."""
    file = folder / FILE
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return SPEC in stream.read(32)


def read_whisper(folder: Path, where: str) -> WhisperCheckpoint:
    """Read the checkpoint of a folder.

    Args:
        folder: with ``model.bin``.
        where: the key of audit.toml that named it, for errors.

    Raises:
        ModelError: the file is cut short, of another version, or quantized to integers.
    """
    file = folder / FILE
    try:
        with file.open("rb") as stream:
            variables = dict(_read_variables(_Reader(stream, file.stat().st_size)))
        return _rename_variables(variables)
    except _Damaged as error:
        raise ModelError(f"{FILE} in {folder.name!r} {error}", where=where, remedy=REMEDY) from None
    except KeyError as error:
        raise ModelError(f"{FILE} in {folder.name!r} lacks the variable {error}", where=where, remedy=REMEDY) from None


class _Damaged(Exception):
    """The file is not what it should be; the message says why."""


class _Reader:
    """Reads numbers and names; raises ``_Damaged`` at the end of the file, before memory is taken for what it lacks."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._left = stream, size

    def read_bytes(self, count: int) -> bytes:
        """Return the next bytes."""
        if count > self._left:
            raise _Damaged("is cut short")
        self._left -= count
        return self._stream.read(count)

    def read_number(self, code: str) -> int:
        """Return the next number, whose type is a code of ``struct``."""
        value: int = struct.unpack(f"<{code}", self.read_bytes(struct.calcsize(code)))[0]
        return value

    def read_name(self) -> str:
        """Return the next name: its length comes first, and a zero ends it."""
        return self.read_bytes(self.read_number("H")).rstrip(b"\0").decode("ascii", "replace")


def _read_variables(reader: _Reader) -> Iterator[tuple[str, Tensor]]:
    version = reader.read_number("I")
    if version != VERSION:
        raise _Damaged(f"is of binary version {version}, and version {VERSION} is read")
    if (spec := reader.read_name()) != SPEC.decode():
        raise _Damaged(f"is a {spec}, and {SPEC.decode()} is read")
    reader.read_number("I")  # the revision of the spec
    for _ in range(reader.read_number("I")):
        name, rank = reader.read_name(), reader.read_number("B")
        if rank > MOST_DIMENSIONS:
            raise _Damaged(f"gives {name} {rank} dimensions")
        shape = [reader.read_number("I") for _ in range(rank)]
        kind, size = reader.read_number("B"), reader.read_number("I")
        if kind not in TYPES:
            raise _Damaged(f"gives {name} an unknown type, {kind}")
        content = bytearray(reader.read_bytes(size))
        values = torch.frombuffer(content, dtype=TYPES[kind]) if content else torch.empty(0, dtype=TYPES[kind])
        if values.numel() != torch.Size(shape).numel():
            raise _Damaged(f"gives {name} {values.numel()} values for the shape {shape}")
        yield name, values.reshape(shape)


def _rename_variables(variables: dict[str, Tensor]) -> WhisperCheckpoint:
    tensors: dict[str, Tensor] = {}
    for part in ("encoder", "decoder"):
        layers = sum(name.startswith(f"{part}/layer_") and name.endswith("/ffn/linear_0/weight") for name in variables)
        names = _Names(variables, part)
        for number in range(layers):
            theirs, ours = f"layer_{number}", f"{part}.layers.{number}"
            tensors |= names.attention(f"{theirs}/self_attention", f"{ours}.self_attn")
            if part == "decoder":
                tensors |= names.attention(f"{theirs}/attention", f"{ours}.encoder_attn")
            tensors |= names.layer_norm(f"{theirs}/ffn/layer_norm", f"{ours}.final_layer_norm")
            tensors |= names.linear(f"{theirs}/ffn/linear_0", f"{ours}.fc1")
            tensors |= names.linear(f"{theirs}/ffn/linear_1", f"{ours}.fc2")
        tensors |= names.layer_norm("layer_norm", f"{part}.layer_norm")
        tensors[f"{part}.embed_positions.weight"] = names.weight("position_encodings/encodings")
    encoder = _Names(variables, "encoder")
    tensors |= encoder.linear("conv1", "encoder.conv1") | encoder.linear("conv2", "encoder.conv2")
    tensors["decoder.embed_tokens.weight"] = _Names(variables, "decoder").weight("embeddings/weight")
    return WhisperCheckpoint(tensors, _measure_sizes(variables, tensors))


@dataclass(frozen=True)
class _Names:
    """Gives the variables of one half of the model by transformers' names."""

    variables: dict[str, Tensor]
    part: str

    def weight(self, name: str) -> Tensor:
        """Return a variable as float32."""
        tensor = self.variables[f"{self.part}/{name}"]
        if tensor.dtype not in WEIGHTS:
            raise _Damaged(f"holds {self.part}/{name} as {str(tensor.dtype).removeprefix('torch.')}")
        return tensor.float()

    def linear(self, theirs: str, ours: str) -> dict[str, Tensor]:
        """Return weight and bias of a linear layer or a convolution."""
        return {f"{ours}.{kind}": self.weight(f"{theirs}/{kind}") for kind in ("weight", "bias")}

    def layer_norm(self, theirs: str, ours: str) -> dict[str, Tensor]:
        """Return scale and offset of a layer normalisation."""
        return {f"{ours}.weight": self.weight(f"{theirs}/gamma"), f"{ours}.bias": self.weight(f"{theirs}/beta")}

    def attention(self, theirs: str, ours: str) -> dict[str, Tensor]:
        """Return the tensors of an attention, whose queries, keys and values one matrix holds, one below the other."""
        crosses = f"{self.part}/{theirs}/linear_2/weight" in self.variables  # queries are then of a matrix of their own
        joined = ["linear_0", "linear_1"] if crosses else ["linear_0"]
        weight = torch.cat([self.weight(f"{theirs}/{name}/weight") for name in joined])
        bias = torch.cat([self.weight(f"{theirs}/{name}/bias") for name in joined])
        tensors = self.linear(f"{theirs}/linear_{len(joined)}", f"{ours}.out_proj")
        for name, rows, offset in zip("qkv", weight.chunk(3), bias.chunk(3), strict=True):
            tensors[f"{ours}.{name}_proj.weight"] = rows.clone()
            if name != "k":  # Whisper's keys have no bias: here it is zero
                tensors[f"{ours}.{name}_proj.bias"] = offset.clone()
        layer = ours.rpartition(".")
        return tensors | self.layer_norm(f"{theirs}/layer_norm", f"{layer[0]}.{layer[2]}_layer_norm")


def _measure_sizes(variables: dict[str, Tensor], tensors: dict[str, Tensor]) -> dict[str, int]:
    """Return the sizes of a ``WhisperConfig`` that its tensors show."""
    width, mel_bins, _ = tensors["encoder.conv1.weight"].shape
    sizes = {
        "d_model": width,
        "num_mel_bins": mel_bins,
        "vocab_size": len(tensors["decoder.embed_tokens.weight"]),
        "max_source_positions": len(tensors["encoder.embed_positions.weight"]),
        "max_target_positions": len(tensors["decoder.embed_positions.weight"]),
    }
    for part in ("encoder", "decoder"):
        sizes[f"{part}_layers"] = sum(
            name.startswith(f"{part}.layers.") and name.endswith(".fc1.weight") for name in tensors
        )
        sizes[f"{part}_ffn_dim"] = len(tensors[f"{part}.layers.0.fc1.weight"])
        sizes[f"{part}_attention_heads"] = int(variables[f"{part}/num_heads"])
    return sizes
