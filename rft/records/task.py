"""What a model is asked to do, as far as an audit goes about it differently, and what each task is called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

TaskName = Literal["classification", "recognition"]


LOSS, BLANK_SHARE = "loss", "blank_share"  # columns of predictions of a recogniser that was trained in the run


@dataclass(frozen=True)
class TaskKind:
    """A kind of task.

    Attributes:
        name: as in ``audit.json``.
        label: what a report calls it.
        audited: what is audited of it, as part of a sentence.
        items: what examples are called where they are not read; empty: as their modality says.
        hub_pipeline: the hub's name of it; empty: as the modality says.
    """

    name: TaskName
    label: str
    audited: str
    items: str = ""
    hub_pipeline: str = ""


TASKS: Mapping[TaskName, TaskKind] = {
    "classification": TaskKind("classification", "classification", "a classifier"),
    "recognition": TaskKind(
        "recognition",
        "speech recognition",
        "transcripts of speech",
        items="utterances",
        hub_pipeline="automatic-speech-recognition",
    ),
}
