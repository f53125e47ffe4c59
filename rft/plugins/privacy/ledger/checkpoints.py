"""The state of an unfinished training, so that it can go on: whole or absent, and known to be the one that was written.

A checkpoint holds an anchor of its ledger. Without it, an older copy of the ledger could be put back and the training
go on from here, as if the steps up to here had cost nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from rft.backbones.classifier import hash_tensors
from rft.errors import EvidenceError
from rft.plugins.privacy.ledger.atomic_io import clear_errors, replace_file
from rft.plugins.privacy.ledger.chain import Anchor


@dataclass(frozen=True)
class Checkpoint:
    """Tensors after a number of steps, and where the ledger stood. ``charge`` is the id of the training."""

    charge: str
    step: int
    anchor: Anchor
    tensors: Mapping[str, Tensor]

    @property
    def _facts(self) -> dict[str, str]:
        numbers = {"charge": self.charge, "step": self.step, **vars(self.anchor)}
        return {name: str(number) for name, number in numbers.items()}

    @property
    def sha256(self) -> str:
        """Hash of all of it: safetensors itself accepts flipped bits."""
        facts = json.dumps(self._facts, sort_keys=True)
        return hashlib.sha256((facts + hash_tensors(self.tensors)).encode()).hexdigest()

    def write(self, folder: Path) -> None:
        """Replace the training's checkpoint in this folder; raises ``OutputError`` when it cannot be written."""
        tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in self.tensors.items()}
        replace_file(checkpoint_path(folder, self.charge), save(tensors, {**self._facts, "sha256": self.sha256}))


def checkpoint_path(folder: Path, charge: str) -> Path:
    """Return where the checkpoint of a training is."""
    return folder / f"{charge}.safetensors"


def remove_checkpoint(folder: Path, charge: str) -> None:
    """Remove the checkpoint of a training, if there is one; raises ``OutputError``."""
    path = checkpoint_path(folder, charge)
    with clear_errors(path):
        path.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> Checkpoint:
    """Return the checkpoint of a file that is there.

    Raises:
        EvidenceError: it is not the one that was written.
        OutputError: it cannot be read.
    """
    remedy = "Remove it to train from the start. What was charged for the steps up to here stays charged."
    try:
        with clear_errors(path), safe_open(path, "pt") as file:
            facts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        anchor = Anchor(int(facts["entries"]), facts["head"])
        checkpoint = Checkpoint(facts["charge"], int(facts["step"]), anchor, tensors)
    except (SafetensorError, KeyError, ValueError) as error:
        raise EvidenceError("is not a checkpoint of a training", where=str(path), remedy=remedy) from error
    if checkpoint.sha256 != facts.get("sha256"):
        raise EvidenceError("is not the checkpoint that was written", where=str(path), remedy=remedy)
    return checkpoint
