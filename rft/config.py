"""``audit.toml`` as typed objects. Every unknown key, wrong type or contradiction is an error that names its place.

The core's own tables are models here. The table of a plugin is validated with the options of that plugin, which the
caller passes in, so that this module knows no plugin.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rft.errors import ConfigError, near

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
GroupName = Annotated[str, Field(pattern=r"^[^.\s][^.]*(\.[^.\s][^.]*)*$")]  # the last part of a finding's id


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class DataConfig(_Table):
    """``[data]``: where the examples are and which column says what."""

    manifest: str | None = None
    folder: str | None = None
    image: str | None = None
    label: str | None = None
    id: str | None = None
    positive: str | None = None
    groups: list[GroupName] = []
    unit: str | None = None
    split: str | None = None
    test: Fraction | None = None
    on_error: Literal["stop", "skip"] = "stop"
    max_pixels: int = Field(default=89_478_485, gt=0, le=178_956_970)  # Pillow warns above the one, stops at the other

    @model_validator(mode="after")
    def _one_source(self) -> DataConfig:
        if (self.manifest is None) == (self.folder is None):
            raise ValueError("give either manifest (a table of examples) or folder (class sub-folders)")
        if self.manifest is not None:
            missing = [key for key in ("image", "label") if getattr(self, key) is None]
            if missing:
                raise ValueError(f"a manifest needs {' and '.join(missing)}: the names of its columns")
            if (self.split is None) == (self.test is None):
                raise ValueError("give either split (a column) or test (a fraction such as 0.25)")
        else:
            named = [key for key in ("image", "label", "id", "unit", "split") if getattr(self, key) is not None]
            if named or self.groups:
                raise ValueError(f"a folder has no columns: remove {', '.join(named or ['groups'])}, or use a manifest")
        return self


class ModelConfig(_Table):
    """``[model]``: the pretrained backbone and what of it stays frozen."""

    backbone: str
    weights: str = "pretrained"
    freeze: Literal["all"] = "all"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    image_size: int | None = Field(default=None, ge=32, le=1024)
    row_norm: bool = False


class TrainConfig(_Table):
    """``[train]``: the standard loop."""

    epochs: int = Field(default=20, ge=1)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Positive = 0.01
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    batch_size: int = Field(default=32, ge=1)


class ReportConfig(_Table):
    """``[report]``: what may leave the machine."""

    show_examples: bool = False


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
    model: ModelConfig
    train: TrainConfig = TrainConfig()
    report: ReportConfig = ReportConfig()
    policy: list[Rule] = []


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
        for table, key in (("data", "manifest"), ("data", "folder"), ("model", "weights")):
            value = raw.get(table, {}).get(key)
            if isinstance(value, str) and not value.startswith("package:"):
                raw[table][key] = stored_path(value, self.folder)
        return raw


def stored_path(path: str | Path, folder: Path) -> str:
    """Return ``path`` as it may be stored: relative to the config's folder, or its base name when it lies outside."""
    absolute = (folder / path).resolve()
    if absolute.is_relative_to(folder.resolve()):
        return absolute.relative_to(folder.resolve()).as_posix()
    return absolute.name


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
