"""Which of several processes this is, from what torchrun tells them in environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rft.errors import ConfigError

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


@dataclass(frozen=True)
class RankPlace:
    """Which process this is: its number among all, and among those of its machine."""

    rank: int
    size: int
    local_rank: int
    local_size: int

    @property
    def leads(self) -> bool:
        """Whether this is the process that trains, audits, prints and writes."""
        return self.rank == 0


def read_rank_place(environment: Mapping[str, str]) -> RankPlace | None:
    """Return which process this is, from what torchrun sets; None where it is the only one.

    Raises:
        ConfigError: a variable is absent or no number in its range.
    """
    if _int_or_none(environment.get("WORLD_SIZE")) in (None, 1):
        return None
    rank, size, local_rank, local_size = (_read_number(environment, name) for name in VARIABLES)
    if not (rank < size and local_rank < local_size <= size):
        told = ", ".join(f"{name}={environment[name]}" for name in VARIABLES)
        raise ConfigError(f"contradict each other: {told}", where="variables of torchrun")
    return RankPlace(rank, size, local_rank, local_size)


def leads_here(environment: Mapping[str, str]) -> bool:
    """Tell whether this is the only process, or the first of several; raises nothing."""
    return _int_or_none(environment.get("WORLD_SIZE")) in (None, 1) or _int_or_none(environment.get("RANK")) in (
        None,
        0,
    )


def _int_or_none(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _read_number(environment: Mapping[str, str], name: str) -> int:
    number = _int_or_none(environment.get(name))
    if number is None:
        stands = f"is {environment[name]!r}" if name in environment else "is not set"
        raise ConfigError(
            f"{stands}; a whole number was expected beside WORLD_SIZE={environment['WORLD_SIZE']}",
            where=name,
            remedy="Start several processes by torchrun, which sets it, or unset WORLD_SIZE.",
        )
    return number
