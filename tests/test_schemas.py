"""docs/schemas: the JSON Schemas of what rft reads and writes are those of the models, and hold for what there is.

Where a change is meant: RFT_RENEW_GOLDEN=1 python -m pytest -n 0 <this file>
"""

from __future__ import annotations

import copy
import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from rft.cli.main import app
from rft.plugins import discover_plugins
from rft.records import Artifacts
from rft.report import open_run, save
from tests.conftest import CONFIG
from tests.support import ROOT, json_schemas
from tests.support.example_run import change_volatile
from tests.support.hostile_text import HOSTILE, run_with

RENEW = "RFT_RENEW_GOLDEN"
EXAMPLES = sorted((ROOT / "examples").glob("*/audit.toml"))


def schema_validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((json_schemas.FOLDER / name).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def complaints(name: str, content: Any) -> list[str]:
    return [error.message for error in schema_validator(name).iter_errors(content)]


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


def spoil(text: str) -> str:
    return HOSTILE + text


def save_pair(folder: Path, changed: Callable[[str], str]) -> tuple[Path, Path]:
    """Save two runs with predictions of 40 test examples; every text of a user is changed in both."""
    rows = range(40)
    labels = [changed("smiling" if row % 2 else "neutral") for row in rows]
    frame = pd.DataFrame({"split": "test", "id": [changed(f"{row:02}") for row in rows], "label": labels, "unit": None})
    for number, wrong in enumerate((12, 4), 1):
        shares = [0.2 if row < wrong else 0.8 for row in rows]
        scores = {
            f"score_{changed(name)}": np.where(frame["label"] == changed(name), shares, 1 - np.array(shares))
            for name in ("smiling", "neutral")
        }
        predicted = [changed("neutral") if row < wrong and row % 2 else labels[row] for row in rows]
        run = change_volatile(run_with(changed), id=f"{number:016x}")
        model = run.model.model_copy(update={"positive": changed("smiling")})
        run = run.model_copy(update={"model": model})
        predictions = frame.assign(prediction=predicted, **scores)
        save(run, folder / f"run-{number}", Artifacts(predictions=predictions, inputs=()))
    return folder / "run-1", folder / "run-2"


def list_written(folder: Path, changed: Callable[[str], str]) -> dict[str, Any]:
    """Return what is written as JSON of two runs, by the name of its schema: of commands what they print."""
    pair = save_pair(folder, changed)
    pages = [("compare", *map(str, pair)), ("history", str(folder))]
    printed = [
        CliRunner().invoke(app, [*arguments, "--out", str(folder / f"{arguments[0]}.html"), "--json"])
        for arguments in pages
    ]
    compared, history = (json.loads(done.stdout) for done in printed)
    assert (compared["n"], compared["not_paired"], len(history["histories"][0]["runs"])) == (40, "", 2)
    return {
        "audit.json": json.loads(open_run(pair[0]).to_json()),
        "compare.json": compared,
        "history.json": history,
    }


@pytest.mark.parametrize("changed", [str, spoil], ids=["example", "hostile"])
def test_what_is_written_is_valid(changed: Callable[[str], str], tmp_path: Path) -> None:
    written = list_written(tmp_path, changed)
    assert written.keys() == json_schemas.WRITTEN.keys()
    for name, content in written.items():
        assert complaints(f"{name}.schema.json", content) == [], name


def change_verdict(content: Any) -> None:
    content["verdict"]["status"] = "certified"


def change_cell(content: Any) -> None:
    content["sections"][0]["tables"]["shared"][0]["before_n"] = {"about": 40}


def change_value(content: Any) -> None:
    content["histories"][0]["findings"][0]["values"][0]["value"] = "high"


def change_outcome(content: Any) -> None:
    content["histories"][0]["findings"][0]["values"][0]["outcome"] = "passed"


def test_what_was_changed_is_not(tmp_path: Path) -> None:
    written = list_written(tmp_path, str)
    changes: list[tuple[str, Callable[[Any], object]]] = [
        *(("audit.json", change_verdict), ("compare.json", change_verdict), ("compare.json", change_cell)),
        *(("history.json", change_value), ("history.json", change_outcome)),
        *((name, lambda content: content.update(more=1)) for name in written),
        *((name, lambda content: content.pop("sections")) for name in ("audit.json", "compare.json")),
        ("history.json", lambda content: content.pop("histories")),
        *((name, lambda content: content.pop("exit_code")) for name in ("compare.json", "history.json")),
    ]
    for name, change in changes:
        content = copy.deepcopy(written[name])
        change(content)
        assert len(complaints(f"{name}.schema.json", content)) == 1, (name, change)


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


def test_a_config_needs_no_name() -> None:
    assert complaints("audit.toml.schema.json", tomllib.loads(CONFIG.replace('name = "tiny"\n', ""))) == []


def test_tables_of_plugins_of_others_are_allowed() -> None:
    assert complaints("audit.toml.schema.json", tomllib.loads(CONFIG) | {"margin": {"bins": 4}}) == []
