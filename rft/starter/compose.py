"""From a proposal to the tables of a config, with the reason for each key in its comment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from rft.config.item_files import FileKind
from rft.config.schema import SEE_WORDS
from rft.data.group_values import explain_numbered_classes
from rft.data.remarks import join_names
from rft.data.splits import split_named
from rft.number_format import format_count
from rft.plugins import Registered
from rft.starter.document import Entry, Table
from rft.starter.item_tables import ItemTable
from rft.starter.proposal import Proposal
from rft.starter.questions import NO_UNIT
from rft.starter.tables.columns import Guess

LEFT_OUT = "left out"  # begins the reason of a table that was wanted
MOST_CLASSES_NAMED = 6  # in the place of the favourable one
SCORE_LEFT_OUT = f"{LEFT_OUT}, and all that needs probabilities: it must be that of data.positive, which is not said"
NORMALIZER_CHOICE = 'or "none", or "whisper_english" for English: error rates depend on it, and stand without it beside'
PROPOSED_ACCURACY = 0.8  # of a rule that could be
TEST_SHARE = 0.25  # of a table without splits: what rft takes of a folder


def compose_tables(proposal: Proposal, folder: Path, registry: Mapping[str, Registered]) -> list[Table]:
    """Return the tables of a config.

    Args:
        proposal: what they say.
        folder: where the config will stand, which its paths are relative to.
        registry: the plugins that are installed.
    """
    return [
        Table("", entries=[Entry("seed", 0)]),
        Table(
            "data", entries=[*_source_entries(proposal, folder), *_label_entries(proposal), *_people_entries(proposal)]
        ),
        *(_prediction_tables(proposal, folder) if proposal.backbone is None else _model_tables(proposal)),
        _privacy_table(proposal, registry),
        _fairness_table(proposal, registry),
        *_attribution_tables(proposal, registry),
        *_policy_tables(proposal),
    ]


def relative_path(path: Path, folder: Path) -> str:
    """Return a path as a config in ``folder`` names it: relative to it, with ``/``."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # on another drive
        return path.resolve().as_posix()


def _source_entries(proposal: Proposal, folder: Path) -> Iterator[Entry]:
    """Yield where the examples are, and what an example is."""
    source, roles = proposal.source, proposal.roles
    if proposal.backbone is None:
        return
    where = relative_path(source.path, folder)
    if source.kind == "table":
        rows = f"{format_count(source.sample.n)} rows"
        yield Entry("manifest", where, rows if source.sample.whole else f"the first {rows} were looked at")
        assert roles.item is not None
        yield Entry(roles.modality, roles.item.value, roles.item.reason)
        column = source.sample.columns.get(roles.item.value)
        if column is not None and column.missing:
            empty = f"{format_count(column.missing)} rows have no {roles.modality}: left out, counted and reported"
            yield Entry("on_error", "skip", empty)
        return
    splits = join_names([f"{name} {format_count(count)}" for name, count in source.split_counts.items()])
    many = source.files.many
    kind = f"class folders of {many}" if source.class_counts else f"{many}, with tables that name them"
    yield Entry("folder", where, f"{kind}, in folders of splits: {splits}" if splits else kind)
    if source.item_table is not None:
        yield from _item_table_entries(source.item_table, source.files, folder)
    if source.ignored_tables:
        yield Entry("", reason=f"not read: {join_names(source.ignored_tables)}; --metadata FILE names another table")


def _item_table_entries(table: ItemTable, kind: FileKind, folder: Path) -> Iterator[Entry]:
    """Yield the table about the files of a folder, and how it names them."""
    named, total = len(set(table.items)), format_count(table.n_files)
    reason = f"its column {table.column} names {format_count(named)} of the {total} {kind.many}"
    if named < table.n_files:
        reason = f"{reason}; the others are left out, counted and reported"
    if table.n_lost:
        rows = "1 row names" if table.n_lost == 1 else f"{format_count(table.n_lost)} rows name"
        reason = f"{reason}; {rows} no {kind.one}: likewise"
    if table.path is None:
        yield Entry("", reason=f"metadata in the folder: {reason}")
        return
    yield Entry("metadata", relative_path(table.path, folder), reason)
    yield Entry(
        kind.modality, table.column, f"names the {kind.many}: a path, or the end of one, such as the file name alone"
    )


def _label_entries(proposal: Proposal) -> Iterator[Entry]:
    """Yield what says labels, classes and the favourable one."""
    roles = proposal.roles
    if roles.transcript is not None:
        yield Entry("transcript", roles.transcript.value, f"{roles.transcript.reason}; --label COLUMN learns classes")
        yield Entry("normalizer", "simple", NORMALIZER_CHOICE)
    if roles.is_recognition:
        return
    counted = ", ".join(f"{name} ({format_count(n)})" for name, n in roles.class_counts.items())
    if roles.label is not None:
        column = proposal.source.sample.columns[roles.label.value]
        lost = "; rows without a label stop an audit: remove them" if column.missing else ""
        yield Entry("label", roles.label.value, f"{roles.label.reason}{lost}")
    if (numbered := explain_numbered_classes(roles.class_counts)) is not None:
        yield Entry("", reason=numbered)
    if proposal.classes:
        yield Entry("classes", list(proposal.classes), "all there are, known without the data: the model shows them")
    elif proposal.backbone is not None:
        seen = "the labels that occur" if proposal.source.sample.whole else "the labels of the rows that were looked at"
        reason = f"{seen}; named here, they are fixed, as private training wants"
        names = list(roles.class_counts)
        yield Entry("classes", names, f"{counted}: {reason}" if roles.label is None else reason, active=False)
    if proposal.positive is not None:
        yield Entry("positive", proposal.positive.value, proposal.positive.reason)
    else:
        named = " or ".join(list(roles.class_counts)[:MOST_CLASSES_NAMED]) or "..."
        reason = "put in the favourable outcome alone, which only you know: fairness needs it"
        yield Entry("positive", named, reason, active=False)


def _people_entries(proposal: Proposal) -> Iterator[Entry]:
    """Yield groups, whose data a row is, and how rows come into splits."""
    roles, others = proposal.roles, proposal.roles.other_groups
    for guess in roles.groups:
        yield Entry("", reason=f"{guess.value}: {guess.reason}")
    if roles.groups:
        yield Entry("groups", [guess.value for guess in roles.groups], "compared by [fairness]")
    else:
        yield Entry("", reason=_why_no_groups(proposal))
    for guess in roles.unfit_groups:
        yield Entry("", reason=_say_unfit(guess), warns=True)
    for guess in others.people:
        yield Entry("", reason=f"not compared: {guess.value}, {guess.reason}")
    for guess in others.unfit:
        yield Entry("", reason=_say_unfit(guess), warns=True)
    for guess in others.others:
        yield Entry("", reason=f"few values too, if these are groups: {guess.value}, {guess.reason}")
    if roles.unit is not None:
        drawn = (
            ""
            if roles.is_recognition and proposal.backbone is None
            else "; they stay on one side of a split that rft draws"
        )
        reason = f"whose data a row is: {roles.unit.reason}{drawn}"
        yield Entry("unit", roles.unit.value, reason)
    elif roles.without_unit:
        yield Entry("", reason=roles.without_unit, warns=roles.without_unit.startswith(NO_UNIT))
    for guess in roles.other_units:
        yield Entry("unit", guess.value, f"if this says whose data a row is: {guess.reason}", active=False)
    if proposal.population is not None:
        yield Entry("population", proposal.population, "these people: a ledger adds up what all runs spend on them")
    elif proposal.epsilon is not None:
        reason = "whose data it is: a ledger then adds up what all runs spend; needs unit or id"
        yield Entry("population", "people-2026", reason, active=False)
    if roles.id is not None:
        yield Entry("id", roles.id.value, roles.id.reason)
    yield from _split_entries(proposal)


def _say_unfit(guess: Guess) -> str:
    return f"{guess.value} names no groups as it stands: {guess.reason}"


def _why_no_groups(proposal: Proposal) -> str:
    if proposal.source.kind == "folders":
        return (
            "no groups: class folders say nothing of people. A table with a column of file names, and others such as "
            "gender, age band and person, does: lay it beside the files and run rft init again, or name it with "
            "--metadata FILE"
        )
    return "no groups: no column speaks of people, with few values, by its name"


def _split_entries(proposal: Proposal) -> Iterator[Entry]:
    roles, source = proposal.roles, proposal.source
    if roles.split is not None:
        yield Entry("split", roles.split.value, roles.split.reason)
    elif source.split_counts or (roles.predictions is not None and roles.predictions.rft):
        return
    elif proposal.backbone is None:
        yield Entry("", reason="no column of splits: every row is test")
    else:
        who = f"each {roles.unit.value}" if roles.unit else "each example"
        drawn = f"no splits in the data: {who} goes to a side by a hash of its name and the seed"
        yield Entry("test", TEST_SHARE, drawn)


def _model_tables(proposal: Proposal) -> Iterator[Table]:
    choice = proposal.backbone
    assert choice is not None
    entries = [Entry("backbone", choice.backbone, choice.reason)]
    entries.append(Entry("weights", choice.weights, 'or a .safetensors or .pth file; "random" for a dry run'))
    yield Table("model", entries=entries)
    reason = "a new head on the frozen backbone; all of its numbers follow from how many examples there are"
    textbook = Entry("optimizer", "sgd", "the loop of textbooks instead", active=False)
    yield Table("train", reason, [textbook], active=False)


def _prediction_tables(proposal: Proposal, folder: Path) -> Iterator[Table]:
    source, predicted = proposal.source, proposal.roles.predictions
    assert predicted is not None
    rows = f"{format_count(source.sample.n)} rows"
    entries = [Entry("file", relative_path(source.path, folder), rows if source.sample.whole else f"first {rows} seen")]
    if predicted.rft:
        entries.append(Entry("layout", "rft", "its columns are those of the predictions of a run"))
    if predicted.reference is not None and predicted.hypothesis is not None:
        entries.append(Entry("reference", predicted.reference.value, predicted.reference.reason))
        entries.append(Entry("hypothesis", predicted.hypothesis.value, predicted.hypothesis.reason))
        entries.append(Entry("normalizer", "simple", NORMALIZER_CHOICE))
    if predicted.prediction is not None:
        entries.append(Entry("prediction", predicted.prediction.value, predicted.prediction.reason))
    if predicted.scores:
        entries.append(Entry("scores", dict(predicted.scores), predicted.scores_reason))
    if predicted.score is not None:
        entries.append(_score_entry(proposal, predicted.score))
    yield Table("predictions", "in the place of [model] and [train]: the model itself is not available", entries)


def _score_entry(proposal: Proposal, score: Guess) -> Entry:
    """Return the column of scores, which are of the favourable class, or why it is not named."""
    predicted = proposal.roles.predictions
    assert predicted is not None
    if len(proposal.roles.class_counts) != 2:
        return Entry("score", score.value, "one column of scores is for two classes", active=False)
    if proposal.positive is None:
        return Entry("score", score.value, SCORE_LEFT_OUT, active=False)
    if predicted.score_class not in (None, proposal.positive.value):
        reason = f"{LEFT_OUT}: it is called after {predicted.score_class}, and must be that of data.positive"
        return Entry("score", score.value, reason, active=False)
    return Entry("score", score.value, f"the probability of data.positive: {score.reason}")


def _plugin_problem(name: str, registry: Mapping[str, Registered]) -> str | None:
    """Return what a plugin needs that is not there or too old, or None."""
    registered = registry[name]
    unmet = registered.unmet_requirements(registered.plugin.options())
    return f"needs {'; '.join(unmet.values())}: {registered.install_hint()}" if unmet else None


def _privacy_table(proposal: Proposal, registry: Mapping[str, Registered]) -> Table:
    problem = _plugin_problem("privacy", registry)
    if proposal.roles.is_recognition and proposal.backbone is None:
        return Table("privacy", f"{LEFT_OUT}: it does not apply to transcripts", active=False)
    if proposal.epsilon is not None:
        reason = "trained with differential privacy, and attacked"
        reason = f"{reason}; {problem}" if problem else reason
        return Table("privacy", reason, [Entry("epsilon", proposal.epsilon, "the most that training may spend")])
    if problem:
        return Table("privacy", f"attacks that tell training data from other data; {problem}", active=False)
    reason = "without epsilon: trained without privacy, and attacked"
    if proposal.backbone is None:
        reason = "the attack that needs predictions alone; it compares train with test"
        return Table("privacy", reason, active=_has_train(proposal))
    needed = "data.characters" if proposal.roles.is_recognition else "data.classes"
    return Table("privacy", reason, [Entry("epsilon", 3.0, f"for private training; needs {needed}", active=False)])


def _has_train(proposal: Proposal) -> bool:
    """Tell whether some of the predictions are said to be of training data."""
    roles = proposal.roles
    if roles.predictions is not None and roles.predictions.rft:
        column = "split"
    elif roles.split is not None:
        column = roles.split.value
    else:
        return False
    return any(split_named(name) == "train" for name in proposal.source.sample.columns[column].counts)


def _fairness_table(proposal: Proposal, registry: Mapping[str, Registered]) -> Table:
    roles = proposal.roles
    default = registry["fairness"].plugin.options.model_fields["min_group_size"].default
    size = Entry(
        "min_group_size",
        default,
        "fewer test examples, or persons where they repeat, are shown, not compared",
        active=False,
    )
    compared = f"compares {join_names([guess.value for guess in roles.groups])}"
    if roles.is_recognition and roles.groups:
        return Table("fairness", f"{compared}, by groups of 5 speakers and more")
    if not proposal.compares_groups:
        lacks = (
            "data.positive, the favourable class, which only you know: give --positive, or add it"
            if roles.groups and not roles.is_recognition
            else "data.groups: no column of groups of people was found, or named with --group"
        )
        return Table("fairness", f"{LEFT_OUT}: it needs {lacks}", [size], active=False)
    return Table("fairness", compared, [size])


def _attribution_tables(proposal: Proposal, registry: Mapping[str, Registered]) -> Iterator[Table]:
    if proposal.backbone is None or proposal.roles.modality == "predictions" or proposal.roles.is_recognition:
        return
    problem = _plugin_problem("attribution", registry)
    reason = "what the model looks at" if problem is None else f"what the model looks at; {problem}"
    is_text = proposal.roles.modality == "text"
    remarks = [Entry("", reason=SEE_WORDS, warns=True)] * is_text
    yield Table("attribution", reason, remarks, active=problem is None)
    if is_text and problem is None:
        shown = Entry("show_examples", True, "shows words and texts", active=False)
        yield Table("report", "what may leave the machine", [shown], active=False)
    suspect, name, where = {
        "image": (
            "a region",
            "watermark",
            Entry("region", [0.0, 0.9, 0.3, 1.0], "left, top, right, bottom, as shares"),
        ),
        "text": ("words", "greeting", Entry("tokens", ["..."], "whole words or phrases")),
        "audio": (
            "background noise",
            "room",
            Entry("background", True, "or seconds = [0, 0.1], hertz = [0, 100]"),
        ),
    }[proposal.roles.modality]
    yield Table(
        "attribution.shortcut",
        f"{suspect} that the model should not lean on",
        [Entry("name", name), where],
        active=False,
        repeated=True,
    )


def _policy_tables(proposal: Proposal) -> Iterator[Table]:
    """Yield rules as they could stand: only their owner knows the bounds."""
    because = Entry("because", "release criterion ...")
    reason = "without a rule nothing is judged; yours could be"
    is_recognition = proposal.roles.is_recognition
    counts = proposal.roles.class_counts
    guessed = max(counts.values(), default=0) / max(sum(counts.values()), 1)
    quality = [Entry("finding", "performance.accuracy"), Entry("min", PROPOSED_ACCURACY)]
    if guessed >= PROPOSED_ACCURACY:
        commonest = max(counts, key=lambda name: counts[name])
        why = f"each class counts the same in it; always guessing {commonest} reaches an accuracy of {guessed:.2f}"
        quality[0] = Entry("finding", "performance.balanced_accuracy", why)
    if is_recognition:
        quality = [Entry("finding", "performance.word_error_rate"), Entry("max", 0.2)]
    yield Table(
        "policy",
        reason,
        [*quality, because],
        active=False,
        repeated=True,
    )
    if proposal.compares_groups:
        metric = "word_error_rate" if is_recognition else "accuracy"
        finding = f"fairness.{metric}_gap.{proposal.roles.groups[0].value}"
        entries = [Entry("finding", finding), Entry("max", 0.1), because]
        yield Table("policy", "", entries, active=False, repeated=True)
