"""The question of privacy: for whom is it promised, how strongly, and what do attacks see?"""

from __future__ import annotations

import math

from rft import number_format
from rft.plugins.pillar import ClaimDefinition, PillarDefinition, find_measured, write_value
from rft.plugins.privacy.attack_strength import find_strongest_attack, list_measured_attacks
from rft.plugins.privacy.promise import MAX_EPSILON, allows_area
from rft.records import ModelFacts, Section

PILLAR = PillarDefinition(
    "Privacy",
    (
        ClaimDefinition("Differential privacy", ("privacy.epsilon",)),
        ClaimDefinition("Differential privacy over repeated trainings", ("privacy.ledger_epsilon",)),
        ClaimDefinition("Test of the protection", ("privacy.epsilon_lower_bound",)),
        ClaimDefinition("Recognising who was in training", ("privacy.membership_auc",)),
        ClaimDefinition("Guessing personal traits", ("privacy.attribute_probe.*",)),
        ClaimDefinition("Near-copies of training items", ("privacy.near_duplicates",)),
    ),
)
RECOGNISED = "better than guessing, so some can be recognised"
EITHER = (  # of a model that others trained: nobody here split its data
    "better than guessing, so either some can be recognised, or the data of train and test differ in other ways, which "
    "shows as well: rft did not split them"
)
NO_LEAK = "no leak found, no proof that there is none"
STRONG_EPSILON, WEAK_EPSILON = 1.0, 10.0  # PONOMAREVA, the tiers: up to the first, above the second
SUSPICION = 0.01  # that somebody took part, before the model was seen
_WITHOUT = "Trained WITHOUT differential privacy: nothing bounds what the model may reveal of those it was trained on."


def summarize_privacy(section: Section | None, model: ModelFacts) -> str:
    """Return whether and for whom privacy is promised, and what the strongest attack that was made saw."""
    promise = _state_promise(model, section)
    if section is None:
        return f"{promise} Whether attacks succeed was not tested."
    attacks, strongest = list_measured_attacks(section.findings), find_strongest_attack(section.findings)
    if strongest is None:
        return f"{promise} Whether attacks succeed was not measured."
    of_all = f"The strongest of {len(attacks)} attacks" if len(attacks) > 1 else "An attack"
    ranks = f"{of_all} tells training {model.name_items()} from others with an AUC of {write_value(strongest)}"
    found = EITHER if model.training.mode == "external" else RECOGNISED
    seen = found if strongest.status == "warn" else NO_LEAK
    promised = strongest.interval is not None and allows_area(model.training, strongest.interval.low)
    allowed = ", which the promise allows" * (strongest.status == "warn" and promised)
    return f"{promise} {ranks} (0.5 is guessing, 1 is always right): {seen}{allowed}."


def _state_promise(model: ModelFacts, section: Section | None) -> str:
    training = model.training
    if training.mode == "external":
        return "How it was trained is not known here, so no differential privacy can be vouched for."
    if training.void:
        return f"The promise of differential privacy is void: {training.void}."
    if training.mode != "private" or training.epsilon is None or training.delta is None:
        return _WITHOUT
    unit = "example" if training.unit in (None, "example") else "unit"
    if unit == "example":
        protected = "each example by itself (somebody with several is protected less)"
    else:
        column = model.unit or "unit"
        protected = (
            f"each {column} as a whole" + (column != "person") * f" (each person, if one {column} is one person)"
        )
    epsilon = number_format.format_epsilon(training.epsilon)
    return (
        f"Trained with differential privacy for {protected}: epsilon {epsilon}, {_grade_epsilon(training.epsilon)} "
        f"(strong up to {STRONG_EPSILON:g}, weak above {WEAK_EPSILON:g}). "
        f"{_say_odds(training.epsilon, training.delta, unit)}{_say_test(section)} The promise does not cover this "
        "report: show it only to those who may see training data."
    )


def _grade_epsilon(epsilon: float) -> str:
    if epsilon <= STRONG_EPSILON:
        return "strong"
    if epsilon > WEAK_EPSILON:
        return "weak"
    return "middling" if _raise_suspicion(epsilon) <= 0.5 else "close to weak"


def _raise_suspicion(epsilon: float) -> float:
    """Return what a suspicion of 1 % that somebody took part can become at most: its odds change by e^epsilon."""
    odds = SUSPICION / (1 - SUSPICION) * math.exp(epsilon)
    return odds / (1 + odds)


def _say_test(section: Section | None) -> str:
    """Say what the test of the training saw, with the smallest fault that it would see; empty where none was made."""
    if section is None:
        return ""
    bound, power = find_measured(section, "privacy.epsilon_lower_bound"), find_measured(section, "privacy.audit_power")
    if bound is None or power is None or bound.status == "fail":
        return ""
    return (
        " A test found no breach of this promise; it would find most that really give away an epsilon of "
        f"{write_value(power)} or more, and miss most that give away less."
    )


def _say_odds(epsilon: float, delta: float, unit: str) -> str:
    """Say what an epsilon bounds: what the model can make of a suspicion of 1 % that somebody took part."""
    if epsilon > MAX_EPSILON:
        return "So large an epsilon bounds nothing that matters in practice."
    percent = math.ceil(round(100 * _raise_suspicion(epsilon), 6))
    certain = f"{percent} %" if percent < 100 else "more than 99 %"
    return (
        f"In the worst case, the model makes someone who is 1 % sure that a given {unit} took part {certain} sure "
        f"(surer in at most 1 of {number_format.format_count(math.floor(round(1 / delta, 6)))} cases, delta)."
    )
