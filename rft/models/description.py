"""``model.json``: how to rebuild a saved model, and how its inputs are prepared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, Self

from pydantic import ValidationError

from rft.backbones.identity import BackboneIdentity
from rft.backbones.partition.frozen_part import FrozenPart
from rft.errors import ModelError
from rft.records import PreprocessingFacts, Record, first_problem

FILE = "model.json"
# 1: pictures only; 2: the modality, backbones of transformers with their tokenizers; 3: how the frozen part computes;
# 4: the pipeline that prepares pictures
FORMAT_VERSION = 4


class ModelDescription(Record):
    """The content of ``model.json``.

    Attributes:
        modality: ``image``, ``text`` or ``audio``.
        backbone: which one it is, to build it again.
        preprocessing: how items become its inputs.
        classes: what the logits stand for.
        row_norm: whether the head scales its inputs to length 1.
        frozen_part: how the frozen part computes.
        sha256: of the tensors.
        files: name -> sha256 of the files in the folder of the backbone's config; empty where there is none.
        vocabulary: the characters or tokens that a recogniser writes with; None of a classifier.
        capitals: of tokens, whether they are capital letters for small ones; None where no tokenizer is in the folder
            for them.
    """

    format_version: int = FORMAT_VERSION
    modality: Literal["image", "text", "audio"]
    backbone: BackboneIdentity
    preprocessing: PreprocessingFacts
    classes: tuple[str, ...]
    row_norm: bool
    frozen_part: FrozenPart
    sha256: str
    files: dict[str, str]
    vocabulary: tuple[str, ...] | None = None
    capitals: bool | None = None

    def write(self, folder: Path) -> None:
        """Write the file; raises ``OSError`` when the disk is full."""
        text = json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True) + "\n"
        (folder / FILE).write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the file of a folder; raises ``ModelError`` when there is none, or not one that this rft writes."""
        try:
            content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        except OSError:
            raise ModelError(
                "holds no model", where=str(folder), remedy="Expected a folder that rft audit wrote."
            ) from None
        except ValueError as error:
            raise ModelError(f"is not JSON: {error}", where=FILE) from None
        version = content.get("format_version") if isinstance(content, dict) else None
        if version != FORMAT_VERSION:
            raise ModelError(f"has format {version}; this rft reads {FORMAT_VERSION}", where=FILE)
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise ModelError(f"does not describe a model: {first_problem(error)}", where=FILE) from None
