"""Whether the model treats groups alike: metrics of each group and the gaps between them, with intervals."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from rft.config.applicability import CLASSES, TRAINED, Applies
from rft.config.schema import DataConfig
from rft.config.tables.base import MOST
from rft.disclosure.withheld import Counted
from rft.errors import ConfigError, Unavailable, near
from rft.plugins import AuditedModel, ExaminedData, Options, Plugin, RunPair
from rft.plugins.fairness.legal import Ll144Options, TableName, check_attributes, check_options
from rft.plugins.fairness.mitigation import MitigationOptions
from rft.plugins.fairness.overview import PILLAR, list_contrasts, summarize_fairness
from rft.records import TASKS, Contrast, ModelFacts, Section, TaskName
from rft.stats.scores.classification import MetricName

if TYPE_CHECKING:
    from rft.plugins.fairness.mitigation.saved_rule import MitigatedModel

SHARES_OF_CASES = Applies(
    lambda run, _: run.task == "classification", "error rates are compared from 5 speakers of a group on"
)
DEFAULT_MIN_REPORTED_SIZE = 10
MOST_CROSSED = 16  # attributes: of more, no combination has the cases that are compared
MITIGATED = ("accuracy", "gap", "worst_group_accuracy")  # what mitigation states, after it and before


class FairnessOptions(Options):
    """``[fairness]``: whether the model treats groups alike."""

    attributes: list[str] | None = Field(default=None, min_length=1)
    """The group attributes to look at; by default all of `data.groups`."""
    metrics: Annotated[list[MetricName], CLASSES] = Field(
        default=["accuracy", "selection_rate", "tpr", "fpr"], min_length=1
    )
    """What is compared between groups."""
    classes: Annotated[
        list[str] | None,
        Field(min_length=1),
        CLASSES,
        Applies(lambda run, _: run.classes != 2, "of two classes the favourable one says all"),
    ] = None
    """Of more than two classes, those to set against the rest beside the favourable one; by default all."""
    max_intersection_order: int = Field(default=2, ge=1, le=MOST_CROSSED)
    """How many attributes are crossed at most; 1 for no intersections."""
    control_feature: Annotated[str | None, CLASSES] = None
    """A group attribute within whose values the others are compared once more."""
    min_group_size: Annotated[int, SHARES_OF_CASES] = Field(default=30, ge=2, le=MOST)
    """Groups with fewer independent cases of a metric, such as positives of a TPR, are inconclusive: shown, but not
    compared. Cases are examples, or units where these repeat."""
    min_reported_size: Annotated[int | None, SHARES_OF_CASES] = Field(default=None, ge=1, le=MOST)
    """Groups with fewer have no number; by default 10, or `min_group_size` if that is less."""
    tables: Annotated[list[TableName], CLASSES] = Field(default=[])
    """Tables in the form of legal texts, without any judgement."""
    ll144: Annotated[Ll144Options | None, CLASSES] = None
    """What the table of Local Law 144 needs to know."""
    mitigation: Annotated[
        MitigationOptions | None,
        TRAINED,
        Applies(
            lambda run, _: run.freeze in (None, "all"), 'it decides anew on what a linear head sees: freeze = "all"'
        ),
    ] = None
    """Without this table no other ways to decide are tried. Not together with `privacy.epsilon`."""

    @property
    def reported_size(self) -> int:
        """From how many independent cases on a group has numbers."""
        return (
            min(DEFAULT_MIN_REPORTED_SIZE, self.min_group_size)
            if self.min_reported_size is None
            else self.min_reported_size
        )

    @property
    def fits_by_itself(self) -> str | None:
        """Mitigation fits to the training data by itself."""
        return "fairness.mitigation" if self.mitigation else None

    @model_validator(mode="after")
    def _check_consistency(self) -> FairnessOptions:
        if self.reported_size > self.min_group_size:
            raise ValueError("min_reported_size is above min_group_size: a group would be compared that is not shown")
        check_options(self.tables, self.ll144)
        return self


class Fairness(Plugin[FairnessOptions]):
    """Compares groups on the test split."""

    name = "fairness"
    reads_predictions_alone = True
    requires = ("fairlearn",)
    needs = ("groups", "positive")
    tasks = tuple(TASKS)
    options = FairnessOptions
    pillar = PILLAR

    def needs_for(self, task: TaskName) -> tuple[str, ...]:
        """Transcripts have no favourable class."""
        return ("groups",) if task == "recognition" else self.needs

    def summarize(self, section: Section | None, model: ModelFacts) -> str:
        """Return the gap that matters most, or why there is none."""
        return summarize_fairness(section, model)

    def list_contrasts(self, section: Section, model: ModelFacts) -> tuple[Contrast, ...]:
        """Return the largest gap of each attribute in each metric, with both groups."""
        return list_contrasts(section, model)

    def requires_for(self, options: FairnessOptions) -> tuple[str, ...]:
        """Fairlearn computes mitigated decisions; everything else does without it."""
        return self.requires if options.mitigation else ()

    def compare_runs(self, pair: RunPair) -> Section | None:
        """Return how the gaps between groups changed from one run to the other."""
        from rft.plugins.fairness.paired.section import compare_models

        return None if pair.task == "recognition" else compare_models(pair)

    def load_model(self, folder: Path) -> MitigatedModel | None:
        """Return the mitigated model of a run; see ``MitigatedModel.predict``."""
        from rft.plugins.fairness.mitigation import saved_rule

        return saved_rule.load_rule(folder) if saved_rule.is_saved_in(folder) else None

    def check(self, options: FairnessOptions, data: DataConfig) -> None:
        """Raise ``ConfigError`` where the options name an attribute that the data does not have."""
        named = {
            "attributes": options.attributes or [],
            "control": [options.control_feature] if options.control_feature else [],
        }
        named["mitigation.attribute"] = [options.mitigation.attribute] if options.mitigation else []
        for key, names in named.items():
            for name in names:
                if name not in data.groups:
                    raise ConfigError(
                        f"{name!r} is not among data.groups ({', '.join(data.groups)})",
                        where=f"fairness.{key}",
                        remedy=near(name, data.groups),
                    )
        check_attributes(options.ll144, options.attributes or data.groups)

    def list_findings_for(self, task: TaskName, options: FairnessOptions, data: DataConfig) -> Iterator[str]:
        """Yield the ids that its findings may have, of an audit of this task."""
        from rft.plugins.fairness.recognition.audit import list_speaker_findings

        if task == "recognition":
            return list_speaker_findings(self._name_groupings(options, data))
        return self.list_findings(options, data)

    def _name_groupings(self, options: FairnessOptions, data: DataConfig) -> list[str]:
        """Return the attributes that are compared, and these crossed."""
        from rft.predictions.crossing import CROSSING_SEPARATOR

        attributes = options.attributes or data.groups
        orders = range(1, min(options.max_intersection_order, len(attributes)) + 1)
        return [CROSSING_SEPARATOR.join(crossed) for n in orders for crossed in combinations(attributes, n)]

    def list_findings(self, options: FairnessOptions, data: DataConfig) -> Iterator[str]:
        """Yield the ids that its findings may have: of attributes, of these crossed, and within a control feature."""
        names = self._name_groupings(options, data)
        kinds = [f"{mean}{metric}" for metric in options.metrics for mean in ("", "macro_")]
        compared = [form.format(kind) for kind in kinds for form in ("{}_gap", "{}_ratio", "worst_{}")]
        for name in names:
            for kind in (*compared, "missing", "intersection", "permutation_check", *options.tables):
                yield f"{self.name}.{kind}.{name}"
                if options.control_feature:
                    yield f"{self.name}.{kind}.{name}*{options.control_feature}*"
        yield from (f"{self.name}.{table}" for table in options.tables)
        if options.mitigation:
            measured = (f"{name}{when}" for name in MITIGATED for when in ("", "_before"))
            yield from (f"{self.name}.mitigation.{name}" for name in (*options.mitigation.methods, *measured))

    def examine_data(self, options: FairnessOptions, examined: ExaminedData) -> Iterator[str]:
        """Yield which attributes have fewer than two groups of the size that is compared; raises ``ConfigError``."""
        from rft.plugins.fairness.measure.group_counts import describe_small_groups
        from rft.plugins.fairness.recognition.audit import describe_small_speaker_groups

        if examined.core.task == "recognition":
            if "test" in examined.splits:
                for attribute in options.attributes or examined.core.data.groups:
                    yield from describe_small_speaker_groups(examined.splits, attribute)
            return
        for name in options.classes or ():
            if name not in examined.classes:
                remedy = near(name, list(examined.classes)) or f"The classes are {', '.join(examined.classes)}."
                raise ConfigError(f"{name!r} is no class", where="fairness.classes", remedy=remedy)
        test = examined.splits.get("test")
        if test is not None:
            for attribute in options.attributes or list(test.groups):
                yield from describe_small_groups(
                    examined.splits, attribute, options.min_group_size, examined.drawn_share
                )

    def count_cases(self, audited: AuditedModel, options: FairnessOptions) -> Iterator[Counted]:
        """Return the test rows that numbers of groups rest on: see ``rft.plugins.Plugin.count_cases``."""
        from rft.plugins.fairness.audit import count_cases
        from rft.plugins.fairness.recognition.audit import count_speaker_cases

        if audited.facts.task == "recognition":
            return count_speaker_cases(audited, options)
        return count_cases(audited, options, positive=self._require_positive(audited))

    def audit(self, audited: AuditedModel, options: FairnessOptions) -> Section:
        """Return the section; needs predictions with groups, and of classes a favourable one."""
        from rft.plugins.fairness.audit import audit_groups
        from rft.plugins.fairness.recognition.audit import audit_speakers

        if audited.facts.task == "recognition":
            return audit_speakers(audited, options)
        return audit_groups(audited, options, positive=self._require_positive(audited))

    def _require_positive(self, audited: AuditedModel) -> str:
        if audited.facts.positive is None:
            raise Unavailable("no favourable class was given (data.positive), so rates of groups have no direction")
        return audited.facts.positive
