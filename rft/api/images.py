"""Rows whose inputs are images as tensors: looked at once, and laid out as the data set of a model in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from rft.api.predictors import ask_model, call_module
from rft.api.rows import LabelledRows, name_labels, pick_row
from rft.backbones.batch import Batch
from rft.config.schema import DataConfig
from rft.data import Dataset
from rft.data.images.tensors import TensorPreprocessing
from rft.data.manifest import check_labels
from rft.data.remarks import log_warnings
from rft.data.tables.digest import digest_columns
from rft.data.tables.spelling import spelling_remarks
from rft.errors import DataError
from rft.models.external_model import ExternalModel
from rft.models.in_memory import WHERE, ModuleAdapter, TwoColumns, find_outputs, name_classes
from rft.pipeline.targets.module_in_memory import ModuleInMemory
from rft.records import IN_MEMORY, InputFile, Split

Call = Callable[[nn.Module, Batch], Any]

CHANNELS = (1, 3)
ROWS = "rows"  # what the data is called in the config and in messages
TRIED = 32  # rows that show what the outputs are
REREAD = 3  # rows of each split that are read twice
EXAMPLES = 3  # rows that the model is tried on, together and each by itself


def is_image(value: Any) -> bool:
    """Tell whether the input of a row is an image as tensor: (C, H, W) decimal numbers, of 1 or 3 channels."""
    tensor = _find_tensor(value)
    return tensor is not None and tensor.is_floating_point() and tensor.dim() == 3 and tensor.shape[0] in CHANNELS


class ImageSurvey:
    """What is learned of the images of a split as they pass, in order: their hashes, their shape, their range.

    Attributes:
        split: its name.
        digests: sha256 of each image's float32 values, as hex.
        shape: (C, H, W) of all; None before the first.
        lowest, highest: (C,) over all images.
    """

    def __init__(self, split: str) -> None:
        self.split, self.digests = split, list[str]()
        self.shape: tuple[int, int, int] | None = None
        self.lowest, self.highest = np.empty(0), np.empty(0)

    def add_image(self, value: Any) -> None:
        """Look at the next image; raises ``DataError`` where it is none, not finite, or of another shape."""
        row = len(self.digests) + 1
        if not is_image(value):
            raise DataError(
                f"row {row} is no (C, H, W) tensor of decimal numbers, as the first one is", where=self.split
            )
        image = _to_image(value)
        channels, height, width = image.shape
        if self.shape not in (None, (channels, height, width)):
            raise DataError(f"row {row} has the shape {tuple(image.shape)}, and others {self.shape}", where=self.split)
        if not bool(image.isfinite().all()):
            raise DataError(f"row {row} holds NaN or infinity", where=self.split)
        lowest, highest = (bound.numpy().astype(float) for bound in (image.amin((1, 2)), image.amax((1, 2))))
        self.lowest = lowest if self.shape is None else np.minimum(self.lowest, lowest)
        self.highest = highest if self.shape is None else np.maximum(self.highest, highest)
        self.shape = channels, height, width
        self.digests.append(_digest_image(image))


class _Images(Sequence[Tensor]):
    """The (C, H, W) float32 images of N rows, read when they are asked for."""

    def __init__(self, inputs: Any, n: int) -> None:
        self.inputs, self.n = inputs, n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, row: Any) -> Any:
        return _to_image(pick_row(self.inputs, int(row)))


def build_target(
    module: nn.Module,
    splits: Sequence[LabelledRows],
    surveys: Mapping[str, ImageSurvey],
    config: DataConfig,
    *,
    outputs: str | None,
    device: str,
) -> ModuleInMemory:
    """Return a module and its data as the pipeline takes them, after trying the module on a few rows.

    Args:
        module: in eval mode, on the device.
        splits: rows with images.
        surveys: name of a split -> what was learned of its images.
        config: the ``[data]`` table.
        outputs: ``logits``, ``probabilities``, or None to find out.
        device: torch device name.

    Raises:
        DataError: images have several shapes or are random, or a label is no class.
        ModelError: the module does not take them, or gives no (B, K) outputs.
    """
    test = next(rows for rows in splits if rows.name == "test")
    preprocessing = _measure_preprocessing(surveys)
    images = {rows.name: _Images(rows.inputs, len(rows)) for rows in splits}
    for name, survey in surveys.items():
        _refuse_random(images[name], survey)
    adapter: nn.Module = ModuleAdapter(module, _call_for(module, test.inputs, preprocessing))
    tried = preprocessing.to_pixels(torch.stack([images["test"][row] for row in range(min(TRIED, len(test)))]))
    with torch.no_grad():
        answers = ask_model(lambda: adapter({"pixels": tried.to(device)}).float().cpu(), "test", "the module")
    kind = find_outputs(answers, outputs)
    adapter = TwoColumns(adapter, kind) if answers.shape[1] == 1 else adapter
    classes = name_classes(config.classes, max(2, answers.shape[1]))
    dataset = _lay_out(splits, images, surveys, classes, config)
    example = {"pixels": tried[:EXAMPLES]}
    return ModuleInMemory(ExternalModel(adapter, classes, preprocessing, example, WHERE), dataset, kind)


def _measure_preprocessing(surveys: Mapping[str, ImageSurvey]) -> TensorPreprocessing:
    shapes = {survey.shape for survey in surveys.values() if survey.shape is not None}
    if len(shapes) > 1:
        raise DataError(f"its images have the shapes {' and '.join(map(str, sorted(shapes)))}", where="train and test")
    lowest = np.min([survey.lowest for survey in surveys.values()], axis=0)
    highest = np.max([survey.highest for survey in surveys.values()], axis=0)
    return TensorPreprocessing.measure(lowest, highest, shapes.pop())


def _refuse_random(images: _Images, survey: ImageSurvey) -> None:
    for row in range(min(REREAD, len(images))):
        if _digest_image(images[row]) != survey.digests[row]:
            raise DataError(
                f"gives row {row + 1} other values each time",
                where=survey.split,
                remedy="Give the data set for evaluation: without random crops, flips or colours.",
            )


def _call_for(module: nn.Module, inputs: Any, preprocessing: TensorPreprocessing) -> Call:
    """Return what runs the module on pixels, in its own range and type of numbers; by name where rows have one."""
    first = pick_row(inputs, 0)
    key = next(iter(first)) if isinstance(first, Mapping) else None
    floats = next((tensor.dtype for tensor in module.parameters() if tensor.is_floating_point()), torch.float32)

    def call(network: nn.Module, batch: Batch) -> Any:
        values = preprocessing.to_values(batch["pixels"]).to(floats)
        return call_module(network, values if key is None else {key: values})

    return call


def _lay_out(
    splits: Sequence[LabelledRows],
    images: Mapping[str, _Images],
    surveys: Mapping[str, ImageSurvey],
    classes: tuple[str, ...],
    config: DataConfig,
) -> Dataset:
    """Return the data set; its classes are in the order of the outputs."""
    held = {rows.name: _build_split(rows, images[rows.name], surveys[rows.name], classes) for rows in splits}
    columns = _join_columns(held, classes)
    table = pd.DataFrame({name: columns[name].astype(object) for name in ("label", "split")})
    check_labels(table, config.model_copy(update={"classes": list(classes)}), ROWS, external=True)
    groups = {name: columns[f"group_{name}"] for name in config.groups}
    remarks = [*spelling_remarks(columns["label"], groups, columns.get("unit"))]
    log_warnings(remarks)
    digest = digest_columns(columns, {})
    return Dataset(held, classes, 0, [InputFile(f"{IN_MEMORY}{ROWS}", digest)], remarks)


def _build_split(rows: LabelledRows, images: _Images, survey: ImageSurvey, classes: Sequence[str]) -> Split:
    """Return the rows of a split; raises ``DataError`` for a label that is no class."""
    number = {name: index for index, name in enumerate(classes)}
    labels = name_labels(rows.labels, classes, rows.name)
    return Split(
        name=rows.name,
        ids=np.array([f"{rows.name}/{row}" for row in range(len(rows))], dtype=object),
        items=images,
        labels=np.array([number[label] for label in labels], np.int64),
        groups=rows.groups,
        units=rows.units,
        digests=np.array(survey.digests, dtype=object),
    )


def _join_columns(splits: Mapping[str, Split], classes: Sequence[str]) -> dict[str, pd.Categorical]:
    """Return what is known of all rows, a column each: split, label, hash of the input, unit and groups."""
    parts = [
        {
            "split": np.full(len(split), name, dtype=object),
            "label": np.array(classes, dtype=object)[split.labels],
            "input": split.digests,
            **({} if split.units is None else {"unit": split.units}),
            **{f"group_{group}": values for group, values in split.groups.items()},
        }
        for name, split in splits.items()
    ]
    return {name: pd.Categorical(np.concatenate([part[name] for part in parts])) for name in parts[0]}


def _find_tensor(value: Any) -> Tensor | None:
    """Return the one tensor that an input is, alone or in a mapping; None where it is something else."""
    if isinstance(value, Mapping):
        value = next(iter(value.values())) if len(value) == 1 else None
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return torch.from_numpy(value)
    return value if isinstance(value, Tensor) else None


def _to_image(value: Any) -> Tensor:
    tensor = _find_tensor(value)
    assert tensor is not None, "the survey has seen it"
    return tensor.detach().cpu().float()


def _digest_image(image: Tensor) -> str:
    return hashlib.sha256(image.contiguous().numpy().tobytes()).hexdigest()
