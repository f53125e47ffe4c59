"""Two finished runs side by side, on the people that both predicted: differences of gaps, and who changed sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rft.disclosure.decide import decide_withheld
from rft.disclosure.release import release_sections
from rft.disclosure.withheld import Counted, Withheld
from rft.errors import DataError, Unavailable
from rft.plugins import RunPair, discover_plugins
from rft.records import AuditRun, DataFacts, Section
from rft.report import open_run

PREDICTIONS = "predictions.parquet"
SPLIT = "test"


@dataclass(frozen=True)
class RunComparison:
    """What came of comparing two runs.

    Attributes:
        names: of the run that is compared with, and of the other.
        n: test examples that both predicted.
        sections: what each plugin that compares runs found.
    """

    names: tuple[str, str]
    n: int
    sections: tuple[Section, ...]


def compare_runs(before: str | Path, after: str | Path) -> RunComparison:
    """Compare the test predictions of two runs, example by example.

    Args:
        before, after: run folders; differences are of the second minus the first.

    Raises:
        DataError: a folder holds no run or no predictions, or the two differ in their classes, favourable class, test
            examples, labels, units or groups.
    """
    folders = (Path(before), Path(after))
    runs = [open_run(folder, private=(PREDICTIONS,)) for folder in folders]
    positive = _shared_positive(runs, folders)
    first, second = (_read_predictions(folder) for folder in folders)
    _check_same_examples(first, second, folders)
    names = _name_runs(runs)
    withheld = _decide_withheld(runs, first, positive)
    shown = withheld.mask_predictions(first)
    pair = RunPair(shown, second, runs[0].model.classes, positive, names, runs[0].run.seed, withheld)
    sections, _ = release_sections(_compare_by_plugins(pair, folders[0]), DataFacts(splits={}), withheld)
    return RunComparison(names, len(first), sections)


def _compare_by_plugins(pair: RunPair, folder: Path) -> list[Section]:
    """Return what each plugin finds; raises ``DataError`` with the reasons where none can compare the runs."""
    sections: list[Section] = []
    reasons: list[str] = []
    for registered in discover_plugins().values():
        try:
            pair.withheld.require_split(SPLIT)
            section = registered.plugin.compare_runs(pair)
        except Unavailable as reason:
            reasons.append(str(reason))
            continue
        sections += [section] if section else []
    if not sections:
        raise DataError("; ".join(dict.fromkeys(reasons)) or "no plugin compares runs", where=str(folder))
    return sections


def _decide_withheld(runs: Sequence[AuditRun], predictions: pd.DataFrame, positive: str) -> Withheld:
    """Return what may not leave the machine: what either run withholds, by the counts of the stricter of both."""
    bounds = [run.run.table("report").get("suppress_below") for run in runs]
    asked = [(run, bound) for run, bound in zip(runs, bounds, strict=True) if isinstance(bound, int) and bound]
    already: dict[str, set[str]] = {}
    for small in (run.data.small_cells for run, _ in asked):
        for attribute, names in (small.groups if small else {}).items():
            already.setdefault(attribute, set()).update(names)
    of_class = (predictions["label"] == positive).to_numpy()
    attributes = [name.removeprefix("group_") for name in map(str, predictions.columns) if name.startswith("group_")]
    counted = [Counted(SPLIT, (name,), mask) for name in attributes for mask in (of_class, ~of_class)]
    below = max((bound for _, bound in asked), default=0)
    return decide_withheld(
        predictions, counted, below, already={name: sorted(group_names) for name, group_names in already.items()}
    )


def _shared_positive(runs: Sequence[AuditRun], folders: tuple[Path, Path]) -> str:
    """Return the favourable class of both runs."""
    first, second = (run.model for run in runs)
    for quality, first_value, second_value in (
        ("classes", first.classes, second.classes),
        ("favourable class (data.positive)", first.positive, second.positive),
    ):
        if first_value != second_value:
            raise DataError(
                f"its {quality} {second_value} is not that of {folders[0]}: {first_value}", where=str(folders[1])
            )
    if first.positive is None:
        raise DataError(
            "names no favourable class (data.positive), so its gaps have no direction", where=str(folders[0])
        )
    return first.positive


def _read_predictions(folder: Path) -> pd.DataFrame:
    """Return the test predictions of a run, in order of their ids."""
    try:
        frame = pd.read_parquet(folder / PREDICTIONS)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read ({error})", where=str(folder / PREDICTIONS)) from None
    return frame[frame["split"] == SPLIT].sort_values("id").reset_index(drop=True)


def _check_same_examples(first: pd.DataFrame, second: pd.DataFrame, folders: tuple[Path, Path]) -> None:
    """Raise ``DataError`` unless both hold the same test examples, and know the same of them."""
    where = str(folders[1])
    if not np.array_equal(first["id"].to_numpy(), second["id"].to_numpy()):
        shared = len(np.intersect1d(first["id"], second["id"]))
        raise DataError(
            f"shares {shared} of its {len(second)} test examples with the {len(first)} of {folders[0]}",
            where=where,
            remedy="Two models are compared on the same people: use the same data, split and seed.",
        )
    groups = [column for column in first.columns if str(column).startswith("group_")]
    if set(groups) != {column for column in second.columns if str(column).startswith("group_")}:
        raise DataError(f"has other group attributes than {folders[0]}", where=where)
    for column in ("label", "unit", *groups):
        if differing := _count_differing(first[column], second[column]):
            raise DataError(f"{differing} test examples have another {column} than in {folders[0]}", where=where)


def _count_differing(first: pd.Series, second: pd.Series) -> int:
    """Return in how many rows two columns differ; a missing value is like another."""
    missing, other_missing = first.isna().to_numpy(), second.isna().to_numpy()
    unlike = first.astype(str).to_numpy() != second.astype(str).to_numpy()
    return int(np.count_nonzero((missing != other_missing) | (~missing & ~other_missing & unlike)))


def _name_runs(runs: Sequence[AuditRun]) -> tuple[str, str]:
    """Return what the runs are called: by name, with epsilon where it was private, and apart in any case."""
    named = []
    for run in runs:
        training = run.model.training
        private = f" (epsilon {training.epsilon:g})" if training.epsilon is not None else ""
        named.append(f"{run.run.name}{private}")
    if named[0] == named[1]:
        return f"{named[0]}, first", f"{named[1]}, second"
    return named[0], named[1]
