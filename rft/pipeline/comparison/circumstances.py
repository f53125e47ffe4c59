"""What two runs were made of and with: data, config, software and weights, as far as they differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from pydantic import JsonValue

from rft.disclosure.withheld import Withheld
from rft.records import AuditRun, JsonObject, ModelFacts, Row, Section, SplitFacts, list_columns

COLUMNS = list_columns({"key": "key", "before": "key", "after": "key"})
CAPTIONS = {
    "data": "Counts of the data that differ",
    "config": "Keys of the config that differ",
    "software": "Versions and hardware that differ",
    "weights": "The pretrained part and the model, as far as they differ",
}
ABSENT = "absent"  # in words: a table has no column for what is empty in all rows
SAME = {
    "data": "The counts of the data are the same: examples, units, classes and groups of each split.",
    "config": "The config is the same.",
    "software": "Versions and hardware are the same.",
    "weights": "The pretrained part and the model are the same, by their hashes.",
}
KEYED = (
    "What the runs read is hashed with a key of each run, so that these hashes cannot be compared; the test examples "
    "that both predicted are compared by their ids, labels and groups."
)


def compare_circumstances(runs: Sequence[AuditRun], withheld: Withheld) -> Section:
    """Return the section of what differs between two runs beside their findings.

    Args:
        runs: two of them.
        withheld: what either withholds; a count that one of them withholds is shown of neither.
    """
    before, after = runs
    tables = {
        "data": _tabulate_differences(*_mask_counts(dict(_count_data(before)), dict(_count_data(after)), withheld)),
        "config": _tabulate_differences(dict(_flatten(before.run.config)), dict(_flatten(after.run.config))),
        "software": _tabulate_differences(_list_software(before), _list_software(after)),
        "weights": _tabulate_differences(_list_weights(before), _list_weights(after)),
    }
    return Section(
        plugin="circumstances",
        title="Data, config, software and weights",
        tables={name: table for name, table in tables.items() if table},
        columns={name: COLUMNS for name, table in tables.items() if table},
        captions={name: text for name, text in CAPTIONS.items() if tables[name]},
        notes=(*(text for name, text in SAME.items() if not tables[name]), KEYED),
    )


def _tabulate_differences(before: Mapping[str, object], after: Mapping[str, object]) -> list[Row]:
    keys = dict.fromkeys([*before, *after])
    return [
        {"key": key, "before": _write(before.get(key)), "after": _write(after.get(key))}
        for key in keys
        if before.get(key) != after.get(key)
    ]


def _write(fact: object) -> str:
    if fact is None:
        return ABSENT
    return fact if isinstance(fact, str) else json.dumps(fact, ensure_ascii=False)


def _count_data(run: AuditRun) -> Iterator[tuple[str, int | str | None]]:
    yield "rows left out", run.data.skipped
    for split, facts in run.data.splits.items():
        yield from _count_split(split, facts, run.model)


def _count_split(split: str, facts: SplitFacts, model: ModelFacts) -> Iterator[tuple[str, int | str | None]]:
    yield f"{split}: examples", facts.n
    yield f"{split}: {model.name_units()}", facts.n_units
    for label, count in facts.labels.items():
        yield f"{split}: class {label}", _or_withheld(count)
    for attribute, counts in facts.groups.items():
        for group, count in counts.items():
            yield f"{split}: {attribute} {group or '(missing)'}", _or_withheld(count)


def _or_withheld(count: int | None) -> int | str:
    return "withheld" if count is None else count


def _mask_counts(
    before: Mapping[str, object], after: Mapping[str, object], withheld: Withheld
) -> tuple[dict[str, object], dict[str, object]]:
    """Return the counts of both runs without those that either of them withholds, or would by the stricter bound."""

    def is_hidden(key: str) -> bool:
        counts = (before.get(key), after.get(key))
        return any(count == "withheld" or (isinstance(count, int) and withheld.is_small(count)) for count in counts)

    hidden = {key for key in (*before, *after) if is_hidden(key)}
    first, second = ({key: fact for key, fact in counts.items() if key not in hidden} for counts in (before, after))
    return first, second


def _flatten(table: JsonObject, prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    """Yield each key with its value, and that a table is there: one without keys switches something on, too."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield f"[{prefix}{key}]", "present"
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _list_software(run: AuditRun) -> dict[str, object]:
    environment = run.run.environment
    packages = {f"package {name}": version for name, version in sorted(environment.packages.items())}
    return {
        "rft": run.rft_version,
        "python": environment.python,
        "platform": environment.platform,
        "device": environment.device,
        "threads": environment.threads,
        **packages,
    }


def _list_weights(run: AuditRun) -> dict[str, object]:
    """Return what the model is made of by name and hash; None for what this run has not."""
    backbone = run.model.backbone
    parts = {} if backbone is None else backbone.model_dump(mode="json", exclude={"preprocessing"})
    return {
        "model": run.model.name,
        "model revision": run.model.revision,
        "model sha256": run.model.model_sha256,
        **{f"backbone {name.replace('_', ' ')}": fact for name, fact in parts.items()},
    }
