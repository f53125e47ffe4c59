"""What the entries of a ledger say: whose it is, what was fixed at the start, and which steps of what were charged.

The kinds of entries: ``population`` (the first), ``training`` (one begins; with the people who are new), ``block``
(its steps from ``first`` to before ``stop`` are charged, for all of its heads) and ``finished`` (all were taken).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from rft.errors import DataError
from rft.plugins.privacy.accounting.accountants import Mechanism
from rft.plugins.privacy.ledger import unit_hashes
from rft.records import JsonObject, Record

LEDGER_FORMAT = 2  # 1: the first; 2: whether noise was secret, and ledgers in other folders


class PopulationEntry(Record):
    """The first entry; its fields are those of ``Book``."""

    kind: Literal["population"] = "population"
    format: int = LEDGER_FORMAT
    population: str
    key: str
    delta: float
    budget: float | None


class TrainingEntry(Record):
    """A training begins; its fields are those of ``Charge``. ``unit_hashes`` packs those of the units that are new."""

    kind: Literal["training"] = "training"
    id: str
    purpose: str
    identity: str
    started: str
    mechanisms: tuple[tuple[float, float, int], ...]
    randomness: str
    elsewhere: int
    unit_hashes: str


class BlockEntry(Record):
    """The steps from ``first`` to before ``stop`` of a training are charged, for all of its heads."""

    kind: Literal["block"] = "block"
    id: str
    first: int
    stop: int


class FinishedEntry(Record):
    """All steps of a training were taken, the last one by this process."""

    kind: Literal["finished"] = "finished"
    id: str
    process: str


_LATER_ENTRY: TypeAdapter[TrainingEntry | BlockEntry | FinishedEntry] = TypeAdapter(
    Annotated[TrainingEntry | BlockEntry | FinishedEntry, Field(discriminator="kind")]
)


@dataclass(frozen=True)
class Charge:
    """A training, and what it was charged.

    Attributes:
        id: tells it from all others.
        purpose: ``training``, ``frontier`` or ``canaries``.
        identity: of the plan, the recipe and the data; one that has the same can go on with it.
        started: when, UTC.
        mechanisms: one a head; they take their steps together.
        blocks: the steps that were charged, in order; those of an interrupted block were charged again.
        finished_by: the process that took its last step, or None.
        randomness: ``secret``, or ``seeded``: then what was charged promises nothing.
        elsewhere: in how many other folders a ledger of the population was remembered when it began.
    """

    id: str
    purpose: str
    identity: str
    started: str
    mechanisms: tuple[Mechanism, ...]
    blocks: tuple[range, ...] = ()
    finished_by: str | None = None
    randomness: str = "secret"
    elsewhere: int = 0

    @property
    def planned(self) -> int:
        """Steps of the head that takes the most."""
        return max(mechanism.steps for mechanism in self.mechanisms)

    @property
    def charged(self) -> int:
        """Steps that were charged, those of interrupted blocks twice."""
        return sum(map(len, self.blocks))

    @property
    def interruptions(self) -> int:
        """How often it went back, to take steps again that were charged before."""
        return sum(later.start < earlier.stop for earlier, later in pairwise(self.blocks))

    def is_like(self, charge: Charge) -> bool:
        """Tell whether both are attempts at the same training."""
        mine = (self.purpose, self.identity, self.mechanisms)
        return mine == (charge.purpose, charge.identity, charge.mechanisms)

    def charged_mechanisms(self) -> list[Mechanism]:
        """Return what was charged, as mechanisms to compose."""
        return self._mechanisms_over(self.blocks)

    def remaining_mechanisms(self, start: int) -> list[Mechanism]:
        """Return what is still to be charged when it goes on at step ``start``."""
        return self._mechanisms_over([range(start, self.planned)])

    def _mechanisms_over(self, blocks: Iterable[range]) -> list[Mechanism]:
        spans = list(blocks)
        steps = [
            sum(len(range(span.start, min(span.stop, mechanism.steps))) for span in spans)
            for mechanism in self.mechanisms
        ]
        return [
            replace(mechanism, steps=taken) for mechanism, taken in zip(self.mechanisms, steps, strict=True) if taken
        ]

    def first_entry(self, new_hashes: frozenset[str]) -> TrainingEntry:
        """Return the entry that begins it."""
        return TrainingEntry(
            id=self.id,
            purpose=self.purpose,
            identity=self.identity,
            started=self.started,
            mechanisms=tuple(
                (mechanism.noise_multiplier, mechanism.sample_rate, mechanism.steps) for mechanism in self.mechanisms
            ),
            randomness=self.randomness,
            elsewhere=self.elsewhere,
            unit_hashes=unit_hashes.pack_hashes(new_hashes),
        )


@dataclass(frozen=True)
class Book:
    """All that a ledger says.

    Attributes:
        population: whose spending it is.
        key: fingerprint of the key that its people are hashed with.
        delta: at which all spending is added up, and the budget holds; the first training's.
        budget: epsilon that all trainings together may spend, or None.
        unit_hashes: those of all units, of every training.
        charges: the trainings, in order.
    """

    population: str
    key: str
    delta: float
    budget: float | None
    unit_hashes: frozenset[str] = frozenset()
    charges: tuple[Charge, ...] = ()

    def charged_mechanisms(self) -> list[Mechanism]:
        """Return all that was charged, as mechanisms to compose."""
        return [mechanism for charge in self.charges for mechanism in charge.charged_mechanisms()]

    def first_entry(self) -> PopulationEntry:
        """Return the entry that begins a ledger."""
        return PopulationEntry(population=self.population, key=self.key, delta=self.delta, budget=self.budget)


def read_book(records: Sequence[JsonObject], where: str) -> Book | None:
    """Return what entries say, or None where there are none.

    Raises:
        DataError: they were written by another version of rft.
        pydantic.ValidationError: an entry, whose hash is right, is none that rft writes.
    """
    if not records:
        return None
    first, *others = records
    if first["format"] != LEDGER_FORMAT:
        raise DataError(
            f"has format {first['format']}; this rft reads format {LEDGER_FORMAT}",
            where=where,
            remedy="Use the version of rft that wrote it.",
        )
    hashes: set[str] = set()
    charges: dict[str, Charge] = {}
    for entry in map(_LATER_ENTRY.validate_python, others):
        if isinstance(entry, TrainingEntry):
            charges[entry.id] = _begin_charge(entry)
            hashes |= unit_hashes.unpack_hashes(entry.unit_hashes)
            continue
        charge = charges[entry.id]
        if isinstance(entry, BlockEntry):
            charges[charge.id] = replace(charge, blocks=(*charge.blocks, range(entry.first, entry.stop)))
        else:
            charges[charge.id] = replace(charge, finished_by=entry.process)
    begun = PopulationEntry.model_validate(first)
    return Book(begun.population, begun.key, begun.delta, begun.budget, frozenset(hashes), tuple(charges.values()))


def _begin_charge(entry: TrainingEntry) -> Charge:
    return Charge(
        entry.id,
        entry.purpose,
        entry.identity,
        entry.started,
        tuple(Mechanism(*numbers) for numbers in entry.mechanisms),
        randomness=entry.randomness,
        elsewhere=entry.elsewhere,
    )
