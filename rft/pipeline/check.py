"""What is wrong with an audit before anything is trained: its config, weights, plugins, rules and data, all at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rft.config.loader import LoadedConfig, examine_config
from rft.errors import RftError
from rft.pipeline.plan import AuditPlan, check_imports, check_requirements, check_rule, list_active
from rft.pipeline.preflight import require_weights
from rft.plugins import discover_plugins

if TYPE_CHECKING:
    from rft.records import DataFacts


@dataclass
class AuditCheck:
    """What was found before an audit.

    Attributes:
        problems: all that would stop it, in the order in which an audit would meet it.
        plan: what would run; None where the config cannot be read.
        data: counts of the data; None where it cannot be read.
        classes: that the model would tell apart.
    """

    problems: list[RftError] = field(default_factory=list)
    plan: AuditPlan | None = None
    data: DataFacts | None = None
    classes: tuple[str, ...] = ()

    def attempt(self, step: Callable[[], object]) -> None:
        """Take a step of the check, and note what it raises for the user."""
        try:
            step()
        except RftError as problem:
            self.problems.append(problem)


def check_audit(path: str | Path, overrides: Sequence[str] = (), *, offline: bool = False) -> AuditCheck:
    """Return all that is wrong with an audit, and what it would run; nothing is loaded, trained or written.

    Args:
        path: the config file.
        overrides: ``table.key=value`` strings that replace values of the config.
        offline: downloads are forbidden.
    """
    registry = discover_plugins()
    options = {name: registered.plugin.options for name, registered in registry.items()}
    settings, problems = examine_config(Path(path), list(overrides), options)
    check = AuditCheck(problems=[*problems])
    if settings is None:
        return check
    active = list_active(registry, settings)
    check.plan = AuditPlan(settings, active, tuple(registry.values()))
    for participant in active:
        check.attempt(partial(check_requirements, participant, settings))
    for rule in settings.core.policy:
        check.attempt(partial(check_rule, rule, active))
    model = settings.core.model
    if model is not None:
        check.attempt(partial(require_weights, model, settings.folder, offline=offline))
    for participant in active:
        if not participant.registered.unmet_requirements(participant.options):
            check.attempt(partial(check_imports, participant))
    check.attempt(partial(_check_training, check.plan))
    for participant in active:
        check.attempt(partial(participant.plugin.check, participant.options, settings.core.data))
    check.attempt(partial(_read_data, check, settings))
    return check


def _check_training(plan: AuditPlan) -> None:
    """Have the plugins agree on who trains; raises ``ConfigError``."""
    from rft.pipeline.stages import choose_trainer

    choose_trainer(plan)


def _read_data(check: AuditCheck, settings: LoadedConfig) -> None:
    """Read the examples or the predictions, and what the config says of their classes; raises ``RftError``."""
    from rft.data import read_dataset
    from rft.pipeline.targets.predictions_alone import read_predictions_alone
    from rft.pipeline.targets.training_run import build_class_weights

    core = settings.core
    if core.predictions is not None:
        dataset, _ = read_predictions_alone(settings)
    else:
        dataset = read_dataset(core.data, settings.folder, core.seed, external=core.external)
    check.data, check.classes = dataset.facts(), dataset.classes
    if core.predictions is None and not core.external:
        build_class_weights(core, dataset.classes)
