"""The text of a TOML file into tables, and of one value on the command line; an error names the line and what to do."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from rft.errors import ConfigError

_POSITION = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
# How a message of tomllib begins -> what to do, for mistakes that people make.
_REMEDIES = {
    "Invalid value": 'Texts stand in quotes ("..."), decimals begin with a digit (0.5), and true and false are written '
    "small.",
    "Cannot overwrite a value": "Each key is given once in its table: remove one of them.",
    "Cannot declare": "Each table is given once: put all of its keys below one heading; several rules or shortcuts "
    "have double brackets, [[policy]].",
    "Cannot mutate immutable": "What is written in { } is whole: add the key inside of the braces.",
    "Unescaped '\\' in a string": "Write paths with / in the place of \\, or in single quotes.",
    "Invalid hex value": "Write paths with / in the place of \\, or in single quotes.",
    "Unterminated string": "A quote is never closed.",
    "Illegal character": "A text ends in the line that it begins in: close its quote.",
    "Unclosed array": "A bracket is never closed.",
    "Expected newline or end of document": "One key a line; texts with blanks or quotes within stand in quotes.",
    "Expected '=' after a key": 'Each line is key = value, a heading [table], or a remark behind "#".',
    "Invalid statement": 'Each line is key = value, a heading [table], or a remark behind "#".',
    "Expected ']'": "A heading ends with ], and that of a list of tables with ]].",
    "Invalid initial character for a key part": "Names of keys are letters, digits, _ and -; others stand in quotes.",
}


def read_toml(path: Path) -> dict[str, object]:
    """Return the tables of a TOML file, with or without a byte order mark; raises ``ConfigError``."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError("no such file", where=str(path), remedy=_name_configs(path.parent)) from None
    except IsADirectoryError:
        raise ConfigError("is a folder; expected a TOML file", where=str(path), remedy=_name_configs(path)) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"line {line} is no UTF-8", where=path.name, remedy="Save the file as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from None
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: a number of more digits than Python reads
        raise _describe_syntax(str(error), text, path.name) from None


def read_value(text: str) -> object:
    """Return a value as TOML reads it, or the text itself where it is none, such as a bare word."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _describe_syntax(message: str, text: str, file: str) -> ConfigError:
    position = _POSITION.search(message)
    line = int(position[1]) if position and position[1] else None
    said = _POSITION.sub("", message)
    content = "" if line is None else text.split("\n")[line - 1].strip()
    heading_twice = content.startswith("[") and said.startswith("Cannot")
    start = "Cannot declare" if heading_twice else said
    remedy = next((remedy for beginning, remedy in _REMEDIES.items() if start.startswith(beginning)), None)
    if line is None:
        return ConfigError(f"is not valid TOML: {said}", where=file, remedy=remedy)
    shown = f" in {content!r}" if 0 < len(content) <= 80 else ""
    return ConfigError(f"line {line} is not valid TOML: {said}{shown}", where=file, remedy=remedy)


def _name_configs(folder: Path) -> str | None:
    configs = sorted(file.name for file in folder.glob("*.toml"))
    return f"The folder holds {', '.join(configs[:5])}." if configs else None
