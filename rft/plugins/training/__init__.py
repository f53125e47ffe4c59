"""What training did: the loss curve, whether the head moved and learned enough, and whether the frozen part stayed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from rft.config.schema import DataConfig
from rft.number_format import format_fixed
from rft.plugins import AuditedModel, Options, Plugin
from rft.records import Figure, Finding, FindingDefinition, Role, Section, Table, lines_figure, list_columns
from rft.records import Training as Facts

FROZEN_CHANGED = FindingDefinition(
    "training.frozen_changed",
    "Changes of the frozen part",
    "Whether the hash over all frozen tensors and buffers changed between loading and the end of training.",
    unit="changes",
    caveats="Covers every parameter and buffer before the cut, BatchNorm statistics included.",
    cases="none",
    better="lower",
)
TRAINED_UNMOVED = FindingDefinition(
    "training.trained_unmoved",
    "Trained tensors that did not change",
    "How many of the tensors that were to be trained are the same after training as before.",
    unit="tensors",
    caveats="A tensor that moved need not have learned anything: see the performance section.",
    cases="none",
    better="lower",
)
FINAL_LOSS = FindingDefinition(
    "training.final_loss",
    "Training loss of the last epoch",
    "Mean cross-entropy over the training examples while the last epoch ran.",
    unit="nats",
    caveats="A low loss is no merit by itself: see the performance on test.",
    cases="none",
)
FINAL_CTC_LOSS = replace(
    FINAL_LOSS,
    description="Mean loss of a training utterance while the last epoch ran: minus the log of the probability that its "
    "transcript is written, by connectionist temporal classification.",
)
LOSS_CAPTION = "Mean training loss of each epoch, and the loss on validation where training is stopped by it."
PRIVATE_LOSS = "The training loss of a private run is itself private and is not recorded."


class TrainingOptions(Options):
    """No options."""


class Training(Plugin[TrainingOptions]):
    """Always on: states what training did to the trained and the frozen tensors."""

    name = "training"
    always_on = True
    tasks_of_training = ("recognition",)
    options = TrainingOptions

    def list_findings(self, options: TrainingOptions, data: DataConfig) -> tuple[str, ...]:
        """Return the ids that its findings may have."""
        return FROZEN_CHANGED.id, TRAINED_UNMOVED.id, FINAL_LOSS.id, f"{self.name}.head_against_probe"

    def audit(self, audited: AuditedModel, options: TrainingOptions) -> Section:
        """Return the section; needs nothing but the facts of the audited model and its fit."""
        from rft.plugins.training.head_shortfall import state_head_against_probe

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
                state_head_against_probe(audited),
            ),
            tables={"loss": losses} if losses else {},
            columns={"loss": list_columns(_loss_roles(losses))} if losses else {},
            captions={"loss": LOSS_CAPTION} if losses else {},
            computed_from={
                "training.frozen_changed": "facts",
                "training.trained_unmoved": "facts",
                "training.final_loss": "train",
                "training.head_against_probe": "train",
                "loss": "train",
            },
            figures=(_loss_figure(),) if losses else (),
            notes=(*_cost_notes(audited.facts.training), *((PRIVATE_LOSS,) if private else ())),
        )


def _loss_roles(losses: Table) -> dict[str, Role]:
    key: Role = "key"
    number: Role = "number"
    return {name: key if name == "epoch" else number for name in losses[0]}


def _cost_notes(training: Facts) -> Iterator[str]:
    """Say what it cost that nothing was cached."""
    if training.cached is False and training.epochs:
        yield (
            f"Nothing was cached: each of the {training.epochs} epochs ran the whole network on every example, and "
            "every further training (shadow models, other privacy levels) takes as long again; What was audited says "
            "how long. With model.freeze set to a layer, what lies before it runs once; rft cut-points lists the "
            "layers with their costs."
        )


def _frozen_finding(audited: AuditedModel) -> Finding:
    backbone = audited.facts.backbone
    if backbone is None:
        return FROZEN_CHANGED.state_not_measured(audited.provided_as, absence="not_applicable")
    changed = backbone.frozen_sha256_before != backbone.frozen_sha256_after
    return FROZEN_CHANGED.state_count(
        int(changed),
        status="fail" if changed else "info",
        description=FROZEN_CHANGED.description
        + (" It did: statistics of the training data may have leaked." if changed else ""),
    )


def _unchanged_finding(audited: AuditedModel) -> Finding:
    if audited.fit is None or audited.fit.unchanged_tensors is None:
        return TRAINED_UNMOVED.state_not_measured("nothing was trained in this run")
    unchanged = audited.fit.unchanged_tensors
    return TRAINED_UNMOVED.state_count(unchanged, status="fail" if unchanged else "info")


def _final_loss(audited: AuditedModel, loss: float) -> Finding:
    if audited.facts.task == "recognition":
        return FINAL_CTC_LOSS.state_fact(loss)
    guessing = math.log(len(audited.facts.classes))
    remark = (
        f" It is above the {format_fixed(guessing, 3)} of guessing: lower train.learning_rate, or set "
        "model.row_norm = true."
    )
    return FINAL_LOSS.state_fact(
        loss,
        status="warn" if loss > guessing else "info",
        description=FINAL_LOSS.description + (remark if loss > guessing else ""),
    )


def _loss_figure() -> Figure:
    return lines_figure(
        id="training_loss",
        table="loss",
        x="epoch",
        y="loss",
        x_label="epoch",
        y_label="mean training loss",
        title="Training loss",
        alt="The mean training loss of each epoch, as a line.",
    )
