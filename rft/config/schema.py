"""The tables of ``audit.toml`` as typed objects: what is allowed in them, and what contradicts what.

The core's own tables are models here; reading a file into them is the work of ``config_file``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, create_model, field_validator, model_validator

from rft.config.applicability import EXAMPLES, IMAGES, TEXTS, Applies, Situation
from rft.config.options import Options
from rft.config.rule_kinds import RULE_KINDS
from rft.config.table import STRICT
from rft.config.train import TrainConfig

Fraction = Annotated[float, Field(gt=0, lt=1)]
GroupName = Annotated[str, Field(pattern=r"^[^.\s][^.]*(\.[^.\s][^.]*)*$")]  # the last part of a finding's id
Sentence = Annotated[str, Field(pattern=r"\S")]
HubName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$", max_length=96)]
FACTORY = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"  # package.module:name

EXACT = ("auto", "float32")  # precisions that change nothing
SOURCES = "give either manifest (a table of examples) or folder (class sub-folders of images)"


class _Table(BaseModel):
    model_config = STRICT


class DataConfig(_Table):
    """``[data]``: where the examples are and which column says what."""

    manifest: str | None = None
    folder: str | None = None
    image: str | None = None
    text: str | None = None
    label: str | None = None
    id: str | None = None
    classes: Annotated[list[str], Field(min_length=2)] | None = None
    positive: str | None = None
    groups: list[GroupName] = []
    unit: str | None = None
    population: Annotated[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] | None,
        Applies(lambda run, _: run.private, "its ledger adds up what private training spends"),
    ] = None
    split: str | None = None
    test: Fraction | None = None
    on_error: Literal["stop", "skip"] = "stop"
    # Pillow warns above the one, stops at the other.
    max_pixels: Annotated[int, Field(gt=0, le=178_956_970), IMAGES] = 89_478_485

    @property
    def modality(self) -> Literal["image", "text"]:
        """What an example is."""
        return "text" if self.text is not None else "image"

    @model_validator(mode="after")
    def _one_source(self) -> DataConfig:
        if self.manifest is not None and self.folder is not None:
            raise ValueError(SOURCES)
        if self.manifest is not None:
            if (self.image is None) == (self.text is None):
                raise ValueError("a manifest needs either image or text: the name of the column that holds the items")
            if self.label is None:
                raise ValueError("a manifest needs label: the name of its column")
            if self.split is not None and self.test is not None:
                raise ValueError("give either split (a column) or test (a fraction such as 0.25)")
        # Columns of metadata tables in a folder may be named; whether there are any, reading it will show.
        elif self.folder is not None and (named := [key for key in ("image", "text", "split") if getattr(self, key)]):
            raise ValueError(
                f"a folder has no such columns: remove {', '.join(named)}, or read its table as a manifest "
                '(manifest = "FOLDER/metadata.csv", image = "file_name")'
            )
        if self.classes is not None and len(set(self.classes)) < len(self.classes):
            raise ValueError("classes names a class twice")
        if self.population is not None and self.unit is None and self.id is None:
            raise ValueError("population needs unit or id: the column that says whose an example is, in every run")
        if len(set(self.groups)) < len(self.groups):
            raise ValueError("groups names a column twice")
        if self.label is not None and self.label in self.groups:
            raise ValueError(f"{self.label!r} is both label and group: every group would have one class only")
        return self


class LoraConfig(_Table):
    """``[model.lora]``: low-rank adapters (Hu et al. 2022, ICLR). ``target`` names layers by the end of their name."""

    rank: int = Field(default=8, ge=1)
    alpha: int = Field(default=16, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target: list[str] | None = Field(default=None, min_length=1)


def read_memory(size: str) -> int:
    """Return the bytes of ``2GB``, ``500MB`` (powers of 1000) or ``1.5GiB`` (of 1024)."""
    units = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(MB|GB|MiB|GiB)", size)
    if match is None:
        raise ValueError(f"expected a size such as 2GB or 500MB, not {size!r}")
    return int(float(match[1]) * units[match[2]])


class ModelConfig(_Table):
    """``[model]``: the pretrained backbone, what of it stays frozen, and what is trained; or a model to audit as it is.

    One of ``backbone``, ``checkpoint`` and ``factory`` is given; the last two are audited without training.

    ``preprocessing`` names what else nothing says: of a torchvision backbone with weights of one's own, the published
    weights whose transforms it was trained with (``IMAGENET1K_V2``); of a factory, its transform (``module:name``).
    """

    backbone: str | None = None
    checkpoint: str | None = None
    factory: str | None = Field(default=None, pattern=FACTORY)
    classes: list[str] | None = Field(default=None, min_length=2)
    outputs: Literal["logits", "probabilities"] = "logits"
    weights: str = "pretrained"
    freeze: str | None = None
    tune: Literal["full", "bias", "lora"] = "full"
    lora: LoraConfig = LoraConfig()
    pooling: Annotated[Literal["auto", "mean", "cls", "last"], TEXTS] = "auto"
    max_length: Annotated[int | None, Field(ge=4), TEXTS] = None
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "int8"],
        Applies(
            lambda run, value: run.trained or value in EXACT, "models that others trained run in their own precision"
        ),
        Applies(
            lambda run, value: value in EXACT or run.freeze != "none" or (value == "bfloat16" and not run.private),
            "it is that of the frozen part, and nothing is frozen",
        ),
    ] = "auto"
    cache: Annotated[
        Literal["float32", "float16"], Applies(lambda run, _: run.freeze != "none", "nothing is frozen, and so cached")
    ] = "float32"
    memory: str | None = None
    image_size: Annotated[int | None, Field(ge=28, le=1024), IMAGES] = None
    preprocessing: Annotated[str | None, IMAGES] = None
    row_norm: bool | None = None

    @property
    def external(self) -> bool:
        """Whether the model was trained by others and is only audited."""
        return self.backbone is None

    @property
    def frozen(self) -> str:
        """``freeze``, or what suits ``tune``: a new head on a frozen backbone, or biases and adapters everywhere."""
        return self.freeze or ("all" if self.tune == "full" else "none")

    @property
    def memory_bytes(self) -> int | None:
        """``memory`` in bytes, or None."""
        return None if self.memory is None else read_memory(self.memory)

    @model_validator(mode="before")
    @classmethod
    def _without_code(cls, content: Any) -> Any:
        if isinstance(content, dict) and "trust_remote_code" in content:
            raise ValueError(
                "trust_remote_code: code that a model brings along is never run, whatever this says, since it could do "
                "anything to this machine and to the audit; take a type of model that transformers itself knows, or "
                "build it yourself with model.factory, and remove the key"
            )
        return content

    @model_validator(mode="after")
    def _check_source(self) -> ModelConfig:
        sources = [key for key in ("backbone", "checkpoint", "factory") if getattr(self, key) is not None]
        if len(sources) != 1:
            raise ValueError(f"give one of backbone, checkpoint and factory, not {' and '.join(sources) or 'none'}")
        if self.external:
            training = {"weights", "freeze", "tune", "lora", "pooling", "cache", "row_norm"} & self.model_fields_set
            if training:
                raise ValueError(f"a {sources[0]} is audited as it is: remove {', '.join(sorted(training))}")
        elif {"classes", "outputs"} & self.model_fields_set:
            raise ValueError("classes and outputs describe a checkpoint or factory, not a backbone: remove them")
        if self.preprocessing is not None:
            self._check_preprocessing()
        if self.tune != "full" and self.freeze == "all":
            raise ValueError(f'tune = "{self.tune}" trains nothing when freeze is "all"; name a layer, or "none"')
        if "lora" in self.model_fields_set and self.tune != "lora":
            raise ValueError('[model.lora] needs tune = "lora"')
        return self

    def _check_preprocessing(self) -> None:
        """Refuse to name how images are prepared where the model itself says it."""
        if self.factory is not None:
            if not re.fullmatch(FACTORY, self.preprocessing or ""):
                raise ValueError('preprocessing of a factory names its transform: give "package.module:name"')
            if self.image_size is not None:
                raise ValueError("image_size is that of the images that preprocessing gives: remove it")
        elif not (self.backbone or "").startswith("torchvision/"):
            raise ValueError("preprocessing is the model's own, but for torchvision backbones and factories: remove it")

    @field_validator("memory")
    @classmethod
    def _check_memory(cls, memory: str | None) -> str | None:
        if memory is not None:
            read_memory(memory)
        return memory


class PredictionsConfig(_Table):
    """``[predictions]``: a table of predictions alone, of any model, in the place of ``[model]`` and ``[train]``.

    ``[data]`` says which of its columns hold label, groups, unit, split and id.

    Attributes:
        file: csv, tsv, jsonl or parquet.
        layout: ``columns``: the keys name them. ``rft``: they are named as in the predictions.parquet of a run, so
            that ``data.groups`` alone is needed.
        prediction: the column of decisions, class names.
        score: the column with the probability of ``data.positive``, where there are two classes.
        scores: class -> the column with its probability; a row sums to 1.
        threshold: where there is no column of decisions, a ``score`` of at least this decides for ``data.positive``.
    """

    file: str
    layout: Literal["columns", "rft"] = "columns"
    prediction: str | None = None
    score: str | None = None
    scores: dict[str, str] | None = Field(default=None, min_length=2)
    threshold: Fraction = 0.5

    @model_validator(mode="after")
    def _check_columns(self) -> PredictionsConfig:
        named = [key for key in ("prediction", "score", "scores") if getattr(self, key) is not None]
        if self.layout == "rft" and named:
            raise ValueError(f'layout = "rft" says what the columns are: remove {", ".join(named)}')
        if self.layout == "columns" and not named:
            raise ValueError("give prediction (a column of class names), score or scores (columns of probabilities)")
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
        named = (self.prediction, self.score, *(self.scores or {}).values())
        return [column for column in named if column is not None]


class ReportConfig(_Table):
    """``[report]``: what may leave the machine.

    ``suppress_below``: numbers that rest on fewer cases are withheld (``rft.disclosure``); None: from the
    model card alone, below 10; 0: none are.
    """

    show_examples: Annotated[
        bool,
        Applies(lambda run, _: "attribution" in run.plugins, "only [attribution] shows examples"),
        EXAMPLES,
    ] = False
    suppress_below: int | None = Field(default=None, ge=0)


class CardConfig(_Table):
    """``[card]``: what only the organisation knows of its model; in the model card and the report, as it stands here.

    Attributes:
        intended_use, out_of_scope: what the model is for, and what it must not be used for.
        owner, contact: who answers for it, and how to reach them.
        license: an identifier that the hub knows (``apache-2.0``), or the name of another one.
        base_model: the pretrained model on the hub, where the run does not know it.
        datasets: data sets on the hub.
    """

    intended_use: Sentence | None = None
    out_of_scope: Sentence | None = None
    owner: Sentence | None = None
    contact: Sentence | None = None
    license: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+_-]*$")] | None = None
    base_model: HubName | None = None
    datasets: Annotated[list[HubName], Field(min_length=1)] | None = None


class _RuleTable(_Table):
    """``[[policy]]``: bounds on the value of a finding, and where they come from; a key for each of ``RULE_KINDS``."""

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
            raise ValueError(f"{highest_start} is above {lowest_end}")
        return self


def build_rule(kinds: Iterable[str]) -> type[_RuleTable]:
    """Return the model of a table ``[[policy]]`` with a key for each kind of bound."""
    bound = (float | None, Field(default=None, allow_inf_nan=False))
    fields: dict[str, Any] = {"finding": (str, ...), **dict.fromkeys(kinds, bound), "because": (str, "")}
    return create_model("Rule", __base__=_RuleTable, __module__=__name__, __doc__=_RuleTable.__doc__, **fields)


if TYPE_CHECKING:

    class Rule(_RuleTable):
        """A rule: which finding, its bounds by the keys of ``RULE_KINDS``, and why."""

        finding: str
        because: str

        def __init__(self, *, finding: str, because: str = "", **bounds: float | None) -> None: ...
else:
    Rule = build_rule(RULE_KINDS)


class Config(_Table):
    """All of ``audit.toml``. ``plugins`` holds the validated options of each plugin that has a table."""

    name: str = Field(pattern=r"^\w([\w. -]*[\w-])?$", max_length=100)
    seed: int = Field(default=0, ge=0, lt=2**32)
    data: DataConfig
    model: ModelConfig | None = None
    predictions: PredictionsConfig | None = None
    train: TrainConfig = TrainConfig()
    report: ReportConfig = ReportConfig()
    card: CardConfig = CardConfig()
    policy: list[Rule] = []

    @property
    def network(self) -> ModelConfig:
        """The table ``[model]``, for those who come after it was found to be there."""
        assert self.model is not None
        return self.model

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
        return Situation(
            modality="predictions" if self.predictions else self.data.modality,
            trained=not self.external,
            freeze=None if self.external else self.network.frozen,
            optimizer=self.train.optimizer,
            private=any(options.private for options in plugins.values()),
            population=self.data.population is not None,
            scores=scores,
            classes=None if self.data.classes is None else len(self.data.classes),
            plugins=frozenset(plugins),
            unused={key: why for options in plugins.values() for key, why in options.unused.items()},
        )

    @model_validator(mode="before")
    @classmethod
    def _no_examples(cls, raw: Any) -> Any:
        """Refuse what describes examples beside predictions alone, before ``[data]`` asks for more of it."""
        if isinstance(raw, dict) and "predictions" in raw and isinstance(raw.get("data"), dict):
            idle = {"manifest", "folder", "image", "text", "test", "max_pixels", "population"} & raw["data"].keys()
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
        if self.data.manifest is None and self.data.folder is None:
            raise ValueError(f"data: {SOURCES}")
        if self.data.manifest is not None and self.data.split is None and self.data.test is None and not self.external:
            raise ValueError("data: give either split (a column) or test (a fraction such as 0.25)")
        if self.model.external and "train" in self.model_fields_set:
            raise ValueError("a checkpoint or factory is audited without training: remove [train]")
        return self

    def _check_predictions(self, predictions: PredictionsConfig) -> None:
        """Refuse what a table of predictions alone has no use for, and columns that are given two meanings."""
        data = self.data
        if idle := [f"[{table}]" for table in ("model", "train") if table in self.model_fields_set]:
            raise ValueError(f"[predictions] is a table of predictions alone: remove {' and '.join(idle)}")
        if predictions.layout == "rft":
            if named := sorted({"label", "id", "unit", "split"} & data.model_fields_set):
                raise ValueError(f'data: predictions.layout = "rft" says what the columns are: remove {named[0]}')
            return
        if data.label is None:
            raise ValueError("data: label is missing: the name of its column")
        if predictions.score is not None and data.positive is None:
            raise ValueError("data: positive is missing: the class that predictions.score is the probability of")
        columns = [*predictions.columns, data.label, *data.groups, *([data.split] if data.split else [])]
        if twice := [column for column in columns if columns.count(column) > 1]:
            raise ValueError(
                f"the column {twice[0]!r} is given two meanings: each of label, split, groups, prediction "
                "and scores needs a column of its own"
            )
