"""What every table of ``audit.toml`` is built on, and kinds of values that several have."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# What nobody means to exceed: a number above it is a slip, and would only fail after hours, or never end.
MOST = 1_000_000

Count = Annotated[int, Field(ge=1, le=MOST)]
Positive = Annotated[float, Field(gt=0, le=MOST, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=1)]


class Table(BaseModel):
    """A table of the core: no key that is not known, no value of another type, none that changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
