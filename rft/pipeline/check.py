"""What is wrong with an audit before anything is trained: config, weights, plugins, rules, data and ledger, at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rft.config.loader import LoadedConfig, examine_config
from rft.errors import RftError
from rft.pipeline.plan import (
    ActivePlugin,
    AuditPlan,
    check_imports,
    check_requirements,
    list_active,
    list_possible_findings,
    locate_rules,
)
from rft.pipeline.preflight import describe_weights, require_stores, require_weights
from rft.plugins import ExaminedData, discover_plugins
from rft.plugins.possible_findings import check_rule

if TYPE_CHECKING:
    from rft.config.schema import ModelConfig
    from rft.data import Dataset
    from rft.pipeline.estimates import Estimate
    from rft.records import DataFacts


@dataclass
class AuditCheck:
    """What was found before an audit.

    Attributes:
        problems: all that would stop it, in the order in which an audit would meet it.
        plan: what would run; None where the config cannot be read.
        data: counts of the data; None where it cannot be read.
        classes: that the model would tell apart.
        weights: where those of the model are; empty without a model.
        impossible_rules: a sentence for each rule, built-in ones too, that no model could meet on this test split: the
            audit runs, and its verdict cannot be a pass.
        remarks: what plugins can say beforehand: (table, sentence).
        estimates: what the audit takes; none where something is to mend, or none were asked for.
    """

    problems: list[RftError] = field(default_factory=list)
    plan: AuditPlan | None = None
    data: DataFacts | None = None
    classes: tuple[str, ...] = ()
    weights: str = ""
    impossible_rules: list[str] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)
    estimates: list[Estimate] = field(default_factory=list)

    def attempt(self, step: Callable[[], object]) -> None:
        """Take a step of the check, and note what it raises for the user."""
        try:
            step()
        except RftError as problem:
            self.problems.append(problem)


def check_audit(
    path: str | Path, overrides: Sequence[str] = (), *, offline: bool = False, estimate: bool = False
) -> AuditCheck:
    """Return all that is wrong with an audit, and what it would run; nothing is trained or written.

    Args:
        path: the config file.
        overrides: ``table.key=value`` strings that replace values of the config.
        offline: downloads are forbidden.
        estimate: load the model where its weights are on this machine, and run a few examples to say what it takes.
    """
    begun = time.perf_counter()
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
    possible = list_possible_findings(active, settings)
    for rule, place in zip(settings.core.policy, locate_rules(settings, path, overrides), strict=True):
        check.attempt(partial(check_rule, rule, possible, where=place))
    check.attempt(partial(require_stores, settings, offline=offline))
    model = settings.core.model
    if model is not None:
        check.attempt(partial(_check_weights, check, model, settings, offline=offline))
    for participant in active:
        if not participant.registered.unmet_requirements(participant.options):
            check.attempt(partial(check_imports, participant))
    check.attempt(partial(_check_training, check.plan))
    for participant in active:
        check.attempt(partial(participant.plugin.check, participant.options, settings.core.data))
    check.attempt(partial(_check_data, check, settings, begun=begun if estimate else None))
    return check


def _check_weights(check: AuditCheck, model: ModelConfig, settings: LoadedConfig, *, offline: bool) -> None:
    """Look for the weights of the model; raises ``ModelError``."""
    require_weights(model, settings.folder, offline=offline)
    check.weights = describe_weights(model, settings.folder)


def _check_training(plan: AuditPlan) -> None:
    """Have the plugins agree on who trains; raises ``ConfigError``."""
    from rft.pipeline.stages import choose_trainer

    choose_trainer(plan)


def _check_data(check: AuditCheck, settings: LoadedConfig, *, begun: float | None) -> None:
    """Read the examples or the predictions, and hold what the config and the plugins say against them.

    Args:
        check: takes the notes.
        settings: the config.
        begun: when the check began, on the clock of performance; None where no estimate is asked for.

    Raises:
        RftError: the data cannot be read, or the config does not go with its classes.
    """
    from rft.data import read_dataset
    from rft.data.group_values import explain_numbered_classes
    from rft.pipeline.targets.predictions_alone import read_predictions_alone
    from rft.pipeline.targets.training_run import build_class_weights

    core = settings.core
    start = time.perf_counter()
    if core.predictions is not None:
        dataset, _ = read_predictions_alone(settings)
    else:
        dataset = read_dataset(core.data, settings.folder, core.seed, external=core.external)
    taken = None if begun is None else {"start": start - begun, "data": time.perf_counter() - start}
    check.data, check.classes = dataset.facts(), dataset.classes
    numbered = explain_numbered_classes(dataset.classes)
    check.remarks += [("data", sentence) for sentence in (*_list_unfit_groups(check.data), numbered) if sentence]
    if core.predictions is None and not core.external:
        check.attempt(partial(build_class_weights, core, dataset.classes))
    examined = ExaminedData(core, settings.folder, dataset.splits, dataset.classes, dataset.drawn_share)
    assert check.plan is not None
    for participant in check.plan.active:
        check.attempt(partial(_ask_plugin, check, participant, examined))
    if not check.problems:
        _rehearse(check, check.plan, dataset, taken)


def _list_unfit_groups(data: DataFacts) -> Iterator[str]:
    """Yield a sentence for each attribute whose groups are amounts, such as ages in years, and none."""
    from rft.data.group_values import explain_amounts, read_numbers

    for attribute in dict.fromkeys(name for split in data.splits.values() for name in split.groups):
        groups = {group for split in data.splits.values() for group in split.groups.get(attribute, {})}
        if (numbers := read_numbers(groups)) is not None and (why := explain_amounts(numbers)) is not None:
            yield f"{attribute} names no groups as it stands: {why}"


def _rehearse(check: AuditCheck, plan: AuditPlan, dataset: Dataset, taken: Mapping[str, float] | None) -> None:
    """Note which rules no model can meet on the test split, and what the audit takes.

    Args:
        check: takes the notes.
        plan: what would run.
        dataset: what it reads.
        taken: stage -> the seconds that it took in the check itself; None where no estimate is asked for.
    """
    from rft.pipeline.rehearsal import list_impossible_rules, rehearse_audits

    rehearsal = rehearse_audits(plan, dataset)
    check.impossible_rules += list_impossible_rules(plan.settings.core.policy, rehearsal, dataset)
    if taken is not None:
        from rft.pipeline.estimates import estimate_audit

        check.estimates = estimate_audit(plan, dataset, rehearsed=rehearsal.seconds, taken=taken)


def _ask_plugin(check: AuditCheck, participant: ActivePlugin, examined: ExaminedData) -> None:
    """Note what a plugin can say of its audit beforehand; raises ``RftError`` for what stands in its way."""
    if participant.plugin.explain_task(examined.core.task, trained=not examined.core.external):
        return
    for sentence in participant.plugin.examine_data(participant.options, examined):
        check.remarks.append((participant.name, sentence))
