"""What interventions are made of: how much they change, and the flips they cause beside those of a control."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rft.records import Figure, Interval, Row, Table
from rft.stats.intervals import newcombe_difference, wilson_interval

FEWEST = 10  # examples of an arm
DELETED = 0.2  # share of a picture or text that the deletion test takes away
CONTROLS = 3  # random deletions an example


@dataclass(frozen=True)
class Arm:
    """One kind of change: of ``n`` examples that were changed so, ``flips`` got another prediction."""

    name: str
    flips: int
    n: int

    @property
    def share(self) -> float | None:
        return self.flips / self.n if self.n else None

    @property
    def interval(self) -> Interval | None:
        return wilson_interval(self.flips, self.n) if self.n else None


@dataclass(frozen=True)
class Intervention:
    """What the changes did.

    Attributes:
        suspect: what is suspected was changed.
        control: the same change where it should not matter; how that is made is told by who makes it.
        elsewhere: a further comparison, which decides nothing; None where there is none.
    """

    suspect: Arm
    control: Arm
    elsewhere: Arm | None = None

    @property
    def arms(self) -> tuple[Arm, ...]:
        return tuple(arm for arm in (self.suspect, self.control, self.elsewhere) if arm is not None)

    @property
    def enough(self) -> bool:
        return min(self.suspect.n, self.control.n) >= FEWEST

    def excess(self) -> Interval:
        """Return the interval of the share of flips beyond the control.

        The arms share most of their examples, which makes their difference steadier than this interval for independent
        arms takes it to be.
        """
        return newcombe_difference(self.suspect.flips, self.suspect.n, self.control.flips, self.control.n)


def one_per_unit(n: int, units: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """Return rows in random order, of each unit a random one; all ``n`` rows when there are no units."""
    order = rng.permutation(n)
    if units is None:
        return order
    _, first = np.unique(np.asarray(units)[order].astype(str), return_index=True)
    return order[np.sort(first)]


def row(name: str, arm: Arm) -> Row:
    """Return a row of the table ``suspects``."""
    return {
        "name": name,
        "arm": arm.name,
        "flip_share": arm.share,
        "low": arm.interval.low if arm.interval else None,
        "high": arm.interval.high if arm.interval else None,
        "flips": arm.flips,
        "n": arm.n,
    }


def figure(tables: Mapping[str, Table], title: str) -> tuple[Figure, ...]:
    """Return the figure of the table ``suspects``, where there is one."""
    if "suspects" not in tables:
        return ()
    return (
        Figure(
            id="suspects",
            kind="dots",
            table="suspects",
            encode={"y": "arm", "x": "flip_share", "low": "low", "high": "high", "facet": "name"},
            x_label="share of predictions that flip",
            title=title,
            alt="For each suspect the share of flipped predictions with its interval, beside the controls.",
        ),
    )
