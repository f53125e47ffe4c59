"""Privacy: training with differential privacy when an epsilon is asked for, and membership attacks on what came out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from rft.plugins import Options, Subject
from rft.records import Section

if TYPE_CHECKING:
    from rft.training import Trainer

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class PrivacyOptions(Options):
    """Options of ``[privacy]``. Without ``epsilon`` the model is trained the standard way, and attacked.

    Attributes:
        epsilon: what training may spend.
        delta: by default min(1e-5, 1 / (10 n)) for n units.
        max_grad_norm: bound on the gradient of one unit in a step.
        sample_rate: probability that a unit takes part in a step; by default batch_size / n.
        steps: by default epochs / sample_rate.
        randomness: ``secret``, or ``seeded`` for tests.
    """

    epsilon: Positive | None = None
    delta: Annotated[float, Field(gt=0, lt=1)] | None = None
    max_grad_norm: Positive = 1.0
    sample_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    steps: Annotated[int, Field(ge=1)] | None = None
    randomness: Literal["secret", "seeded"] = "secret"

    @model_validator(mode="after")
    def _training_needs_epsilon(self) -> PrivacyOptions:
        idle = sorted(self.model_fields_set - {"epsilon"})
        if self.epsilon is None and idle:
            raise ValueError(f"{', '.join(idle)} without epsilon: only private training uses it; give epsilon")
        return self


class Privacy:
    """Switched on by ``[privacy]``."""

    name = "privacy"
    always_on = False
    requires: tuple[str, ...] = ("opacus", "dp-accounting")
    needs: tuple[str, ...] = ()
    options: type[BaseModel] = PrivacyOptions

    def trainer(self, options: BaseModel) -> Trainer | None:
        """Return the private trainer when an epsilon is given; otherwise leave training to the standard loop."""
        assert isinstance(options, PrivacyOptions)
        if options.epsilon is None:
            return None
        from rft.plugins.privacy.trainer import DPTrainer

        return DPTrainer(**options.model_dump())

    def audit(self, subject: Subject, options: BaseModel) -> Section:
        """Return the section; needs nothing but the subject's predictions, and its fit to say what training spent."""
        from rft.plugins.privacy.audit import audit

        return audit(subject)
