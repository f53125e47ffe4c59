"""Which membership attacks there are: one record for each.

A new attack is one entry of ``_ALL``: findings, tables, charts and what is said of them read the record, and a test
holds its scores against its peer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from rft.plugins.privacy.attacks import lira, loss_threshold, rmia
from rft.references import CARLINI, YEOM, ZARIFZADEH

LOSS, LIRA = "loss_threshold", "lira"
COIN = "0.5 is a coin toss, 1 is always."

# Of N rows of predictions and the classes of the model: (N,) scores, higher for what is more like a member.
PredictionScore = Callable[[pd.DataFrame, Sequence[str]], np.ndarray]


class ShadowScore(Protocol):
    """Scores examples by how sure the audited model and shadow models are of their labels."""

    def __call__(self, target: np.ndarray, shadows: np.ndarray, *, members: np.ndarray) -> np.ndarray:
        """Return (N,) scores, higher for what is more like a member.

        Args:
            target: (N,) confidences under the audited model.
            shadows: (S, N) confidences under the shadow models.
            members: (S, N) bool, which examples each shadow was trained on; every column has both values.
        """


@dataclass(frozen=True)
class Attack:
    """One attack. It has one of the two scores, which decides what it needs.

    Attributes:
        name: its key in tables.
        label: what it is called in tables, charts and sentences.
        finding_id: of the finding on the area under its ROC curve.
        title: of that finding.
        description: what the area says, for a reviewer; ``{unit}`` is whose membership is guessed.
        references: where it was published.
        peer: the publication whose definition the tests write out as a loop, which they hold its scores against.
        prediction_score: of an attack that needs the table of predictions only.
        shadow_score: of an attack that needs shadow models too.
    """

    name: str
    label: str
    finding_id: str
    title: str
    description: str
    references: tuple[str, ...]
    peer: str
    prediction_score: PredictionScore | None = None
    shadow_score: ShadowScore | None = None

    @property
    def needs_shadows(self) -> bool:
        """Whether models are trained for it."""
        return self.shadow_score is not None


_ALL = (
    Attack(
        LOSS,
        "loss threshold",
        "privacy.membership_auc",
        "Membership attack, area under the ROC curve",
        "How often an attacker who sees the probability that the model gives to the true label ranks a training {unit} "
        f"above another one: {COIN}",
        (YEOM,),
        peer="Yeom et al. 2018, threshold on the loss",
        prediction_score=loss_threshold.score_loss,
    ),
    Attack(
        LIRA,
        "LiRA",
        "privacy.lira_auc",
        "Likelihood-ratio attack (LiRA), area under the ROC curve",
        "How often an attacker who trains such models with and without each {unit} ranks a training {unit} above "
        f"another one: {COIN}",
        (CARLINI,),
        peer="Carlini et al. 2022, online",
        shadow_score=lira.score_online,
    ),
    Attack(
        "lira_offline",
        "offline LiRA",
        "privacy.lira_offline_auc",
        "Offline likelihood-ratio attack, area under the ROC curve",
        "The same for an attacker whose own models have never seen the {unit}.",
        (CARLINI,),
        peer="Carlini et al. 2022, offline",
        shadow_score=lira.score_offline,
    ),
    Attack(
        "rmia",
        "RMIA",
        "privacy.rmia_auc",
        "Robust membership attack (RMIA), area under the ROC curve",
        "The same for an attacker who compares how much surer the model is than reference models about one {unit} with "
        "how much surer it is about others.",
        (ZARIFZADEH,),
        peer="Zarifzadeh et al. 2024, equations 5 and 8",
        shadow_score=rmia.score_rmia,
    ),
)
ATTACKS = {attack.name: attack for attack in _ALL}


def score_predictions(predictions: pd.DataFrame, classes: Sequence[str]) -> dict[str, np.ndarray]:
    """Return by name the (N,) scores of the attacks that need nothing but N rows of predictions."""
    return {
        attack.name: attack.prediction_score(predictions, classes)
        for attack in ATTACKS.values()
        if attack.prediction_score is not None
    }


def score_shadows(target: np.ndarray, shadows: np.ndarray, *, members: np.ndarray) -> dict[str, np.ndarray]:
    """Return by name the (N,) scores of the attacks with shadow models; arguments as for ``ShadowScore``."""
    return {
        attack.name: attack.shadow_score(target, shadows, members=members)
        for attack in ATTACKS.values()
        if attack.shadow_score is not None
    }


def label_attack(name: str) -> str:
    """Return what an attack is called."""
    return ATTACKS[name].label
