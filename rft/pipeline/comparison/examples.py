"""The test examples that two runs share, and what both predicted for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rft.disclosure.decide import decide_withheld
from rft.disclosure.withheld import Counted, Withheld
from rft.errors import DataError
from rft.plugins import RunPair
from rft.records import AuditRun
from rft.stats.scores.error_rates import RAW_CHARACTERS, RAW_WORDS

PREDICTIONS = "predictions.parquet"
SPLIT = "test"
# What the data says of an example and no model changes: its label, or the length of its reference.
SAID = ("label", RAW_WORDS, RAW_CHARACTERS)


@dataclass(frozen=True)
class SharedExamples:
    """The test examples of both runs.

    Attributes:
        pair: what plugins compare; None where the runs cannot be paired.
        n: how many examples both predicted.
        left_out: how many test examples of either run the other lacks; None where they were not read.
        identical: both gave each shared example the same class, and the same scores where there are some.
        not_paired: why there is no pair; empty where there is one.
    """

    pair: RunPair | None
    n: int
    left_out: tuple[int | None, int | None]
    identical: bool = False
    not_paired: str = ""


NOT_READ = SharedExamples(None, 0, (None, None), not_paired="predictions were not read, as was asked (--unpaired)")


def share_examples(
    runs: Sequence[AuditRun], folders: Sequence[Path], names: tuple[str, str], withheld: Withheld
) -> SharedExamples:
    """Return the examples that both runs predicted, or why they cannot be paired.

    Args:
        runs, folders: two runs and where they stand.
        names: what they are called.
        withheld: what either run withholds.

    Raises:
        DataError: a folder holds no predictions.
    """
    frames = [_read_predictions(folder) for folder in folders]
    shared = np.intersect1d(frames[0]["id"], frames[1]["id"])
    left_out = (len(frames[0]) - len(shared), len(frames[1]) - len(shared))
    first, second = (frame[frame["id"].isin(shared)].reset_index(drop=True) for frame in frames)
    reason = _explain_not_paired(runs, names, first, second, withheld) or _explain_few_left_out(
        frames, shared, withheld
    )
    if reason:
        return SharedExamples(None, len(shared), left_out, not_paired=reason)
    groups = [name for name in first.columns if _is_group(name) and name not in second.columns]
    first = first.drop(columns=groups)
    hidden = _decide_for_shared(first, withheld)
    positive = runs[0].model.positive if runs[0].model.positive == runs[1].model.positive else None
    shown = hidden.mask_predictions(first)
    configs = tuple(run.run.config for run in runs)
    model = runs[0].model
    pair = RunPair(shown, second, model.classes, positive, names, runs[0].run.seed, hidden, configs, model.task)
    return SharedExamples(pair, len(shared), left_out, _are_identical(first, second))


def _read_predictions(folder: Path) -> pd.DataFrame:
    """Return the test predictions of a run, in order of their ids."""
    try:
        frame = pd.read_parquet(folder / PREDICTIONS)
    except (OSError, ValueError) as error:
        if not (folder / PREDICTIONS).exists():  # a version of a run, made by rft report, has none
            raise DataError(
                "holds no predictions",
                where=str(folder),
                remedy="Compare the run itself, and not what rft report made from it.",
            ) from None
        raise DataError(f"cannot be read ({error})", where=str(folder / PREDICTIONS)) from None
    return frame[frame["split"] == SPLIT].sort_values("id").reset_index(drop=True)


def _explain_not_paired(
    runs: Sequence[AuditRun], names: tuple[str, str], first: pd.DataFrame, second: pd.DataFrame, withheld: Withheld
) -> str:
    if runs[0].model.task != runs[1].model.task:
        return (
            f"{names[0]} is of {runs[0].model.task_kind.audited}, and {names[1]} of {runs[1].model.task_kind.audited}"
        )
    if runs[0].model.normalizer != runs[1].model.normalizer:
        return f"{names[0]} was made with the normaliser {runs[0].model.normalizer}, {names[1]} with another"
    if runs[0].model.classes != runs[1].model.classes:
        return f"the classes of {names[1]} are not those of {names[0]}"
    if first.empty:
        return "the runs share no test examples"
    groups = [str(name) for name in first.columns if _is_group(name) and name in second.columns]
    for column in (*(name for name in SAID if name in first), "unit", *groups):
        if differing := _count_differing(first[column], second[column]):
            count = "some" if withheld.is_small(differing) else f"{differing:,}"
            return f"{count} of {len(first):,} shared test examples have another {column} in {names[1]}"
    return ""


def _explain_few_left_out(frames: Sequence[pd.DataFrame], shared: np.ndarray, withheld: Withheld) -> str:
    """Return why the shared examples may not be compared by themselves: the few others would follow by subtraction."""
    for frame in frames:
        alone = frame[~frame["id"].isin(shared)]
        parts = [alone[column].value_counts() for column in alone.columns if column == "label" or _is_group(column)]
        counts = [len(alone), alone["unit"].nunique(), *(int(count) for part in parts for count in part)]
        if any(withheld.is_small(count) for count in counts):
            return f"{withheld.reason} test examples of a group or class are in one run alone"
    return ""


def _decide_for_shared(predictions: pd.DataFrame, withheld: Withheld) -> Withheld:
    """Return what may not leave the machine of the shared examples: what either run withholds, and small counts."""
    attributes = [str(name).removeprefix("group_") for name in predictions.columns if _is_group(name)]
    labels = predictions["label"] if "label" in predictions else predictions["split"]  # transcripts have no classes
    masks = [(labels == label).to_numpy() for label in labels.unique()]
    masks += [~mask for mask in masks]
    counted = [Counted(SPLIT, (name,), mask) for name in attributes for mask in masks]
    already = {name: list(names) for name, names in withheld.groups.items()}
    return decide_withheld(predictions, counted, withheld.below, already=already)


def _are_identical(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    if "prediction" not in first:  # of transcripts errors are kept, and not what was written
        return False
    scores = [name for name in first.columns if str(name).startswith("score_") and name in second.columns]
    return not _count_differing(first["prediction"], second["prediction"]) and all(
        np.array_equal(first[name].to_numpy(), second[name].to_numpy(), equal_nan=True) for name in scores
    )


def _count_differing(first: pd.Series, second: pd.Series) -> int:
    """Return in how many rows two columns differ; a missing value is like another."""
    missing, other_missing = first.isna().to_numpy(), second.isna().to_numpy()
    unlike = first.astype(str).to_numpy() != second.astype(str).to_numpy()
    return int(np.count_nonzero((missing != other_missing) | (~missing & ~other_missing & unlike)))


def _is_group(column: object) -> bool:
    return str(column).startswith("group_")
