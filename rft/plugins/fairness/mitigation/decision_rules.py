"""How a mitigated model decides, in plain numbers: thresholds by group, a mixture of linear heads, or one linear head.

A rule gives each row a probability for each class. Two of the three decide by chance where it lies between 0 and 1;
what is drawn follows from the item itself, so that the same item always gets the same decision.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from rft.errors import DataError, near
from rft.records import Record


@dataclass(frozen=True)
class RuleInputs:
    """What a rule may look at.

    Attributes:
        features: (N, D) float64, scaled as the head of the fine-tuned model sees them.
        scores: (N, K) float64 probabilities by the fine-tuned model.
        groups: (N,) names of groups; None where a row has none, which the fine-tuned model then decides alone.
    """

    features: np.ndarray
    scores: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def select_rows(self, mask: np.ndarray) -> RuleInputs:
        """Return the rows of a (N,) mask."""
        return RuleInputs(self.features[mask], self.scores[mask], self.groups[mask])


@dataclass(frozen=True)
class GroupThresholds:
    """Thresholds on the score of the favourable class, two for each group (Hardt, Price and Srebro 2016, NeurIPS).

    With probability ``ignored`` the answer does not depend on the score: it is the favourable class with probability
    ``constant``. Otherwise threshold 0 or 1 is drawn by ``shares``, and the favourable class is given above it.

    Attributes:
        positive: index of the favourable one of two classes.
        groups: the G groups.
        thresholds: (G, 2) float64, which may be infinite.
        shares: (G, 2) float64; rows sum to 1.
        ignored, constant: (G,) float64 in [0, 1].
    """

    kind: ClassVar[Literal["group_thresholds"]] = "group_thresholds"
    needs_group: ClassVar[bool] = True

    positive: int
    groups: tuple[str, ...]
    thresholds: np.ndarray
    shares: np.ndarray
    ignored: np.ndarray
    constant: np.ndarray

    @property
    def randomised(self) -> bool:
        """Whether some score of some group is decided by chance."""
        single_threshold = (self.shares == 0).any(axis=1) | (self.thresholds[:, 0] == self.thresholds[:, 1])
        certain = (self.ignored == 0) | ((self.ignored == 1) & np.isin(self.constant, (0, 1)))
        return not bool((single_threshold & certain).all())

    def decision_probabilities(self, rows: RuleInputs) -> np.ndarray:
        """Return (N, 2) probabilities of each decision; raises ``DataError`` for a group without thresholds."""
        codes = self._group_codes(rows.groups)
        known = codes >= 0
        favourable = (rows.scores.argmax(axis=1) == self.positive).astype(np.float64)
        group_codes = codes[known]
        above = rows.scores[known, self.positive][:, None] > self.thresholds[group_codes]
        drawn = (self.shares[group_codes] * above).sum(axis=1)
        favourable[known] = (
            self.ignored[group_codes] * self.constant[group_codes] + (1 - self.ignored[group_codes]) * drawn
        )
        return binary_probabilities(favourable, self.positive)

    def _group_codes(self, groups: np.ndarray) -> np.ndarray:
        numbers = {name: number for number, name in enumerate(self.groups)}
        for name in groups:
            if name is not None and name not in numbers:
                raise DataError(
                    f"{name!r} is a group that the rule was not fitted for; it knows {', '.join(self.groups)}",
                    where="groups",
                    remedy=near(str(name), list(self.groups)) or "Give None to have the fine-tuned model decide alone.",
                )
        return np.array([-1 if name is None else numbers[name] for name in groups], dtype=np.int64)


@dataclass(frozen=True)
class Mixture:
    """Linear classifiers of two classes, one of which is drawn for each row (Agarwal et al. 2018, ICML).

    Attributes:
        positive: index of the favourable one of two classes.
        weight, bias: (H, D) and (H,) float64; head h gives the favourable class where ``w_h x + b_h`` is above 0.
        shares: (H,) float64, the probability of each head; they sum to 1.
    """

    kind: ClassVar[Literal["mixture"]] = "mixture"
    needs_group: ClassVar[bool] = False

    positive: int
    weight: np.ndarray
    bias: np.ndarray
    shares: np.ndarray

    @property
    def randomised(self) -> bool:
        """Whether there is more than one head to draw."""
        return len(self.shares) > 1

    def decision_probabilities(self, rows: RuleInputs) -> np.ndarray:
        """Return (N, 2) probabilities of each decision."""
        chosen = rows.features @ self.weight.T + self.bias > 0
        return binary_probabilities(np.clip(chosen @ self.shares, 0, 1), self.positive)


@dataclass(frozen=True)
class LinearHead:
    """One head in the place of the fine-tuned one: ``weight`` (K, D) and ``bias`` (K,), float64; the largest wins."""

    kind: ClassVar[Literal["linear_head"]] = "linear_head"
    needs_group: ClassVar[bool] = False
    randomised: ClassVar[bool] = False

    weight: np.ndarray
    bias: np.ndarray

    def decision_probabilities(self, rows: RuleInputs) -> np.ndarray:
        """Return (N, K) probabilities by softmax."""
        return torch.from_numpy(rows.features @ self.weight.T + self.bias).softmax(dim=1).numpy()


Rule = GroupThresholds | Mixture | LinearHead
RULE_CLASSES: dict[str, type[Rule]] = {rule.kind: rule for rule in (GroupThresholds, Mixture, LinearHead)}


def binary_probabilities(favourable: np.ndarray, positive: int) -> np.ndarray:
    """Return (N, 2) probabilities from those of the favourable class."""
    return np.stack([favourable, 1 - favourable][:: 1 if positive == 0 else -1], axis=1)


def decide_by_rule(rule: Rule, probabilities: np.ndarray, items: Iterable[str], seed: int) -> np.ndarray:
    """Return (N,) class indices: drawn from the probabilities by a rule that decides by chance, else the likeliest.

    Args:
        rule: what gave the probabilities.
        probabilities: (N, K).
        items: (N,) what each draw follows from: the sha256 of the item's bytes.
        seed: another one gives other draws.
    """
    if not rule.randomised:
        return np.asarray(probabilities.argmax(axis=1))
    drawn = hash_to_unit_interval(items, f"rft decision {seed}")
    return np.asarray((drawn[:, None] >= probabilities.cumsum(axis=1)[:, :-1]).sum(axis=1))


def hash_to_unit_interval(names: Iterable[str], key: str) -> np.ndarray:
    """Return (N,) numbers in [0, 1) by a keyed hash: each follows from nothing but the key and its name."""
    digests = [hmac.new(key.encode(), str(name).encode(), "sha256").digest() for name in names]
    return np.array([int.from_bytes(digest[:6], "big") / 2**48 for digest in digests])


class RuleSettings(Record):
    """What of a rule is no array of numbers, as it stands in JSON; what a kind of rule lacks is not written.

    Attributes:
        kind: that of its class.
        positive, groups: as its class says.
    """

    kind: Literal["group_thresholds", "mixture", "linear_head"]
    positive: int | None = None
    groups: tuple[str, ...] | None = None

    def to_json(self) -> str:
        """Return canonical JSON, which the hash of a rule is over."""
        return json.dumps(self.model_dump(mode="json", exclude_none=True), sort_keys=True)


def serialize_rule(rule: Rule) -> tuple[RuleSettings, dict[str, Tensor]]:
    """Return a rule as what goes into JSON and what goes into safetensors."""
    values = {field.name: getattr(rule, field.name) for field in fields(rule)}
    tensors = {
        name: torch.from_numpy(np.ascontiguousarray(value, dtype=np.float64))
        for name, value in values.items()
        if isinstance(value, np.ndarray)
    }
    plain = {name: value for name, value in values.items() if name not in tensors}
    return RuleSettings(kind=rule.kind, **plain), tensors


def deserialize_rule(settings: RuleSettings, tensors: dict[str, Tensor]) -> Rule:
    """Return the rule that ``serialize_rule`` took apart; raises ``TypeError`` where both are not of one rule."""
    arguments = settings.model_dump(exclude={"kind"}, exclude_none=True)
    arguments |= {name: tensor.numpy() for name, tensor in tensors.items()}
    return RULE_CLASSES[settings.kind](**arguments)
