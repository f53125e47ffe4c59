"""``rft check``: what would stop an audit, all of it at once, and what it would run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rft.cli.app import Debug, Offline, Overrides, err, out, report_errors, say_error
from rft.cli.output import CommandResult, describe_error
from rft.number_format import format_count

if TYPE_CHECKING:
    from rft.pipeline.check import AuditCheck

NO_RULES = "none of yours; built in is that each audit that is asked for can answer"


def check(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The audit.toml to check.")],
    overrides: Overrides = None,
    offline: Offline = False,
    no_estimate: Annotated[
        bool, typer.Option("--no-estimate", help="Do not load the model and run a few examples to say what it takes.")
    ] = False,
    debug: Debug = False,
) -> CommandResult:
    """Check config, weights, plugins, rules and data of an audit at once, and say what it would run; trains nothing."""
    with report_errors(debug):
        from rft.pipeline.check import check_audit

        checked = check_audit(config, overrides or [], offline=offline, estimate=not no_estimate)
        for problem in checked.problems:
            say_error(problem)
        if checked.problems:
            if not err.without_notes:
                err.say(f"{config}: {len(checked.problems)} to mend", style="bold")
            return CommandResult(_describe_check(checked), checked.problems[0].exit_code)
        _show_plan(checked)
        return CommandResult(_describe_check(checked), decisive=_write_impossible(checked))


def _describe_check(checked: AuditCheck) -> dict[str, object]:
    """Return what the check found, for programs."""
    return {
        "problems": [describe_error(problem) for problem in checked.problems],
        "classes": list(checked.classes),
        "weights": checked.weights,
        "data": None if checked.data is None else checked.data.model_dump(mode="json"),
        "audits": [] if checked.plan is None else [participant.name for participant in checked.plan.active],
        "rules": 0 if checked.plan is None else len(checked.plan.settings.core.policy),
        "impossible_rules": checked.impossible_rules,
        "remarks": [{"plugin": name, "remark": sentence} for name, sentence in checked.remarks],
        "estimates": [asdict(estimate) for estimate in checked.estimates],
    }


def _show_plan(checked: AuditCheck) -> None:
    """Print what an audit would run, on which data."""
    assert checked.plan is not None
    assert checked.data is not None
    from rft.data.remarks import cut_list
    from rft.pipeline.rehearsal import is_built_in
    from rft.records import TASKS

    core = checked.plan.settings.core
    audited = core.model.backbone or core.model.checkpoint or core.model.factory if core.model else "predictions alone"
    headline = _count_impossible(checked) or "nothing stands in the way"
    out.say(f"{core.name}: {headline}", style="bold yellow" if checked.impossible_rules else "bold")
    out.say(
        f"  model      {audited}{'' if core.external else ', fine-tuned'}",
        *([f"  weights    {checked.weights}"] if checked.weights else []),
        f"  classes    {', '.join(checked.classes)}" if checked.classes else f"  task       {TASKS[core.task].label}",
    )
    for name, facts in checked.data.splits.items():
        units = "" if facts.n_units is None else f" of {format_count(facts.n_units)} units"
        out.say(f"  {name:10} {format_count(facts.n)} examples{units}")
        for attribute, counts in facts.groups.items():
            groups = [f"{group or 'none'} {_write_count(count)}" for group, count in counts.items()]
            out.say(f"             {attribute}: {', '.join(cut_list(groups))}")
    out.say(f"  audits     {', '.join(participant.name for participant in checked.plan.active)}")
    out.say(f"  rules      {len(core.policy) or NO_RULES}")
    for sentence in checked.impossible_rules:
        out.say(f"  {sentence}" if is_built_in(sentence) else f"  [policy] {sentence}")
    for table, sentence in checked.remarks:
        out.say(f"  [{table}] {sentence}")
    for estimate in checked.estimates:
        out.say(f"  estimate   {estimate.describe()}")


def _write_impossible(checked: AuditCheck) -> tuple[str, ...]:
    """Return which rules no model can meet, in lines for a log; none where there is no such rule."""
    return (_count_impossible(checked), *checked.impossible_rules) if checked.impossible_rules else ()


def _count_impossible(checked: AuditCheck) -> str:
    """Return how many rules no model can meet on the test split, and what follows; empty where there is none."""
    from rft.pipeline.rehearsal import is_built_in

    built_in = sum(map(is_built_in, checked.impossible_rules))
    own = len(checked.impossible_rules) - built_in
    counted = [f"{n} {kind if n == 1 else f'{kind}s'}" for n, kind in ((own, "rule"), (built_in, "built-in rule")) if n]
    if not counted:
        return ""
    return f"would run, but {' and '.join(counted)} cannot be met, so that the verdict cannot be a pass"


def _write_count(count: int | None) -> str:
    return "withheld" if count is None else format_count(count)
