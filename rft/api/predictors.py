"""What a model says of rows, whatever it is: a torch module, an estimator, a Keras model, or a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from rft.api.rows import DatasetInputs, LabelledRows, name_labels, to_labels
from rft.data.tables.columnar import read_columns
from rft.data.tables.in_memory import TableInMemory, hold_table
from rft.data.tables.table_file import ColumnRequest
from rft.errors import DataError, ModelError, RftError

WHERE = "model"
BATCH = 64  # rows that a torch module takes at once

Kind = Literal["module", "keras", "estimator", "function"]


@dataclass(frozen=True)
class Predicted:
    """What a model says of N rows.

    Attributes:
        decisions: (N,) names of classes, or None.
        scores: (N, K) probabilities, or None.
        classes: what the K columns stand for; without scores, those that decisions are of, empty where nobody says.
    """

    decisions: np.ndarray | None
    scores: np.ndarray | None
    classes: tuple[str, ...] = ()


def find_kind(model: Any) -> Kind:
    """Return how a model is asked; raises ``ModelError`` for what cannot be."""
    from torch import nn

    if hasattr(model, "predict") and any(base.__module__.startswith("keras.") for base in type(model).__mro__):
        return "keras"  # before torch: on that backend it is a module as well
    if isinstance(model, nn.Module):
        return "module"
    if isinstance(model, type):
        raise ModelError(f"is the class {model.__name__} and no model", where=WHERE, remedy="Build and train it first.")
    if hasattr(model, "predict"):
        return "estimator"
    if callable(model):
        return "function"
    raise ModelError(
        f"is {type(model).__name__}; expected a torch module, something with predict_proba or predict, or a function",
        where=WHERE,
    )


def list_classes(model: Any) -> tuple[str, ...] | None:
    """Return the classes that a fitted estimator knows, as a reader of tables reads them; None where it says nothing.

    Raises:
        ModelError: it is a regressor, is not fitted, or predicts several labels at once.
    """
    if getattr(model, "_estimator_type", None) == "regressor" or _is_regressor(model):
        raise ModelError("is a regressor; rft audits classifiers", where=WHERE)
    known = getattr(model, "classes_", None)
    if known is None:
        if _is_unfitted(model):
            raise ModelError("is not fitted", where=WHERE, remedy="Call its fit first.")
        return None
    if isinstance(known, (list, tuple)) or np.ndim(known) != 1:
        raise ModelError("predicts several labels at once; rft audits one label a row", where=WHERE)
    return tuple(read_texts(known, "classes_"))


def predict_estimator(model: Any, rows: LabelledRows, classes: Sequence[str] | None) -> Predicted:
    """Ask ``predict``, whose decisions are the model's own, and ``predict_proba`` where there is one.

    ``decision_function`` is not asked: what it gives is no probability.

    Raises:
        ModelError: it fails, or gives something else than one class, and K probabilities, a row.
    """
    decided = ask_model(partial(model.predict, _require_arrays(rows)), rows.name, "predict")
    decisions = np.array(read_texts(decided, "prediction"), dtype=object)
    _check_rows(decisions, rows, "predict")
    if not hasattr(model, "predict_proba"):
        return Predicted(decisions, None)
    scores = np.asarray(ask_model(partial(model.predict_proba, rows.inputs), rows.name, "predict_proba"))
    _check_rows(scores, rows, "predict_proba")
    if classes is None:
        raise ModelError(
            "does not say what the columns of predict_proba stand for",
            where=WHERE,
            remedy='Name them in their order: classes=["...", "..."].',
        )
    if scores.ndim != 2 or scores.shape[1] != len(classes):
        raise ModelError(
            f"gives predict_proba of shape {scores.shape}; expected a column for each of {', '.join(classes[:10])}",
            where=WHERE,
        )
    return Predicted(decisions, scores, tuple(classes))


def predict_function(
    call: Callable[..., Any], rows: LabelledRows, classes: Sequence[str] | None, outputs: str | None
) -> Predicted:
    """Ask a function of all inputs at once: (N, K) or (N,) outputs, or (N,) names of classes.

    Raises:
        ModelError: it fails, or gives something else.
    """
    answer = ask_model(partial(call, _require_arrays(rows)), rows.name, "the call")
    values = answer.detach().cpu().numpy() if hasattr(answer, "detach") else np.asarray(answer)
    _check_rows(values, rows, "the call")
    if values.ndim == 1 and values.dtype.kind in "OUSTbiu":
        return Predicted(np.array(read_texts(values, "prediction"), dtype=object), None, tuple(classes or ()))
    return read_scores(values, classes, outputs)


def predict_module(
    module: Any, rows: LabelledRows, classes: Sequence[str] | None, outputs: str | None, device: str
) -> Predicted:
    """Run a torch module, which is in eval mode and on the device, on batches of rows.

    Raises:
        ModelError: it fails, or gives something else than (B, K) outputs.
        DataError: rows cannot be put together to a batch.
    """
    import torch

    from rft.models.in_memory import read_outputs

    parts = []
    for start in range(0, len(rows), BATCH):
        batch = _move_batch(_collate_inputs(rows, range(start, min(start + BATCH, len(rows))), module), device)
        with torch.no_grad():
            output = ask_model(partial(call_module, module, batch), rows.name, "the module")
        parts.append(read_outputs(output).float().cpu())
        if len(parts[-1]) != min(BATCH, len(rows) - start):
            raise ModelError(f"gives {len(parts[-1])} outputs for {min(BATCH, len(rows) - start)} rows", where=WHERE)
    return read_scores(torch.cat(parts).numpy(), classes, outputs)


def call_module(module: Any, batch: Any) -> Any:
    """Call a module with a batch: the values of a mapping by name, those of a tuple in their order."""
    if isinstance(batch, Mapping):
        return module(**batch)
    return module(*batch) if isinstance(batch, (tuple, list)) else module(batch)


def read_scores(values: np.ndarray, classes: Sequence[str] | None, outputs: str | None) -> Predicted:
    """Return (N, K), (N, 1) or (N,) outputs as probabilities of classes.

    Raises:
        ModelError: they are not finite, or say nothing of the classes.
    """
    import torch

    from rft.models.external import check_finite, check_outputs
    from rft.models.in_memory import find_outputs, name_classes, read_outputs, split_in_two

    numbers = read_outputs(torch.from_numpy(np.asarray(values)))
    check_finite(numbers, WHERE)
    kind = find_outputs(numbers, outputs)
    if numbers.shape[1] == 1:
        numbers = split_in_two(numbers, kind)
    check_outputs(
        numbers.clamp_min(torch.finfo(numbers.dtype).tiny).log() if kind == "probabilities" else numbers, kind, WHERE
    )
    scores = numbers.double() if kind == "probabilities" else numbers.double().softmax(dim=1)
    return Predicted(None, scores.numpy(), name_classes(classes, scores.shape[1]))


def predict_rows(
    model: Any,
    kind: Kind,
    rows: Sequence[LabelledRows],
    classes: Sequence[str] | None,
    outputs: str | None,
    device: str | None,
) -> list[Predicted]:
    """Return what a model says of the rows of each split.

    Args:
        model: comes back as it was.
        kind: how it is asked.
        rows: of each split.
        classes: what its outputs stand for; None: it says so, or their numbers.
        outputs: ``logits``, ``probabilities``, or None to find out.
        device: where a torch module computes; None: where it is.

    Raises:
        RftError: the model fails, or what it gives is unusable.
    """
    if kind == "estimator":
        return [predict_estimator(model, part, classes) for part in rows]
    if kind != "module":
        call = partial(model.predict, verbose=0) if kind == "keras" else model
        return [predict_function(call, part, classes, outputs) for part in rows]
    from rft.features.extract import choose_device
    from rft.models.in_memory import borrow_module, find_device

    place = find_device(model) if device is None else choose_device(device)
    with borrow_module(model):
        model.to(place).eval()
        return [predict_module(model, part, classes, outputs, place) for part in rows]


def tabulate_rows(
    rows: Sequence[LabelledRows], predicted: Sequence[Predicted], name: str, *, numbered: bool
) -> TableInMemory:
    """Return a table with the columns of ``predictions.parquet``.

    Args:
        rows, predicted: of each split.
        name: of the table.
        numbered: whether labels and decisions may be numbers of classes.
    """
    parts = [_tabulate_split(part, said, numbered=numbered) for part, said in zip(rows, predicted, strict=True)]
    columns = {column: np.concatenate([part[column] for part in parts]) for column in parts[0]}
    return hold_table(columns, list(columns), name)


def _tabulate_split(rows: LabelledRows, predicted: Predicted, *, numbered: bool) -> dict[str, np.ndarray]:
    labels, decisions = rows.labels, predicted.decisions
    if numbered and predicted.classes:
        labels = name_labels(labels, predicted.classes, rows.name)
    if decisions is None:
        assert predicted.scores is not None, "a model gives one or the other"
        decisions = np.array(predicted.classes, dtype=object)[predicted.scores.argmax(axis=1)]
    elif numbered and predicted.classes:
        decisions = name_labels(decisions, predicted.classes, rows.name)
    scores = {} if predicted.scores is None else dict(zip(predicted.classes, predicted.scores.T, strict=True))
    return {
        "split": np.full(len(rows), rows.name, dtype=object),
        "id": np.array([f"{rows.name}/{row}" for row in range(len(rows))], dtype=object),
        "unit": np.full(len(rows), None, dtype=object) if rows.units is None else rows.units,
        "label": labels,
        "prediction": decisions,
        **{f"score_{label}": column for label, column in scores.items()},
        **{f"group_{attribute}": values for attribute, values in rows.groups.items()},
    }


def read_texts(values: Any, name: str) -> list[str]:
    """Return (N,) labels as the reader of tables reads them."""
    table = hold_table({name: to_labels(values)}, [name], WHERE)
    return [str(text) for text in read_columns([table], ColumnRequest([name])).texts[name]]


def ask_model(call: Callable[[], Any], split: str, what: str) -> Any:
    """Return what the model says of rows of a split; raises ``ModelError`` where its code fails."""
    try:
        return call()
    except RftError:
        raise
    except Exception as error:  # foreign code: it may raise anything
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(f"{what} failed on the {split} rows: {reason}", where=WHERE) from error


def _require_arrays(rows: LabelledRows) -> Any:
    if isinstance(rows.inputs, DatasetInputs):
        raise DataError("a Dataset goes with a torch module", where=rows.name, remedy="Give (X, y).")
    return rows.inputs


def _check_rows(values: Any, rows: LabelledRows, what: str) -> None:
    if np.ndim(values) == 0 or len(values) != len(rows):
        got = f"{len(values):,}" if np.ndim(values) else "no"
        raise ModelError(f"{what} gives {got} rows for the {len(rows):,} of {rows.name}", where=WHERE)


def _collate_inputs(rows: LabelledRows, numbers: range, module: Any) -> Any:
    """Return a batch of inputs; decimal numbers as the module has them."""
    import torch
    from torch.utils.data import default_collate

    floats = next((tensor.dtype for tensor in module.parameters() if tensor.is_floating_point()), torch.float32)
    if isinstance(rows.inputs, DatasetInputs):
        try:
            batch = default_collate([rows.inputs[row] for row in numbers])
        except (RuntimeError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(
                f"its rows make no batch: {reason}", where=rows.name, remedy="Give inputs of one shape: pad texts."
            ) from None
    else:
        values = rows.inputs
        values = values.to_numpy() if hasattr(values, "to_numpy") else values
        batch = torch.as_tensor(values[numbers.start : numbers.stop])
    is_decimal = isinstance(batch, torch.Tensor) and batch.is_floating_point()
    return batch.to(floats) if is_decimal else batch


def _move_batch(batch: Any, device: str) -> Any:
    if isinstance(batch, Mapping):
        return {key: _move_batch(value, device) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        return [_move_batch(value, device) for value in batch]
    return batch.to(device)


def _is_regressor(model: Any) -> bool:
    from sklearn.base import BaseEstimator, is_regressor

    return isinstance(model, BaseEstimator) and bool(is_regressor(model))


def _is_unfitted(model: Any) -> bool:
    from sklearn.base import BaseEstimator
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    if not isinstance(model, BaseEstimator):
        return False
    try:
        check_is_fitted(model)
    except NotFittedError:
        return True
    return False
