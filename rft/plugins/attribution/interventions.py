"""What interventions are made of: how much they change, and the flips that they and a control cause in pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from rft.records import Figure, Finding, Interval, Row, Source, Table, dots_figure
from rft.stats.discordant_pairs import tango_interval
from rft.stats.intervals import CONFIDENCE_LEVEL, wilson_interval

MIN_EXAMPLES_PER_CONDITION = 10  # examples of a condition
MIN_VISIBLE_SHARE = 0.5  # of a region: where the model sees less, a swap says nothing about the region
MAX_RANDOM_FLIPS = 0.1  # share of predictions: where changing random words flips more, flips say little of any word
DELETED_SHARES = (0.1, 0.2, 0.4)  # of an example, that the deletion test takes away, and the insertion test shows
RANDOM_CONTROLS = 3  # random deletions an example and share
NOISE = 0.01  # standard deviation of what should change attributions little, as a share of the range of an example


@dataclass(frozen=True, eq=False)
class Condition:
    """One kind of change.

    Attributes:
        name: what was changed, in words.
        flipped: (n,) whether each changed example got another prediction.
    """

    name: str
    flipped: np.ndarray

    @property
    def n(self) -> int:
        """The number of examples that were changed so."""
        return len(self.flipped)

    @property
    def flips(self) -> int:
        """The number of them whose prediction changed."""
        return int(self.flipped.sum())

    @property
    def share(self) -> float | None:
        """The share of them whose prediction changed; None without examples."""
        return self.flips / self.n if self.n else None

    @property
    def interval(self) -> Interval | None:
        """Its Wilson interval at 95 %; None without examples."""
        return wilson_interval(self.flips, self.n) if self.n else None


@dataclass(frozen=True, eq=False)
class Intervention:
    """What the changes did to the same examples under two conditions.

    Attributes:
        shortcut: what the model may rely on was changed.
        control: of each example in turn the same change where it should not matter; how that is made is told by who
            makes it.
        rows: (n,) rows of the test split, in the order of both conditions.
        elsewhere: a further comparison, which decides nothing; None where there is none.
        visible_share: how much of a region the model sees, on average; 1 for words.
        left_out: number of pairs that were not changed because the model sees less than half of the region there.
    """

    shortcut: Condition
    control: Condition
    rows: np.ndarray
    elsewhere: Condition | None = None
    visible_share: float = 1.0
    left_out: int = 0

    def __post_init__(self) -> None:
        if not self.shortcut.n == self.control.n == len(self.rows):
            raise ValueError(
                f"expected the same examples under both conditions, got {self.shortcut.n}, {self.control.n} and "
                f"{len(self.rows)} rows"
            )

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions that were tried."""
        return tuple(condition for condition in (self.shortcut, self.control, self.elsewhere) if condition is not None)

    @property
    def n(self) -> int:
        """The number of examples that were changed under both conditions."""
        return len(self.rows)

    @property
    def enough(self) -> bool:
        """Whether there are enough examples for a finding."""
        return self.n >= MIN_EXAMPLES_PER_CONDITION

    @property
    def won(self) -> int:
        """The number of examples whose prediction the shortcut's change alters and the control's does not."""
        return int((self.shortcut.flipped & ~self.control.flipped).sum())

    @property
    def lost(self) -> int:
        """The number of examples whose prediction the control's change alters and the shortcut's does not."""
        return int((self.control.flipped & ~self.shortcut.flipped).sum())

    @property
    def excess(self) -> float:
        """The share of predictions that the shortcut's change alters, beyond that of the control."""
        return (self.won - self.lost) / self.n

    def excess_interval(self, level: float = CONFIDENCE_LEVEL) -> Interval:
        """Return the interval of the excess, for paired shares (Tango 1998)."""
        return tango_interval(self.won, self.lost, self.n, level=level)

    def select_examples(self, mask: np.ndarray) -> Intervention:
        """Return what the changes did to some of the examples, those under an (n,) mask, without ``elsewhere``."""
        shortcut, control = (
            Condition(condition.name, condition.flipped[mask]) for condition in (self.shortcut, self.control)
        )
        return replace(self, shortcut=shortcut, control=control, rows=self.rows[mask], elsewhere=None)


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
