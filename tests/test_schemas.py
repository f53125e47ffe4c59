"""docs/schemas: the JSON Schemas of audit.json and audit.toml are those of the models, and hold for what there is.

Where a change is meant: RFT_RENEW_GOLDEN=1 python -m pytest -n 0 <this file>
"""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rft.plugins import discover_plugins
from rft.records import AuditRun
from tests.conftest import CONFIG
from tests.support import ROOT, json_schemas
from tests.support.example_run import example_run
from tests.support.hostile_text import HOSTILE, run_with

RENEW = "RFT_RENEW_GOLDEN"
EXAMPLES = sorted((ROOT / "examples").glob("*/audit.toml"))


def validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((json_schemas.FOLDER / name).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def complaints(name: str, content: Any) -> list[str]:
    return [error.message for error in validator(name).iter_errors(content)]


@pytest.mark.parametrize("name", json_schemas.SCHEMAS)
def test_the_schema_is_that_of_the_models(name: str) -> None:
    written, kept = json_schemas.write_schema(name), json_schemas.FOLDER / name
    if os.environ.get(RENEW):
        kept.write_text(written, encoding="utf-8")
    assert kept.read_text(encoding="utf-8") == written, f"{name} has changed. If so meant: {RENEW}=1"


@pytest.mark.parametrize("name", json_schemas.SCHEMAS)
def test_the_schema_says_what_it_is_and_names_no_address(name: str) -> None:
    schema = json.loads((json_schemas.FOLDER / name).read_text(encoding="utf-8"))
    assert schema["$id"] == name
    assert schema["title"] == name.removesuffix(".schema.json")
    assert schema["description"]
    dialect = schema.pop("$schema")
    assert dialect == "https://json-schema.org/draft/2020-12/schema"
    assert "://" not in json.dumps(schema)


@pytest.mark.parametrize("run", [example_run(), run_with(lambda text: HOSTILE + text)], ids=["example", "hostile"])
def test_runs_are_valid(run: AuditRun) -> None:
    assert complaints("audit.json.schema.json", json.loads(run.to_json())) == []


def test_what_is_no_run_is_not() -> None:
    content = json.loads(example_run().to_json())
    content["verdict"]["status"] = "certified"
    assert complaints("audit.json.schema.json", content)
    assert complaints("audit.json.schema.json", json.loads(example_run().to_json()) | {"more": 1})


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_the_examples_are_valid(path: Path) -> None:
    assert complaints("audit.toml.schema.json", tomllib.loads(path.read_text(encoding="utf-8"))) == []


def test_every_table_of_a_built_in_plugin_is_there() -> None:
    schema = json_schemas.config_schema()
    for name, registered in discover_plugins().items():
        if registered.distribution == "rft":
            (defined,) = [schema["$defs"][schema["properties"][name]["$ref"].rpartition("/")[2]]]
            assert set(defined["properties"]) == set(registered.plugin.options.model_fields)


@pytest.mark.parametrize(
    "wrong",
    [
        {"seeed": 1},
        {"train": {"epochs": 0}},
        {"train": {"epoch": 1}},
        {"fairness": {"max_intersection_order": "two"}},
        {"privacy": {"epsilon": -1.0}},
        {"policy": [{"max": 0.1}]},
    ],
    ids=str,
)
def test_mistakes_are_seen_by_an_editor(wrong: dict[str, Any]) -> None:
    right = tomllib.loads(CONFIG)
    assert complaints("audit.toml.schema.json", right) == []
    assert complaints("audit.toml.schema.json", right | wrong)


def test_tables_of_plugins_of_others_are_allowed() -> None:
    assert complaints("audit.toml.schema.json", tomllib.loads(CONFIG) | {"margin": {"bins": 4}}) == []
