"""Every number of ``audit.toml`` has a range: what nobody can mean is refused when the config is read."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from rft.config.problems import list_problems
from rft.config.schema import Config
from rft.config.tables.model import read_memory
from rft.plugins import discover_plugins
from tests.cli.test_check import invoke_rft

TABLES: dict[str, type[BaseModel]] = {
    "": Config,
    **{name: registered.plugin.options for name, registered in discover_plugins().items()},
}


def shape_number(annotation: Any, number: float) -> Any:
    """Return a number as a type holds it, in a list or a table; None where the type holds none."""
    if annotation in (int, float):
        return number
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is list and (inner := shape_number(arguments[0], number)) is not None:
        return [inner]
    if typing.get_origin(annotation) is dict and (inner := shape_number(arguments[1], number)) is not None:
        return {"a": inner}
    if typing.get_origin(annotation) is typing.Literal:
        return None
    return next((shape for part in arguments if (shape := shape_number(part, number)) is not None), None)


def list_tables(table: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield a table and the tables in it."""
    yield table
    for field in table.model_fields.values():
        for part in walk_types(field.annotation):
            yield from list_tables(part)


def walk_types(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from walk_types(part)


NUMBERS = sorted(
    {
        (table, key)
        for top in TABLES.values()
        for table in list_tables(top)
        for key, field in table.model_fields.items()
        if shape_number(field.annotation, 1) is not None
    },
    key=lambda entry: (entry[0].__name__, entry[1]),
)


def test_the_numbers_of_all_tables_are_looked_at() -> None:
    names = {f"{table.__name__}.{key}" for table, key in NUMBERS}
    assert names >= {"TrainConfig.epochs", "LoraConfig.rank", "Rule.max", "PrivacyOptions.frontier", "Config.seed"}
    assert names >= {"Shortcut.region", "MitigationOptions.max_gap", "TrainConfig.class_weights", "DataConfig.test"}


@pytest.mark.parametrize("number", [10**30, -(10**30), 10**400, float("inf"), float("nan")])
@pytest.mark.parametrize(("table", "key"), NUMBERS, ids=lambda part: getattr(part, "__name__", part))
def test_a_number_that_nobody_can_mean_is_refused_in_plain_words(
    table: type[BaseModel], key: str, number: float
) -> None:
    value = shape_number(table.model_fields[key].annotation, number)
    with pytest.raises(ValidationError) as caught:
        table.model_validate({key: value})
    problems = [str(problem) for problem in list_problems(caught.value, {"": table}, "", "audit.toml")]
    (said,) = [problem for problem in problems if problem.startswith(f"audit.toml: {key}")]
    assert "expected" in said
    assert "Traceback" not in said
    assert len(said) < 300


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("train.epochs=1" + "0" * 30, "train.epochs: expected 100000 or less, not 1" + "0" * 30),
        ("train.batch_size=1" + "0" * 70, "expected 1000000 or less, not a number of more than 60 digits"),
        ("train.learning_rate=1e30", "train.learning_rate: expected 1000 or less, not 1e+30"),
        ("model.memory=9" + "9" * 400 + "GB", "model.memory: expected a size of at most 1,000,000 GB, not the text"),
        ('policy=[{finding="performance.accuracy", min=1e30}]', "policy.1.min: expected 1000000000000000 or less"),
    ],
)
def test_the_check_says_so(tiny: Path, setting: str, said: str) -> None:
    code, _, stderr = invoke_rft("check", tiny, "--set", setting)
    assert (code, said in stderr) == (2, True), stderr


def test_sizes_of_memory_have_an_end_as_well() -> None:
    assert read_memory("1000000GB") == 10**15
    with pytest.raises(ValueError, match="at most 1,000,000 GB"):
        read_memory("1000001GB")
