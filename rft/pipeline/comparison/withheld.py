"""What several runs withhold together: what one of them does not say, is not said of the others either."""

from __future__ import annotations

from collections.abc import Sequence

from rft.disclosure.withheld import Withheld
from rft.records import AuditRun, Finding


def join_withheld(runs: Sequence[AuditRun]) -> Withheld:
    """Return what any of the runs withholds, by the bound of the strictest."""
    below, groups = 0, dict[str, set[str]]()
    for run in runs:
        bound = run.run.table("report").get("suppress_below")
        if not isinstance(bound, int) or not bound:
            continue
        below = max(below, bound)
        for attribute, names in (run.data.small_cells.groups if run.data.small_cells else {}).items():
            groups.setdefault(attribute, set()).update(names)
    return Withheld(below, {attribute: tuple(sorted(names)) for attribute, names in groups.items()})


def rests_on_few(finding: Finding, withheld: Withheld) -> bool:
    """Whether a finding of one run would have been withheld by the stricter bound of the other."""
    counted = int(finding.value or 0) if finding.rests_on == "counted" else None
    return finding.rests_on != "none" and (withheld.is_small(counted) or withheld.is_small(finding.n))
