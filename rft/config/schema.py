"""The tables of ``audit.toml`` as typed objects: what is allowed in them, and what contradicts what.

The core's own tables are models here; reading a file into them is the work of ``config_file``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, create_model, model_validator

from rft.config.applicability import EXAMPLES_TO_SHOW, Applies, Situation
from rft.config.options import Options
from rft.config.path_keys import PATH_OR_URL
from rft.config.rule_kinds import RULE_KINDS, RuleKind
from rft.config.tables.base import MOST, Fraction, Table
from rft.config.tables.data import EXAMPLES_ALONE, NORMALIZERS, SOURCES, SPLITTING, WHO_SPEAKS
from rft.config.tables.data import DataConfig as DataConfig
from rft.config.tables.features import FeaturesConfig as FeaturesConfig
from rft.config.tables.model import LoraConfig as LoraConfig
from rft.config.tables.model import ModelConfig as ModelConfig
from rft.config.tables.spellings import HubName, LicenseName, RunName, Sentence
from rft.config.tables.spellings import NormalizerName as NormalizerName
from rft.config.tables.train import TrainConfig as TrainConfig
from rft.records.task import TaskName

LARGEST_BOUND = 10**15  # of a rule: findings may be bytes, or numbers of parameters


class PredictionsConfig(Table):
    """``[predictions]``: a table of predictions alone, of any model, in the place of ``[model]`` and ``[train]``.

    ``[data]`` says which of its columns hold label, groups, unit, split and id.
    """

    file: Annotated[str, PATH_OR_URL]
    """Table of predictions, a pattern of tables, or a URL of either."""
    layout: Literal["columns", "rft"] = "columns"
    """`columns`: the keys name the columns. `rft`: they are named as in the predictions.parquet of a run, so that
    `data.groups` alone is needed."""
    prediction: str | None = None
    """Column of decisions, class names."""
    score: str | None = None
    """Column of the probability of `data.positive`, where there are two classes."""
    scores: dict[str, str] | None = Field(default=None, min_length=2)
    """Table of class and the column of its probability; a row sums to 1."""
    threshold: Fraction = 0.5
    """Where there is no column of decisions, a `score` of at least this decides for `data.positive`."""
    reference: str | None = None
    """Of a speech recogniser: column of what was said. With `hypothesis`, in the place of the keys of classes above."""
    hypothesis: str | None = None
    """Column of what the recogniser wrote; an empty cell is silence."""
    normalizer: NormalizerName | None = None
    """What is made alike in both before they are compared; it moves error rates more than most gaps, so it is never
    guessed, and the rates without it stand beside. `none`; `simple`: case, punctuation and symbols; `whisper_english`:
    the rules for English texts of Whisper, numbers and spellings too."""

    @model_validator(mode="after")
    def _check_transcripts(self) -> PredictionsConfig:
        keys = ("reference", "hypothesis", "normalizer")
        given = [key for key in keys if getattr(self, key) is not None]
        if not given:
            return self
        if idle := sorted({"prediction", "score", "scores", "threshold", "layout"} & self.model_fields_set):
            raise ValueError(
                f"{given[0]} is about the transcripts of a recogniser, which have no classes: remove {', '.join(idle)}"
            )
        remedies = {
            "reference": "reference is missing: the column of what was said",
            "hypothesis": "hypothesis is missing: the column of what the recogniser wrote",
            "normalizer": f"normalizer is missing: {NORMALIZERS}",
        }
        if lacking := [key for key in keys if key not in given]:
            raise ValueError(remedies[lacking[0]])
        return self

    @model_validator(mode="after")
    def _check_columns(self) -> PredictionsConfig:
        if self.reference is not None:
            return self
        named = [key for key in ("prediction", "score", "scores") if getattr(self, key) is not None]
        if self.layout == "rft" and named:
            raise ValueError(f'layout = "rft" says what the columns are: remove {", ".join(named)}')
        if self.layout == "columns" and not named:
            raise ValueError(
                "give prediction (a column of class names), score or scores (columns of probabilities); of a speech "
                "recogniser reference and hypothesis (columns of transcripts)"
            )
        if self.score is not None and self.scores is not None:
            raise ValueError("give either score (of two classes) or scores (of each class)")
        if "threshold" in self.model_fields_set and (self.score is None or self.prediction is not None):
            raise ValueError("threshold makes decisions of score where there is no prediction column: remove it")
        if self.scores is not None and len(set(self.scores.values())) < len(self.scores):
            raise ValueError("scores gives one column to two classes")
        return self

    @property
    def scored(self) -> bool:
        """Whether columns of probabilities are named."""
        return self.score is not None or self.scores is not None

    @property
    def columns(self) -> list[str]:
        """The columns that the keys name."""
        named = (self.prediction, self.score, *(self.scores or {}).values(), self.reference, self.hypothesis)
        return [column for column in named if column is not None]


SEE_WORDS = "Set report.show_examples = true to see words and texts, which may be personal data."


class ReportConfig(Table):
    """``[report]``: what may leave the machine."""

    show_examples: Annotated[
        bool,
        Applies(lambda run, _: run.shows_examples, "no plugin that is switched on shows examples"),
        EXAMPLES_TO_SHOW,
    ] = False
    """Show test images or texts with what the model looks at, ids of examples, and words of transcripts: they may be
    personal data. Without it there are charts and counts alone."""
    suppress_below: int | None = Field(default=None, ge=0, le=MOST)
    """Numbers that rest on fewer cases do not leave the machine; by default those of the model card alone, below 10. 0
    withholds none."""


class CardConfig(Table):
    """``[card]``: what only you know of the model; it stands in the model card and the report as it stands here."""

    intended_use: Sentence | None = None
    """What the model is for."""
    out_of_scope: Sentence | None = None
    """What it must not be used for."""
    owner: Sentence | None = None
    """Who answers for it."""
    contact: Sentence | None = None
    """How to reach them."""
    license: LicenseName | None = None
    """An identifier of the hub, such as `apache-2.0`, or the name of another licence."""
    base_model: HubName | None = None
    """The pretrained model on the hub, where the run does not know it."""
    datasets: Annotated[list[HubName], Field(min_length=1)] | None = None
    """Data sets on the hub."""


class _RuleTable(Table):
    """``[[policy]]``: bounds on the value of a finding, and where they come from."""

    @property
    def bounds(self) -> dict[str, float]:
        """The bounds that are set, by kind."""
        return {key: bound for key in RULE_KINDS if (bound := getattr(self, key)) is not None}

    @property
    def allowed_range(self) -> tuple[float, float]:
        """The least and the largest value that keep to all bounds, infinite where there is none."""
        ranges = [RULE_KINDS[key].allowed_range(bound) for key, bound in self.bounds.items()]
        return max(low for low, _ in ranges), min(high for _, high in ranges)

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        bounds = self.bounds
        if not bounds:
            raise ValueError(f"a rule needs {' or '.join(RULE_KINDS)}")
        ranges = {key: RULE_KINDS[key].allowed_range(bound) for key, bound in bounds.items()}
        highest_start = max(ranges, key=lambda key: ranges[key][0])
        lowest_end = min(ranges, key=lambda key: ranges[key][1])
        if ranges[highest_start][0] > ranges[lowest_end][1]:
            high, low = bounds[highest_start], bounds[lowest_end]
            raise ValueError(f"{highest_start} = {high:g} is above {lowest_end} = {low:g}: no value keeps to both")
        return self


def build_rule(kinds: Mapping[str, RuleKind]) -> type[_RuleTable]:
    """Return the model of a table ``[[policy]]`` with a key for each kind of bound."""
    finding = Field(description='Id of the finding: "Name in rules" in the report.')
    because = Field(default="", description="Where the rule comes from; the report shows it.")
    bounds = {
        key: (
            float | None,
            Field(
                default=None,
                ge=-LARGEST_BOUND,
                le=LARGEST_BOUND,
                allow_inf_nan=False,
                description=f"The value is {kind.words} this.",
            ),
        )
        for key, kind in kinds.items()
    }
    fields: dict[str, Any] = {"finding": (str, finding), **bounds, "because": (str, because)}
    return create_model("Rule", __base__=_RuleTable, __module__=__name__, __doc__=_RuleTable.__doc__, **fields)


if TYPE_CHECKING:

    class Rule(_RuleTable):
        """A rule: which finding, its bounds by the keys of ``RULE_KINDS``, and why."""

        finding: str
        because: str

        def __init__(self, *, finding: str, because: str = "", **bounds: float | None) -> None: ...
else:
    Rule = build_rule(RULE_KINDS)


class Config(Table):
    """All of ``audit.toml``. ``plugins`` holds the validated options of each plugin that has a table."""

    name: RunName
    """What the run is called: by default as the file, or as its folder where the file is `audit.toml`."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of all that is drawn by chance, but for the samples and noise of private training."""
    data: DataConfig
    """Where the examples are, and which column says what."""
    model: ModelConfig | None = None
    """The pretrained backbone and what is trained; or a model that others trained."""
    predictions: PredictionsConfig | None = None
    """A table of predictions alone, in the place of `[model]` and `[train]`."""
    features: FeaturesConfig = FeaturesConfig()
    """Where the features of the frozen part are kept, and who computes them."""
    train: TrainConfig = TrainConfig()
    """The training loop."""
    report: ReportConfig = ReportConfig()
    """What may leave the machine."""
    card: CardConfig = CardConfig()
    """What only the organisation knows of its model."""
    policy: list[Rule] = Field(default=[])
    """Your rules: bounds on findings."""

    @property
    def network(self) -> ModelConfig:
        """The table ``[model]``, for those who come after it was found to be there."""
        assert self.model is not None
        return self.model

    @property
    def task(self) -> TaskName:
        """What the model does: it recognises speech where transcripts are given, and otherwise tells classes apart."""
        is_table = self.predictions is not None and self.predictions.reference is not None
        return "recognition" if is_table or self.data.transcript is not None else "classification"

    @property
    def normalizer(self) -> NormalizerName | None:
        """What is made alike in transcripts; None where there are none."""
        return self.predictions.normalizer if self.predictions is not None else self.data.normalizer

    @property
    def external(self) -> bool:
        """Whether nothing is trained: the model, or a table of its predictions, is audited as it is."""
        return self.model is None or self.model.external

    @property
    def row_norm(self) -> bool:
        """``model.row_norm``; left out, it suits a head alone, but is no part of the loop of textbooks."""
        if self.network.row_norm is not None:
            return self.network.row_norm
        return self.network.frozen == "all" and self.train.optimizer != "sgd"

    def situation(self, plugins: Mapping[str, Options]) -> Situation:
        """Return what decides which keys have an effect.

        Args:
            plugins: name -> options of each plugin that has a table.
        """
        scores = self.predictions is None or self.predictions.layout == "rft" or bool(self.predictions.scored)
        recognizes = self.task == "recognition"
        return Situation(
            modality="predictions" if self.predictions else self.data.modality,
            task=self.task,
            trained=not self.external,
            freeze=None if self.external else self.network.frozen,
            engine=self.features.engine,
            optimizer=self.train.optimizer,
            private=any(options.private for options in plugins.values()),
            population=self.data.population is not None,
            scores=scores,
            classes=None if self.data.classes is None else len(self.data.classes),
            shows_examples=recognizes or any(options.shows_examples for options in plugins.values()),
            unused={key: why for options in plugins.values() for key, why in options.unused.items()},
        )

    @model_validator(mode="before")
    @classmethod
    def _no_examples(cls, raw: Any) -> Any:
        """Refuse what describes examples beside predictions alone, before ``[data]`` asks for more of it."""
        if isinstance(raw, dict) and "predictions" in raw and isinstance(raw.get("data"), dict):
            idle = EXAMPLES_ALONE & raw["data"].keys()
            if idle:
                raise ValueError(f"data: predictions alone have no examples to read: remove {', '.join(sorted(idle))}")
        return raw

    @model_validator(mode="after")
    def _check_tables(self) -> Config:
        if self.predictions is not None:
            self._check_predictions(self.predictions)
            return self
        if self.model is None:
            raise ValueError("give [model], or [predictions]: a table of predictions alone")
        data = self.data
        if not data.tables and data.folder is None:
            raise ValueError(f"data: {SOURCES}")
        # A folder that the library datasets saved may have splits: whether it does, reading it shows.
        is_folder = data.manifest is not None and not PurePath(data.manifest).suffix
        if data.manifest and not is_folder and data.split is None and data.test is None and not self.external:
            raise ValueError(f"data: {SPLITTING}")
        if self.task == "recognition" and (self.model.frozen != "all" or self.model.tune != "full"):
            raise ValueError(
                "model: a recogniser is a head that is trained on a frozen encoder: remove freeze, tune and lora"
            )
        if self.task == "recognition" and self.model.factory is not None:
            raise ValueError(
                "model: a recogniser of speech that others trained is read from a folder, model.checkpoint; have any "
                "other write its transcripts into a table, and give that as [predictions]"
            )
        if self.model.external and "features" in self.model_fields_set:
            raise ValueError("a checkpoint or factory is run as a whole, and keeps no features: remove [features]")
        if self.model.external and "train" in self.model_fields_set:
            raise ValueError("a checkpoint or factory is audited without training: remove [train]")
        return self

    def _check_predictions(self, predictions: PredictionsConfig) -> None:
        """Refuse what a table of predictions alone has no use for, and columns that are given two meanings."""
        data = self.data
        if idle := [f"[{table}]" for table in ("model", "features", "train") if table in self.model_fields_set]:
            raise ValueError(f"[predictions] is a table of predictions alone: remove {' and '.join(idle)}")
        if predictions.layout == "rft":
            if named := sorted({"label", "id", "unit", "split"} & data.model_fields_set):
                raise ValueError(f'data: predictions.layout = "rft" says what the columns are: remove {named[0]}')
            return
        if self.task == "recognition":
            if named := sorted({"label", "classes", "positive"} & data.model_fields_set):
                raise ValueError(f"data: transcripts have no classes: remove {', '.join(named)}")
            if data.unit is None:
                raise ValueError(f"data: unit is missing: {WHO_SPEAKS}")
        elif data.label is None:
            raise ValueError("data: label is missing: the name of its column")
        if predictions.score is not None and data.positive is None:
            raise ValueError("data: positive is missing: the class that predictions.score is the probability of")
        named_columns = [*predictions.columns, data.label, *data.groups, data.split]
        columns = [column for column in named_columns if column is not None]
        if twice := [column for column in columns if columns.count(column) > 1]:
            kinds = "reference and hypothesis" if self.task == "recognition" else "prediction and scores"
            raise ValueError(
                f"the column {twice[0]!r} is given two meanings: each of label, split, groups, {kinds} "
                "needs a column of its own"
            )
