"""What is wrong with the tables of ``audit.toml``: an error a key, with what was expected and how to write it."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from rft.config.path_keys import nested_tables
from rft.errors import ConfigError, near
from rft.expectations import LONGEST, TABLE, TEXT, WHOLE_NUMBER, describe_expectation, own_words, show_value

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Tables = Mapping[str, type[BaseModel]]  # name -> the model of a table; "" is that of the whole file


@dataclass(frozen=True)
class _Place:
    """Where an error lies.

    Attributes:
        key: its full name, ``policy.1.max``; the first of a list is 1.
        name: of the key in its table.
        table: the model of the table that holds it.
        field: its declaration; None for a key that is not known, and for the entries of a table of names.
        in_list: whether it is an entry of a list.
    """

    key: str
    name: str
    table: type[BaseModel]
    field: FieldInfo | None
    in_list: bool


def list_problems(error: ValidationError, tables: Tables, table: str, file: str, prefix: str = "") -> list[ConfigError]:
    """Return what is wrong with a table, an error a key.

    Args:
        error: as pydantic raised it.
        tables: all tables that a config may have.
        table: the one that was read.
        file: the name of the config.
        prefix: what stands before its keys, such as ``privacy``.
    """
    by_key: dict[str, list[tuple[_Place, ErrorDetails]]] = {}
    for problem in error.errors():
        place = _locate_key(tables[table], problem["loc"], prefix)
        by_key.setdefault(place.key, []).append((place, problem))
    return [_describe_problems(problems, tables, file) for problems in by_key.values()]


def list_unknown_tables(names: Sequence[str], known: Sequence[str], tables: Tables, file: str) -> list[ConfigError]:
    """Return an error for each key of the whole file that is neither a key nor a table of it."""
    return [
        ConfigError(f"unknown key {name!r}", where=file, remedy=_suggest_key(name, list(known), tables))
        for name in names
        if name not in known
    ]


def _locate_key(table: type[BaseModel], parts: Sequence[str | int], prefix: str) -> _Place:
    """Follow a place of pydantic through the tables; what only tells alternatives of a type apart is no part of it."""
    names = [prefix] * bool(prefix)
    field: FieldInfo | None = None
    inner: type[BaseModel] | None = table
    for number, part in enumerate(parts):
        if isinstance(part, int):
            names.append(str(part + 1))
        elif inner is not None and (part in inner.model_fields or number == len(parts) - 1):
            names.append(part)
            table, field = inner, inner.model_fields.get(part)
            inner = None if field is None else next(nested_tables(field.annotation), None)
        elif field is not None and part != "[key]" and _holds_names(field.annotation):
            names.append(part)
            field = None
    in_list = bool(parts) and isinstance(parts[-1], int)
    return _Place(".".join(names), names[-1] if names else "", table, field, in_list)


def _holds_names(annotation: Any) -> bool:
    """Tell whether a key holds a table whose keys its user chooses."""
    return typing.get_origin(annotation) is dict or any(map(_holds_names, typing.get_args(annotation)))


def _describe_problems(problems: Sequence[tuple[_Place, ErrorDetails]], tables: Tables, file: str) -> ConfigError:
    """Return the error of a key; several are of a type with alternatives, none of which fits."""
    place, problem = problems[0]
    start = f"{place.key}: " if place.key else ""
    match problem["type"]:
        case "extra_forbidden":
            remedy = _suggest_key(place.name, list(place.table.model_fields), tables)
            if place.key.endswith(f"{place.name}.{place.name}"):
                remedy = f"Below [{place.name}] its keys stand alone, without {place.name + '.'!r} before them."
            return ConfigError(f"{start}unknown key", where=file, remedy=remedy)
        case "missing":
            return ConfigError(f"{start}is missing", where=file, remedy=f"Add {_write_example(place)}.")
        case "value_error" | "assertion_error":
            message = own_words(problem["msg"])
            return ConfigError(f"{start}{message[0].lower()}{message[1:]}", where=file)
    expected = " or ".join(dict.fromkeys(_describe_expected(place, problem) for place, problem in problems))
    said = f"{start}expected {expected}, not {show_value(problem['input'])}"
    return ConfigError(said, where=file, remedy=_suggest_value(place, problem))


def _describe_expected(place: _Place, problem: ErrorDetails) -> str:
    if problem["type"] == "string_pattern_mismatch" and (words := _describe_spelling(place.field)):
        return words
    return describe_expectation(problem["type"], problem.get("ctx", {}), problem["msg"])


def _describe_spelling(field: FieldInfo | None) -> str | None:
    """Return how a text is to be written, as the declaration of its pattern describes it."""
    if field is None:
        return None
    parts = [field, *(part for part in _walk_metadata(field.annotation) if isinstance(part, FieldInfo))]
    return next((part.description for part in parts if part.description), None)


def _walk_metadata(annotation: Any) -> Iterator[Any]:
    for part in typing.get_args(annotation):
        yield part
        yield from _walk_metadata(part)


def _suggest_key(name: str, known: list[str], tables: Tables) -> str:
    """Return what a key that is not known here may mean: one that is called alike, or one of another table."""
    if (suggestion := near(name, known)) is not None:
        return suggestion
    top = tables[""].model_fields
    if name in top or name in tables:
        return f"[{name}] is a table of its own: write it on a line of its own, not within another table."
    homes = [table for table, model in tables.items() if table and name in model.model_fields]
    homes += [table for table in top if name in _keys_of(top[table])]
    if homes:
        return f"It is a key of {' and of '.join(f'[{home}]' for home in homes)}."
    return f"Known here: {', '.join(known)}."


def _keys_of(field: FieldInfo) -> set[str]:
    return {key for table in nested_tables(field.annotation) for key in table.model_fields}


def _suggest_value(place: _Place, problem: ErrorDetails) -> str | None:
    """Return how to write what was meant, or an example of what is expected."""
    expected, value = describe_expectation(problem["type"], problem.get("ctx", {}), ""), problem["input"]
    if problem["type"] == "literal_error":
        allowed = [word.strip("'") for word in problem["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        if isinstance(value, str) or place.in_list:
            return near(str(value), allowed)
        return f"Write {place.name} = {_write_toml_value(allowed[0])}."
    if expected == TABLE:
        single = isinstance(value, list)
        head = f"[{place.key}]"
        return f"Write {head}{', in single brackets,' * single} on a line of its own, and its keys below it."
    if isinstance(value, dict) and (place.field is not None and any(nested_tables(place.field.annotation))):
        return f"Write [[{place.key}]], in double brackets: there may be several."
    if place.in_list or place.field is None or (problem["type"].startswith("string_") and isinstance(value, str)):
        return None
    if expected == TEXT and isinstance(value, int | float) and not isinstance(value, bool):
        return f"Put it in quotes: {place.name} = {_write_toml_value(str(value))}."
    if isinstance(value, str) and (bare := _without_quotes(value, expected)) is not None:
        return f"Leave out the quotes: {place.name} = {bare}."
    if problem["type"] == "list_type" and isinstance(value, str) and len(value) <= LONGEST:
        return f"Put it in brackets: {place.name} = [{_write_toml_value(value)}]."
    return f"Such as {_write_example(place)}."


def _without_quotes(value: str, expected: str) -> str | None:
    """Return a number, or true or false, that was written as a text; None where it is none of the kind expected."""
    word = value.strip().lower()
    try:
        number = json.loads(word)
    except ValueError:
        return None
    kinds: dict[str, type | tuple[type, ...]] = {WHOLE_NUMBER: int, "a number": (int, float), "true or false": bool}
    fits = isinstance(number, kinds.get(expected, ())) and isinstance(number, bool) == (expected == "true or false")
    return word if fits else None


def _write_example(place: _Place) -> str:
    """Return a line that gives a key: with its default, or with a value of its kind."""
    field = place.field
    if field is None:
        return f"{place.name} = ..."
    if any(nested_tables(field.annotation)):
        return f"[{place.key}]"
    default = field.get_default(call_default_factory=True)
    if default is not PydanticUndefined and default is not None and default != []:
        return f"{place.name} = {_write_toml_value(default)}"
    return f"{place.name} = {_example_of(field.annotation)}"


def _example_of(annotation: Any) -> str:
    """Return a value of a type as TOML writes it."""
    if (origin := typing.get_origin(annotation)) is list:
        return f"[{_example_of(typing.get_args(annotation)[0])}]"
    if origin is dict:
        return f'{{ "..." = {_example_of(typing.get_args(annotation)[1])} }}'
    if origin is typing.Literal:
        return _write_toml_value(typing.get_args(annotation)[0])
    by_type = {int: "10", float: "0.5", bool: "true", str: '"..."'}
    if annotation in by_type:
        return by_type[annotation]
    return next((_example_of(part) for part in typing.get_args(annotation) if part is not type(None)), "...")


def _write_toml_value(value: object) -> str:
    """Return a value as TOML writes it."""
    return json.dumps(value, ensure_ascii=False)
