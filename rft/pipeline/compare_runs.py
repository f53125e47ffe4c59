"""Two finished runs side by side: every finding that both have, what else differs, and what is worse than before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from rft.config.loader import load_policy
from rft.disclosure.release import release_sections
from rft.disclosure.withheld import Withheld
from rft.errors import Unavailable
from rft.number_format import format_date
from rft.pipeline.comparison.changes import compare_findings
from rft.pipeline.comparison.circumstances import compare_circumstances
from rft.pipeline.comparison.examples import NOT_READ, PREDICTIONS, SPLIT, share_examples
from rft.pipeline.comparison.judge import check_change_rules, find_lost_audits, judge_changes
from rft.pipeline.comparison.withheld import join_withheld
from rft.plugins import RunPair, discover_plugins
from rft.records import AuditRun, DataFacts, Document, Record, Section, Verdict
from rft.report import open_run
from rft.report.format.words import end_sentence
from rft.verdict.policy import judge_rules
from rft.version import __version__

NO_TOLERANCES: Mapping[str, float] = MappingProxyType({})


class ComparedRun(Record):
    """One of the runs that are compared.

    Attributes:
        id, created, verdict: of the run.
        name: of its audit, with epsilon where it was private.
        called: what sentences call it: its name, or which of the two it is where both have one name.
        left_out: how many of its test examples the other lacks; None where these are too few to leave the machine, or
            predictions were not read.
    """

    id: str
    name: str
    called: str
    created: str
    verdict: str
    left_out: int | None


class RunComparison(Document):
    """What came of comparing two runs.

    Attributes:
        before, after: the runs; differences are of the second minus the first.
        n: test examples that both predicted.
        identical_predictions: both predicted the same for each of them.
        not_paired: why the runs were not compared example by example; empty where they were.
        sections: all findings of both, what each plugin that compares runs found, and what else differs.
        verdict: whether anything is worse than before, or what the rules say that were given.
    """

    format_version: int = 1
    rft_version: str = __version__
    before: ComparedRun
    after: ComparedRun
    n: int
    identical_predictions: bool
    not_paired: str
    sections: tuple[Section, ...]
    verdict: Verdict

    @property
    def names(self) -> tuple[str, str]:
        """What sentences call the runs."""
        return self.before.called, self.after.called

    @property
    def title(self) -> str:
        """What was compared, in a line."""
        compared = f"{self.after.called}, compared with {self.before.called}"
        return compared if self.before.name != self.after.name else f"{self.after.name}: {compared}"


def compare_runs(
    before: str | Path,
    after: str | Path,
    *,
    tolerances: Mapping[str, float] = NO_TOLERANCES,
    rules_file: Path | None = None,
    keys: tuple[Path | None, Path | None] = (None, None),
    unpaired: bool = False,
) -> RunComparison:
    """Compare two runs: all findings that both have, example by example where they share test examples.

    Args:
        before, after: run folders; differences are of the second minus the first.
        tolerances: id of a finding -> how much worse it may be.
        rules_file: with rules about changes (``change.performance.accuracy``), which judge in place of the tolerances.
        keys: the files with the keys of the runs; None for those in the user's state folder.
        unpaired: compare by the intervals of both runs alone, without predictions, which only a key lets trust.

    Raises:
        DataError: a folder holds no run or no predictions.
        EvidenceError: a file of a run is not the one that was written.
        ConfigError: a tolerance is of something that was not compared, or a rule on what no comparison can find.
    """
    folders = (Path(before), Path(after))
    private = () if unpaired else (PREDICTIONS,)
    runs = [open_run(folder, key=key, private=private) for folder, key in zip(folders, keys, strict=True)]
    names, withheld = call_runs(runs), join_withheld(runs)
    shared = NOT_READ if unpaired else share_examples(runs, folders, names, withheld)
    paired = _release(_compare_by_plugins(shared.pair), shared.pair.withheld) if shared.pair else ()
    judged = (*_release([compare_findings(runs, names, paired, withheld)], withheld), *paired)
    if rules_file is not None:
        rules = load_policy(rules_file)
        check_change_rules(rules, runs, judged, rules_file)
        verdict = judge_rules(rules, judged, source=rules_file.name)
    else:
        verdict = judge_changes(judged, tolerances, find_lost_audits(*runs))
    first, second = (
        _describe_run(run, name, None if n is None else withheld.mask_count(n))
        for run, name, n in zip(runs, names, shared.left_out, strict=True)
    )
    return RunComparison(
        before=first,
        after=second,
        n=shared.n,
        identical_predictions=shared.identical,
        not_paired=shared.not_paired,
        sections=(*judged, compare_circumstances(runs, withheld)),
        verdict=verdict,
    )


def describe_pairing(comparison: RunComparison) -> list[str]:
    """Return in sentences which runs were compared, and on which examples."""
    first, second = comparison.before, comparison.after
    if comparison.not_paired:
        sentences = [f"Not paired: {comparison.not_paired}"]
    else:
        sentences = [f"{comparison.n:,} test examples that both predicted"]
    if not comparison.not_paired and (first.left_out or second.left_out):
        sentences.append(f"left out: {first.left_out} of {first.called}, {second.left_out} of {second.called}")
    if comparison.identical_predictions:
        sentences.append("identical predictions")
    return [_identify_run("before", first), _identify_run("after", second), *sentences]


def _identify_run(word: str, run: ComparedRun) -> str:
    return f"{word}: {run.name}, {format_date(run.created)}, run {run.id}"


def _describe_run(run: AuditRun, called: str, left_out: int | None) -> ComparedRun:
    return ComparedRun(
        id=run.run.volatile.id,
        name=_name_run(run),
        called=called,
        created=run.run.volatile.created,
        verdict=run.verdict.status,
        left_out=left_out,
    )


def _release(sections: Sequence[Section], withheld: Withheld) -> tuple[Section, ...]:
    """Return sections as they may leave the machine."""
    released, _ = release_sections(sections, DataFacts(splits={}), withheld)
    return released


def _compare_by_plugins(pair: RunPair) -> list[Section]:
    """Return what each plugin finds; one that cannot compare the runs says why."""
    sections: list[Section] = []
    for name, registered in discover_plugins().items():
        if registered.plugin.explain_task(pair.task):
            continue
        try:
            pair.withheld.require_split(SPLIT)
            section = registered.plugin.compare_runs(pair)
        except Unavailable as reason:
            section = Section(plugin=name, notes=(end_sentence(f"Not compared example by example: {reason}"),))
        sections += [section] if section else []
    return sections


def call_runs(runs: Sequence[AuditRun]) -> tuple[str, str]:
    """Return what sentences call two runs: by their names, or by their order where both have one name."""
    first, second = map(_name_run, runs)
    return (first, second) if first != second else ("the first run", "the second run")


def _name_run(run: AuditRun) -> str:
    epsilon = run.model.training.epsilon
    return run.run.name if epsilon is None else f"{run.run.name} (epsilon {epsilon:g})"
