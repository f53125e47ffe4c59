"""From the text of ``audit.toml`` to validated tables; an error names the file and the key.

The tables themselves are models in ``config``, and in the plugins that own them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, JsonValue, ValidationError

from rft.config.applicability import list_idle_keys
from rft.config.options import Options
from rft.config.path_keys import absolute_path, change_paths, list_urls
from rft.config.problems import list_problems, list_unknown_tables
from rft.config.schema import Config, Rule
from rft.config.stored import stored_backbone, stored_path
from rft.config.toml_text import read_toml, read_value
from rft.errors import ConfigError
from rft.records import IN_MEMORY
from rft.runtime.remote.urls import Url

LISTS = "Several tables of one name are set as a whole: --set 'policy=[{finding = \"...\", max = 0.1}]'."


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
    plugins: Mapping[str, Options]
    folder: Path
    raw: Mapping[str, object]

    @property
    def sha256(self) -> str:
        """Hash of the config as it is shown, independent of key order and layout.

        Of what is cut from paths it tells nothing: a user's name could be guessed.
        """
        return hashlib.sha256(json.dumps(self.public(), sort_keys=True).encode()).hexdigest()

    def public(self) -> dict[str, JsonValue]:
        """Return the config as used, with paths outside the config's folder cut to their base name."""
        models: dict[str, type[BaseModel]] = {name: type(options) for name, options in self.plugins.items()}
        raw = change_paths(json.loads(json.dumps(self.raw, default=str)), Config, self._store_path)
        raw |= {name: change_paths(raw[name], table, self._store_path) for name, table in models.items() if name in raw}
        if isinstance(backbone := raw.get("model", {}).get("backbone"), str):
            raw["model"]["backbone"] = stored_backbone(backbone, self.folder)
        shown: dict[str, JsonValue] = raw
        return shown

    def list_plugin_files(self) -> list[Path]:
        """Return the files that exist at the paths in the tables of plugins, each once."""
        found: list[Path] = []

        def note_path(_key: str, path: str) -> str:
            found.append(absolute_path(path, self.folder))
            return path

        for name, options in self.plugins.items():
            change_paths(self.raw.get(name), type(options), note_path)
        return [path for path in dict.fromkeys(found) if path.is_file()]

    def list_urls(self) -> dict[str, Url]:
        """Return the URLs that the config names, by their keys."""
        return list_urls(self.raw, Config, "")[0]

    def _store_path(self, _key: str, path: str) -> str:
        return path if path.startswith("package:") else stored_path(path, self.folder)


def load_config(path: Path, overrides: list[str], options: Mapping[str, type[Options]]) -> LoadedConfig:
    """Read and validate a config.

    Args:
        path: the TOML file.
        overrides: ``table.key=value`` strings; the value is read as TOML, or as a string where that fails; without one
            the key is taken out.
        options: plugin name -> the model of its table.

    Raises:
        ConfigError: with file and key, for the first thing that is not as it should be.
    """
    loaded, problems = examine_config(path, overrides, options)
    if loaded is None or problems:
        raise problems[0]
    return loaded


def examine_config(
    path: Path, overrides: list[str], options: Mapping[str, type[Options]]
) -> tuple[LoadedConfig | None, list[ConfigError]]:
    """Return what ``load_config`` does, None where it cannot be read, and all that is not as it should be."""
    try:
        raw: dict[str, Any] = read_toml(path)
        for override in overrides:
            _apply_override(raw, override)
    except ConfigError as error:
        return None, [error]
    raw.setdefault("name", _name_after(path))
    loaded, problems = examine_tables(raw, options, where=path.name, folder=path.resolve().parent)
    return loaded, [*_find_objects(raw, path.name), *problems]


def _find_objects(raw: Mapping[str, Any], where: str) -> list[ConfigError]:
    """Return an error for each path that stands for an object in memory: of a config that a run recorded."""
    found: list[ConfigError] = []

    def note_object(key: str, path: str) -> str:
        if path.startswith(IN_MEMORY):
            found.append(
                ConfigError(
                    f"{key}: {path!r} stands for an object that was in memory",
                    where=where,
                    remedy="Write it to a file and name that, or call rft from Python again.",
                )
            )
        return path

    change_paths(raw, Config, note_object)
    return found


def examine_tables(
    raw: Mapping[str, object], options: Mapping[str, type[Options]], *, where: str, folder: Path
) -> tuple[LoadedConfig | None, list[ConfigError]]:
    """Validate the tables of a config, wherever they come from: a file, or the arguments of a function.

    Args:
        raw: as a TOML file holds them.
        options: plugin name -> the model of its table.
        where: the file or function, for errors.
        folder: what paths in the config are relative to; plugins get theirs absolute.

    Returns:
        The config, None where it cannot be read; and all that is not as it should be.
    """
    models: dict[str, type[BaseModel]] = {"": Config, **options}
    problems = list_unknown_tables(sorted(raw), [*Config.model_fields, *options], models, where)
    problems += _refuse_urls(raw, options, where)
    tables: dict[str, Any] = {}
    core_tables = {key: raw[key] for key in raw if key in Config.model_fields}
    contents: dict[str, Any] = {"": core_tables}
    contents |= {
        name: change_paths(raw[name], options[name], lambda _key, path: str(absolute_path(path, folder)))
        for name in options
        if name in raw
    }
    for name, content in contents.items():
        try:
            tables[name] = models[name].model_validate(content)
        except ValidationError as error:
            problems += list_problems(error, models, name, where, name)
    if problems:
        return None, problems
    core = tables[""] = tables[""].model_copy(update={"data": tables[""].data.in_folder(folder)})
    plugins = {name: table for name, table in tables.items() if name}
    situation = core.situation(plugins)
    for name, table in tables.items():
        problems += list_idle_keys(table, name, situation, where)
    return LoadedConfig(core, plugins, folder, raw), problems


def _refuse_urls(raw: Mapping[str, object], options: Mapping[str, type[Options]], where: str) -> list[ConfigError]:
    """Return an error for each URL that is not taken, or stands where a path is expected."""
    refused = list_urls(raw, Config, where)[1]
    for name in options:
        refused += list_urls(raw.get(name), options[name], where, name)[1]
    return refused


def _name_after(path: Path) -> str:
    """Return what a run is called whose config says nothing: the file, or its folder where that is audit.toml."""
    place = path.resolve()
    named = place.parent.name if place.name == "audit.toml" else place.stem
    return re.sub(r"[^\w. -]+", "-", named).strip("-. ") or "audit"


def load_policy(path: Path) -> list[Rule]:
    """Read the ``[[policy]]`` rules of a TOML file; other tables of a whole config are allowed and ignored."""
    raw = read_toml(path)
    rules = raw.get("policy", [])
    if not isinstance(rules, list) or not rules:
        raise ConfigError("holds no [[policy]] rules", where=path.name)
    return [_validate_rule(rule, path.name, f"policy.{index}") for index, rule in enumerate(rules, 1)]


def _validate_rule(content: Any, file: str, prefix: str) -> Rule:
    try:
        return Rule.model_validate(content)
    except ValidationError as error:
        raise list_problems(error, {"": Rule}, "", file, prefix)[0] from None


def _apply_override(raw: dict[str, Any], override: str) -> None:
    """Put the value of ``table.key=value`` into its table; ``table.key=`` without a value takes the key out."""
    try:
        override.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{override!r} is no UTF-8", where="--set") from None
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(
            f"expected table.key=value, not {override!r}", where="--set", remedy="Such as --set train.epochs=10."
        )
    table = raw
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{part!r} is not a table", where=f"--set {key}", remedy=LISTS * isinstance(table, list))
    if text.strip():
        table[parts[-1]] = read_value(text)
    else:
        table.pop(parts[-1], None)
