"""What training did: the loss curve, whether the head moved, and whether the frozen part stayed as it was."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rft.plugins import AuditedModel, Options, Plugin
from rft.records import Figure, Finding, Section, Table, list_columns, not_measured
from rft.records import Training as Facts

FROZEN_DESCRIPTION = (
    "Whether the hash over all frozen tensors and buffers changed between loading and the end of training."
)
PRIVATE_LOSS = "The training loss of a private run is itself private and is not recorded."
UNCHANGED_DESCRIPTION = "How many of the tensors that were to be trained are the same after training as before."


class TrainingOptions(Options):
    """No options."""


class Training(Plugin[TrainingOptions]):
    """Always on: states what training did to the trained and the frozen tensors."""

    name = "training"
    always_on = True
    options = TrainingOptions

    def audit(self, audited: AuditedModel, options: TrainingOptions) -> Section:
        """Return the section; needs nothing but the facts of the audited model and its fit."""
        log = audited.fit.log if audited.fit else []
        losses: Table = [dict(row) for row in log if "loss" in row]
        private = audited.facts.training.mode == "private"
        return Section(
            plugin=self.name,
            title="Training",
            findings=(
                _frozen_finding(audited),
                _unchanged_finding(audited),
                *((_final_loss(audited, log[-1]["loss"]),) if losses else ()),
            ),
            tables={"loss": losses} if losses else {},
            columns={"loss": list_columns({"epoch": "key", "loss": "number"})} if losses else {},
            captions={"loss": "Mean training loss of each epoch."} if losses else {},
            figures=(_loss_figure(),) if losses else (),
            notes=(*_cost_notes(audited.facts.training), *((PRIVATE_LOSS,) if private else ())),
        )


def _cost_notes(training: Facts) -> Iterator[str]:
    """Say what it cost that nothing was cached."""
    if training.cached is False and training.seconds is not None and training.epochs:
        yield (
            f"Nothing was cached: each of the {training.epochs} epochs ran the whole network on every example, "
            f"{training.seconds / training.epochs:.3g} seconds an epoch, and every further training (shadow models, "
            "other privacy levels) costs as much again. With model.freeze set to a layer, what lies before it runs "
            "once; rft cut-points lists the layers with their costs."
        )


def _frozen_finding(audited: AuditedModel) -> Finding:
    id, title = "training.frozen_changed", "Changes of the frozen part"
    backbone = audited.facts.backbone
    if backbone is None:
        return not_measured(id, title, audited.provided_as, FROZEN_DESCRIPTION)
    changed = backbone.frozen_sha256_before != backbone.frozen_sha256_after
    return Finding(
        id=id,
        title=title,
        status="fail" if changed else "info",
        value=float(changed),
        unit="changes",
        deterministic=True,
        cases="none",
        description=FROZEN_DESCRIPTION
        + (" It did: statistics of the training data may have leaked." if changed else ""),
        caveats="Covers every parameter and buffer before the cut, BatchNorm statistics included.",
    )


def _unchanged_finding(audited: AuditedModel) -> Finding:
    id, title = "training.trained_unmoved", "Trained tensors that did not change"
    if audited.fit is None or audited.fit.unchanged_tensors is None:
        return not_measured(id, title, "nothing was trained in this run", UNCHANGED_DESCRIPTION)
    unchanged = audited.fit.unchanged_tensors
    return Finding(
        id=id,
        title=title,
        status="fail" if unchanged else "info",
        value=float(unchanged),
        unit="tensors",
        deterministic=True,
        cases="none",
        description=UNCHANGED_DESCRIPTION,
        caveats="A tensor that moved need not have learned anything: see the performance section.",
    )


def _final_loss(audited: AuditedModel, loss: float) -> Finding:
    guessing = math.log(len(audited.facts.classes))
    remark = f" It is above the {guessing:.3f} of guessing: lower train.learning_rate, or set model.row_norm = true."
    return Finding(
        id="training.final_loss",
        title="Training loss of the last epoch",
        status="warn" if loss > guessing else "info",
        value=loss,
        unit="nats",
        deterministic=True,
        cases="none",
        description="Mean cross-entropy over the training examples while the last epoch ran."
        + (remark if loss > guessing else ""),
        caveats="A low loss is no merit by itself: see the performance on test.",
    )


def _loss_figure() -> Figure:
    return Figure(
        id="training_loss",
        kind="lines",
        table="loss",
        encode={"x": "epoch", "y": "loss"},
        x_label="epoch",
        y_label="mean training loss",
        title="Training loss",
        alt="The mean training loss of each epoch, as a line.",
    )
