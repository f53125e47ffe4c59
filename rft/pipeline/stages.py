"""The stages of an audit, in order. Nothing flows back."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from datetime import datetime

from rft import data
from rft.backbones.classifier import hash_tensors
from rft.config.loader import LoadedConfig
from rft.data.manifest import hash_files
from rft.disclosure.decide import decide_withheld
from rft.disclosure.release import release_sections
from rft.disclosure.withheld import PUBLISHED_BELOW, Counted, Withheld
from rft.errors import ConfigError, EvidenceError, IntegrityError, Unavailable
from rft.features.extract import choose_device
from rft.pipeline.environment import describe_environment
from rft.pipeline.overview import state_pillars
from rft.pipeline.plan import ActivePlugin, AuditPlan, check_imports
from rft.pipeline.plugin_audits import audit_with_plugin, state_failed_audit
from rft.pipeline.targets.external import load_external_target
from rft.pipeline.targets.fine_tuned import fine_tune, help_to_fine_tune
from rft.pipeline.targets.predictions_alone import read_predictions_alone
from rft.pipeline.targets.recognizer import fine_tune_recognizer
from rft.pipeline.targets.transcribed import transcribe_dataset
from rft.plugins import AuditedModel
from rft.records import Artifacts, FindingDefinition, Run, Section, Training, VolatileFacts
from rft.run import FinishedRun
from rft.runtime import memory
from rft.runtime.allocator import keep_freed_memory
from rft.runtime.clock import read_clock
from rft.runtime.float32 import ieee_float32
from rft.runtime.progress import track_stage
from rft.training import Trainer
from rft.training.loop import StandardTrainer
from rft.verdict import policy
from rft.version import __version__


def run_audit(plan: AuditPlan, *, device: str | None = None, offline: bool = False) -> FinishedRun:
    """Fine-tune and audit as planned; return the finished run, which nothing has been written of yet.

    A model that others trained (``model.checkpoint``, ``model.factory``), or a table of its predictions
    (``predictions.file``), is audited as it is.

    Args:
        plan: the config and the plugins that take part.
        device: torch device name; chosen by itself when None.
        offline: forbid downloads of weights.

    Raises:
        RftError: for anything that the user can mend.
    """
    started, clock = read_clock(), time.monotonic()
    trainer, device = check_plan(plan), choose_device(device)
    keep_freed_memory()

    with ieee_float32():
        dataset, audited = _prepare_target(plan, trainer, device, offline=offline)
        counted = [_count_cases(participant, audited) for participant in plan.active]
        small = _find_small_cells(plan.settings, counted, audited)
        shown = audited.without(small) if plan.settings.core.report.suppress_below else audited
        plugin_sections = tuple(
            rows if isinstance(rows, Section) else _run_plugin(participant, shown)
            for participant, rows in zip(plan.active, counted, strict=True)
        )
    memory.release_freed_memory()
    sections, facts = release_sections(plugin_sections, dataset.facts(), shown.withheld)

    run = FinishedRun(
        rft_version=__version__,
        run=_describe_run(plan, _list_volatile(started, time.monotonic() - clock, audited), device),
        model=audited.facts,
        data=facts.model_copy(update={"small_cells": small.to_facts()}),
        sections=sections,
        pillars=state_pillars(plan.registered, sections, audited.facts),
        verdict=policy.judge_rules(plan.settings.core.policy, sections),
    )
    finalize = audited.fit.finalize if audited.fit else None
    settings = plan.settings
    inputs = [*dataset.inputs, *hash_files(settings.list_plugin_files(), settings.folder)]
    parts = Artifacts(audited.predictions, inputs, settings.folder, audited.write_model, finalize)
    return run.with_artifacts(parts)


def help_with_audit(plan: AuditPlan, *, device: str | None = None, offline: bool = False) -> None:
    """Help to fine-tune the model of an audit that process 0 runs; arguments and errors as of ``run_audit``.

    Does nothing for a recogniser, and for a model or predictions that exist: process 0 does that alone.
    """
    core = plan.settings.core
    trainer, device = check_plan(plan), choose_device(device)
    if core.predictions is not None or core.external or core.task == "recognition":
        return
    keep_freed_memory()
    with ieee_float32():
        dataset = data.read_dataset(core.data, plan.settings.folder, core.seed, external=False)
        help_to_fine_tune(plan.settings, dataset, trainer, device, offline=offline)


def _prepare_target(
    plan: AuditPlan, trainer: Trainer, device: str, *, offline: bool
) -> tuple[data.Dataset, AuditedModel]:
    """Return the data and what is audited on it: a model trained here, one trained elsewhere, or predictions alone."""
    settings, core = plan.settings, plan.settings.core
    if plan.in_memory is not None:
        with track_stage("predictions"):
            return plan.in_memory.prepare(settings, device)
    if core.predictions is not None:
        return read_predictions_alone(settings)
    with track_stage("data") as stage:
        dataset = data.read_dataset(core.data, settings.folder, core.seed, external=core.external)
        stage.detail = ", ".join(f"{len(split):,} {name}" for name, split in dataset.splits.items())
    examples = sum(map(len, dataset.splits.values()))
    with track_stage("predictions" if core.external else "features and training") as stage:
        if core.external:
            stage.detail = f"{examples:,} examples"
            if core.task == "recognition":
                return dataset, transcribe_dataset(settings, dataset, device, offline=offline)
            return dataset, load_external_target(settings, dataset, device, offline=offline)
        if core.task == "recognition":
            dataset, audited = fine_tune_recognizer(settings, dataset, trainer, device, offline=offline)
        else:
            audited = fine_tune(settings, dataset, trainer, device, offline=offline)
        stage.detail = f"{examples:,} examples, {_count_passes(audited.facts.training)}"
        return dataset, audited


def _count_passes(training: Training) -> str:
    """Return how long a model was trained, as its trainer counts it: in epochs, or in steps of random batches."""
    counts = ((training.epochs, "epochs"), (training.steps, "steps"))
    return next((f"{count:,} {word}" for count, word in counts if count is not None), "no epochs")


def check_plan(plan: AuditPlan) -> Trainer:
    """Have all plugins check their options; return what trains the model.

    Raises:
        ConfigError: for all that can be told to be wrong from the config and the installed libraries.
    """
    for participant in plan.active:
        check_imports(participant)
    trainer = choose_trainer(plan)
    for participant in plan.active:
        participant.plugin.check(participant.options, plan.settings.core.data)
    return trainer


def choose_trainer(plan: AuditPlan) -> Trainer:
    """Return the trainer of the one plugin that takes over training, or the standard one.

    Raises:
        ConfigError: there is nothing to train, several plugins want to, or one fits to the training data beside it.
    """
    offered = [(participant.name, participant.plugin.trainer(participant.options)) for participant in plan.active]
    taken = [(name, trainer) for name, trainer in offered if trainer is not None]
    if not taken:
        return StandardTrainer()
    if len(taken) > 1:
        raise ConfigError(f"{' and '.join(name for name, _ in taken)} both want to train the model")
    name, trainer = taken[0]
    _check_trainable(plan.settings, name)
    for participant in plan.active:
        if table := participant.options.fits_by_itself:
            raise ConfigError(
                f"fits to the training data outside the training that [{name}] takes over, which would void what that "
                "promises",
                where=f"[{table}]",
                remedy=f"Remove [{table}], or the keys of [{name}] that are about training, such as epsilon.",
            )
    return trainer


def _check_trainable(settings: LoadedConfig, plugin: str) -> None:
    """Raise ``ConfigError`` where a plugin would train a model that is audited as it is."""
    if settings.core.external:
        provided = "a table of predictions" if settings.core.model is None else "a checkpoint or factory"
        raise ConfigError(
            f"would train the model, but {provided} is audited as it is",
            where=f"[{plugin}]",
            remedy=f"Remove the keys of [{plugin}] that are about training, such as epsilon.",
        )


def _find_small_cells(
    settings: LoadedConfig, counted: Sequence[tuple[Counted, ...] | Section], audited: AuditedModel
) -> Withheld:
    """Return what may not leave the machine: in this run, or, where the config does not say, in a model card."""
    below = settings.core.report.suppress_below
    rows = [cases for counts in counted if not isinstance(counts, Section) for cases in counts]
    return decide_withheld(audited.predictions, rows, PUBLISHED_BELOW if below is None else below)


def _count_cases(participant: ActivePlugin, audited: AuditedModel) -> tuple[Counted, ...] | Section:
    """Return the rows that a plugin's numbers of groups rest on, or the section of one that cannot say: no audit."""
    if participant.plugin.explain_task(audited.facts.task, trained=audited.facts.trained_here):  # its audit says so
        return ()
    try:
        return tuple(participant.plugin.count_cases(audited, participant.options))
    except Unavailable:  # it refuses its audit for the same reason, and says so then
        return ()
    except (EvidenceError, IntegrityError):
        raise
    except Exception as error:  # a plugin is foreign code, see audit_with_plugin
        return state_failed_audit(participant.plugin, error)


def _run_plugin(participant: ActivePlugin, audited: AuditedModel) -> Section:
    """Return a plugin's section; one that changed the model that it was to look at gets a failed finding."""
    with track_stage(f"audit: {participant.name}") as stage:
        section = audit_with_plugin(participant, audited)
        stage.detail = "not made" if section.audit_missing else f"{len(section.findings)} findings"
    return section if section.audit_missing else _check_untouched(section, audited)


def _check_untouched(section: Section, audited: AuditedModel) -> Section:
    """Add a failed finding when the plugin changed the model that it was to look at."""
    if audited.model is None or hash_tensors(audited.model.state_dict()) == audited.facts.model_sha256:
        return section
    definition = FindingDefinition(
        f"{section.plugin}.model_untouched",
        "Model changed while it was audited",
        f"The {section.plugin} audit changed the model, so its results are about another one.",
        unit="yes or no",
        cases="none",
    )
    broken = definition.state_fact(0.0, status="fail")
    return section.model_copy(update={"findings": (*section.findings, broken)})


def _list_volatile(started: datetime, seconds: float, audited: AuditedModel) -> VolatileFacts:
    """Return what is drawn or measured anew in every run."""
    training_seconds = audited.training_seconds
    return VolatileFacts(
        id=secrets.token_hex(8),
        salt=secrets.token_hex(32),
        created=started.isoformat(),
        seconds=round(seconds, 1),
        training_seconds=None if training_seconds is None else round(training_seconds, 2),
    )


def _describe_run(plan: AuditPlan, volatile: VolatileFacts, device: str) -> Run:
    """Return the frame of the record: when, from which config, and with which software."""
    settings = plan.settings
    return Run(
        volatile=volatile,
        name=settings.core.name,
        seed=settings.core.seed,
        config=settings.public(),
        config_sha256=settings.sha256,
        environment=describe_environment(device, [name for active in plan.active for name in active.plugin.requires]),
    )
