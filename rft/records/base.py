"""What all records are made of: cells of tables, and the base of everything in ``audit.json``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, JsonValue, ValidationError

FORMAT_VERSION = 1  # 1: the first published format

Cell = str | int | float | bool | None

Row = dict[str, Cell]

Table = list[Row]  # every row has the same keys in the same order

JsonObject = Mapping[str, JsonValue]  # what somebody else decides the keys of: a plugin, a library, the config


def _check_finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError("must be finite; something undefined has no value, a status and a reason")
    return number


Number = Annotated[float, AfterValidator(_check_finite)]


class Record(BaseModel):
    """Base of all that is written to ``audit.json``: immutable, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def first_problem(error: ValidationError) -> str:
    """Return what is wrong first with the content of a record, behind its place: ``training.mode: Field required``."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
