"""The last look at what leaves the machine: facts about the data, findings that leave groups out, and small counts.

Plugins never see withheld groups. What is looked at here is what they cannot know or may have forgotten, by columns and
fields alone: no text is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rft.disclosure.withheld import BETWEEN, MISSING, Withheld
from rft.records import Column, DataFacts, Finding, Row, Section, SplitFacts, Table, find_column


def release_sections(
    sections: Sequence[Section], data: DataFacts, withheld: Withheld
) -> tuple[tuple[Section, ...], DataFacts]:
    """Return the sections and the facts about the data as they may leave the machine."""
    if not withheld.below:
        return tuple(sections), data
    splits = {name: _release_split(name, facts, withheld) for name, facts in data.splits.items()}
    return tuple(_release_section(section, withheld) for section in sections), data.model_copy(
        update={"splits": splits}
    )


def _release_split(name: str, facts: SplitFacts, withheld: Withheld) -> SplitFacts:
    def release_counts(attribute: str, counts: Mapping[str, int | None]) -> dict[str, int | None]:
        hidden = {*withheld.groups_of(attribute), MISSING} if withheld.hides_groups_of(attribute) else set()
        everywhere = {
            **dict.fromkeys(withheld.groups_of(attribute), 0),
            **counts,
        }  # no split tells by a name where it is not
        return {group: None if group in hidden else count for group, count in everywhere.items()}

    classes = withheld.classes_of(name)
    return facts.model_copy(
        update={
            "labels": {label: None if label in classes else n for label, n in facts.labels.items()},
            "groups": {attribute: release_counts(attribute, counts) for attribute, counts in facts.groups.items()},
            "n_units": withheld.mask_count(facts.n_units),
        }
    )


def _release_section(section: Section, withheld: Withheld) -> Section:
    """Return the section without tables that print a small count, and with what its findings leave out said."""
    dropped = {name for name in section.tables if _prints_small_count(section, name, withheld)}
    findings = tuple(_release_finding(finding, withheld) for finding in section.findings)
    notes = tuple(dict.fromkeys((*section.notes, *_explain_withheld(section, findings, dropped, withheld))))
    return without_tables(section, dropped).model_copy(update={"findings": findings, "notes": notes})


def without_tables(section: Section, dropped: set[str]) -> Section:
    """Return a section without some of its tables, and what is drawn from them."""
    if not dropped:
        return section
    figures = tuple(figure for figure in section.figures if figure.table not in dropped)
    drawn = {figure.id for figure in figures}
    tables = {name: table for name, table in section.tables.items() if name not in dropped}
    return section.model_copy(
        update={
            "tables": tables,
            "columns": {name: columns for name, columns in section.columns.items() if name not in dropped},
            "captions": {name: text for name, text in section.captions.items() if name not in dropped},
            "card_tables": {name: text for name, text in section.card_tables.items() if name not in dropped},
            "figures": figures,
            "assets": _select_assets(tables, section.assets),
            "chapters": tuple(
                chapter.model_copy(
                    update={
                        "tables": tuple(name for name in chapter.tables if name not in dropped),
                        "figures": tuple(id for id in chapter.figures if id in drawn),
                    }
                )
                for chapter in section.chapters
            ),
        }
    )


def _select_assets(tables: Mapping[str, Table], assets: Mapping[str, bytes]) -> dict[str, bytes]:
    named = {cell for table in tables.values() for row in table for cell in row.values() if isinstance(cell, str)}
    return {name: png for name, png in assets.items() if name in named}


def _prints_small_count(section: Section, table: str, withheld: Withheld) -> bool:
    counts = [name for name, column in section.describe_table(table).items() if column.role == "count"]
    cells = (row[name] for row in section.tables[table] for name in counts)
    return any(isinstance(cell, int) and withheld.is_small(cell) for cell in cells)


def _explain_withheld(
    section: Section, findings: Sequence[Finding], dropped: set[str], withheld: Withheld
) -> list[str]:
    concerned = any(finding.withheld for finding in findings) or any(
        _has_withheld_row(section, name, withheld) for name in section.tables
    )
    notes = []
    if concerned:
        notes.append(
            f"Groups and classes with fewer than {withheld.below} cases or units behind a number have no numbers in "
            "this report ([report] suppress_below), and neither have those from which they would follow by "
            "subtraction. They take part in no gap, interval or test; what is of all examples counts them."
        )
    if dropped:
        notes.append(f"Left out, since they print counts below {withheld.below}: {', '.join(sorted(dropped))}.")
    return notes


def _release_finding(finding: Finding, withheld: Withheld) -> Finding:
    """Return a finding that counts too few as not measured, and one that leaves groups out as one that says so."""
    if finding.status == "fail":
        return finding  # broken integrity is no fact about a group, and is never withheld
    if _rests_on_few(finding, withheld):
        return withhold_finding(finding, withheld)
    names = _list_left_out(finding.about.attributes, withheld)
    if not names or finding.withheld == names:  # it leaves none out, or says so already
        return finding
    said = (
        f"Withheld, and not part of this: {', '.join(names)}. Numbers on fewer than {withheld.below} cases do not "
        "leave the machine, nor those from which they would follow."
    )
    update = {"withheld": names, "caveats": f"{finding.caveats} {said}".lstrip()}
    return finding.model_copy(update=update | ({"reason": withheld.reason, "n": None} if finding.value is None else {}))


def _rests_on_few(finding: Finding, withheld: Withheld) -> bool:
    """Whether a finding counts, or rests on, too few cases. Counts of something else, such as names, do not."""
    if finding.rests_on == "none":
        return False
    is_small_count = finding.rests_on == "counted" and withheld.is_small(int(finding.value or 0))
    return is_small_count or withheld.is_small(finding.n)


def _list_left_out(attributes: Sequence[str], withheld: Withheld) -> tuple[str, ...]:
    """Return the withheld groups of the attributes, and of crossed ones those of their parts."""
    named: dict[str, None] = {}
    for attribute in attributes:
        parts = attribute.split(BETWEEN)
        for name in dict.fromkeys([*parts, attribute]):
            if withheld.hides_groups_of(name):
                named |= dict.fromkeys(withheld.groups_of(name) or (f"examples without {name}",))
    return tuple(named)


def withhold_finding(finding: Finding, withheld: Withheld) -> Finding:
    """Return a finding without its value and its counts, with the reason."""
    return finding.without_value(
        withheld.reason, "Not shown: it counts, or rests on, fewer cases than may leave the machine."
    )


def restrict_for_card(
    sections: Sequence[Section], data: DataFacts, below: int
) -> tuple[tuple[Section, ...], DataFacts]:
    """Return the sections and facts of a run as a model card may state them, though groups were measured.

    What has to do with a withheld group or class goes altogether: it can no longer be computed without it. What was
    measured without them (``report.suppress_below``) stays.
    """
    if not below:
        return tuple(sections), data
    stored = data.small_cells
    withheld = (
        Withheld.from_facts(stored)
        if stored is not None and stored.below == below
        else _decide_from_counts(data, below)
    )
    released, facts = release_sections([_without_withheld(section, withheld) for section in sections], data, withheld)
    return released, facts


def _decide_from_counts(data: DataFacts, below: int) -> Withheld:
    """Return what to withhold by the counts of a run alone, where it does not say."""
    groups: dict[str, tuple[str, ...]] = {}
    for attribute in {name for facts in data.splits.values() for name in facts.groups}:
        counts = [_fill_missing_counts(facts.groups.get(attribute, {})) for facts in data.splits.values()]
        if hidden := Withheld(below).find_small_groups(*counts):
            groups[attribute] = tuple(sorted(hidden))
    classes = {
        split: Withheld(below).find_small_groups(_fill_missing_counts(facts.labels))
        for split, facts in data.splits.items()
    }
    return Withheld(below, groups, {split: hidden for split, hidden in classes.items() if hidden})


def _fill_missing_counts(counts: Mapping[str, int | None]) -> dict[str, int]:
    return {name: count or 0 for name, count in counts.items()}


def _without_withheld(section: Section, withheld: Withheld) -> Section:
    """Return a section without the findings and tables in which a withheld group or class has a part."""
    findings = tuple(
        withhold_finding(finding, withheld) if _is_concerned(finding, withheld) else finding
        for finding in section.findings
    )
    dropped = {name for name in section.tables if _shows_withheld(section, name, withheld)}
    return without_tables(section, dropped).model_copy(update={"findings": findings})


def _is_concerned(finding: Finding, withheld: Withheld) -> bool:
    if finding.status == "fail" or finding.withheld:  # broken integrity, or measured without them
        return False
    hidden, classes = _withheld_classes(withheld), finding.about.classes
    has_class = bool(hidden) if classes == "all" else not hidden.isdisjoint(classes)
    return has_class or bool(_list_left_out(finding.about.attributes, withheld))


def _withheld_classes(withheld: Withheld) -> frozenset[str]:
    return frozenset(name for names in withheld.classes.values() for name in names)


def _shows_withheld(section: Section, table: str, withheld: Withheld) -> bool:
    """Whether a table has a row about groups of which some are withheld, or a class that is, not cleared already."""
    columns = section.describe_table(table)
    attribute, label = find_column(columns, "attribute"), find_column(columns, "class")
    hidden = _withheld_classes(withheld)

    def is_about_withheld(row: Row) -> bool:
        named = row[attribute] if attribute else None
        of_group = named is not None and bool(_list_left_out([str(named)], withheld))
        return of_group or (label is not None and row[label] in hidden)

    rows = section.tables[table]
    return any(is_about_withheld(row) and not _is_withheld(row, columns, withheld) for row in rows)


def _has_withheld_row(section: Section, table: str, withheld: Withheld) -> bool:
    columns = section.describe_table(table)
    return any(_is_withheld(row, columns, withheld) for row in section.tables[table])


def _is_withheld(row: Row, columns: Mapping[str, Column], withheld: Withheld) -> bool:
    """Whether a row was withheld already, and says so."""
    status = find_column(columns, "status")
    return status is not None and row[status] == withheld.reason
