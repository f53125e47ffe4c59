"""How far the pretrained features carry: a poor fit of the backbone to the task bounds what fine-tuning can reach."""

from __future__ import annotations

from pydantic import BaseModel

from rft.plugins import Options, Subject
from rft.records import Section


class BackboneOptions(Options):
    """No options."""


class Backbone:
    """Always on: a linear probe of the frozen features against the majority class and against random weights."""

    name = "backbone"
    always_on = True
    requires: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    options: type[BaseModel] = BackboneOptions

    def trainer(self, options: BaseModel) -> None:
        """Leave training to the standard loop."""

    def audit(self, subject: Subject, options: BaseModel) -> Section:
        """Return the section; needs the representations of training examples."""
        from rft.plugins.backbone.audit import audit

        return audit(subject)
