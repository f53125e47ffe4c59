"""An attacker who holds everything that leaves the machine, and wants the counts of the groups that are withheld.

It knows the code, and what ``rft`` publishes: audit.json, the report with its images, the model card, comparison
pages. It does not have predictions.parquet or the model. Each attack returns what it takes for certain: a count of a
withheld group that is the only one consistent with what was published.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linprog
from scipy.special import betaincinv, ndtri

Rows = list[dict[str, Any]]
KEYS = ("bin", "epoch", "epsilon", "replicate", "position", "tenth", "rules", "suppress_below", "below")
MIN_SHOWN = 10  # the default of fairness.min_reported_size
MOST = 80  # cases of a withheld group that candidates are tried up to
BETWEEN = " x "
CASES = {"accuracy": "n", "selection_rate": "n", "tpr": "n_positive", "fpr": "n_negative", "fnr": "n_positive"}


@dataclass(frozen=True)
class Release:
    """What was published.

    Attributes:
        audit: the content of audit.json.
        texts: every page: the report with its images, the card, comparisons.
        compared: sections of comparisons, as their pages show them.
    """

    audit: dict[str, Any]
    texts: tuple[str, ...] = ()
    compared: tuple[dict[str, Any], ...] = ()

    @classmethod
    def of(cls, run: Path, *, pages: Sequence[str] = (), compared: Sequence[dict[str, Any]] = ()) -> Release:
        """Read the folder of a run, without what stays local."""
        texts = [path.read_text(encoding="utf-8") for path in (run / "report.html", run / "model-card.md")]
        return cls(json.loads((run / "audit.json").read_text(encoding="utf-8")), (*texts, *pages), tuple(compared))

    @property
    def sections(self) -> list[dict[str, Any]]:
        """All sections."""
        return [*self.audit["sections"], *self.compared]

    @property
    def findings(self) -> list[dict[str, Any]]:
        """All findings."""
        return [finding for section in self.sections for finding in section["findings"]]

    def rows(self, name: str) -> Rows:
        """Return the rows of all tables of a name."""
        return [row for section in self.sections for row in section["tables"].get(name, [])]


@dataclass
class Attack:
    """What an attacker makes of a release about one attribute.

    Attributes:
        attribute: of which groups are withheld.
        hidden: their names.
        recovered: (group, what) -> the count, or (count, successes), that is certain.
    """

    release: Release
    attribute: str
    hidden: tuple[str, ...]
    recovered: dict[tuple[str, str], Any] = field(default_factory=dict)

    def run(self) -> dict[tuple[str, str], Any]:
        """Make every attack and return what was recovered."""
        self._read_what_is_told()
        self._read_the_overview()
        self._subtract_from_totals()
        self._invert_worst_groups()
        self._use_gaps()
        self._subtract_from_totals()  # what one attack gave makes another possible
        self._solve_crossings()
        return self.recovered

    # --- what stands beside a name ---

    def _read_what_is_told(self) -> None:
        for name in self.hidden:
            for mention in _numbers_told(self.release, name, self.attribute):
                self.recovered[name, "told"] = mention

    def _read_the_overview(self) -> None:
        """Take for told what a sentence or a claim of the overview says of a withheld group."""
        for pillar in self.release.audit["pillars"]:
            for name in self.hidden:
                word = re.compile(rf"(?<![\w.]){re.escape(name)}(?!\w)")
                texts = [pillar["summary"], *(f"{claim['label']} {claim['finding']}" for claim in pillar["claims"])]
                if any(word.search(text) for text in texts):
                    self.recovered[name, "overview"] = pillar["summary"]

    # --- totals minus what is shown ---

    def _shown(self, metric: str, cases: str) -> dict[str, tuple[int, float]]:
        """Return group -> (cases, successes) where both are shown."""
        rows = [row for row in self.release.rows("by_group") if _is_plain(row) and row["metric"] == metric]
        return {
            row["group"]: (row[cases], row["value"] * row[cases])
            for row in rows
            if row["attribute"] == self.attribute and row["value"] is not None and row.get(cases) is not None
        }

    def _selected(self) -> dict[str, tuple[int, float]]:
        """Return group -> (selections, those of them that are right)."""
        selected = {name: k for name, (_, k) in self._shown("selection_rate", "n").items()}
        rates = {name: k / n for name, (n, k) in self._shown("precision", "n").items()}
        return {name: (round(selected[name]), selected[name] * rates[name]) for name in selected.keys() & rates.keys()}

    def _shown_total(self, metric: str, cases: str) -> tuple[int, float] | None:
        for row in self.release.rows("by_group"):
            if _is_plain(row) and row["metric"] == metric and row["attribute"] is None and row["value"] is not None:
                return row[cases], row["value"] * row[cases]
        return None

    def _count_tables(self) -> Iterator[tuple[str, int, dict[str, int | None]]]:
        """Yield tables of counts whose total is known: what, the total, and group -> count or None."""
        for split, facts in self.release.audit["data"]["splits"].items():
            if self.attribute in facts["groups"]:
                counts = {name: n for name, n in facts["groups"][self.attribute].items() if name or n}
                yield f"n in {split}", facts["n"], counts
        for column in ("n", "n_positive", "n_negative"):
            rows = [row for row in self.release.rows("by_group") if _is_plain(row) and row["metric"] == "accuracy"]
            mine = {row["group"]: row[column] for row in rows if row["attribute"] == self.attribute}
            total = [row[column] for row in rows if row["attribute"] is None]
            if mine and total and total[0] is not None:
                yield column, total[0], mine | {name: mine.get(name) for name in self.hidden}

    def _subtract_from_totals(self) -> None:
        known = {name: value for (name, quantity), value in self.recovered.items() if quantity == "(n, k)"}
        for quantity, total, counts in self._count_tables():
            left = {name for name, n in counts.items() if n is None}
            left -= known.keys() if quantity in ("n", "n in test") else set()
            if len(left) == 1:
                rest = total - sum(n for n in counts.values() if n is not None)
                rest -= sum(known[name][0] for name in known if counts.get(name, 0) is None)
                self.recovered[left.pop(), quantity] = rest
        for metric, cases in CASES.items():
            shown, total = self._shown(metric, cases), self._shown_total(metric, cases)
            left = [name for name in self.hidden if name not in shown and not (metric == "accuracy" and name in known)]
            everybody = len(shown) + len(self.hidden) == len(self._group_names())
            if total is not None and len(left) == 1 and everybody and not self._has_missing():
                pairs = [
                    *shown.values(),
                    *(known[name] for name in known if name not in shown and metric == "accuracy"),
                ]
                if len(pairs) == len(shown) + len(self.hidden) - 1:
                    n, k = (total[place] - sum(pair[place] for pair in pairs) for place in (0, 1))
                    self.recovered[left[0], f"(n, k) of {metric}"] = (round(n), round(k))

    def _group_names(self) -> set[str]:
        rows = self.release.rows("by_group")
        return {row["group"] for row in rows if _is_plain(row) and row["attribute"] == self.attribute}

    def _has_missing(self) -> bool:
        """Whether rows without a value may be among what is left."""
        groups = [facts["groups"].get(self.attribute, {}) for facts in self.release.audit["data"]["splits"].values()]
        return any("" in counts and counts[""] != 0 for counts in groups)

    # --- 13 levels of an interval are 13 equations ---

    def _invert_worst_groups(self) -> None:
        for metric in ("accuracy", "tpr", "fpr", "precision"):
            finding = self._find_finding(f"fairness.worst_{metric}.{self.attribute}")
            if finding is None or not finding["adjusted"]:
                continue
            shown = list((self._selected() if metric == "precision" else self._shown(metric, CASES[metric])).values())
            ends = [(row["rules"], row["interval"]["low"], row["interval"]["high"]) for row in finding["adjusted"]]
            candidates = _cells_in_worst(ends, shown, lowest=metric != "fpr")
            if len(candidates) == 1:
                self._assign_cell(candidates.pop(), metric)

    def _assign_cell(self, cell: tuple[int, int], metric: str) -> None:
        """Take a cell for that of the withheld group that it must be of: which ones were too few is told by a row."""
        left_out = {name for name in self.hidden if name in self._left_out()}
        few = cell[0] < MIN_SHOWN
        fitting = [name for name in self.hidden if not left_out or (name in left_out) == few]
        if fitting:
            self.recovered[fitting[0], "(n, k)" if metric == "accuracy" else f"(n, k) of {metric}"] = cell

    def _left_out(self) -> str:
        """Return what the rows of gaps name as left out for being too few."""
        rows = [row for row in self.release.rows("gaps") if row.get("attribute") == self.attribute]
        return " ".join(re.findall(r"(\S+): too few", " ".join(row.get("left_out") or "" for row in rows)))

    def _find_finding(self, id: str) -> dict[str, Any] | None:
        return next((finding for finding in self.release.findings if finding["id"] == id), None)

    # --- one row of gaps, and how many cases it rests on ---

    def _use_gaps(self) -> None:
        shown = self._shown("accuracy", "n")
        finding = self._find_finding(f"fairness.accuracy_gap.{self.attribute}")
        if finding is None or finding["value"] is None or not shown:
            return
        rates = sorted(k / n for n, k in shown.values())
        more = (finding["n"] or 0) - sum(n for n, _ in shown.values())
        if more <= 0 or abs(finding["value"] - (rates[-1] - rates[0])) < 1e-12:
            return
        for rate in (rates[-1] - finding["value"], rates[0] + finding["value"]):
            if -1e-9 <= rate <= 1 + 1e-9 and abs(rate * more - round(rate * more)) < 1e-6:
                self._assign_cell((more, round(rate * more)), "accuracy")

    # --- crossings: every sum that is published is an equation ---

    def _solve_crossings(self) -> None:
        for crossed in {row["attribute"] for row in self.release.rows("by_group") if row["attribute"]}:
            if self.attribute not in crossed.split(BETWEEN) or BETWEEN not in crossed:
                continue
            for column in ("n", "n_positive", "n_negative"):
                for group, count in _solve_cells(self.release, crossed, column).items():
                    self.recovered[group, f"{column} in {crossed}"] = count


def class_sizes(release: Release) -> set[int]:
    """Return how many test examples may have the favourable class of two, by all that is told of all examples."""
    metrics = {row["metric"]: row for row in release.rows("metrics") if row["split"] == "test"}
    told = {name: row["value"] for name, row in metrics.items()}
    everybody = {row["metric"]: row["value"] for row in release.rows("by_group") if row["attribute"] is None}
    n = metrics["accuracy"]["n"]
    fitting = set()
    for positives in range(1, n):
        for hits in range(positives + 1):
            others = round(told["accuracy"] * n) - hits
            if not 0 <= others <= n - positives:
                continue
            recall, specificity = hits / positives, others / (n - positives)
            selected = hits + n - positives - others
            computed = {
                "balanced_accuracy": (recall + specificity) / 2,
                "selection_rate": selected / n,
                "tpr": recall,
                "fpr": 1 - specificity,
                "precision": hits / selected if selected else None,
            }
            known = {"balanced_accuracy": told.get("balanced_accuracy"), **everybody}
            if all(known.get(name) is None or _is_same(value, known[name]) for name, value in computed.items()):
                fitting.add(positives)
    return fitting


def _is_same(value: float | None, told: float) -> bool:
    return value is not None and abs(value - told) < 1e-9


def _is_plain(row: Mapping[str, Any]) -> bool:
    return "metric" in row and row.get("control") is None and row.get("model", "external") != "mitigated"


def _numbers_told(release: Release, name: str, attribute: str) -> Iterator[str]:
    """Yield every number that stands beside the name of a group: in its rows, and behind it in a sentence."""
    word = re.compile(rf"(?<![\w.]){re.escape(name)}(?!\w)")
    for section in release.sections:
        for table in section["tables"].values():
            for row in table:
                if row.get("attribute") not in (None, attribute) and not str(row["attribute"]).startswith(attribute):
                    continue
                named = any(isinstance(cell, str) and word.search(cell) for cell in row.values())
                numbers = {key: cell for key, cell in row.items() if _is_number(cell) and key not in KEYS}
                if named and numbers and BETWEEN not in str(row.get("group", "")):
                    yield f"{row}"
    for text in (*_strings(release.audit), *(string for compared in release.compared for string in _strings(compared))):
        yield from _numbers_beside(word, text)
    for page in release.texts:
        for line in re.split(r"</tr>|</text>|</title>|</li>|</p>|</td>|\n", page):
            plain = html.unescape(re.sub(r"<[^>]*>", " ", line))
            yield from _numbers_beside(word, plain)
        for row in re.findall(r"<tr.*?</tr>", page, re.S):
            cells = [
                html.unescape(re.sub(r"<[^>]*>", "", cell)).strip() for cell in re.findall(r"<t[dh].*?</t", row, re.S)
            ]
            if any(cell == name for cell in cells) and any(re.fullmatch(r"[\d.,]+.*", cell) for cell in cells):
                yield f"row {cells}"


def _numbers_beside(word: re.Pattern[str], text: str) -> Iterator[str]:
    for match in word.finditer(text):
        sentence = re.match(r"[^.;\n]{0,60}", text[match.end() :])
        behind = sentence.group() if sentence else ""
        if number := re.search(r"(n = |has |is |\(|: )(\d[\d.,]*)", behind):
            yield f"{match.group()}{behind[: number.end()]}"


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _cells_in_worst(
    ends: Sequence[tuple[int, float, float]], shown: Sequence[tuple[int, float]], *, lowest: bool
) -> set[tuple[int, int]]:
    """Return the (n, k) of one more group whose exact interval explains what those of the shown ones do not."""
    pick = np.minimum if lowest else np.maximum
    cells = np.array([(n, k) for n in range(1, MOST + 1) for k in range(n + 1)])
    best: set[tuple[int, int]] = set()
    for groups in (len(shown), len(shown) + 1, len(shown) + 2):
        possible = np.ones(len(cells), dtype=bool)
        explained = True
        for rules, low, high in ends:
            level = 1 - 0.05 / rules / groups
            shown_intervals = np.array([_clopper_pearson(n, k, level) for n, k in shown]).reshape(-1, 2)
            reached = shown_intervals.min(axis=0) if lowest else shown_intervals.max(axis=0)
            explained &= bool(len(shown_intervals)) and np.allclose(reached, (low, high), atol=1e-9)
            ours = np.array(_clopper_pearson(cells[:, 0], cells[:, 1], level)).T
            both = pick(ours, reached) if len(shown_intervals) else ours
            possible &= np.all(np.abs(both - (low, high)) < 1e-9, axis=1)
        if explained:
            return set()
        best |= {(int(n), int(k)) for n, k in cells[possible]}
    return best


def _clopper_pearson(n: Any, k: Any, level: float) -> tuple[Any, Any]:
    n, k, tail = np.asarray(n, dtype=float), np.asarray(k, dtype=float), (1 - level) / 2
    low = np.where(k > 0, betaincinv(np.maximum(k, 1e-9), n - k + 1, tail), 0.0)
    high = np.where(k < n, betaincinv(k + 1, np.maximum(n - k, 1e-9), 1 - tail), 1.0)
    return low, high


def wilson_ends(n: float, k: float, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's interval, for inverting what a row shows."""
    z = float(ndtri(0.5 + level / 2))
    centre, half = (k + z * z / 2) / (n + z * z), z / (n + z * z) * np.sqrt(k * (n - k) / n + z * z / 4)
    return centre - half, centre + half


def _solve_cells(release: Release, crossed: str, column: str) -> dict[str, int]:
    """Return the cells of a crossing that all published sums together determine: a linear programme for each cell.

    A sum over a group holds where that group is shown; rows without a value are cells too where they are not shown to
    be none.
    """
    attributes = crossed.split(BETWEEN)
    shown = {name: _column_by_group(release, name, column) for name in (*_shorter_crossings(attributes), crossed)}
    total = _column_by_group(release, None, column).get(None)
    values = [_group_names(release, name) for name in attributes]
    cells = list(_all_crossings(values))
    index = {cell: place for place, cell in enumerate(cells)}
    equations, sums = [], []

    def add_sum(members: list[int], count: float) -> None:
        row = np.zeros(len(cells))
        row[members] = 1
        equations.append(row)
        sums.append(count)

    if total is not None:
        add_sum(list(range(len(cells))), total)
    for parts in _shorter_crossings(attributes):
        names = parts.split(BETWEEN)
        places = [attributes.index(name) for name in names]
        for group, count in shown[parts].items():
            if count is not None and group is not None:
                values_of_group = group.split(BETWEEN)
                add_sum([index[cell] for cell in cells if [cell[place] for place in places] == values_of_group], count)
    for group, count in shown[crossed].items():
        if count is not None and tuple(group.split(BETWEEN)) in index:
            add_sum([index[tuple(group.split(BETWEEN))]], count)
    for row in release.rows("intersections"):
        if row["attribute"] == crossed and str(row["status"]).startswith("undefined: no members"):
            add_sum([index[tuple(row["group"].split(BETWEEN))]], 0)
    if not equations:
        return {}
    withheld = [cell for cell in cells if "" not in cell and shown[crossed].get(BETWEEN.join(cell)) is None]
    solved = {}
    for cell in withheld:
        direction = np.zeros(len(cells))
        direction[index[cell]] = 1
        ends = [
            linprog(sign * direction, A_eq=np.array(equations), b_eq=sums, bounds=(0, None), method="highs")
            for sign in (1, -1)
        ]
        if all(end.status == 0 for end in ends) and -ends[1].fun - ends[0].fun < 1 - 1e-6 and ends[0].fun > 0.5:
            solved[BETWEEN.join(cell)] = round(ends[0].fun)
    return {group: count for group, count in solved.items() if group in shown[crossed]}


def _shorter_crossings(attributes: Sequence[str]) -> list[str]:
    return [BETWEEN.join(chosen) for size in range(1, len(attributes)) for chosen in combinations(attributes, size)]


def _column_by_group(release: Release, attribute: str | None, column: str) -> dict[Any, int | None]:
    return {
        row["group"]: row[column]
        for row in release.rows("by_group")
        if _is_plain(row) and row["attribute"] == attribute and row["metric"] == "accuracy"
    }


def _group_names(release: Release, attribute: str) -> list[str]:
    named = [name for name in _column_by_group(release, attribute, "n") if name is not None]
    counts = [facts["groups"].get(attribute, {}) for facts in release.audit["data"]["splits"].values()]
    missing = any("" in count and count[""] != 0 for count in counts)
    return [*named, *([""] if missing else [])]


def _all_crossings(values: Sequence[Sequence[str]]) -> Iterator[tuple[str, ...]]:
    if not values:
        yield ()
        return
    for first in values[0]:
        for rest in _all_crossings(values[1:]):
            yield (first, *rest)


def naively_redacted(release: Release, attribute: str, names: Sequence[str]) -> Release:
    """Return a release in which the numbers in the rows of some groups are blank, and nothing else."""
    audit = json.loads(json.dumps(release.audit))
    for facts in audit["data"]["splits"].values():
        facts["groups"][attribute] = {
            name: None if name in names else n for name, n in facts["groups"].get(attribute, {}).items()
        }
    for section in audit["sections"]:
        for table in section["tables"].values():
            for row in table:
                if row.get("attribute") == attribute and row.get("group") in names:
                    row.update({key: None for key, cell in row.items() if _is_number(cell)})
        for finding in section["findings"]:
            finding.update(description="", caveats="", reason=None)
        section["notes"] = []
    audit["pillars"] = []
    return Release(audit)


# --- a folder for strangers: what stands in it of training, inputs and images ---

FINGERPRINT = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
PNG = ("iVBORw0KGgo", "data:image")  # how an image begins in a page


def read_folder(folder: Path) -> dict[str, str]:
    """Return every file of a folder as text, by its path in it."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes().decode("utf-8", "replace") for file in files}


def find_numbers(folder: Path, secret: Iterable[float]) -> set[float]:
    """Return which of these numbers stand in a folder with all their digits; short ones prove nothing."""
    texts = "\n".join(read_folder(folder).values())
    return {number for number in secret if len(repr(number)) > 6 and repr(number) in texts}


def find_fingerprints(folder: Path, secret: Iterable[str]) -> set[str]:
    """Return which of these hashes and digests stand in a folder, its names of files included."""
    held = {hit for name, text in read_folder(folder).items() for hit in FINGERPRINT.findall(f"{name}\n{text}")}
    return held & set(secret)


def find_images(folder: Path) -> list[str]:
    """Return the files of a folder that are or hold an image of pixels, or a clip of sound."""
    return [
        name
        for name, text in read_folder(folder).items()
        if name.endswith((".png", ".wav")) or "\x89PNG" in text or any(mark in text for mark in (*PNG, "data:audio"))
    ]


def find_words(folder: Path, names: Iterable[str]) -> set[str]:
    """Return which of these names stand in a folder as words."""
    texts = "\n".join(html.unescape(text) for text in read_folder(folder).values())
    return {name for name in names if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", texts)}


def list_numbers(content: Any) -> set[float]:
    """Return every number within tables and findings that is no whole one."""
    if isinstance(content, float):
        return {content}
    inner = content.values() if isinstance(content, dict) else content if isinstance(content, list | tuple) else ()
    return {number for part in inner for number in list_numbers(part)}
