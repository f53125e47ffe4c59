"""Upper and lower bounds on epsilon, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rft.plugins.privacy.chapter import PrivacyChapter
from rft.records import Table, dots_figure

if TYPE_CHECKING:
    from rft.training.privacy_facts import PrivacyFacts

NO_EVIDENCE = "A low bound is no evidence of safety: it says that this attacker saw no more."
NOT_PRIVATE = "nothing was trained with differential privacy in this run, so that there is no mechanism to audit"
CAPTION = "Upper and lower bounds on epsilon, at the same delta."


@dataclass(frozen=True)
class EpsilonBound:
    """A bound on epsilon: where it comes from, ``at most`` or ``at least``, and what it takes for granted."""

    source: str
    direction: str
    epsilon: float
    assumes: str


@dataclass(frozen=True)
class EmpiricalAudit:
    """What one audit of the claim adds to the chapter, and the bounds on epsilon that it brings."""

    content: PrivacyChapter
    bounds: tuple[EpsilonBound, ...] = ()


def describe_p_value(p_value: float) -> str:
    """Return a p-value in words."""
    return f"p = {p_value:.2g}" if p_value > 1e-9 else "p < 1e-9"


def compare_bounds(facts: PrivacyFacts | None, lower: Sequence[EpsilonBound]) -> PrivacyChapter:
    """Return the table and the figure of the lower bounds beside the accountant's; nothing where there are none.

    Args:
        facts: of the fit; None where it was not private.
        lower: what audits found.
    """
    if not lower:
        return PrivacyChapter()
    above = [EpsilonBound("accountant", "at most", facts.epsilon, "that the code does what it says")] if facts else []
    rows: Table = [
        {"bound": f"{bound.source}: {bound.direction}", "epsilon": bound.epsilon, "assumes": bound.assumes}
        for bound in (*above, *lower)
    ]
    told = "; ".join(f"{row['bound']} {row['epsilon']:.3g}" for row in rows)
    figure = dots_figure(
        id="epsilon_bounds",
        lead=True,
        table="epsilon_bounds",
        y="bound",
        x="epsilon",
        reference=facts.epsilon if facts else None,
        x_label="epsilon",
        title="Upper and lower bounds on epsilon",
        alt=f"Bounds on epsilon. {told}.",
    )
    return PrivacyChapter(
        tables={"epsilon_bounds": rows},
        captions={"epsilon_bounds": CAPTION},
        figures=(figure,),
        computed_from="train",
    )
