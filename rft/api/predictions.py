"""``rft.audit_predictions``: a table of predictions that the caller holds, audited as one in a file is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rft.api.wording import name_arguments

if TYPE_CHECKING:
    from rft.run import FinishedRun

FUNCTION = "rft.audit_predictions"
KEYS = {
    "name": "name",
    "seed": "seed",
    "policy": "policy",
    "card": "card",
    "report": "report",
    "label": "data.label",
    "id": "data.id",
    "unit": "data.unit",
    "split": "data.split",
    "groups": "data.groups",
    "classes": "data.classes",
    "positive": "data.positive",
    "on_error": "data.on_error",
    "frame": "predictions.file",
    "prediction": "predictions.prediction",
    "score": "predictions.score",
    "scores": "predictions.scores",
    "threshold": "predictions.threshold",
    "reference": "predictions.reference",
    "hypothesis": "predictions.hypothesis",
    "normalizer": "predictions.normalizer",
}


def audit_predictions(
    frame: object,
    *,
    label: str | None = None,
    prediction: str | None = None,
    score: str | None = None,
    scores: Mapping[str, str] | None = None,
    threshold: float | None = None,
    reference: str | None = None,
    hypothesis: str | None = None,
    normalizer: Literal["none", "simple", "whisper_english"] | None = None,
    groups: Sequence[str] = (),
    unit: str | None = None,
    split: str | None = None,
    id: str | None = None,
    classes: Sequence[object] | None = None,
    positive: object = None,
    on_error: Literal["stop", "skip"] = "stop",
    plugins: Mapping[str, Mapping[str, object]] | None = None,
    policy: Sequence[Mapping[str, object]] = (),
    card: Mapping[str, object] | None = None,
    report: Mapping[str, object] | None = None,
    seed: int = 0,
    name: str = "predictions",
    out: str | Path | None = None,
    force: bool = False,
) -> FinishedRun:
    """Audit a table of predictions that is in memory, as ``rft audit`` does one in a file.

    Every finding is the one that ``[predictions]`` of a config gives for the same table as a parquet file. Texts,
    categories, whole numbers and truth values are read as they stand (the class of the number 1 is ``"1"``, that of
    ``True`` is ``"True"``); ``None``, ``NaN`` and empty texts are missing.

    Args:
        frame: N rows, one a prediction: a ``DataFrame`` of pandas or polars, an Arrow table, or a mapping of column ->
            (N,) values. An index is not read. It is not changed.
        label: the column of true classes; transcripts have none.
        prediction: the column of decisions, class names. One of ``prediction``, ``score`` and ``scores`` is needed.
        score: the column with the probability of ``positive``, where there are two classes.
        scores: class -> the column with its probability, in [0, 1]; a row sums to 1.
        threshold: in (0, 1); without ``prediction`` a ``score`` of at least this decides for ``positive``; 0.5.
        reference: of a speech recogniser the column of what was said. With ``hypothesis``, ``normalizer`` and ``unit``,
            the speaker, it stands in the place of ``label`` and of what is predicted.
        hypothesis: the column of what the recogniser wrote; a missing one is silence.
        normalizer: what is made alike in both before they are compared.
        groups: columns with the groups that fairness compares.
        unit: the column that says whose each row is; rows of one unit count as one in intervals.
        split: the column with ``train`` and ``test``, or their usual other names; all rows are test without it. Those
            of ``train`` are the ones that the model was trained on: a membership attack compares both.
        id: a column without repeats.
        classes: all there are, where not each has a row.
        positive: the favourable class; needed with ``score``, and by most of fairness.
        on_error: ``skip`` leaves out rows that lack something, and counts them.
        plugins: name -> its options, which switches it on: ``{"fairness": {}, "privacy": {}}``. Their keys are those
            of the tables of ``audit.toml``.
        policy: rules, each like ``{"finding": "performance.accuracy", "min": 0.9, "because": "..."}``.
        card, report: as the tables ``[card]`` and ``[report]`` of ``audit.toml``.
        seed: that all random choices come from, in [0, 2**32).
        name: of the run.
        out: the run folder to write; None writes nothing (``FinishedRun.save`` does it later).
        force: replace a run that ``out`` holds.

    Returns:
        The finished run; it shows itself in a notebook.

    Raises:
        RftError: for anything that the caller can mend; its message says what, where and how. Arguments are checked
            before the table is read, the table before anything is computed.
    """
    from rft.api.arguments import ConfigArguments, to_text
    from rft.api.run import check_out, run_plan
    from rft.records import IN_MEMORY

    values: dict[str, object] = {key: value for key, value in locals().items() if key in KEYS}
    values |= {"frame": f"{IN_MEMORY}frame", "positive": to_text(positive)}
    values["on_error"] = None if on_error == "stop" else on_error
    values["classes"] = None if classes is None else [to_text(known_class) for known_class in classes]
    with name_arguments(KEYS):
        plan = ConfigArguments(FUNCTION, KEYS, values, plugins).plan_audit()
        check_out(out, force=force)
        from rft.data.tables.in_memory import hold_table
        from rft.pipeline.targets.predictions_alone import PredictionsInMemory

        predicted = [prediction, score, *(scores or {}).values(), reference, hypothesis]
        columns = [label, *predicted, *groups, unit, split, id]
        table = hold_table(frame, [column for column in columns if column is not None], "frame")
        return run_plan(replace(plan, in_memory=PredictionsInMemory(table)), out, force=force)
