"""``audit.toml`` as typed objects. Every unknown key, wrong type or contradiction is an error that names its place.

The core's own tables are models here. The table of a plugin is validated with the options of that plugin, which the
caller passes in, so that this module knows no plugin.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from rft.errors import ConfigError, near

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
GroupName = Annotated[str, Field(pattern=r"^[^.\s][^.]*(\.[^.\s][^.]*)*$")]  # the last part of a finding's id


SOURCES = "give either manifest (a table of examples) or folder (class sub-folders of pictures)"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


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
    population: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] | None = None
    split: str | None = None
    test: Fraction | None = None
    on_error: Literal["stop", "skip"] = "stop"
    max_pixels: int = Field(default=89_478_485, gt=0, le=178_956_970)  # Pillow warns above the one, stops at the other

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
            if (self.split is None) == (self.test is None):
                raise ValueError("give either split (a column) or test (a fraction such as 0.25)")
        elif self.folder is not None:
            columns = ("image", "text", "label", "id", "unit", "split")
            named = [key for key in columns if getattr(self, key) is not None]
            if named or self.groups:
                raise ValueError(f"a folder has no columns: remove {', '.join(named or ['groups'])}, or use a manifest")
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
    """

    backbone: str | None = None
    checkpoint: str | None = None
    factory: str | None = Field(default=None, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    classes: list[str] | None = Field(default=None, min_length=2)
    outputs: Literal["logits", "probabilities"] = "logits"
    weights: str = "pretrained"
    freeze: str | None = None
    tune: Literal["full", "bias", "lora"] = "full"
    lora: LoraConfig = LoraConfig()
    pooling: Literal["auto", "mean", "cls", "last"] = "auto"
    max_length: int | None = Field(default=None, ge=4)
    precision: Literal["auto", "float32", "bfloat16", "int8"] = "auto"
    cache: Literal["float32", "float16"] = "float32"
    memory: str | None = None
    image_size: int | None = Field(default=None, ge=28, le=1024)
    row_norm: bool = False

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
    def _consistent(self) -> ModelConfig:
        sources = [key for key in ("backbone", "checkpoint", "factory") if getattr(self, key) is not None]
        if len(sources) != 1:
            raise ValueError(f"give one of backbone, checkpoint and factory, not {' and '.join(sources) or 'none'}")
        if self.external:
            training = {"weights", "freeze", "tune", "lora", "pooling", "cache", "row_norm"} & self.model_fields_set
            if training:
                raise ValueError(f"a {sources[0]} is audited as it is: remove {', '.join(sorted(training))}")
        elif {"classes", "outputs"} & self.model_fields_set:
            raise ValueError("classes and outputs describe a checkpoint or factory, not a backbone")
        if self.tune != "full" and self.freeze == "all":
            raise ValueError(f'tune = "{self.tune}" trains nothing when freeze is "all"; name a layer, or "none"')
        if "lora" in self.model_fields_set and self.tune != "lora":
            raise ValueError('[model.lora] needs tune = "lora"')
        return self

    @field_validator("memory")
    @classmethod
    def _readable(cls, memory: str | None) -> str | None:
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
    def _consistent(self) -> PredictionsConfig:
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
    def columns(self) -> list[str]:
        """The columns that the keys name."""
        named = (self.prediction, self.score, *(self.scores or {}).values())
        return [column for column in named if column is not None]


class TrainConfig(_Table):
    """``[train]``: the standard loop."""

    epochs: int = Field(default=20, ge=1)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Positive = 0.01
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    batch_size: int = Field(default=32, ge=1)
    views: int = Field(default=1, ge=1, le=64)
    class_weights: dict[str, Positive] | None = None


class ReportConfig(_Table):
    """``[report]``: what may leave the machine.

    ``suppress_below``: numbers that rest on fewer cases are withheld (``rft.suppression``); None or 0: none are.
    """

    show_examples: bool = False
    suppress_below: int | None = Field(default=None, ge=0)


class Rule(_Table):
    """``[[policy]]``: bounds on the value of a finding, and where they come from."""

    finding: str
    max: float | None = Field(default=None, allow_inf_nan=False)
    min: float | None = Field(default=None, allow_inf_nan=False)
    because: str = ""

    @model_validator(mode="after")
    def _bounded(self) -> Rule:
        if self.max is None and self.min is None:
            raise ValueError("a rule needs max or min")
        if self.max is not None and self.min is not None and self.min > self.max:
            raise ValueError("min is above max")
        return self


class Config(_Table):
    """All of ``audit.toml``. ``plugins`` holds the validated options of each plugin that has a table."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    seed: int = Field(default=0, ge=0, lt=2**32)
    data: DataConfig
    model: ModelConfig | None = None
    predictions: PredictionsConfig | None = None
    train: TrainConfig = TrainConfig()
    report: ReportConfig = ReportConfig()
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
    def _consistent(self) -> Config:
        if self.predictions is not None:
            self._check_predictions(self.predictions)
            return self
        if self.model is None:
            raise ValueError("give [model], or [predictions]: a table of predictions alone")
        if self.data.manifest is None and self.data.folder is None:
            raise ValueError(f"data: {SOURCES}")
        if self.train.views > 1 and self.data.modality == "text":
            raise ValueError("train.views: views are augmented pictures; there are none of texts")
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
        own = [*predictions.columns, data.label, *data.groups, *([data.split] if data.split else [])]
        if twice := [column for column in own if own.count(column) > 1]:
            raise ValueError(
                f"the column {twice[0]!r} is given two meanings: each of label, split, groups, prediction "
                "and scores needs a column of its own"
            )


PATHS = (
    ("data", "manifest"),
    ("data", "folder"),
    ("model", "weights"),
    ("model", "checkpoint"),
    ("predictions", "file"),
)


@dataclass(frozen=True)
class LoadedConfig:
    """A validated config and where it came from.

    Attributes:
        core: the core's tables.
        plugins: plugin name -> its validated options, for each plugin that has a table.
        folder: the folder that paths in the config are relative to.
        raw: the config as it was used, overrides included.
    """

    core: Config
    plugins: Mapping[str, BaseModel]
    folder: Path
    raw: dict[str, Any]

    @property
    def sha256(self) -> str:
        """Hash of the config as it was used, independent of key order and layout."""
        return hashlib.sha256(json.dumps(self.raw, sort_keys=True, default=str).encode()).hexdigest()

    def public(self) -> dict[str, Any]:
        """Return the config as used, with paths outside the config's folder cut to their base name."""
        raw = json.loads(json.dumps(self.raw, default=str))
        for table, key in PATHS:
            value = raw.get(table, {}).get(key)
            if isinstance(value, str) and not value.startswith("package:"):
                raw[table][key] = stored_path(value, self.folder)
        for table, options in self.plugins.items():
            for key in getattr(options, "paths", ()):
                if isinstance(value := raw.get(table, {}).get(key), str):
                    raw[table][key] = stored_path(value, self.folder)
        if isinstance(backbone := raw.get("model", {}).get("backbone"), str):
            raw["model"]["backbone"] = stored_backbone(backbone, self.folder)
        return raw


def stored_path(path: str | Path, folder: Path) -> str:
    """Return ``path`` as it may be stored: relative to the config's folder, or its base name when it lies outside."""
    absolute = (folder / path).resolve()
    if absolute.is_relative_to(folder.resolve()):
        return absolute.relative_to(folder.resolve()).as_posix()
    return absolute.name


def stored_backbone(backbone: str, folder: Path) -> str:
    """Return ``library/name`` as it may be stored: a name that is a folder of this machine is cut like any path."""
    library, _, name = backbone.partition("/")
    if library == "transformers" and not name.startswith("package:") and (folder / name).is_dir():
        return f"{library}/{stored_path(name, folder)}"
    return backbone


def load(path: Path, overrides: list[str], options: Mapping[str, type[BaseModel]]) -> LoadedConfig:
    """Read and validate a config.

    Args:
        path: the TOML file.
        overrides: ``table.key=value`` strings; the value is read as TOML, or as a string where that fails.
        options: plugin name -> the model of its table.

    Raises:
        ConfigError: with file and key, for anything that is not as it should be.
    """
    raw = _read(path)
    for override in overrides:
        _override(raw, override)
    unknown = sorted(set(raw) - set(Config.model_fields) - set(options))
    if unknown:
        known = [*Config.model_fields, *options]
        raise ConfigError(
            f"unknown key {unknown[0]!r}", where=path.name, remedy=near(unknown[0], known) or _list(known)
        )
    core = _validate(Config, {key: raw[key] for key in raw if key in Config.model_fields}, path.name)
    plugins = {name: _validate(options[name], raw[name], path.name, name) for name in options if name in raw}
    return LoadedConfig(core, plugins, path.resolve().parent, raw)


def load_policy(path: Path) -> list[Rule]:
    """Read the ``[[policy]]`` rules of a TOML file; other tables of a whole config are allowed and ignored."""
    raw = _read(path)
    rules = raw.get("policy", [])
    if not isinstance(rules, list) or not rules:
        raise ConfigError("holds no [[policy]] rules", where=path.name)
    return [_validate(Rule, rule, path.name, f"policy.{index}") for index, rule in enumerate(rules, 1)]


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError("no such file", where=str(path)) from None
    except IsADirectoryError:
        raise ConfigError("is a folder; expected a TOML file", where=str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"is not valid TOML: {error}", where=path.name) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from None


def _override(raw: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"expected table.key=value, not {override!r}", where="--set")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word such as  --set model.weights=random
    table = raw
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{part!r} is not a table", where=f"--set {key}")
    table[parts[-1]] = value


def _validate(model: type[BaseModel], content: Any, file: str, prefix: str = "") -> Any:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        places = [str(part + 1) if isinstance(part, int) else part for part in first["loc"]]  # the first of a list is 1
        key = ".".join([prefix] * bool(prefix) + places)
        if first["type"] == "extra_forbidden":
            known = _known_keys(model, list(first["loc"][:-1]))
            name = str(first["loc"][-1])
            raise ConfigError(f"{key}: unknown key", where=file, remedy=near(name, known) or _list(known)) from None
        message = first["msg"].removeprefix("Value error, ")
        given = "" if first["type"] in ("missing", "value_error") else f", not {first['input']!r}"
        raise ConfigError(f"{key + ': ' if key else ''}{message[0].lower()}{message[1:]}{given}", where=file) from None


def _known_keys(model: type[BaseModel], loc: list[Any]) -> list[str]:
    """Return the keys of the table at ``loc``: the model, or a model nested in it (also in a list of tables)."""
    for part in loc:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        nested = [annotation, *getattr(annotation, "__args__", ())]
        model = next(kind for kind in nested if isinstance(kind, type) and issubclass(kind, BaseModel))
    return list(model.model_fields)


def _list(known: list[str]) -> str:
    return f"Known here: {', '.join(known)}."
