"""Tables in the form that two legal texts ask for: facts about rates, never a statement that a law is satisfied.

This module holds the options; importing it is light. ``build`` makes the tables.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Literal

from pydantic import Field

from rft.config.applicability import Applies
from rft.errors import ConfigError, near
from rft.plugins import Options

TableName = Literal["ll144", "four_fifths"]


class Ll144Options(Options):
    """``[fairness.ll144]``: the table of a bias audit under NYC Local Law 144 (6 RCNY 5-300 to 5-304)."""

    sex: str
    """The attribute of `data.groups` that holds sex."""
    race: str
    """The attribute of `data.groups` that holds race or ethnicity."""
    basis: Annotated[
        Literal["selection", "score"],
        Applies(lambda run, value: run.scores or value == "selection", "it ranks by probabilities, and none are given"),
    ] = "selection"
    """`selection`: the share of a category that is given the favourable class. `score`: the share whose probability of
    the favourable class is above the median of all."""
    small_left_out_because: str | None = Field(default=None, min_length=1)
    """Why categories under 2 % of the data are left out of the impact ratios, in the auditor's words, which the rule
    asks for (5-301 (d)); without it they are counted, and marked."""


def check_options(tables: Sequence[TableName], ll144: Ll144Options | None) -> None:
    """Raise ``ValueError`` when the tables asked for and their options do not belong together."""
    if "ll144" in tables and ll144 is None:
        raise ValueError('tables with "ll144" needs [fairness.ll144] with sex and race: the attributes that hold them')
    if ll144 is not None and "ll144" not in tables:
        raise ValueError('[fairness.ll144] needs tables = ["ll144"]')
    if ll144 is not None and ll144.sex == ll144.race:
        raise ValueError(f"ll144.sex and ll144.race are both {ll144.sex!r}")


def check_attributes(ll144: Ll144Options | None, known: Collection[str]) -> None:
    """Raise ``ConfigError`` when an attribute that Local Law 144 needs is not among the known ones."""
    for key in ("sex", "race") if ll144 is not None else ():
        name = getattr(ll144, key)
        if name not in known:
            raise ConfigError(
                f"{name!r} is not among data.groups ({', '.join(known) or 'none'})",
                where=f"fairness.ll144.{key}",
                remedy=near(name, list(known)) or f"Name the attribute that holds {key}, and add it to data.groups.",
            )
