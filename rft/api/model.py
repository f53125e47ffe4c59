"""``rft.audit_model``: a model that the caller holds, audited as one that others trained is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rft.api.wording import name_arguments
from rft.errors import ConfigError, near
from rft.records import IN_MEMORY

if TYPE_CHECKING:
    from rft.pipeline.plan import AuditPlan
    from rft.run import FinishedRun

FUNCTION = "rft.audit_model"
COMMON = {
    "name": "name",
    "seed": "seed",
    "policy": "policy",
    "card": "card",
    "report": "report",
    "groups": "data.groups",
    "positive": "data.positive",
    "classes": "data.classes",
}
OF_PREDICTIONS = {**COMMON, "predictions": "predictions.file", "layout": "predictions.layout"}
OF_IMAGES = {
    **COMMON,
    "rows": "data.manifest",
    "input": "data.image",
    "label": "data.label",
    "unit": "data.unit",
    "split": "data.split",
    "model": "model.factory",
    "outputs": "model.outputs",
}


def audit_model(
    model: object,
    *,
    test: object,
    train: object = None,
    groups: object = None,
    unit: object = None,
    label: str | None = None,
    classes: Sequence[object] | None = None,
    outputs: Literal["logits", "probabilities"] | None = None,
    positive: object = None,
    plugins: Mapping[str, Mapping[str, object]] | None = None,
    policy: Sequence[Mapping[str, object]] = (),
    card: Mapping[str, object] | None = None,
    report: Mapping[str, object] | None = None,
    seed: int = 0,
    name: str | None = None,
    device: str | None = None,
    out: str | Path | None = None,
    force: bool = False,
) -> FinishedRun:
    """Audit a trained model that is in memory; nothing is trained.

    A **torch module** whose inputs are images, (C, H, W) decimal tensors of 1 or 3 channels as it takes them, is
    audited as ``model.factory`` of a config is: performance, fairness, the membership attack on its losses, and
    attribution. It is run in eval mode and without gradients, and comes back as it was: training flags, device,
    layout, which parameters need gradients.

    **Everything else** is audited by its predictions, as by ``audit_predictions``: a torch module of other inputs; an
    estimator or pipeline of scikit-learn, or what looks like one, by ``predict`` (its decisions count, with thresholds
    of its own too) and ``predict_proba``; a Keras model by ``predict``; any other callable by a call with all of ``X``.
    Without ``predict_proba`` decisions are all there is: ``decision_function`` gives no probabilities, and is not used
    (``sklearn.calibration.CalibratedClassifierCV`` makes some). What needs the model itself is not measured, and says
    so.

    Args:
        model: a torch module that gives (B, K) outputs (a tensor, or an object with ``logits``), or (B, 1) or (B,) for
            the second of two classes; a fitted estimator; a Keras model; or a callable that gives (N, K) or (N,)
            outputs, or (N,) names of classes, for (N, ...) inputs.
        test: the rows to judge the model on: ``(X, y)``, N rows of an array, tensor, table or list and (N,) labels; or,
            for a torch module, a ``Dataset`` of ``(input, label)`` or of mappings, of which all but label, groups and
            unit is passed by name. A Dataset is read several times, a row at a time: without augmentation.
        train: the rows that the model was trained on, likewise; without them no membership attack is made.
        groups: what fairness compares: names of columns of ``X`` (or keys of a Dataset's items), which stay in ``X``;
            or a table (DataFrame, mapping of name -> (N,) values) in the order of the test rows; or
            ``{"train": table, "test": table}``.
        unit: whose each row is: the name of a column, (N,) values in the order of the test rows, or
            ``{"train": values, "test": values}``. Rows of one unit count as one in intervals.
        label: the key of the label in a Dataset's items; ``label`` or ``labels`` by itself.
        classes: what the K outputs stand for, in their order; numbers from 0 on by itself. Labels are these names, or
            all of them numbers of outputs. An estimator knows its own, in ``classes_``.
        outputs: what the model gives, ``logits`` or ``probabilities``; seen from its outputs by itself, but for one
            output an example.
        positive: the favourable class; asked for by most of fairness.
        plugins: name -> its options, which switches it on: ``{"fairness": {}, "attribution": {"samples": 8}}``.
        policy: rules, each like ``{"finding": "performance.accuracy", "min": 0.9, "because": "..."}``.
        card, report: as the tables ``[card]`` and ``[report]`` of ``audit.toml``.
        seed: that all random choices come from, in [0, 2**32).
        name: of the run; that of the model's class by itself.
        device: where a torch module computes; where it is by itself.
        out: the run folder to write; None writes nothing (``FinishedRun.save`` does it later).
        force: replace a run that ``out`` holds.

    Returns:
        The finished run; it shows itself in a notebook. It does not hold the model, nor does its folder.

    Raises:
        RftError: for anything that the caller can mend; its message says what, where and how. Arguments are checked
            before rows are read, rows before the model is run.
    """
    from rft.api.arguments import ConfigArguments, to_text
    from rft.api.held_model import HeldModel
    from rft.api.predictors import find_kind
    from rft.api.rows import RowColumns
    from rft.api.run import check_out, run_plan

    with name_arguments({**OF_IMAGES, **OF_PREDICTIONS}):
        splits = {"test": test} if train is None else {"train": train, "test": test}
        held = HeldModel(model, find_kind(model), splits, RowColumns(groups, unit, label), outputs, device)
        held.check_arguments()
        images, called = held.takes_images(), type(model).__name__
        values: dict[str, object] = {
            "name": name or called,
            "seed": seed,
            "policy": policy,
            "card": card,
            "report": report,
            "groups": held.columns.group_names(),
            "positive": to_text(positive),
            "classes": _choose_classes(classes, held.known_classes()),
            "label": label or "label",
            "unit": held.columns.unit_name(),
            "split": None if train is None else "split",
            "outputs": outputs,
            "rows": f"{IN_MEMORY}rows",
            "input": "input",
            "model": f"{IN_MEMORY}{called}",
            "predictions": f"{IN_MEMORY}{held.name_predictions()}",
            "layout": "rft",
        }
        plan = ConfigArguments(FUNCTION, OF_IMAGES if images else OF_PREDICTIONS, values, plugins).plan_audit()
        if not images:
            _refuse_explanations(plan)
        _check_plan(plan)
        check_out(out, force=force)
        with held.prepare_target(plan.settings.core.data, images=images) as (target, place):
            return run_plan(replace(plan, in_memory=target), out, device=place, force=force)


def _refuse_explanations(plan: AuditPlan) -> None:
    """Raise ``ConfigError`` for a plugin that would ask a model for more than its predictions of rows."""
    for participant in plan.active:
        if participant.plugin.needs_model:
            raise ConfigError(
                f"{participant.name} looks into a torch module of images; this model takes rows, or is no torch "
                "module, and is audited by its predictions alone",
                where="plugins",
                remedy=f"Leave {participant.name} out.",
            )


def _check_plan(plan: AuditPlan) -> None:
    """Raise ``ConfigError`` for all that is wrong with the arguments, before any row is read."""
    from rft.pipeline.stages import check_plan

    described = plan.settings.core.data
    if described.positive is not None and described.positive not in (described.classes or [described.positive]):
        raise ConfigError(
            f"{described.positive!r} is none of the classes {', '.join(described.classes or [])}",
            where="positive",
            remedy=near(described.positive, list(described.classes or [])),
        )
    check_plan(plan)


def _choose_classes(given: Sequence[object] | None, known: Sequence[str] | None) -> list[str] | None:
    """Return the classes that the caller names, or the estimator knows; raises ``ConfigError`` where they differ."""
    named = None if given is None else [str(name) for name in given]
    if named is not None and known is not None and named != list(known):
        raise ConfigError(
            f"are {', '.join(named[:10])}, and the classes_ of the estimator {', '.join(known[:10])}",
            where="classes",
            remedy="Leave them out.",
        )
    return list(known) if known is not None else named
