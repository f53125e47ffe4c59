"""What the columns of the section's tables mean, in the order in which a reader wants them."""

from __future__ import annotations

from collections.abc import Mapping

from rft.plugins.privacy.attacks.catalog import ATTACKS
from rft.records import Columns, list_columns
from rft.stats.scores.classification import ABBREVIATIONS

_TPR, _FPR = ABBREVIATIONS["tpr"], ABBREVIATIONS["fpr"]
_CURVE = {"tpr": _TPR, "fpr": _FPR}
_RATES = {"tpr_at_1pct_fpr": f"{_TPR} at 1 % {_FPR}", "tpr_at_01pct_fpr": f"{_TPR} at 0.1 % {_FPR}"}

_FIXED: dict[str, Columns] = {
    "scope": list_columns({"artefact": "key", "protection": "key", "where": "note", "why": "text"}),
    "parameters": list_columns({"parameter": "key", "value": "estimate", "grade": "note", "description": "text"}),
    "accounting": list_columns(
        {
            "name": "key",
            "accountant": "key",
            "value": "estimate",
            "low": "low",
            "high": "high",
            "description": "text",
        }
    ),
    "epsilon_curve": list_columns({"epsilon": "key", "accountant": "key", "delta": "number"}),
    "ideal_attacker": list_columns({"fpr": "key", "tpr": "number"}, labels=_CURVE),
    "self_test": list_columns(
        {"check": "key", "expected": "key", "found": "key", "outcome": "note", "description": "text"}
    ),
    "ledger": list_columns({"quantity": "key", "value": "estimate", "description": "text"}),
    "ledger_trainings": list_columns(
        {
            "purpose": "key",
            "trained": "key",
            "population": "key",
            "randomness": "key",
            "heads": "number",
            "noise_multiplier": "number",
            "largest_noise_multiplier": "number",
            "sample_rate": "number",
            "steps": "number",
            "charged_steps": "number",
            "interruptions": "number",
        }
    ),
    "frontier": list_columns(
        {
            "method": "name",
            "epsilon": "key",
            "replicate": "key",
            "attribute": "attribute",
            "group": "group",
            "metric": "metric",
            "value": "estimate",
            "low": "low",
            "high": "high",
            "spent": "number",
            "n": "count",
            "status": "status",
        },
        labels={"n": "examples"},
        spellings={"metric": ABBREVIATIONS},
    ),
    "frontier_accuracy": list_columns(
        {"method": "name", "epsilon": "key", "value": "estimate", "low": "low", "high": "high"}
    ),
    "frontier_cost": list_columns(
        {
            "method": "name",
            "epsilon": "key",
            "attribute": "attribute",
            "group": "group",
            "value": "estimate",
            "low": "low",
            "high": "high",
            "n": "count",
            "status": "status",
        },
        labels={"n": "examples"},
    ),
    "mechanism_audit": list_columns({"quantity": "key", "value": "estimate", "description": "text"}),
    "one_run_audit": list_columns({"quantity": "key", "value": "estimate", "description": "text"}),
    "audit_power": list_columns({"fault": "key", "factor": "number", "epsilon": "number", "power": "number"}),
    "attacker_curve": list_columns(
        {"series": "key", "fpr": "key", "tpr": "estimate", "low": "low", "high": "high"}, labels=_CURVE
    ),
    "epsilon_bounds": list_columns({"bound": "key", "epsilon": "number", "assumes": "note"}),
}


def declare_columns(units: str) -> dict[str, Columns]:
    """Return the columns of every table of the section, by table; ``units`` are what the features are of."""
    return _FIXED | _declare_attacks({attack.name: attack.label for attack in ATTACKS.values()}) | _declare_probe(units)


def _declare_probe(units: str) -> dict[str, Columns]:
    return {
        "attribute_probe": list_columns(
            {
                "attribute": "attribute",
                "group": "group",
                "labels": "key",
                "value": "estimate",
                "low": "low",
                "high": "high",
                "chance": "number",
                "n_units": "count",
            },
            labels={"n_units": units},
        )
    }


def _declare_attacks(spellings: Mapping[str, str]) -> dict[str, Columns]:
    return {
        "attacks": list_columns(
            {
                "attack": "name",
                "attribute": "attribute",
                "group": "group",
                "auc": "estimate",
                "low": "low",
                "high": "high",
                "tpr_at_1pct_fpr": "number",
                "tpr_at_1pct_fpr_low": "number",
                "tpr_at_1pct_fpr_high": "number",
                "tpr_at_01pct_fpr": "number",
                "tpr_at_01pct_fpr_low": "number",
                "tpr_at_01pct_fpr_high": "number",
                "n_members": "count",
                "n_non_members": "count",
                "status": "status",
            },
            labels={"auc": "AUC", "n_members": "members", "n_non_members": "non-members"}
            | {
                f"{rate}{end}": f"{label}{words}"
                for rate, label in _RATES.items()
                for end, words in (("", ""), ("_low", ", low"), ("_high", ", high"))
            },
            spellings={"attack": spellings},
        ),
        "roc": list_columns(
            {"attack": "name", "fpr": "key", "tpr": "number"}, labels=_CURVE, spellings={"attack": spellings}
        ),
    }
