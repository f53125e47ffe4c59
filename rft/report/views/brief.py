"""What a committee reads of a run: its first screen, what to review, the tables that sections name, what is missing.

It fits a few pages whatever the run: of long lists the first entries are shown, and how many more there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rft.disclosure.withheld import BETWEEN
from rft.records import AuditRun, Cell, Column, Row, Section, Table, find_column
from rft.report.format.words import count_of, join_names
from rft.report.views import page, tables
from rft.report.views.findings import FindingView
from rft.report.views.group_table import GroupTable, can_be_turned, list_group_tables
from rft.report.views.page import PageView
from rft.report.views.tables import TableView
from rft.report.views.verdict import VerdictView

MAX_RULES = 12
MAX_REVIEWED = 18
MAX_REASONS = 10
MAX_TITLES = 6  # of findings with one reason
MAX_METRICS = 4
MAX_ATTRIBUTES = 8
MAX_GROUP_ROWS = 24  # of all attributes together
MIN_GROUPS_PER_ATTRIBUTE = 4
MAX_TABLE_ROWS = 30


@dataclass(frozen=True)
class AbsenceView:
    """A reason, and what was not measured for it: ``titles``, in a sentence. ``word`` says whether it was asked for."""

    state: str
    word: str
    reason: str
    titles: str


@dataclass(frozen=True)
class GroupDigest:
    """Groups of single attributes by the first metrics of a table.

    Attributes:
        metrics: in words; the cells of all rows of ``blocks`` are in their order.
        blocks: one for all examples, and one for each attribute.
        constants: (label, text) of what is the same in all rows.
        note: which groups or attributes are left out; empty where none is.
    """

    metrics: tuple[str, ...]
    blocks: tuple[GroupTable, ...]
    constants: tuple[tuple[str, str], ...]
    note: str


@dataclass(frozen=True)
class BriefView:
    """Everything in a brief.

    Attributes:
        page: the same as in the report; of its rules the brief shows the first ``MAX_RULES``.
        rules_omitted, later_rules_omitted: how many rules of the run's verdict, and of each later one, are left out.
        review: (title of the section, finding) of what failed or is worth a review and no rule judges, worst first.
        review_omitted: how many of these are left out.
        tables: those that sections name, each with its heading.
        absences: what was not measured, by reason, what was asked for first.
        reasons_omitted: how many reasons are left out.
    """

    page: PageView
    rules_omitted: int
    later_rules_omitted: tuple[int, ...]
    review: tuple[tuple[str, FindingView], ...]
    review_omitted: int
    tables: tuple[tuple[str, TableView | GroupDigest], ...]
    absences: tuple[AbsenceView, ...]
    reasons_omitted: int


def view_brief(run: AuditRun) -> BriefView:
    """Return the brief of a run."""
    whole = page.view_run(run)
    later = whole.later_verdicts
    review, absences = _list_reviewed(run), _group_absences(run)
    return BriefView(
        page=replace(whole, verdict=_cut_rules(whole.verdict), later_verdicts=tuple(map(_cut_rules, later))),
        rules_omitted=_count_cut_rules(whole.verdict),
        later_rules_omitted=tuple(map(_count_cut_rules, later)),
        review=tuple(review[:MAX_REVIEWED]),
        review_omitted=max(0, len(review) - MAX_REVIEWED),
        tables=tuple(_list_tables(run)),
        absences=tuple(absences[:MAX_REASONS]),
        reasons_omitted=max(0, len(absences) - MAX_REASONS),
    )


def _cut_rules(verdict: VerdictView) -> VerdictView:
    return replace(verdict, rules=verdict.rules[:MAX_RULES])


def _count_cut_rules(verdict: VerdictView) -> int:
    return max(0, len(verdict.rules) - MAX_RULES)


def _list_reviewed(run: AuditRun) -> list[tuple[str, FindingView]]:
    judged = page.judged_findings(run)
    sections = [page.view_section(section, judged) for section in run.sections]
    reviewed = [
        (section.title, finding)
        for section in sections
        for finding in section.findings
        if finding.state in ("fail", "warn") and finding.id not in judged
    ]
    return sorted(reviewed, key=lambda entry: entry[1].rank)


def _group_absences(run: AuditRun) -> list[AbsenceView]:
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for section in run.sections:
        for finding in page.view_section(section).findings:
            if finding.reason:
                grouped.setdefault((finding.state, finding.word, finding.reason), []).append(finding.title)
    absences = [
        AbsenceView(state, word, reason, join_names(list(dict.fromkeys(titles)), MAX_TITLES))
        for (state, word, reason), titles in grouped.items()
    ]
    return sorted(absences, key=lambda absence: absence.state != "not_measured")


def _list_tables(run: AuditRun) -> Iterator[tuple[str, TableView | GroupDigest]]:
    for section in run.sections:
        for name, heading in section.card_tables.items():
            if not section.tables.get(name):
                continue
            if can_be_turned(section, name):
                yield heading, digest_groups(section, name)
            else:
                shown = section.tables[name][:MAX_TABLE_ROWS]
                view = tables.view_table(shown, section.describe_table(name), caption="")
                yield heading, replace(view, total=len(section.tables[name]))


def digest_groups(section: Section, name: str) -> GroupDigest:
    """Return the groups of single attributes in a table that can be turned, by its first metrics.

    Where an attribute has more groups than there is room for, those with the lowest and the highest estimates of the
    first metric are shown.
    """
    selection = _GroupSelection(section.tables[name], section.describe_table(name))
    turned = list_group_tables(section.model_copy(update={"tables": {name: selection.rows}}), name)
    metrics = tuple(dict.fromkeys(metric for table in turned for metric in table.metrics))
    return GroupDigest(
        metrics=metrics,
        blocks=tuple(_align_metrics(table, metrics) for table in turned),
        constants=turned[0].constants if turned else (),
        note=" ".join(selection.notes),
    )


def _align_metrics(table: GroupTable, metrics: Sequence[str]) -> GroupTable:
    """Return a table with these metrics as its columns; a dash stands where it has none of this name."""
    if table.metrics == metrics:
        return table
    empty = replace(table.rows[0].cells[0], value="", interval="", absence=tables.EMPTY)
    rows = [dict(zip(table.metrics, row.cells, strict=True)) for row in table.rows]
    cells = [tuple(row.get(metric, empty) for metric in metrics) for row in rows]
    return replace(
        table,
        metrics=tuple(metrics),
        rows=tuple(replace(row, cells=aligned) for row, aligned in zip(table.rows, cells, strict=True)),
    )


class _GroupSelection:
    """The rows of a table of groups that a brief has room for, and notes on what is left out."""

    def __init__(self, table: Table, columns: dict[str, Column]) -> None:
        self.attribute, self.group, self.metric, self.estimate = (
            str(find_column(columns, role)) for role in ("attribute", "group", "metric", "estimate")
        )
        self.columns = columns
        self.notes: list[str] = []
        single = [row for row in table if BETWEEN not in str(row[self.attribute])]
        rows = _keep_first_values(single, columns)
        metrics = list(dict.fromkeys(row[self.metric] for row in rows))[:MAX_METRICS]
        self.rows = self._limit_groups([row for row in rows if row[self.metric] in metrics])

    def _limit_groups(self, rows: Table) -> Table:
        attributes = [name for name in dict.fromkeys(row[self.attribute] for row in rows) if name is not None]
        if len(attributes) > MAX_ATTRIBUTES:
            self.notes.append(f"{count_of(len(attributes) - MAX_ATTRIBUTES, 'more attribute')} stand in the report.")
        shown = attributes[:MAX_ATTRIBUTES]
        room = max(MIN_GROUPS_PER_ATTRIBUTE, MAX_GROUP_ROWS // max(1, len(shown)))
        groups: dict[Cell, set[Cell]] = {name: self._select_groups(rows, name, room) for name in shown}
        return [
            row for row in rows if row[self.attribute] is None or row[self.group] in groups.get(row[self.attribute], ())
        ]

    def _select_groups(self, rows: Table, attribute: Cell, room: int) -> set[Cell]:
        """Return the groups of an attribute to show: all, or those at both ends of the first metric."""
        members = [row for row in rows if row[self.attribute] == attribute]
        groups = list(dict.fromkeys(row[self.group] for row in members))
        if len(groups) <= room:
            return set(groups)
        metric = members[0][self.metric]
        ordered = [group for _, group in sorted(self._estimates_of(members, metric), key=lambda pair: pair[0])]
        of_all = f"Of the {len(groups)} groups by {tables.words_of_name(str(attribute))}, "
        if len(ordered) <= room:
            self.notes.append(f"{of_all}{room} are shown, those with a value first; the report has all.")
            return set([*ordered, *(group for group in groups if group not in ordered)][:room])
        lowest, highest = ordered[: room // 2], ordered[room // 2 - room :]
        named = tables.cell_text(metric, self.columns[self.metric])
        ends = f"the {len(lowest)} with the lowest and the {len(highest)} with the highest {named} are shown"
        self.notes.append(f"{of_all}{ends}; the report has all.")
        return {*lowest, *highest}

    def _estimates_of(self, rows: Table, metric: Cell) -> Iterator[tuple[float, Cell]]:
        for row in rows:
            estimate = tables.to_number(row[self.estimate])
            if row[self.metric] == metric and estimate is not None:
                yield estimate, row[self.group]


def _keep_first_values(rows: Table, columns: dict[str, Column]) -> Table:
    """Return the rows of the first class, and of the first value of whatever else varies beside the groups."""
    keys = [name for name, column in columns.items() if column.role in ("key", "name")]
    label_class = find_column(columns, "class")
    if not rows:
        return []
    same = [row for row in rows if all(row[name] == rows[0][name] for name in keys)]
    return _keep_first_class(same, label_class) if label_class else same


def _keep_first_class(rows: list[Row], column: str) -> Table:
    first = next((row[column] for row in rows if row[column] is not None), None)
    return [row for row in rows if row[column] in (None, first)]
