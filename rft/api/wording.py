"""Errors as a caller from Python reads them: with names of arguments in the place of keys and tables of a config."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rft.errors import RftError

OPTIONS = {"--out": "out", "--force": "force=True", "--device": "device"}
_TABLE = re.compile(r"\[(\w+)\](?!\])")
_KEY = re.compile(r"\b(?:data|model|predictions)\.\w+\b")
_PREFIX = re.compile(r"\b(?:data|model|predictions): ")
_OPTION = re.compile(r"--(?:out|force|device)\b")
_CORE = {"data", "model", "predictions"}


@contextmanager
def name_arguments(keys: Mapping[str, str]) -> Iterator[None]:
    """Reword what is raised for the user.

    Args:
        keys: argument -> the key of the config that it stands for, such as ``data.label``.
    """
    try:
        yield
    except RftError as error:
        names = {key: argument for argument, key in keys.items()}
        where, remedy = (
            error.where and _name_arguments(error.where, names),
            error.remedy and _name_arguments(error.remedy, names),
        )
        raise type(error)(_name_arguments(error.what, names), where=where, remedy=remedy) from error.__cause__


def _name_arguments(text: str, names: Mapping[str, str]) -> str:
    """Return a message with arguments in the place of keys, tables and options of the command line."""
    text = _PREFIX.sub("", text)
    text = _KEY.sub(lambda match: names.get(match[0], match[0]), text)
    text = _OPTION.sub(lambda match: OPTIONS[match[0]], text)
    return _TABLE.sub(_name_table, text.replace("[[policy]]", "policy"))


def _name_table(table: re.Match[str]) -> str:
    """Return what is said for the name of a table in brackets; other words in brackets stay."""
    from rft.plugins import discover_plugins

    if table[1] in _CORE:
        return "the arguments"
    return f'plugins["{table[1]}"]' if table[1] in discover_plugins() else table[0]
