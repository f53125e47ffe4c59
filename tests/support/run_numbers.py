"""The numbers of a run, so that two versions of rft can be compared value by value.

    python tests/support/run_numbers.py RUN FILE.json

writes those of a run folder. What was recorded stands in ``tests/golden``; a version that renames a finding or a column
renames it there too, and changes no number.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DIGITS = 8  # significant ones that are kept


def numbers_of_run(run: dict[str, Any]) -> dict[str, list[Any]]:
    """Return what each finding and each column of each table says in numbers.

    Args:
        run: the content of ``audit.json``.

    Returns:
        finding id -> [status, value, low, high, n, then rules, low and high of each adjusted interval], and
        ``plugin/table/column`` -> its cells; None where there is no number.
    """
    numbers: dict[str, list[Any]] = {}
    for section in run["sections"]:
        for finding in section["findings"]:
            numbers[finding["id"]] = [finding["status"], *map(_round_cell, _numbers_of_finding(finding))]
        for name, rows in section["tables"].items():
            for column in rows[0] if rows else ():
                cells = [row[column] for row in rows]
                if any(map(_is_number, cells)):
                    numbers[f"{section['plugin']}/{name}/{column}"] = [_round_cell(cell) for cell in cells]
    return numbers


def _numbers_of_finding(finding: dict[str, Any]) -> Iterator[Any]:
    interval = finding["interval"] or {}
    yield from (finding["value"], interval.get("low"), interval.get("high"), finding["n"])
    for adjusted in finding["adjusted"]:
        yield from (adjusted["rules"], adjusted["interval"]["low"], adjusted["interval"]["high"])


def _is_number(cell: Any) -> bool:
    return isinstance(cell, (int, float)) and not isinstance(cell, bool)


def _round_cell(cell: Any) -> Any:
    return float(f"{cell:.{DIGITS}g}") if _is_number(cell) else None


if __name__ == "__main__":
    content = json.loads((Path(sys.argv[1]) / "audit.json").read_text(encoding="utf-8"))
    lines = [f"{json.dumps(name)}: {json.dumps(values)}" for name, values in sorted(numbers_of_run(content).items())]
    Path(sys.argv[2]).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
