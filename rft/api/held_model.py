"""A model that the caller holds, with its rows: from there to what the pipeline takes in the place of files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rft.api.images import ImageSurvey, build_target, is_image
from rft.api.predictors import Kind, list_classes, predict_rows, tabulate_rows
from rft.api.rows import RowColumns, first_input, read_rows
from rft.config.schema import DataConfig
from rft.errors import ConfigError
from rft.features.extract import choose_device
from rft.models.in_memory import OUTPUTS, borrow_module, find_device
from rft.pipeline.plan import TargetInMemory
from rft.pipeline.targets.predictions_alone import PredictionsInMemory
from rft.records import PREDICTIONS_OF


@dataclass(frozen=True)
class HeldModel:
    """A model and the rows to audit it on, as the caller gave them.

    Attributes:
        model: comes back as it was.
        kind: how it is asked.
        splits: ``train`` where it is known, and ``test`` -> (X, y) or a Dataset.
        columns: groups, units and labels of the rows.
        outputs: ``logits``, ``probabilities``, or None to find out.
        device: where a torch module computes; None: where it is.
    """

    model: Any
    kind: Kind
    splits: Mapping[str, object]
    columns: RowColumns
    outputs: str | None
    device: str | None

    def check_arguments(self) -> None:
        """Raise ``ConfigError`` for an argument that is unknown or has no effect on this model."""
        if self.outputs not in (None, *OUTPUTS):
            raise ConfigError(f"expected 'logits' or 'probabilities', not {self.outputs!r}", where="outputs")
        idle = {
            "device": self.device is not None and self.kind != "module" and "only a torch module is put on a device",
            "outputs": self.outputs is not None and self.kind == "estimator" and "predict_proba gives probabilities",
            "label": self.columns.label is not None
            and all(isinstance(examples, tuple) for examples in self.splits.values())
            and "it is a key of a Dataset's items, and (X, y) gives the labels themselves",
        }
        for argument, reason in idle.items():
            if reason:
                raise ConfigError(f"has no effect here: {reason}", where=argument, remedy=f"Leave {argument} out.")

    def takes_images(self) -> bool:
        """Tell whether this is a torch module of images; raises ``DataError`` where the test rows are none."""
        return self.kind == "module" and is_image(first_input(self.splits["test"], "test", self.columns))

    def known_classes(self) -> tuple[str, ...] | None:
        """Return the classes that an estimator knows; None for other models. Raises ``ModelError``."""
        return list_classes(self.model) if self.kind == "estimator" else None

    def name_predictions(self) -> str:
        """Return what the table of its predictions is called."""
        return f"{PREDICTIONS_OF}{type(self.model).__name__}"

    @contextmanager
    def prepare_target(self, config: DataConfig, *, images: bool) -> Iterator[tuple[TargetInMemory, str | None]]:
        """Give what is audited, and the torch device for it, for as long as the audit takes.

        Args:
            config: the ``[data]`` table.
            images: whether the model itself is audited, a torch module of images; otherwise its predictions are.

        Raises:
            RftError: rows or model cannot be used.
        """
        if not images:
            yield self._tabulate_predictions(config), None
            return
        place = find_device(self.model) if self.device is None else choose_device(self.device)
        surveys = {name: ImageSurvey(name) for name in self.splits}
        rows = [
            read_rows(examples, name, self.columns, surveys[name].add_image) for name, examples in self.splits.items()
        ]
        with borrow_module(self.model):
            self.model.to(place).requires_grad_(False).eval()
            yield build_target(self.model, rows, surveys, config, outputs=self.outputs, device=place), place

    def _tabulate_predictions(self, config: DataConfig) -> PredictionsInMemory:
        """Return the table of what the model says of its rows."""
        rows = [read_rows(examples, name, self.columns) for name, examples in self.splits.items()]
        predicted = predict_rows(self.model, self.kind, rows, config.classes, self.outputs, self.device)
        numbered = self.kind != "estimator"
        return PredictionsInMemory(tabulate_rows(rows, predicted, self.name_predictions(), numbered=numbered))
