"""The JSON Schema of ``audit.toml`` that editors complete and check by: what was generated of rft's own models.

``tests/support/json_schemas.py`` writes it into ``docs/schemas``, from where it goes into the package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from rft.config.options import Options

NAME = "audit.toml.schema.json"
PACKAGED = Path(__file__).parents[1] / "schemas"
IN_CHECKOUT = Path(__file__).parents[2] / "docs" / "schemas"


class TomlSchema(GenerateJsonSchema):
    """TOML has no null: a key that may be left out is left out."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Return the schema of the value, where there is one."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Return the schema with its default, but that of a whole table: its keys say theirs."""
        described = super().default_schema(schema)
        if isinstance(described.get("default"), dict | None):
            described.pop("default", None)
        return described


def build_config_schema(others: Mapping[str, type[Options]]) -> dict[str, JsonValue]:
    """Return the schema of ``audit.toml`` with the tables of rft, of its plugins, and of those from other packages.

    Args:
        others: table -> the options of a plugin that is not rft's own.
    """
    folder = PACKAGED if PACKAGED.is_dir() else IN_CHECKOUT
    schema: dict[str, JsonValue] = json.loads((folder / NAME).read_text(encoding="utf-8"))
    properties, definitions = schema["properties"], schema["$defs"]
    assert isinstance(properties, dict)
    assert isinstance(definitions, dict)
    for name, options in others.items():
        table = options.model_json_schema(schema_generator=TomlSchema, ref_template=f"#/$defs/{name}.{{model}}")
        definitions |= {f"{name}.{model}": inner for model, inner in table.pop("$defs", {}).items()}
        properties[name] = table
    return schema
