"""Texts of ``audit.toml`` that are written in a certain way; the description of each is how an error says it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

FUNCTION = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"

NormalizerName = Literal["none", "simple", "whisper_english"]  # of transcripts
FunctionName = Annotated[str, Field(pattern=FUNCTION, description='"package.module:function"')]
GroupName = Annotated[  # the last part of a finding's id
    str,
    Field(
        pattern=r"^[^.\s][^.]*(\.[^.\s][^.]*)*$",
        description="the name of a column that begins with no blank or dot, and holds neither two dots nor a dot and a "
        "blank beside each other",
    ),
]
HubName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$",
        max_length=96,
        description='a name on the hub, such as "team/name"',
    ),
]
LicenseName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9.+_-]*$",
        description='an identifier such as "apache-2.0", or another name without blanks',
    ),
]
PopulationName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description='1 to 64 letters, digits, dots, "_" and "-", the first of them a letter or digit',
    ),
]
RunName = Annotated[
    str,
    Field(
        pattern=r"^\w([\w. -]*[\w-])?$",
        max_length=100,
        description='letters, digits, blanks, dots, "_" and "-", with a letter or digit first and last',
    ),
]
Sentence = Annotated[str, Field(pattern=r"\S", description="a text that is not empty")]
