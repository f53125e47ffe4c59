"""At which rates the groups were recorded, and how long their recordings last: what differs there is heard by a model.

A group that was recorded over the telephone differs from others in all that is above 4 kHz, whoever speaks. Values are
of the recordings at hand; shuffled labels only tell whether a difference is one that chance makes of so few.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rft.disclosure.withheld import MISSING, Withheld
from rft.records import About, Columns, Finding, FindingDefinition, Recordings, Row, Split, Table, list_columns

MOST_RATE_DIFFERENCE = 0.2  # of the mix of rates, from 0 to 1, from which it is worth a review
MOST_LENGTH_RATIO = 1.5  # of median lengths
ALPHA = 0.01  # what chance alone makes less often is none
SHUFFLES = 999
CLASS = "class"  # stands for the attribute where classes are compared
ONE_GROUP = "fewer than two groups have recordings that may be shown"
LIMITS = "It is said of these recordings, one by one, however many are of one speaker."

COLUMNS: Columns = list_columns(
    {
        "attribute": "attribute",
        "group": "group",
        "rate": "key",
        "share": "number",
        "median_seconds": "number",
        "n": "count",
        "status": "status",
    },
    labels={
        "rate": "recorded at",
        "share": "share of the group",
        "median_seconds": "median seconds",
        "n": "recordings",
    },
)
CAPTION = (
    "Recordings of each group over all splits, by the rate in samples a second at which they were recorded, and the "
    "median of how long they last."
)


@dataclass(frozen=True)
class GroupedRecordings:
    """The recordings of all splits by the groups of one attribute.

    Attributes:
        attribute: a column of groups, or ``class``.
        recordings: (N,) what was measured.
        groups: (N,) names of groups; None where the value is missing.
        units: (N,) whose each is; None where the data does not say.
        withheld: what may not leave the machine.
    """

    attribute: str
    recordings: Recordings
    groups: np.ndarray
    units: np.ndarray | None
    withheld: Withheld

    @cached_property
    def rates(self) -> list[int]:
        """The rates that occur, sorted."""
        return [int(rate) for rate in np.unique(self.recordings.rates)]

    @cached_property
    def hidden(self) -> frozenset[str]:
        """Groups that have no numbers, since too few of their recordings or units have one of the rates."""
        counts = [self._count(self.recordings.rates == rate) for rate in self.rates]
        if self.units is not None:
            for rate in self.rates:
                counts.append(self._count(self._first_of_units(self.recordings.rates == rate)))
        return self.withheld.find_small_groups(*counts)

    @cached_property
    def shown(self) -> list[str]:
        """Groups that have numbers, sorted."""
        return sorted({str(name) for name in self.groups if name is not None} - self.hidden)

    @cached_property
    def counts(self) -> np.ndarray:
        """(G, R) how many recordings of each shown group have each rate."""
        rates = self.recordings.rates[:, None] == np.array(self.rates)
        return np.array([rates[self.select_group(group)].sum(axis=0) for group in self.shown], np.int64)

    def select_group(self, group: str) -> np.ndarray:
        """Return (N,) which recordings are of a group, booleans."""
        chosen: np.ndarray = self.groups == group
        return chosen

    def _count(self, mask: np.ndarray) -> dict[str, int]:
        names = [MISSING if name is None else str(name) for name in self.groups]
        counts = dict.fromkeys(names, 0)
        for name, is_counted in zip(names, mask.tolist(), strict=True):
            counts[name] += is_counted
        return counts

    def _first_of_units(self, mask: np.ndarray) -> np.ndarray:
        """Return (N,) the first recording of each unit and group among those of a (N,) mask."""
        import pandas as pd  # here, as plugins are imported to be listed

        among = pd.DataFrame({"unit": self.units, "group": self.groups})[mask]
        first = np.zeros(len(mask), bool)
        first[np.flatnonzero(mask)[~among.duplicated().to_numpy()]] = True
        return first


def group_recordings(
    splits: Mapping[str, Split], classes: Sequence[str], withheld: Withheld
) -> Iterator[GroupedRecordings]:
    """Yield the recordings of all splits by class, and by each attribute; nothing where there are no recordings."""
    parts = [split for split in splits.values() if split.recordings is not None]
    held = [split.recordings for split in parts if split.recordings is not None]
    if not held:
        return
    recordings = Recordings(
        *(np.concatenate([getattr(part, name) for part in held]) for name in ("frames", "rates", "silent"))
    )
    known = all(split.units is not None for split in parts)
    units = np.concatenate([np.asarray(split.units, object) for split in parts]) if known else None
    if classes and not any(withheld.classes_of(split.name) for split in parts):
        labels = np.array(classes, object)[np.concatenate([split.labels for split in parts])]
        yield GroupedRecordings(CLASS, recordings, labels, units, withheld)
    for attribute in dict.fromkeys(name for split in parts for name in split.groups):
        values = [
            np.asarray(split.groups[attribute], object) if attribute in split.groups else np.full(len(split), None)
            for split in parts
        ]
        yield GroupedRecordings(attribute, recordings, np.concatenate(values), units, withheld)


def tabulate_recordings(grouped: GroupedRecordings) -> Table:
    """Return a row for each group and rate, by ``COLUMNS``."""
    table: Table = []
    seconds = grouped.recordings.seconds
    for group in sorted({*grouped.shown, *grouped.hidden}):
        chosen = grouped.select_group(group)
        for rate in grouped.rates:
            at_rate = chosen & (grouped.recordings.rates == rate)
            n = int(at_rate.sum())
            row: Row = {"attribute": grouped.attribute, "group": group, "rate": f"{rate:,} Hz"}
            if group in grouped.hidden:
                row |= {"share": None, "median_seconds": None, "n": None}
            else:
                median = round(float(np.median(seconds[at_rate])), 2) if n else None
                row |= {"share": n / int(chosen.sum()), "median_seconds": median, "n": n}
            if grouped.withheld.below:
                row["status"] = grouped.withheld.reason if group in grouped.hidden else "ok"
            table.append(row)
    return table


def compare_rates(grouped: GroupedRecordings) -> Finding:
    """Say how far the mix of native rates of a group differs from that of all others."""
    attribute = grouped.attribute
    definition = FindingDefinition(
        f"dataset.native_rates.{attribute}",
        f"Rates of recording by {attribute}",
        f"How far the rates at which a group was recorded differ from those of all others by {attribute}: 0 where the "
        "mix is the same, 1 where they share none (the total variation distance, of the group where it is largest).",
        unit="fraction",
        better="lower",
        cases="sampled",
        caveats=LIMITS,
        about=_about(attribute),
    )
    if len(grouped.shown) < 2:
        return definition.state_not_measured(ONE_GROUP)
    if len(grouped.rates) == 1:
        return definition.state_fact(
            0.0, n=int(grouped.counts.sum()), description=f"All were recorded at {grouped.rates[0]:,} Hz."
        )
    distances = _distance_to_others(grouped.counts)
    worst = int(distances.argmax())
    value = float(distances[worst])
    is_split = value >= MOST_RATE_DIFFERENCE and _shuffled_share(grouped.counts, value) <= ALPHA
    return definition.state_fact(
        value,
        n=int(grouped.counts.sum()),
        status="warn" if is_split else "info",
        description=_describe_rates(grouped, worst) + _judge_rates(is_split, value),
        about=_about(attribute, grouped.shown[worst]),
    )


def compare_lengths(grouped: GroupedRecordings) -> Finding:
    """Say by which factor the median length of a group differs from that of all others."""
    attribute = grouped.attribute
    definition = FindingDefinition(
        f"dataset.lengths.{attribute}",
        f"Lengths of recordings by {attribute}",
        f"By which factor the median length of a group's recordings differs from that of all others by {attribute}, of "
        "the group where it is largest; 1 where they are equal.",
        better="lower",
        cases="sampled",
        caveats=LIMITS,
        about=_about(attribute),
    )
    if len(grouped.shown) < 2:
        return definition.state_not_measured(ONE_GROUP)
    seconds = grouped.recordings.seconds
    among = np.isin(grouped.groups, grouped.shown)
    medians = np.array(
        [
            [np.median(seconds[mask]) for mask in (chosen, among & ~chosen)]
            for chosen in map(grouped.select_group, grouped.shown)
        ]
    )
    ratios = medians.max(axis=1) / medians.min(axis=1)
    worst = int(ratios.argmax())
    value = float(ratios[worst])
    parts = [seconds[grouped.select_group(group)] for group in grouped.shown]
    differs = value >= MOST_LENGTH_RATIO and _rank_p_value(parts) <= ALPHA
    own, others = medians[worst]
    consequence = " A model may tell groups by how long a recording is." if differs else ""
    return definition.state_fact(
        value,
        n=int(among.sum()),
        status="warn" if differs else "info",
        description=f"Half of the recordings of {grouped.shown[worst]} last more than {own:.1f} s; of all others, "
        f"{others:.1f} s.{consequence}",
        about=_about(attribute, grouped.shown[worst]),
    )


def _about(attribute: str, group: str | None = None) -> About:
    if attribute == CLASS:
        return About(classes=(group,) if group is not None else "all")
    return About(attributes=(attribute,), group=group)


def _distance_to_others(counts: np.ndarray) -> np.ndarray:
    """Return (..., G) how far the mix of each group is from that of the others, for (..., G, R) counts."""
    others = counts.sum(axis=-2, keepdims=True) - counts
    own_mix = counts / counts.sum(axis=-1, keepdims=True)
    other_mix = others / others.sum(axis=-1, keepdims=True)
    distances: np.ndarray = np.abs(own_mix - other_mix).sum(axis=-1) / 2
    return distances


def _shuffled_share(counts: np.ndarray, value: float) -> float:
    """Return in which share of shuffles some group is as far from the others: a p-value of the (G, R) counts.

    Tables with the same margins are drawn (Patefield 1981), which is what shuffling the groups' names gives.
    """
    from scipy.stats import random_table

    drawn = random_table.rvs(
        counts.sum(axis=1), counts.sum(axis=0), size=SHUFFLES, random_state=np.random.default_rng(0)
    )
    reached = int((_distance_to_others(drawn).max(axis=-1) >= value - 1e-12).sum())
    return (1 + reached) / (1 + SHUFFLES)


def _rank_p_value(parts: Sequence[np.ndarray]) -> float:
    """Return the p-value that groups are alike in rank (Kruskal and Wallis 1952); 1 where all values are equal."""
    from scipy.stats import kruskal

    values = np.concatenate(parts)
    return float(kruskal(*parts).pvalue) if np.ptp(values) > 0 else 1.0


def _describe_rates(grouped: GroupedRecordings, worst: int) -> str:
    """Say in words at which rate a group differs most."""
    others = grouped.counts.sum(axis=0) - grouped.counts[worst]
    own_mix, other_mix = grouped.counts[worst] / grouped.counts[worst].sum(), others / others.sum()
    rate = int(np.abs(own_mix - other_mix).argmax())
    return (
        f"{own_mix[rate]:.0%} of the recordings of {grouped.shown[worst]} were made at {grouped.rates[rate]:,} Hz, and "
        f"{other_mix[rate]:.0%} of all others."
    )


def _judge_rates(is_split: bool, value: float) -> str:
    if is_split:
        return (
            " A model may tell groups by that, and a gap between them may be one of equipment: compare them within one "
            "rate, or give all recordings the lowest."
        )
    return " So many recordings differ as much by chance." if value >= MOST_RATE_DIFFERENCE else ""
