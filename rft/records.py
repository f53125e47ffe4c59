"""What passes between the stages, and what a finished run is made of. No torch here.

``Split`` carries the data. Everything else ends up in ``audit.json``: an ``AuditRun`` holds sections, a
section holds findings, tables and figures, and every figure is drawn from a table of its section, so that
each picture has its numbers.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from rft.errors import near

if TYPE_CHECKING:
    import pandas as pd

FORMAT_VERSION = 1  # 1: the first published format
OWN_FOLDERS = ("assets", "model")  # of a run: no names for those of plugins

# What counts people stands in columns and in units of these names, so that small counts can be withheld by them.
PEOPLE_COLUMNS = (
    *("n", "n_positive", "n_negative", "n_members", "n_non_members", "n_units", "n_selected", "n_above_median"),
    *("newly_given", "no_longer_given", "newly_right", "newly_wrong"),
)
PEOPLE_UNITS = ("examples", "units", "items", "texts", "pictures", "gradients")

Cell = str | int | float | bool | None
Row = dict[str, Cell]
Table = list[Row]  # every row has the same keys in the same order

Texts = Any  # (N,) strings: see ``Split``

Status = Literal["info", "warn", "fail", "not_measured"]
Grade = Literal["measured", "declared", "unverified"]
Outcome = Literal["pass", "fail", "uncertain"]


@dataclass(frozen=True)
class Split:
    """One side of the data: its items and what is known about each of them.

    Attributes:
        name: ``train``, ``validation`` or ``test``.
        ids: (N,) strings, unique over all splits.
        items: (N,) what the reader of the modality needs to load one example (a path for images); empty where only
            predictions are known.
        labels: (N,) indices into ``classes`` of the run, int64.
        groups: attribute -> (N,) strings; None where the value is missing.
        units: (N,) strings naming whose data each row is, or None when no unit was declared.
        digests: (N,) sha256 of the bytes of each item, as hex; None where there are no items.

    Texts are numpy arrays of objects. Those of a table of predictions alone, which may have millions of rows, are
    arrays of pandas: ids and units packed, groups categorical.
    """

    name: str
    ids: Texts
    items: Sequence[Any]
    labels: np.ndarray
    groups: Mapping[str, Texts] = field(default_factory=dict)
    units: Texts | None = None
    digests: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError("must be finite; something undefined has no value, a status and a reason")
    return number


Number = Annotated[float, AfterValidator(_finite)]


class Record(BaseModel):
    """Base of all that is written to ``audit.json``: immutable, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Interval(Record):
    """A confidence interval; ``method`` names how it was made and at which level."""

    low: Number
    high: Number
    method: str

    @model_validator(mode="after")
    def _ordered(self) -> Interval:
        if self.low > self.high:
            raise ValueError(f"interval with low {self.low} above high {self.high}")
        return self


class Adjusted(Record):
    """The interval of an estimate when ``rules`` estimates are judged together: at a level of 1 - 0.05 / rules."""

    rules: int = Field(ge=1)
    interval: Interval


class Finding(Record):
    """One fact that an audit states. It judges nothing: that is what policy rules do.

    Attributes:
        id: stable dotted name, beginning with the plugin's name: ``fairness.accuracy_gap.gender``.
        title: a few words for a heading.
        status: ``info``, ``warn`` (worth a look), ``fail`` (broken integrity, nothing else) or ``not_measured``.
        value: the number; None exactly when the status is ``not_measured``.
        unit: what the number counts (``fraction``, ``epsilon``, ``examples``); empty for a pure number.
        interval: for an estimate from a sample, at 95 %.
        adjusted: the same for verdicts over several rules, fewest rules first; empty where no method gives one. Its
            method may differ from the shown one, where that is not strict enough for a verdict.
        small_groups: groups that are too small for the value and its interval, in which they have no part; ``adjusted``
            covers them too, so that a rule is never met by leaving somebody out.
        exact: the value is a fact of this run (a count, an accountant's epsilon), not an estimate from a sample.
            A policy rule settles an estimate by its interval and an exact value by itself.
        n: how many independent cases the estimate rests on.
        grade: ``measured`` in this run, ``declared`` by the user, or ``unverified``.
        meaning: one sentence that a reviewer understands without the code.
        limits: what the number does not show.
        references: papers or standards, short form.
        reason: why it was not measured; None otherwise.
        attributes: the group attributes whose groups the value compares, crossed ones joined by `` x ``; none where it
            is of everybody.
        by_class: whether the value is made of numbers of single classes, such as a mean over classes.
        withheld: groups that it leaves out because too few of their cases may leave the machine. It says nothing of
            them, so that no rule can pass by it.
    """

    id: str = Field(pattern=r"^[a-z0-9_]+(\.[^.\s][^.]*)+$")
    title: str
    status: Status
    value: Number | None = None
    unit: str = ""
    interval: Interval | None = None
    adjusted: tuple[Adjusted, ...] = ()
    small_groups: tuple[str, ...] = ()
    exact: bool = False
    n: int | None = None
    grade: Grade = "measured"
    meaning: str
    limits: str = ""
    references: tuple[str, ...] = ()
    reason: str | None = None
    attributes: tuple[str, ...] = ()
    by_class: bool = False
    withheld: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _value_or_reason(self) -> Finding:
        if self.status == "not_measured" and (self.value is not None or not self.reason):
            raise ValueError(f"{self.id}: not_measured needs a reason and has no value")
        if self.status != "not_measured" and (self.value is None or self.reason):
            raise ValueError(f"{self.id}: a finding with status {self.status} needs a value and no reason")
        return self


def not_measured(id: str, title: str, reason: str, meaning: str, *, n: int | None = None) -> Finding:
    """Return the finding for something that could not be measured."""
    return Finding(id=id, title=title, status="not_measured", reason=reason, meaning=meaning, n=n)


class Figure(Record):
    """A picture, drawn from the named table of the same section.

    ``encode`` maps the channels of the kind to column names of the table:

    - ``dots``     y, x, optional low, high, label (text at the dot; a column ``n`` or ``n_...`` stands on the right),
      facet, band_low and band_high (a band behind the dot of the row, such as the gaps that groups without any
      difference would show), mark (a line across the row); options ``reference`` (vertical line), ``reference_low`` and
      ``reference_high`` (a band around it), ``dot_label``, ``band_label`` and ``mark_label`` (what they are, for the
      legend) and ``x_scale``
    - ``lines``    x, y, optional low, high, series, facet (a panel each, before the thin lines of the others: better
      than series for curves with intervals); options ``diagonal`` ("yes": the line y = x),
      ``joined`` ("no": marks without lines between them), ``x_scale`` and ``y_scale``
    - ``bars``     x (category), y, optional series
    - ``heatmap``  x, y, value, optional facet (small multiples), n (written below the value); options ``centre`` (the
      value between the two colours; without it zero) and ``centre_label``. Of a cell without a value the column
      ``status`` says why: what begins with "too few" or "suppressed" is hatched, "undefined" has a sign of its own
    - ``images``   asset (a column of names made by ``asset_name``), caption, optional group
    - ``tokens``   token (a piece of a text, with the blanks before it), value (signed; None has no mark), optional
      text (rows of one text have the same), caption (of a text), special (true: not a part of the text)

    A scale is ``linear``, the default, or ``log``: what is 0 or less then has no place and is counted under the chart,
    and an interval that begins there reaches down to the edge.

    ``where`` keeps the rows of the table whose columns equal these values. ``alt`` says what the picture shows to
    someone who cannot see it.
    """

    id: str
    kind: Literal["dots", "lines", "bars", "heatmap", "images", "tokens"]
    table: str
    encode: dict[str, str]
    where: dict[str, Cell] = Field(default_factory=dict)
    options: dict[str, Cell] = Field(default_factory=dict)
    x_label: str = ""
    y_label: str = ""
    title: str
    alt: str


def asset_name(png: bytes) -> str:
    """Return the name of a picture in the folder ``assets``: its sha256 and ``.png``."""
    return hashlib.sha256(png).hexdigest() + ".png"


class Chapter(Record):
    """A part of a long section: what belongs together under one heading.

    Attributes:
        title: the heading.
        text: paragraphs under it.
        findings, tables, figures: ids and names of what the section holds, in the order of the report.
    """

    title: str
    text: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()


class Section(Record):
    """What one plugin has to say.

    Attributes:
        plugin: the plugin's name.
        title: heading of the section; the plugin's name when empty.
        findings, tables, figures: the facts, their numbers and their pictures.
        captions: table name -> one line that says what the table shows.
        notes: paragraphs for the reader.
        chapters: how a long section is divided; what no chapter names comes first. None: it is not.
        template: name of a template that shows this section; None for the generic one.
        assets: ``asset_name(png)`` -> the bytes of the PNG; written to ``assets/``, not into audit.json.
        folders: name of a folder of the run -> writes it, given its path; not into audit.json.
        evidence: what ``evidence.json`` keeps of this section, for ``Plugin.verify_evidence``; not into audit.json.
    """

    plugin: str
    title: str = ""
    findings: tuple[Finding, ...] = ()
    tables: dict[str, Table] = Field(default_factory=dict)
    captions: dict[str, str] = Field(default_factory=dict)
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    template: str | None = None
    assets: dict[str, bytes] = Field(default_factory=dict, exclude=True, repr=False)
    folders: dict[str, Callable[[Path], None]] = Field(default_factory=dict, exclude=True, repr=False)
    evidence: dict[str, Any] | None = Field(default=None, exclude=True, repr=False)

    @model_validator(mode="after")
    def _consistent(self) -> Section:
        ids = [finding.id for finding in self.findings]
        if len(ids) != len(set(ids)):
            raise ValueError(f"section {self.plugin} has two findings with one id")
        for name, table in self.tables.items():
            if any(list(row) != list(table[0]) for row in table):
                raise ValueError(f"table {name}: its rows differ in their columns")
            if any(isinstance(cell, float) and not math.isfinite(cell) for row in table for cell in row.values()):
                raise ValueError(f"table {name}: a cell is not finite; undefined cells are None")
        for figure in self.figures:
            if figure.table not in self.tables:
                raise ValueError(f"figure {figure.id} draws a table that does not exist: {figure.table}")
        for name in self.folders:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in OWN_FOLDERS:
                raise ValueError(f"section {self.plugin}: {name!r} cannot be the name of a folder of a plugin")
        self._check_chapters(set(ids))
        return self

    def _check_chapters(self, ids: set[str]) -> None:
        drawn = {figure.id for figure in self.figures}
        for chapter in self.chapters:
            unknown = {*chapter.findings} - ids | {*chapter.tables} - self.tables.keys() | {*chapter.figures} - drawn
            if unknown:
                raise ValueError(f"chapter {chapter.title} names what does not exist: {', '.join(sorted(unknown))}")

    def finding(self, id: str) -> Finding:
        """Return the finding with this id; KeyError when there is none."""
        for finding in self.findings:
            if finding.id == id:
                return finding
        raise KeyError(id)


class RuleOutcome(Record):
    """What a policy rule says about a finding.

    ``because`` is where its threshold comes from, in the user's words. ``small_groups`` names the groups that were too
    small to be compared and entered the rule by their exact intervals alone.
    """

    rule: str
    finding: str
    outcome: Outcome
    because: str
    explanation: str
    small_groups: tuple[str, ...] = ()


class Verdict(Record):
    """``no_rules`` is no pass: nothing was asked, and nothing that protects integrity failed.

    ``source`` says where the rules stand: in the config of the run, or in a file that was applied to it later.
    """

    source: str = "the config of this run"
    status: Literal["pass", "fail", "uncertain", "no_rules"]
    rules: tuple[RuleOutcome, ...] = ()


class Environment(Record):
    """Software and hardware that the numbers were made with; no host name, no user, no path."""

    python: str
    platform: str
    device: str
    threads: int
    packages: dict[str, str]


class Run(Record):
    """The frame of a run. ``config`` is the config as it was used, with stored paths made relative.

    ``salt`` is random and stands in ``audit.json`` and the report alone: without it, their hashes in ``evidence.json``
    would confirm a guess of what they say to those who were not given them.
    """

    id: str
    salt: str = ""
    name: str
    created: str
    seconds: Number
    seed: int
    config: dict[str, Any]
    config_sha256: str
    environment: Environment


class Backbone(Record):
    """The pretrained part. The hashes cover every frozen tensor and buffer, when loaded and after training.

    ``freeze`` is ``all``, ``none`` or the first layer that is not frozen; ``tune`` is what is trained behind it.
    ``revision`` is the commit of the hub that the weights are of; None for weights from elsewhere.
    ``precision`` is what the frozen part computes in; with ``int8`` the weights of ``rounded_layers`` linear layers in
    it were rounded, before the first hash was taken.
    """

    name: str
    weights: str
    weights_sha256: str
    revision: str | None = None
    freeze: str = "all"
    tune: str = "full"
    frozen_parameters: int
    trainable_parameters: int
    frozen_sha256_before: str
    frozen_sha256_after: str
    preprocessing: dict[str, Any]
    precision: str
    rounded_layers: int | None = None


class Training(Record):
    """How the head was trained; the fields from ``epsilon`` on are set when ``mode`` is ``private``.

    ``unit`` is whose data the guarantee covers: ``example``, or the name of the unit column. ``seconds`` is what
    training took, without the pass that features are cached in; ``cached`` whether there was one. ``void`` says why the
    guarantee protects nobody; there is no epsilon and no delta then.
    """

    mode: Literal["standard", "private", "external"]
    epochs: int | None = None
    optimizer: str | None = None
    learning_rate: Number | None = None
    batch_size: int | None = None
    seconds: Number | None = None
    cached: bool | None = None
    class_weights: dict[str, Number] | None = None
    randomness: str | None = None
    epsilon: Number | None = None
    delta: Number | None = None
    noise_multiplier: Number | None = None
    sample_rate: Number | None = None
    steps: int | None = None
    max_grad_norm: Number | None = None
    unit: str | None = None
    void: str | None = None


class ModelFacts(Record):
    """What was audited, as it stands in ``audit.json`` under ``model``.

    ``preprocessing`` and ``revision`` are those of a model that others trained; of a backbone, it says them itself.
    """

    name: str
    modality: str
    classes: tuple[str, ...]
    positive: str | None = None
    backbone: Backbone | None = None
    preprocessing: dict[str, Any] | None = None
    revision: str | None = None
    model_sha256: str | None = None
    training: Training


class SplitFacts(Record):
    """Counts of one split: examples, examples of each class, and examples of each group (missing ones under "").

    A count is None when it is withheld (``report.suppress_below``).
    """

    n: int
    n_units: int | None
    labels: dict[str, int | None]
    groups: dict[str, dict[str, int | None]]


class SmallCells(Record):
    """Groups and classes that too few cases stand behind, and what complements them (``rft.disclosure.Withheld``).

    They are withheld from everything where ``report.suppress_below`` is set, and otherwise from the model card alone.
    """

    below: int
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    classes: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    splits: tuple[str, ...] = ()


class DataFacts(Record):
    """What the data of a run is made of, as it stands in ``audit.json`` under ``data``."""

    splits: dict[str, SplitFacts]
    skipped: int = 0  # rows left out with on_error = "skip": an item that cannot be read, a missing value
    small_cells: SmallCells | None = None


@dataclass(frozen=True)
class InputFile:
    """A file that the run read. Neither its name nor its hash may leave the machine: both are digested with a key.

    Attributes:
        path: relative to the config's folder, or absolute where the config or manifest says so.
        sha256: of its bytes, as hex.
    """

    path: str
    sha256: str


@dataclass(frozen=True)
class Artifacts:
    """What belongs to a run but not into ``audit.json``; present when the run was made in this process.

    Attributes:
        predictions: one row an example, columns as in ``predictions.parquet``.
        inputs: the manifest and every item that is a file.
        folder: the config's, which paths of inputs are relative to.
        write_model: writes the folder ``model`` (safetensors and model.json), or None without a model.
        settle: called when everything is saved, since an interrupted run can go on until then; None without need.
    """

    predictions: pd.DataFrame
    inputs: Sequence[InputFile]
    folder: Path = Path()
    write_model: Callable[[Path], None] | None = None
    settle: Callable[[], None] | None = None


class AuditRun(Record):
    """A finished audit: the content of ``audit.json``, from which every other output is made."""

    format_version: int = FORMAT_VERSION
    rft_version: str
    run: Run
    model: ModelFacts
    data: DataFacts
    sections: tuple[Section, ...]
    verdict: Verdict

    def section(self, plugin: str) -> Section:
        """Return the section of a plugin; KeyError when it took no part."""
        for section in self.sections:
            if section.plugin == plugin:
                return section
        raise KeyError(plugin)

    def finding(self, id: str) -> Finding:
        """Return the finding with this id; KeyError, with near ids, when there is none."""
        found = {finding.id: finding for section in self.sections for finding in section.findings}
        if id not in found:
            raise KeyError(f"{id} is no finding of this run. {near(id, list(found)) or ''}".strip())
        return found[id]

    def to_json(self) -> str:
        """Return canonical JSON: sorted keys, no NaN, UTF-8 characters kept, a newline at the end."""
        content = self.model_dump(mode="json")
        return json.dumps(content, sort_keys=True, allow_nan=False, ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what ``to_json`` wrote; raises ``pydantic.ValidationError`` or ``ValueError`` for anything else."""
        return cls.model_validate_json(text)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.run.name!r}, {self.run.created}, verdict {self.verdict.status!r})"

    __str__ = __repr__  # pydantic's own would print every table
