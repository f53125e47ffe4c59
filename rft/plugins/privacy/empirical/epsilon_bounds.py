"""Bounds on epsilon from above and from below, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rft.plugins.privacy.chapter import Piece
from rft.records import Figure, Table

if TYPE_CHECKING:
    from rft.training import Facts

NO_EVIDENCE = "A low bound is no evidence of safety: it says that this attacker saw no more."
CAPTION = "Epsilon from above and from below, at the same delta."


@dataclass(frozen=True)
class Side:
    """A bound on epsilon: where it comes from, ``at most`` or ``at least``, and what it takes for granted."""

    source: str
    side: str
    epsilon: float
    assumes: str


@dataclass(frozen=True)
class Part:
    """A piece, and the bounds on epsilon that it brings."""

    piece: Piece
    sides: tuple[Side, ...] = ()


def chance(p_value: float) -> str:
    """Return a p-value in words."""
    return f"p = {p_value:.2g}" if p_value > 1e-9 else "p < 1e-9"


def sides_piece(facts: Facts, lower: Sequence[Side]) -> Piece:
    """Return the table and the picture of the lower bounds beside the accountant's; nothing where there are none.

    Args:
        facts: of the fit.
        lower: what audits found.
    """
    if not lower:
        return Piece()
    private = facts.get("mode") == "private"
    above = [Side("accountant", "at most", facts["epsilon"], "that the code does what it says")] if private else []
    rows: Table = [
        {"bound": f"{each.source}: {each.side}", "epsilon": each.epsilon, "assumes": each.assumes}
        for each in (*above, *lower)
    ]
    told = "; ".join(f"{row['bound']} {row['epsilon']:.3g}" for row in rows)
    figure = Figure(
        id="epsilon_sides",
        kind="dots",
        table="epsilon_sides",
        encode={"y": "bound", "x": "epsilon"},
        options={"reference": facts["epsilon"]} if private else {},
        x_label="epsilon",
        title="Epsilon from above and from below",
        alt=f"Bounds on epsilon. {told}.",
    )
    return Piece(tables={"epsilon_sides": rows}, captions={"epsilon_sides": CAPTION}, figures=(figure,))
