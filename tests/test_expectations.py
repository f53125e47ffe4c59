"""What pydantic refuses is said in words of rft, for each of its errors and each key of ``audit.toml``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticKnownError, SchemaValidator
from pydantic_core._pydantic_core import list_all_errors

from rft.config import loader
from rft.config.schema import Config
from rft.expectations import EXPECTED, describe_expectation, describe_problem, show_value
from rft.plugins import discover_plugins
from tests.config.test_every_key import keys_of
from tests.conftest import CONFIG

JARGON = re.compile(
    r"\b(input|inputs|string|strings|dict|dictionary|integer|boolean|NoneType|instance of|should|field required|"
    r"permitted|value error|validation error|validator|type=|pydantic)\b",
    re.IGNORECASE,
)
OPTIONS = {name: registered.plugin.options for name, registered in discover_plugins().items()}
MODELS: dict[str, type[BaseModel]] = {
    "": Config,
    **{name: options for name, options in OPTIONS.items() if options.model_fields},
}
OWN_WORDS = {"value_error", "assertion_error"}  # of the validators of rft and its plugins
# What a strict schema of TOML's types can raise, by the types of pydantic's core schemas.
RAISED_BY = {
    "str": {"string_type", "string_unicode"},
    "int": {"int_type"},
    "float": {"float_type", "finite_number"},
    "bool": {"bool_type"},
    "list": {"list_type"},
    "dict": {"dict_type", "invalid_key"},
    "literal": {"literal_error"},
    "model": {"model_type"},
    "model-fields": {"model_attributes_type", "missing", "extra_forbidden"},
}
RAISED_BY_LIMIT = {
    **{"gt": "greater_than", "ge": "greater_than_equal", "lt": "less_than", "le": "less_than_equal"},
    **{"pattern": "string_pattern_mismatch", "multiple_of": "multiple_of"},
}
NO_CHECKS = {
    *("default", "nullable", "definitions", "definition-ref", "model-field", "union"),
    *("function-after", "function-before", "function-wrap", "function-plain"),
}


def core_schemas(content: Any) -> Iterator[dict[str, Any]]:
    """Yield all core schemas within a core schema."""
    if isinstance(content, dict):
        if isinstance(content.get("type"), str):
            yield content
        for key, part in content.items():
            if key not in ("metadata", "config", "serialization", "ref", "function"):
                yield from core_schemas(part)
    elif isinstance(content, list | tuple):
        for part in content:
            yield from core_schemas(part)


def possible_errors(schema: dict[str, Any]) -> set[str]:
    """Return the types of errors that one core schema can raise."""
    kind = schema["type"]
    errors = set() if kind in NO_CHECKS else set(RAISED_BY[kind])
    errors |= {error for limit, error in RAISED_BY_LIMIT.items() if limit in schema}
    ends = {"min_length": "too_short", "max_length": "too_long"}
    return errors | {f"string_{error}" if kind == "str" else error for limit, error in ends.items() if limit in schema}


@pytest.mark.parametrize("table", MODELS)
def test_every_error_that_a_table_can_raise_has_its_words(table: str) -> None:
    schemas = list(core_schemas(MODELS[table].__pydantic_core_schema__))
    assert schemas
    possible = set().union(*map(possible_errors, schemas))
    assert possible - EXPECTED.keys() == set()


def test_every_error_of_pydantic_is_said_without_its_words() -> None:
    said = {}
    for error in list_all_errors():
        context = {
            key: "name" if value == "" else value or 0 for key, value in (error.get("example_context") or {}).items()
        }
        is_own = error["type"] in OWN_WORDS
        message = "Value error, name it" if is_own else PydanticKnownError(error["type"], context or None).message()
        problem: Any = {"type": error["type"], "loc": ("a", 0), "ctx": context, "msg": message}
        said[error["type"]] = describe_problem(problem)
    assert len(said) > 100
    toml_and_json = {kind: text for kind, text in said.items() if kind in EXPECTED or kind in OWN_WORDS}
    assert {kind: text for kind, text in toml_and_json.items() if JARGON.search(text)} == {}
    assert not [text for text in said.values() if text.startswith("a.0: expected input should")]


def test_no_name_of_an_error_is_made_up() -> None:
    assert EXPECTED.keys() - {error["type"] for error in list_all_errors()} == set()


WRONG: list[object] = [
    *("", "x", "5", "true", " ", "a b", "\u202e", "x" * 5000, 0, -1, 5, 10**40, 2.5, -1e308, 1e308),
    *(float("nan"), float("inf"), True, [], ["x"], [1], [{}], {}, {"x": 1}, date(2026, 1, 31)),
]


@pytest.mark.parametrize("table", MODELS)
def test_no_word_of_pydantic_reaches_a_user_whatever_stands_at_a_key(tmp_path: Path, table: str) -> None:
    """Each key of each table is given values of every type of TOML: what is refused says what was expected."""
    refused = 0
    for key in keys_of(MODELS[table], table):
        for value in WRONG:
            for message in messages_of(tmp_path, key, value):
                refused += 1
                head = message.split("\n")[0].replace(show_value(value), "")
                assert not JARGON.search(re.sub(r"'[^']*'", "", head)), message[:900]
                assert message.startswith("audit.toml: ")
                assert message.count("\n") <= 1, message[:900]
                assert len(message) < 900, message[:900]
    assert refused > 10


def messages_of(folder: Path, key: str, value: object) -> list[str]:
    """Return what is said of a config with this value at a key; lists of tables hold one table with it."""
    parts = key.split(".")
    content: object = value
    for part in reversed(parts[1:]):
        content = {part: content}
    if parts[0] == "policy" and len(parts) > 1:
        content = [content]
    raw = tomllib.loads(CONFIG)
    raw[parts[0]] = raw[parts[0]] | content if isinstance(raw.get(parts[0]), dict) and len(parts) > 1 else content
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loader, "read_toml", lambda _: raw)
        return [str(problem) for problem in loader.examine_config(folder / "audit.toml", [], OPTIONS)[1]]


@pytest.mark.parametrize(
    ("kind", "context", "expected"),
    [
        ("greater_than", {"gt": 0}, "a number above 0"),
        ("greater_than_equal", {"ge": 1e-4}, "0.0001 or more"),
        ("less_than", {"lt": 4294967296}, "a number below 4294967296"),
        ("less_than_equal", {"le": 1e4}, "10000 or less"),
        ("literal_error", {"expected": "'sgd' or 'adamw'"}, "'sgd' or 'adamw'"),
        ("too_short", {"min_length": 2, "field_type": "List", "actual_length": 1}, "2 or more entries"),
    ],
)
def test_bounds_are_said_as_numbers(kind: str, context: dict[str, Any], expected: str) -> None:
    assert describe_expectation(kind, context, "") == expected


def test_an_error_of_a_type_that_toml_lacks_keeps_its_noun() -> None:
    with pytest.raises(ValidationError) as caught:
        SchemaValidator({"type": "timedelta", "strict": True}).validate_python("x")
    assert describe_problem(caught.value.errors()[0]) == "expected timedelta"
