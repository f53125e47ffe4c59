"""Which test examples each shortcut changes: those that ask for the same ones share them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from rft.plugins import AuditedModel
from rft.plugins.attribution import sample
from rft.plugins.attribution.interventions import Intervention
from rft.plugins.attribution.shortcuts.options import Shortcut
from rft.plugins.attribution.shortcuts.pairing import SwapPlan, plan_swaps


class Choice(NamedTuple):
    """What decides which examples are changed: how many, and which have the mark."""

    most: int
    column: str | None
    value: str | None


Intervene = Callable[[Sequence[Shortcut], Choice], list[Intervention]]


def change_together(shortcuts: Sequence[Shortcut], intervene: Intervene) -> dict[str, Intervention]:
    """Return what was changed by name. Shortcuts that ask for the same examples share them.

    What is drawn does not depend on which other shortcuts there are.
    """
    results: dict[str, Intervention] = {}
    chosen = {shortcut.name: Choice(shortcut.max_pairs, shortcut.column, shortcut.value) for shortcut in shortcuts}
    for choice in dict.fromkeys(chosen.values()):
        together = [shortcut for shortcut in shortcuts if chosen[shortcut.name] == choice]
        results |= zip((shortcut.name for shortcut in together), intervene(together, choice), strict=True)
    return results


def plan_choice(audited: AuditedModel, choice: Choice) -> SwapPlan:
    """Return which test examples get content of which others."""
    split = audited.splits["test"]
    test = audited.predictions[audited.predictions["split"] == "test"].set_index("id")
    index = {name: number for number, name in enumerate(audited.facts.classes)}
    predicted = test["prediction"].loc[list(split.ids)].map(index).to_numpy()
    rng = sample.random_generator(audited, _name_stream(choice))
    return plan_swaps(predicted, split.units, pairs=choice.most, rng=rng, marked=find_marked(audited, choice))


def _name_stream(choice: Choice) -> str:
    """Return what names the stream of random numbers: in another spelling the same config would swap other examples."""
    return f"swaps _Pairing(pairs={choice.most}, column={choice.column!r}, value={choice.value!r})"


def find_marked(audited: AuditedModel, choice: Choice) -> np.ndarray | None:
    """Return (N,) which test examples have the mark; None where no column says it."""
    if choice.column is None:
        return None
    values = audited.splits["test"].groups[choice.column]
    return np.array([value is not None and str(value) == choice.value for value in values])
