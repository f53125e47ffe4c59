"""Write docs/config.md, every table and key of audit.toml, from the models: python -m tests.support.config_reference"""

from __future__ import annotations

import inspect
import json
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from rft.config.applicability import Applies
from rft.config.schema import Config
from rft.plugins import discover_plugins
from tests.support import ROOT
from tests.support.json_schemas import config_schema, find_table, list_tables
from tests.support.key_descriptions import describe_keys

PAGE = ROOT / "docs" / "config.md"
INTRODUCTION = """\
# Every key of audit.toml

<!-- python -m tests.support.config_reference writes this page from the models; what a key means stands there. -->

A key that is left out has its default. A key that would have no effect in a run, such as `image_size` for texts, is
refused with what to do: a setting that silently does nothing lets its user believe in another audit. A table of a
plugin switches the plugin on, even when it is empty. `rft check audit.toml` names all that is wrong at once, and
`--set train.epochs=5` replaces a key for one command. Paths are relative to the file.

An editor completes and checks the file with the [JSON Schema](schemas/audit.toml.schema.json), which is generated from
the same models: `#:schema audit.toml.schema.json` in the first line.
"""
SECTION = """
## {title}

{text}

| key | takes | what it says |
| --- | --- | --- |
"""
WITHOUT_KEYS = """
## Plugins without keys

{names} are always on and have no keys. What they find stands in the [findings reference](findings.md).
"""
TOP = "Keys that stand before the first table."
TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}
BOUNDS = (("exclusiveMinimum", "above"), ("minimum", "at least"), ("exclusiveMaximum", "below"), ("maximum", "at most"))


def describe_type(schema: dict[str, Any]) -> str:
    """Return what a key takes, from its JSON Schema, with its range."""
    if "enum" in schema:
        values = [f"`{json.dumps(value)}`" for value in schema["enum"]]
        return f"{', '.join(values[:-1])} or {values[-1]}"
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "anyOf" in schema:
        return " or ".join(describe_type(choice) for choice in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of: {describe_type(schema['items'])}"
    if schema.get("type") == "object":
        return f"table of names, each with: {describe_type(schema['additionalProperties'])}"
    ranges = " and ".join(f"{words} {_write_number(schema[key])}" for key, words in BOUNDS if key in schema)
    return f"{TYPES[schema['type']]}{ranges and ', '}{ranges}"


def _write_number(bound: float) -> str:
    return f"{bound:,.0f}" if float(bound).is_integer() else f"{bound:g}"


def describe_default(field: FieldInfo, *, required: bool) -> str:
    """Return the default as TOML writes it, that there must be a value, or nothing where the key may be left out."""
    if required:
        return "; **required**"
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    return "" if default is None else f"; default `{json.dumps(default)}`"


def describe_effect(field: FieldInfo) -> str:
    """Return when a key has no effect; empty where it always has one."""
    rules = [rule.otherwise for rule in field.metadata if isinstance(rule, Applies)]
    return f" Refused where it has no effect: *{'; '.join(rules)}*." if rules else ""


def describe_table(heading: str, model: type[BaseModel]) -> str:
    """Return what a table is for: its docstring, which begins with its name."""
    name, _, text = " ".join((inspect.getdoc(model) or "").replace("``", "`").split()).partition(": ")
    assert name == f"`{heading}`", f"the docstring of {model.__name__} begins with another name than {heading}"
    return text[:1].upper() + text[1:]


def write_table(heading: str, model: type[BaseModel], schema: dict[str, Any]) -> str:
    """Return the section of one table of audit.toml, whose JSON Schema is given."""
    about = describe_table(heading, model) if heading else TOP
    rows, meanings = [], describe_keys(model)
    for key, field in model.model_fields.items():
        if find_table(field) is None:
            required = key in schema.get("required", ())
            takes = describe_type(schema["properties"][key]) + describe_default(field, required=required)
            rows.append(f"| `{key}` | {takes} | {meanings[key]}{describe_effect(field)} |")
    return SECTION.format(title=f"`{heading}`" if heading else "At the top", text=about) + "\n".join(rows) + "\n"


def write_page() -> str:
    """Return the text of docs/config.md."""
    schema = config_schema()
    plugins = {name: plugin.plugin for name, plugin in discover_plugins().items() if plugin.distribution == "rft"}
    tables = [*list_tables("", Config)]
    for name, plugin in plugins.items():
        tables += list_tables(name, plugin.options)
    sections = []
    for heading, model in tables:
        if model.model_fields:
            sections.append(write_table(heading, model, schema["$defs"].get(model.__name__, schema)))
    idle = [name for name, plugin in plugins.items() if not plugin.options.model_fields]
    return INTRODUCTION + "".join(sections) + WITHOUT_KEYS.format(names=", ".join(f"`{name}`" for name in idle))


if __name__ == "__main__":
    PAGE.write_text(write_page(), encoding="utf-8")
