"""Write docs/schemas from the models of rft: JSON Schemas of what it reads (audit.toml) and of what it writes as JSON.

python tests/support/json_schemas.py, or RFT_RENEW_GOLDEN=1 python -m pytest -n 0 tests/test_schemas.py
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic.json_schema import models_json_schema

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "schemas"

sys.path.insert(0, str(ROOT))

from rft.config.json_schema import TomlSchema  # noqa: E402
from rft.config.schema import Config  # noqa: E402
from rft.pipeline.compare_runs import RunComparison  # noqa: E402
from rft.pipeline.history import RunHistory  # noqa: E402
from rft.plugins import discover_plugins  # noqa: E402
from rft.records import AuditRun, Record  # noqa: E402
from tests.support.key_descriptions import describe_keys  # noqa: E402

DIALECT = TomlSchema.schema_dialect
WRITTEN: dict[str, tuple[type[Record], str]] = {
    "audit.json": (AuditRun, "What rft audit writes as audit.json"),
    "compare.json": (RunComparison, "What rft compare writes with --json"),
    "history.json": (RunHistory, "What rft history writes with --json"),
}
ERROR = {
    "type": "object",
    "description": "What stands on stderr, too: where (a file, line or key), what is wrong, and what to do.",
    "properties": {
        "where": {"type": ["string", "null"]},
        "what": {"type": "string"},
        "remedy": {"type": ["string", "null"]},
    },
    "required": ["where", "what", "remedy"],
    "additionalProperties": False,
}
OUTER = {  # keys that the JSON of every command has, whatever came of it
    "exit_code": {"type": "integer", "description": "The exit code of the command."},
    "errors": {"type": "array", "items": ERROR, "description": "Nothing where the command did what it was asked."},
}
COMMAND_TEXT = (
    "What every command of rft writes with --json: its exit code and errors. Without an error the keys of its own "
    "result stand beside them; docs/exports.md lists these."
)
CONFIG_TEXT = (
    "What rft audit reads: the tables of rft and of its built-in plugins. Other tables belong to plugins of other "
    "packages. What keys mean for each other (one of manifest and folder, a key without effect) only rft checks."
)


def written_schema(name: str) -> dict[str, Any]:
    """Return the schema of a file that rft writes, by a name of ``WRITTEN``."""
    model, text = WRITTEN[name]
    version = model.model_fields["format_version"].default
    schema = model.model_json_schema(mode="serialization")
    if text.endswith("--json"):
        schema |= {"properties": OUTER | schema["properties"], "required": [*OUTER, *schema["required"]]}
    return _with_head(schema, name, f"{text}, format version {version}.")


def command_schema() -> dict[str, Any]:
    """Return the schema of what any command writes with ``--json``."""
    schema = {"type": "object", "properties": OUTER, "required": [*OUTER], "additionalProperties": True}
    return _with_head(schema, "command.json", COMMAND_TEXT)


def config_schema() -> dict[str, Any]:
    """Return the schema of audit.toml, with the table of each built-in plugin."""
    options = {
        name: plugin.plugin.options for name, plugin in discover_plugins().items() if plugin.distribution == "rft"
    }
    models = [(model, "validation") for model in (Config, *options.values())]
    references, defined = models_json_schema(models, schema_generator=TomlSchema)
    schema = defined["$defs"].pop("Config")
    schema["required"].remove("name")  # reading the file gives it one
    for top, model in [("", Config), *options.items()]:
        for _, table in list_tables(top, model):
            properties = (defined["$defs"] | {"Config": schema})[table.__name__]["properties"]
            for key, meaning in describe_keys(table).items():
                properties[key]["description"] = meaning
    for name, model in options.items():
        schema["properties"][name] = references[model, "validation"]
    schema["additionalProperties"] = {"type": "object"}
    return _with_head(schema | {"$defs": defined["$defs"]}, "audit.toml", CONFIG_TEXT)


def find_table(field: FieldInfo) -> tuple[type[BaseModel], bool] | None:
    """Return the model of a field that is a table of its own, and whether it is a list of tables; None for a key."""
    candidates = [field.annotation, *get_args(field.annotation)]
    for candidate in candidates:
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate, getattr(field.annotation, "__origin__", None) is list
    return None


def list_tables(name: str, model: type[BaseModel], repeated: bool = False) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield (heading, model) of a table and of the tables in it; the heading is empty for the top of the file."""
    yield name and (f"[[{name}]]" if repeated else f"[{name}]"), model
    for key, field in model.model_fields.items():
        if (table := find_table(field)) is not None:
            yield from list_tables(f"{name}.{key}" if name else key, *table)


def _with_head(schema: dict[str, Any], name: str, description: str) -> dict[str, Any]:
    head = {"$schema": DIALECT, "$id": f"{name}.schema.json", "title": name, "description": description}
    return head | {key: value for key, value in schema.items() if key not in head}


SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "audit.toml.schema.json": config_schema,
    "command.json.schema.json": command_schema,
    **{f"{name}.schema.json": partial(written_schema, name) for name in WRITTEN},
}


def write_schema(name: str) -> str:
    """Return the text of a file of docs/schemas."""
    return json.dumps(SCHEMAS[name](), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name in SCHEMAS:
        (FOLDER / name).write_text(write_schema(name), encoding="utf-8")
