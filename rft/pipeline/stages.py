"""The stages of an audit, in order. Nothing flows back."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rft import data
from rft.backbones.classifier import hash_tensors
from rft.config import loader
from rft.disclosure.decide import decide
from rft.disclosure.release import release
from rft.disclosure.withheld import PUBLISHED_BELOW, Counted, Withheld
from rft.errors import ConfigError, EvidenceError, IntegrityError, Unavailable
from rft.features.extract import choose_device
from rft.pipeline.environment import describe as describe_environment
from rft.pipeline.subjects import external, fine_tune, predicted
from rft.plugins import AuditedModel, Options, Plugin, Registered, discover
from rft.records import Artifacts, Finding, Run, Section, not_measured
from rft.run import FinishedRun
from rft.runtime import memory
from rft.runtime.allocator import keep_freed_memory
from rft.runtime.float32 import ieee_float32
from rft.training import Trainer
from rft.training.loop import StandardTrainer
from rft.verdict import policy
from rft.version import __version__

log = logging.getLogger("rft")

Active = list[tuple[Registered, Options]]


def audit(
    path: str | Path, *, overrides: Sequence[str] = (), device: str | None = None, offline: bool = False
) -> FinishedRun:
    """Fine-tune and audit as ``audit.toml`` says; return the finished run, which nothing has been written of yet.

    A model that others trained (``model.checkpoint``, ``model.factory``), or a table of its predictions
    (``predictions.file``), is audited as it is.

    Args:
        path: the config file.
        overrides: ``table.key=value`` strings that replace values of the config.
        device: torch device name; chosen by itself when None.
        offline: forbid downloads of weights.

    Raises:
        RftError: for anything that the user can mend.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    settings, active, trainer = prepare(path, overrides)
    device = choose_device(device)
    keep_freed_memory()

    with ieee_float32():
        dataset, audited = _prepare_audited_model(settings, trainer, device, offline=offline)
        counted = [_counted(plugin, audited) for plugin in active]
        small = _small_cells(settings, counted, audited)
        shown = audited.without(small) if settings.core.report.suppress_below else audited
        found = tuple(
            rows if isinstance(rows, Section) else _audit(plugin, shown)
            for plugin, rows in zip(active, counted, strict=True)
        )
    memory.trim()
    sections, facts = release(found, dataset.facts(), shown.withheld)

    run = FinishedRun(
        rft_version=__version__,
        run=_frame(settings, active, started, time.monotonic() - clock, device),
        model=audited.facts,
        data=facts.model_copy(update={"small_cells": small.facts()}),
        sections=sections,
        verdict=policy.judge(settings.core.policy, sections),
    )
    settle = audited.fit.settle if audited.fit else None
    parts = Artifacts(audited.predictions, dataset.inputs, settings.folder, audited.write_model, settle)
    return run.with_artifacts(parts)


def _prepare_audited_model(
    settings: loader.LoadedConfig, trainer: Trainer, device: str, *, offline: bool
) -> tuple[data.Dataset, AuditedModel]:
    """Return the data and what is audited on it: a model trained here, one trained elsewhere, or predictions alone."""
    core, folder = settings.core, settings.folder
    if core.predictions is not None:
        dataset, predictions = data.read_predictions(core, folder)
        return dataset, predicted(settings, dataset, predictions)
    dataset = data.read(core.data, folder, core.seed, external=core.external)
    if core.external:
        return dataset, external(settings, dataset, device, offline=offline)
    return dataset, fine_tune(settings, dataset, trainer, device, offline=offline)


def prepare(path: str | Path, overrides: Sequence[str] = ()) -> tuple[loader.LoadedConfig, Active, Trainer]:
    """Read a config and return it with the plugins that take part, and what trains; nothing is loaded or run yet.

    Raises:
        ConfigError: for all that can be told to be wrong from the config alone.
    """
    registered = discover()
    options = {name: each.plugin.options for name, each in registered.items()}
    settings = loader.load(Path(path), list(overrides), options)
    active = _activate(registered, settings)
    trainer = _trainer(active, settings)
    for plugin, chosen in active:
        plugin.plugin.check(chosen, settings.core.data)
    return settings, active, trainer


def _activate(registered: Mapping[str, Registered], settings: loader.LoadedConfig) -> Active:
    """Return the plugins that take part with their options; refuse now what would only fail after hours of work."""
    active: Active = []
    for name, each in registered.items():
        if not each.plugin.always_on and name not in settings.plugins:
            continue
        options = settings.plugins.get(name) or each.plugin.options()
        if missing := each.missing(options):
            raise ConfigError(
                f"needs {', '.join(missing)}, which is not installed", where=f"[{name}]", remedy=each.install_hint()
            )
        for key in each.plugin.needs:
            if not getattr(settings.core.data, key):
                raise ConfigError(
                    f"needs data.{key}, which is not set", where=f"[{name}]", remedy=f"Add {key} = ... to [data]."
                )
        active.append((each, options))
    for rule in settings.core.policy:
        if rule.finding.split(".")[0] not in {each.plugin.name for each, _ in active}:
            raise ConfigError(
                f"{rule.finding!r} belongs to no plugin that is switched on",
                where="policy",
                remedy=f"A plugin's table switches it on, such as [{rule.finding.split('.')[0]}].",
            )
    return active


def _trainer(active: Active, settings: loader.LoadedConfig) -> Trainer:
    """Return the trainer of the one plugin that takes over training, or the standard one."""
    offered = [(each.plugin.name, each.plugin.trainer(options)) for each, options in active]
    taken = [(name, trainer) for name, trainer in offered if trainer is not None]
    if taken and settings.core.external:
        given = "a table of predictions" if settings.core.model is None else "a checkpoint or factory"
        raise ConfigError(
            f"would train the model, but {given} is audited as it is",
            where=f"[{taken[0][0]}]",
            remedy=f"Remove the keys of [{taken[0][0]}] that are about training, such as epsilon.",
        )
    if len(taken) > 1:
        raise ConfigError(f"{' and '.join(name for name, _ in taken)} both want to train the model")
    for _, options in active:
        if taken and options.fits_by_itself:
            raise ConfigError(
                f"fits to the training data outside the training that [{taken[0][0]}] takes over, which would void "
                "what that promises",
                where=f"[{options.fits_by_itself}]",
                remedy=f"Remove [{options.fits_by_itself}], or the keys of [{taken[0][0]}] that are about training, "
                "such as epsilon.",
            )
    return taken[0][1] if taken else StandardTrainer()


def _small_cells(
    settings: loader.LoadedConfig, counted: Sequence[tuple[Counted, ...] | Section], audited: AuditedModel
) -> Withheld:
    """Return what may not leave the machine: in this run, or, where the config does not say, in a model card."""
    asked = settings.core.report.suppress_below
    rows = [own for each in counted if not isinstance(each, Section) for own in each]
    return decide(audited.predictions, rows, PUBLISHED_BELOW if asked is None else asked)


def _counted(plugin: tuple[Registered, Options], audited: AuditedModel) -> tuple[Counted, ...] | Section:
    """Return the rows that a plugin's numbers of groups rest on, or the section of one that cannot say: no audit."""
    each, options = plugin
    try:
        return tuple(each.plugin.count_cases(audited, options))
    except Unavailable:  # it refuses its audit for the same reason, and says so then
        return ()
    except (EvidenceError, IntegrityError):
        raise
    except Exception as error:  # a plugin is foreign code, see _audit
        return _failed(each.plugin, error)


def _audit(plugin: tuple[Registered, Options], audited: AuditedModel) -> Section:
    """Return a plugin's section; one that fails or refuses gives a finding that says so, never silence."""
    each, options = plugin
    try:
        section = each.plugin.audit(audited, options)
    except Unavailable as reason:
        return _unmeasured(each.plugin, str(reason))
    except (EvidenceError, IntegrityError):  # a promise that does not hold is more than an audit that is missing
        raise
    except Exception as error:  # a plugin is foreign code: whatever it raises, the other audits must stand
        return _failed(each.plugin, error)
    return _untouched(section, audited)


def _failed(plugin: Plugin, error: Exception) -> Section:
    """Return the section of a plugin that failed. What it says may name files or people: the terminal alone tells."""
    log.warning("the plugin %s failed: %s: %s", plugin.name, type(error).__name__, error)
    log.debug("plugin %s failed", plugin.name, exc_info=error)
    return _unmeasured(plugin, f"the plugin failed ({type(error).__name__}); the terminal said more")


def _unmeasured(plugin: Plugin, reason: str) -> Section:
    finding = not_measured(
        f"{plugin.name}.audit", "Audit not made", reason, f"The {plugin.name} audit gave no result in this run."
    )
    return Section(plugin=plugin.name, findings=(finding,))


def _untouched(section: Section, audited: AuditedModel) -> Section:
    """Add a failed finding when the plugin changed the model that it was to look at."""
    if audited.model is None or hash_tensors(audited.model.state_dict()) == audited.facts.model_sha256:
        return section
    broken = Finding(
        id=f"{section.plugin}.model_untouched",
        title="Model changed while it was audited",
        status="fail",
        value=0.0,
        unit="yes or no",
        deterministic=True,
        description=f"The {section.plugin} audit changed the model, so its results are about another one.",
    )
    return section.model_copy(update={"findings": (*section.findings, broken)})


def _frame(settings: loader.LoadedConfig, active: Active, started: datetime, seconds: float, device: str) -> Run:
    return Run(
        id=secrets.token_hex(8),
        salt=secrets.token_hex(32),
        name=settings.core.name,
        created=started.isoformat(timespec="seconds"),
        seconds=round(seconds, 1),
        seed=settings.core.seed,
        config=settings.public(),
        config_sha256=settings.sha256,
        environment=describe_environment(device, [name for each, _ in active for name in each.plugin.requires]),
    )
