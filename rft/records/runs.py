"""A whole audit as it stands in ``audit.json``: the run, its model and data, sections and the verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from rft.records.base import FORMAT_VERSION, Document, JsonObject, Number, Record, find_named
from rft.records.findings import Finding, Interval
from rft.records.overview import Pillar
from rft.records.preprocessing import PreprocessingFacts
from rft.records.sections import Section
from rft.records.split import InputFile
from rft.records.task import TASKS, TaskKind, TaskName

if TYPE_CHECKING:
    import pandas as pd

Outcome = Literal["pass", "fail", "uncertain"]


class RuleOutcome(Record):
    """What a policy rule says about a finding.

    Attributes:
        rule: the rule by the id of its finding.
        finding: the id.
        outcome: ``pass``, ``fail`` or ``uncertain``.
        because: where its threshold comes from, in the user's words.
        explanation: value, interval and reason in one line.
        reason: why this outcome, in a few words without the numbers.
        remedy: what would settle it; empty for a rule that is settled, or where nothing is known to.
        asked: the bounds in words: ``at most 0.1``.
        bounds: kind of bound (``min``, ``max``) -> the bound.
        value: of the finding, in its unit; None where it was not measured.
        interval: what settled it; None for a fact of the run, or without one. Where several rules are judged it is
            wider than that of the finding; ``level`` is its confidence, such as 0.95.
        small_groups: groups that were too small to be compared and entered by their exact intervals alone.
    """

    rule: str
    finding: str
    outcome: Outcome
    because: str
    explanation: str
    reason: str = ""
    remedy: str = ""
    asked: str = ""
    bounds: dict[str, Number] = Field(default_factory=dict)
    value: Number | None = None
    interval: Interval | None = None
    level: Number | None = None
    small_groups: tuple[str, ...] = ()

    def without_numbers(self, reason: str) -> RuleOutcome:
        """Return what may be said where its numbers may not: the outcome, and ``reason`` in the place of why."""
        gone = {"value": None, "interval": None, "level": None, "remedy": ""}
        return self.model_copy(update={**gone, "explanation": reason, "reason": reason})

    def __repr__(self) -> str:
        return f"RuleOutcome({self.outcome!r}, {f'{self.rule}: {self.explanation}'!r})"

    __str__ = __repr__


class Verdict(Record):
    """``no_rules`` is no pass: nothing was asked, and nothing that protects integrity failed.

    ``source`` says where the rules stand: in the config of the run, or in a file that was applied to it later.
    """

    source: str = "the config of this run"
    status: Literal["pass", "fail", "uncertain", "no_rules"]
    rules: tuple[RuleOutcome, ...] = ()

    def __repr__(self) -> str:
        return f"Verdict({self.status!r}, {len(self.rules)} rules)"

    def __str__(self) -> str:
        return "\n".join([self.status, *(f"  {rule.outcome}: {rule.rule}: {rule.explanation}" for rule in self.rules)])


class LaterVerdict(Record):
    """A verdict by other rules than those of the run, after it; the verdict of the run stays the first.

    Attributes:
        file: name of the file with the rules.
        sha256: of that file.
        applied: when, as an ISO 8601 time in UTC.
        verdict: what came of it.
    """

    file: str
    sha256: str
    applied: str
    verdict: Verdict


class Environment(Record):
    """Software and hardware that the numbers were made with; no host name, no user, no path."""

    python: str
    platform: str
    device: str
    threads: int
    packages: dict[str, str]


class VolatileFacts(Record):
    """All that differs between two runs of one config on the same data and machine.

    Without it their ``audit.json`` are the same bytes. What does not follow from the config, the data and the software
    stands here and nowhere else: no section says a time or a random name.

    Attributes:
        id: random; tells the run from all others.
        salt: random, and in ``audit.json`` and the report alone: without it, their hashes in ``evidence.json`` would
            confirm a guess of what they say to those who were not given them. Empty in a version for strangers.
        created: when the run began, as an ISO 8601 time in UTC; the time of ``SOURCE_DATE_EPOCH`` where that is set.
        seconds: that the whole run took, at least 0.
        training_seconds: of these, what training took, without the pass that features are cached in; None where nothing
            was trained, and in a version for strangers.
    """

    id: str
    salt: str = ""
    created: str
    seconds: Number
    training_seconds: Number | None = None


class Run(Record):
    """The frame of a run. ``config`` is the config as it was used, with stored paths made relative."""

    volatile: VolatileFacts
    name: str
    seed: int
    config: JsonObject
    config_sha256: str
    environment: Environment

    def table(self, name: str) -> JsonObject:
        """Return a table of the config; an empty one where the config has none of this name."""
        table = self.config.get(name)
        return table if isinstance(table, dict) else {}


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
    preprocessing: PreprocessingFacts
    precision: str
    rounded_layers: int | None = None


TrainingMode = Literal["standard", "private", "external"]


class Training(Record):
    """How the head was trained; the fields from ``epsilon`` on are set when ``mode`` is ``private``.

    ``unit`` is whose data the guarantee covers: ``example``, or the name of the unit column. ``cached`` is whether
    features were cached in a pass before it. ``void`` says why the guarantee protects nobody; there is no epsilon and
    no delta then.
    """

    mode: TrainingMode
    epochs: int | None = None
    planned_epochs: int | None = None
    optimizer: str | None = None
    learning_rate: Number | None = None
    schedule: str | None = None
    momentum: Number | None = None
    weight_decay: Number | None = None
    batch_size: int | None = None
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

    ``task`` is what the model does; ``classes`` is empty where that has none.
    ``preprocessing`` and ``revision`` are those of a model that others trained; of a backbone, it says them itself.
    ``unit`` is the column of the data whose values are the units: examples with the same value count as one. None where
    each example counts by itself; empty where the column is not named to strangers.
    ``normalizer`` is what was made alike in transcripts before they were compared.
    """

    name: str
    task: TaskName = "classification"
    modality: str
    classes: tuple[str, ...]
    positive: str | None = None
    backbone: Backbone | None = None
    preprocessing: PreprocessingFacts | None = None
    revision: str | None = None
    model_sha256: str | None = None
    unit: str | None = None
    normalizer: str | None = None
    training: Training

    @property
    def trained_here(self) -> bool:
        """Whether it was trained in the run."""
        return self.training.mode != "external"

    def name_items(self) -> str:
        """Return what examples are called: ``images``."""
        read = {"image": "images", "text": "texts", "audio": "recordings", "predictions": "rows"}
        return self.task_kind.items or read.get(self.modality, "examples")

    @property
    def task_kind(self) -> TaskKind:
        """What is said of its task."""
        return TASKS[self.task]

    def name_unit(self, *, declared: bool = True) -> str:
        """Return what counts as one, with the column that says so: ``unit (face_id)``; ``example`` unless declared."""
        return f"unit{self._in_which_column}" if declared else "example"

    def name_units(self, *, declared: bool = True) -> str:
        """Return what several of them are called: ``units (face_id)``; ``examples`` unless declared."""
        return f"units{self._in_which_column}" if declared else "examples"

    @property
    def _in_which_column(self) -> str:
        return "" if self.unit in (None, "", "unit") else f" ({self.unit})"

    def explain_unit(self) -> str:
        """Return in words what a unit is; empty where each example counts by itself."""
        if self.unit is None:
            return ""
        column = f"the column {self.unit}" if self.unit else "a column that is not named here"
        return f"a unit is all {self.name_items()} with one value of {column}"


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
    # rows left out with on_error = "skip": an item that cannot be read, a missing value; None: withheld
    skipped: int | None = 0
    small_cells: SmallCells | None = None


@dataclass(frozen=True)
class Artifacts:
    """What belongs to a run but not into ``audit.json``; present when the run was made in this process.

    Attributes:
        predictions: one row an example, columns as in ``predictions.parquet``.
        inputs: the manifest and every item that is a file.
        folder: the config's, which paths of inputs are relative to.
        write_model: writes the folder ``model`` (safetensors and model.json), or None without a model.
        finalize: called when everything is saved, since an interrupted run can go on until then; None without need.
    """

    predictions: pd.DataFrame
    inputs: Sequence[InputFile]
    folder: Path = Path()
    write_model: Callable[[Path], None] | None = None
    finalize: Callable[[], None] | None = None


class AuditRun(Document):
    """A finished audit: the content of ``audit.json``, from which every other output is made.

    ``left_out`` says, a sentence each, what this version for strangers lacks; it is empty for all others.
    """

    format_version: int = FORMAT_VERSION
    rft_version: str
    run: Run
    model: ModelFacts
    data: DataFacts
    sections: tuple[Section, ...]
    pillars: tuple[Pillar, ...] = ()
    verdict: Verdict
    later_verdicts: tuple[LaterVerdict, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, section by section."""
        return tuple(finding for section in self.sections for finding in section.findings)

    @property
    def latest_verdict(self) -> Verdict:
        """The verdict that gates, exports and signatures go by: of the rules that were applied last."""
        return self.later_verdicts[-1].verdict if self.later_verdicts else self.verdict

    def section(self, plugin: str) -> Section:
        """Return the section of a plugin; ``UnknownNameError``, a KeyError, when it took no part."""
        return find_named({section.plugin: section for section in self.sections}, plugin, "section of this run")

    def finding(self, id: str) -> Finding:
        """Return the finding with this id, as ``run[id]`` does; ``UnknownNameError``, a KeyError, without one."""
        return find_named({finding.id: finding for finding in self.findings}, id, "finding of this run")

    __getitem__ = finding

    def __contains__(self, id: object) -> bool:
        return any(finding.id == id for finding in self.findings)

    def __repr__(self) -> str:
        verdict = self.latest_verdict.status
        return f"{type(self).__name__}({self.run.name!r}, {self.run.volatile.created}, verdict {verdict!r})"

    __str__ = __repr__  # pydantic's own would print every table
