"""What is withheld: groups, classes and splits, and data without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from rft.disclosure.complement import protect_cells
from rft.errors import Unavailable
from rft.records import SmallCells, Texts

if TYPE_CHECKING:
    import pandas as pd

BETWEEN = " x "  # between the names of attributes, and of groups, that are crossed
PUBLISHED_BELOW = 10  # for a model card, where the config does not say: the usual least count of official statistics
MISSING = ""  # stands for the rows without a value


def suppression_reason(below: int) -> str:
    """Return the status and the reason of what is withheld."""
    return f"suppressed: fewer than {below}"


@dataclass(frozen=True)
class Counted:
    """Rows of a split by group, which numbers rest on.

    Attributes:
        split: its name.
        attributes: one, or several that are crossed.
        mask: (N,) booleans over the rows of the split in the order of the table of predictions, or None for all.
        of_model: whether the mask depends on predictions, and not on the data alone.
    """

    split: str
    attributes: tuple[str, ...]
    mask: np.ndarray | None = None
    of_model: bool = False


@dataclass(frozen=True)
class Withheld:
    """What may not leave the machine.

    Attributes:
        below: counts of 1 to ``below - 1`` cases are withheld; 0: nothing is.
        groups: attribute, or crossed ones joined by `` x `` -> names of its withheld groups. Rows without a value are
            withheld with them.
        classes: split -> classes that too few of its examples have, and what complements them.
        splits: splits of too few examples or units.
    """

    below: int = 0
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    classes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    splits: frozenset[str] = frozenset()

    @property
    def reason(self) -> str:
        """The status and the reason of what is withheld."""
        return suppression_reason(self.below)

    @classmethod
    def from_facts(cls, facts: SmallCells) -> Withheld:
        """Return what ``facts`` was made of."""
        classes = {split: frozenset(names) for split, names in facts.classes.items()}
        return cls(facts.below, facts.groups, classes, frozenset(facts.splits))

    def to_facts(self) -> SmallCells | None:
        """Return what ``audit.json`` keeps of it; None where nothing may be withheld."""
        if not self.below:
            return None
        classes = {split: tuple(sorted(names)) for split, names in sorted(self.classes.items())}
        return SmallCells(
            below=self.below, groups=dict(self.groups), classes=classes, splits=tuple(sorted(self.splits))
        )

    def groups_of(self, attribute: str) -> tuple[str, ...]:
        """Return the withheld groups of an attribute, or of crossed ones; none where nothing of it is withheld."""
        return self.groups.get(attribute, ())

    def hides_groups_of(self, attribute: str) -> bool:
        """Whether groups of the attribute, or its rows without a value, are withheld."""
        return attribute in self.groups

    def groups_within(self, attribute: str, control: str, level: str) -> tuple[str, ...]:
        """Return the groups of an attribute that are withheld among the rows with one value of a control."""
        ending = f"{BETWEEN}{level}"
        crossed = self.groups_of(f"{attribute}{BETWEEN}{control}")
        return tuple(name.removesuffix(ending) for name in crossed if name.endswith(ending))

    def classes_of(self, split: str) -> frozenset[str]:
        """Return the classes of a split that have no numbers of their own."""
        return self.classes.get(split, frozenset())

    def is_small(self, count: int | None) -> bool:
        """Whether a count is one that may not leave the machine."""
        return count is not None and 0 < count < self.below

    def mask_count(self, count: int | None) -> int | None:
        """Return a count, or None where it is one that may not leave the machine."""
        return None if self.is_small(count) else count

    def find_small_groups(self, *counts: Mapping[str, int]) -> frozenset[str]:
        """Return the groups of some sample that have no numbers: those with a small count, and what complements them.

        For what a plugin counts on a sample of its own, whose total a reader may know.

        Args:
            counts: each a count of all groups; rows in none under ``MISSING``.
        """
        names = sorted({name for count in counts for name in count})
        table = np.array([[count.get(name, 0) for name in names] for count in counts], dtype=np.int64)
        small = ((table > 0) & (table < self.below)).any(axis=0)
        if not self.below or not small.any():
            return frozenset()
        free = np.array([name == MISSING for name in names])
        hidden = protect_cells(table, table > 0, small | free, free, self.below)
        return frozenset(name for name, is_hidden in zip(names, hidden, strict=True) if is_hidden) - {MISSING}

    def require_split(self, split: str) -> None:
        """Raise ``Unavailable`` where a split as a whole is too small for any number on it to leave the machine."""
        if split in self.splits:
            raise Unavailable(f"{self.reason} examples or units in {split}")

    def mask_groups(self, attribute: str, values: Texts) -> Texts:
        """Return (N,) values of an attribute in which those of withheld groups are missing."""
        names = self.groups_of(attribute)
        return values if not names else _mask_groups(values, names)

    def mask_predictions(self, predictions: pd.DataFrame) -> pd.DataFrame:
        """Return a table of predictions in which the values of withheld groups are missing."""
        masked = {
            column: _mask_groups(predictions[column], self.groups_of(str(column).removeprefix("group_")))
            for column in predictions.columns
            if str(column).startswith("group_") and self.groups_of(str(column).removeprefix("group_"))
        }
        return predictions.assign(**masked) if masked else predictions


NOTHING = Withheld()


def _mask_groups(values: Texts, names: Sequence[str]) -> Texts:
    import pandas as pd  # here, as plugins are imported to be listed

    if isinstance(values, pd.Categorical):
        kept = [index for index, name in enumerate(values.categories) if str(name) not in names]
        codes = np.where(np.isin(values.codes, kept), values.codes, -1)
        return pd.Categorical.from_codes(codes, dtype=values.dtype)
    if isinstance(values, pd.Series):
        if isinstance(values.dtype, pd.CategoricalDtype):
            return pd.Series(_mask_groups(values.array, names), index=values.index)
        return values.where(~values.astype(str).isin(names), None)
    masked = np.array(values, dtype=object)
    masked[[value is not None and str(value) in names for value in masked]] = None
    return masked
