"""What interventions are made of: how much they change, and the flips they cause beside those of a control."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from rft.records import Figure, Finding, Interval, Row, Source, Table, dots_figure
from rft.stats.intervals import newcombe_difference, wilson_interval

MIN_EXAMPLES_PER_CONDITION = 10  # examples of a condition
MIN_VISIBLE_SHARE = 0.5  # of a region: where the model sees less, a swap says nothing about the region
DELETED_SHARES = (0.1, 0.2, 0.4)  # of an image or text, that the deletion test takes away
RANDOM_CONTROLS = 3  # random deletions an example and share


@dataclass(frozen=True)
class Condition:
    """One kind of change: of ``n`` examples that were changed so, ``flips`` got another prediction."""

    name: str
    flips: int
    n: int

    @property
    def share(self) -> float | None:
        """The share of examples whose prediction changed; None without examples."""
        return self.flips / self.n if self.n else None

    @property
    def interval(self) -> Interval | None:
        """Its Wilson interval at 95 %; None without examples."""
        return wilson_interval(self.flips, self.n) if self.n else None


@dataclass(frozen=True)
class Intervention:
    """What the changes did.

    Attributes:
        shortcut: what the model may rely on was changed.
        control: the same change where it should not matter; how that is made is told by who makes it.
        elsewhere: a further comparison, which decides nothing; None where there is none.
        visible_share: how much of a region the model sees, on average; 1 for words.
        left_out: number of pairs that were not changed because the model sees less than half of it there.
    """

    shortcut: Condition
    control: Condition
    elsewhere: Condition | None = None
    visible_share: float = 1.0
    left_out: int = 0

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions that were tried."""
        return tuple(condition for condition in (self.shortcut, self.control, self.elsewhere) if condition is not None)

    @property
    def enough(self) -> bool:
        """Whether shortcut and control have enough examples for a finding."""
        return min(self.shortcut.n, self.control.n) >= MIN_EXAMPLES_PER_CONDITION

    def excess_interval(self) -> Interval:
        """Return the interval of the share of flips beyond the control.

        The conditions share most of their examples, which makes their difference steadier than this interval for
        independent conditions takes it to be.
        """
        return newcombe_difference(self.shortcut.flips, self.shortcut.n, self.control.flips, self.control.n)


def one_per_unit(n: int, units: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """Return rows in random order, of each unit a random one; all ``n`` rows when there are no units."""
    order = rng.permutation(n)
    if units is None:
        return order
    _, first = np.unique(np.asarray(units)[order].astype(str), return_index=True)
    return order[np.sort(first)]


def condition_row(name: str, condition: Condition) -> Row:
    """Return a row of the table ``shortcuts``."""
    return {
        "name": name,
        "condition": condition.name,
        "flip_share": condition.share,
        "low": condition.interval.low if condition.interval else None,
        "high": condition.interval.high if condition.interval else None,
        "flips": condition.flips,
        "n": condition.n,
    }


def shortcuts_figure(tables: Mapping[str, Table], title: str) -> tuple[Figure, ...]:
    """Return the figure of the table ``shortcuts``, where there is one."""
    if "shortcuts" not in tables:
        return ()
    return (
        dots_figure(
            id="shortcuts",
            lead=True,
            table="shortcuts",
            y="condition",
            x="flip_share",
            low="low",
            high="high",
            facet="name",
            x_label="share of predictions that flip",
            title=title,
            alt="For each shortcut the share of flipped predictions with its interval, beside the controls.",
        ),
    )


def list_sources(findings: Iterable[Finding], tables: Iterable[str]) -> dict[str, Source]:
    """Return what each was computed from: shortcuts from many test examples, all else from a handful of examples."""
    names = [*(finding.id for finding in findings), *tables]
    return {name: "test" if name.startswith(("shortcuts", "attribution.shortcut.")) else "examples" for name in names}
