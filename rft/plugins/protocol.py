"""What a plugin is: a table of ``audit.toml``, an audit that returns a section, and hooks that most do without.

Importing a plugin's module must be cheap: the methods that use torch, Opacus, Fairlearn or Captum import it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from rft.config.options import Options
from rft.config.schema import Config, DataConfig
from rft.disclosure.withheld import NOTHING, Counted, Withheld
from rft.number_format import format_count
from rft.plugins.pillar import NOT_ASKED, PillarDefinition
from rft.records import TASKS, Contrast, JsonObject, ModelFacts, Section, Split, TaskName

if TYPE_CHECKING:
    import pandas as pd

    from rft.features.embeddings import Embeddings
    from rft.plugins.audited_model import AuditedModel
    from rft.training import Trainer


OptionsT = TypeVar("OptionsT", bound=Options)


@dataclass(frozen=True)
class RunPair:
    """The test predictions of two finished runs on the same examples, for plugins that compare runs.

    Attributes:
        before, after: one row an example in the same order, columns as in ``predictions.parquet``.
        classes, positive: the classes, and the favourable one; None where the runs name none.
        names: what the two runs are called.
        seed: of resampling.
        withheld: what may not leave the machine; the values of its groups are missing in ``before``.
        task: what both models do.
        configs: of both, in which a plugin finds what its table asked for; empty where they are not known.
    """

    before: pd.DataFrame
    after: pd.DataFrame
    classes: tuple[str, ...]
    positive: str | None
    names: tuple[str, str]
    seed: int
    withheld: Withheld = NOTHING
    configs: tuple[JsonObject, ...] = ()
    task: TaskName = "classification"


@dataclass(frozen=True)
class CandidateBackbone:
    """A backbone that is tried before training: its embeddings of a sample, and the seconds that they took."""

    embeddings: Embeddings
    seconds: float


@dataclass(frozen=True)
class ExaminedData:
    """What ``rft check`` knows of an audit before anything of it is run.

    Attributes:
        core: the config.
        folder: what its paths are relative to.
        splits: the examples, or the rows of predictions.
        classes: that the model tells apart.
        drawn_share: the share of test, where rft drew the split; None where the data declares it.
    """

    core: Config
    folder: Path
    splits: Mapping[str, Split]
    classes: tuple[str, ...]
    drawn_share: float | None = None


@dataclass(frozen=True)
class PlannedWork:
    """What an audit runs that costs time, counted beforehand.

    Attributes:
        forwards: examples through the whole model.
        gradients: gradients of the model by its input, each of one example.
        embeddings: examples that are read and run through the frozen part.
        heads: models that are trained at once, as the audited one was.
    """

    forwards: int = 0
    gradients: int = 0
    embeddings: int = 0
    heads: int = 0

    @property
    def is_any(self) -> bool:
        """Whether there is anything to run."""
        return any((self.forwards, self.gradients, self.embeddings, self.heads))

    def describe(self) -> str:
        """Return it in words: ``12 gradients and 40 forward passes, at the pace of a few that were tried``."""
        parts = {
            "gradients": self.gradients,
            "forward passes": self.forwards,
            "examples through the backbone": self.embeddings,
            "trainings": self.heads,
        }
        counted = [f"about {format_count(n)} {name}" for name, n in parts.items() if n]
        return f"{' and '.join(counted)}, at the pace of a few that were tried"


@dataclass(frozen=True)
class EvidenceCheck:
    """What came of checking evidence against what is kept outside a run.

    Attributes:
        sentence: what holds, or why nothing was checked.
        checked: whether anything was there to check against.
    """

    sentence: str
    checked: bool


class Plugin(ABC, Generic[OptionsT]):
    """Base of every plugin. ``audit`` is required; all other methods are hooks, of which the defaults do nothing.

    Templates are a hook too: a section names its own as ``template = "package:path"``.

    Attributes:
        name: its table in ``audit.toml`` and the first part of its findings' ids; lower case, digits, ``_``.
        always_on: runs without a table of its own.
        requires: distributions that it needs beyond rft's own dependencies.
        needs: keys of ``[data]`` that must be set (``groups``, ``positive``, ``unit``).
        tasks: what it audits, by ``rft.records.TASKS``; of any other task it says that it does not apply.
        tasks_of_training: what it audits beside these where the model was trained in the run.
        options: the model of its table, validated with the rest of the config.
        reads_predictions_alone: its audit needs nothing but predictions: ``rft check`` rehearses it on some without a
            mistake, which tells what the test split can settle at best, and how long the audit takes.
        needs_model: its audit looks into the model itself; a model in memory that is asked for predictions alone, such
            as one of rows, is refused before anything runs.
        pillar: the question that it answers in the overview of a report; None for one that has no row there.
    """

    name: ClassVar[str]
    always_on: ClassVar[bool] = False
    requires: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    tasks: ClassVar[tuple[TaskName, ...]] = ("classification",)
    tasks_of_training: ClassVar[tuple[TaskName, ...]] = ()
    options: type[OptionsT]
    reads_predictions_alone: ClassVar[bool] = False
    needs_model: ClassVar[bool] = False
    pillar: ClassVar[PillarDefinition | None] = None

    @abstractmethod
    def audit(self, audited: AuditedModel, options: OptionsT) -> Section:
        """Return the section. Raise ``Unavailable`` with a reason when the audit as a whole cannot be made."""

    def explain_task(self, task: TaskName, *, trained: bool = False) -> str:
        """Return why it does not apply to a task, as a reason; empty where it does.

        Args:
            task: what the model does.
            trained: whether it was trained in the run.
        """
        if task in self.tasks or (trained and task in self.tasks_of_training):
            return ""
        own = " and ".join(TASKS[name].audited for name in self.tasks)
        return f"the {self.name} audit is of {own}, and these are {TASKS[task].audited}"

    def needs_for(self, task: TaskName) -> tuple[str, ...]:
        """Return those of ``needs`` that an audit of this task makes use of; none where it does not apply."""
        return self.needs if task in self.tasks else ()

    def requires_for(self, options: OptionsT) -> tuple[str, ...]:
        """Return those of ``requires`` that these options make use of; all by default."""
        return self.requires

    def check(self, options: OptionsT, data: DataConfig) -> None:
        """Refuse, before any work, options that do not go with ``[data]``; raises ``ConfigError``."""

    def list_findings(self, options: OptionsT, data: DataConfig) -> Iterable[str] | None:
        """Return the ids that its findings may have with these options, ``*`` for any text; None: it does not say.

        A rule on another finding is refused before any work: it could never be settled.
        """
        return None

    def list_findings_for(self, task: TaskName, options: OptionsT, data: DataConfig) -> Iterable[str] | None:
        """Return what ``list_findings`` does, of an audit of this task; nothing where the plugin does not apply."""
        applies = not self.explain_task(task, trained=data.transcript is not None)
        return self.list_findings(options, data) if applies else ()

    def examine_data(self, options: OptionsT, examined: ExaminedData) -> Iterable[str]:
        """Return what can be said of its audit before anything is run, a sentence each, for ``rft check``.

        Raises:
            RftError: the options do not go with the data, or what the plugin keeps outside runs is in the way.
        """
        return ()

    def count_work(self, options: OptionsT, examined: ExaminedData) -> PlannedWork | None:
        """Return what its audit runs that costs time, for the estimate of ``rft check``; None for next to nothing."""
        return None

    def trainer(self, options: OptionsT) -> Trainer | None:
        """Return a trainer that takes over training; None leaves it to the standard loop."""
        return None

    def count_cases(self, audited: AuditedModel, options: OptionsT) -> Iterable[Counted]:
        """Return the rows, beside those of each group in each split, that the plugin's numbers of groups rest on.

        Groups of whom these are too few are withheld before anything is measured.
        """
        return ()

    def summarize(self, section: Section | None, model: ModelFacts) -> str:
        """Return the answer of its ``pillar`` in a sentence or two, for the first screen of a report.

        Args:
            section: what it found, as it is published: without what is withheld. None where it took no part.
            model: what was audited.
        """
        return NOT_ASKED if section is None else ""

    def list_contrasts(self, section: Section, model: ModelFacts) -> tuple[Contrast, ...]:
        """Return the largest gap for each attribute and metric, with both groups, for the first screen of a report.

        Args:
            section: what it found, as it is published: without what is withheld.
            model: what was audited.
        """
        return ()

    def compare_runs(self, pair: RunPair) -> Section | None:
        """Return what two runs on the same examples say; raises ``Unavailable``. None: nothing to compare.

        The change of one of its findings, on the same examples, has the id ``Finding.change_id``: it takes the place of
        what the two runs say of that finding by themselves.
        """
        return None

    def compare_backbones(
        self, candidates: Mapping[str, CandidateBackbone], *, seed: int, withheld: Withheld = NOTHING
    ) -> Section | None:
        """Return what the embeddings of several backbones, of the same examples, say. None: nothing to compare."""
        return None

    def load_model(self, folder: Path) -> Any | None:
        """Return the model that a folder of this plugin's section holds, with ``predict``; None for other folders."""
        return None

    def verify_evidence(self, recorded: JsonObject, folder: Path | None) -> EvidenceCheck | None:
        """Check what ``Section.evidence`` recorded against what is kept outside the run.

        Args:
            recorded: from ``evidence.json``.
            folder: where the plugin keeps it, as the user says; None for the usual place.

        Raises:
            EvidenceError: what is found is not what was recorded, or nothing is in the folder that the user named.
        """
        return None
