"""What all records are made of: cells of tables, and the base of everything in ``audit.json``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, JsonValue, ValidationError

from rft.errors import UnknownNameError, near
from rft.expectations import describe_problem

FORMAT_VERSION = 1  # 1: the first published format

MAX_LISTED = 8  # names in an error

Cell = str | int | float | bool | None

Row = dict[str, Cell]

Table = list[Row]  # every row has the same keys in the same order

T = TypeVar("T")

JsonObject = Mapping[str, JsonValue]  # what somebody else decides the keys of: a plugin, a library, the config


def _check_finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError("must be finite; something undefined has no value, a status and a reason")
    return number


Number = Annotated[float, AfterValidator(_check_finite)]


class Record(BaseModel):
    """Base of all that is written to ``audit.json``: immutable, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Document(Record):
    """A record that is a file of its own."""

    def to_json(self, *, compact: bool = False) -> str:
        """Return canonical JSON: sorted keys, no NaN, UTF-8 characters kept.

        Lines that people can read, with one at the end; ``compact`` without blanks, which are a third of a long file.
        """
        content = self.model_dump(mode="json")
        look = {"separators": (",", ":")} if compact else {"indent": 1}
        text = json.dumps(content, sort_keys=True, allow_nan=False, ensure_ascii=False, **look)
        return text if compact else text + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what ``to_json`` wrote; raises ``pydantic.ValidationError`` or ``ValueError`` for anything else."""
        return cls.model_validate_json(text)


def find_named(named: Mapping[str, T], name: str, what: str) -> T:
    """Return what has this name; raises ``UnknownNameError``, with near names, where nothing has.

    Args:
        named: by name.
        name: of what is looked for.
        what: it is, in words, such as ``finding of this run``.
    """
    if name not in named:
        listed = ", ".join(list(named)[:MAX_LISTED]) + ", ..." * (len(named) > MAX_LISTED)
        remedy = near(name, list(named)) or (f"There are: {listed}." if named else None)
        raise UnknownNameError(f"{name!r} is no {what}", remedy=remedy)
    return named[name]


def first_problem(error: ValidationError) -> str:
    """Return what is wrong first with the content of a record, behind its place: ``training.mode: is missing``."""
    return describe_problem(error.errors(include_url=False)[0])
