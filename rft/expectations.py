"""What a value was expected to be, in plain words: the one place that knows how pydantic calls it.

Files that users write (``audit.toml``) and files that rft wrote (runs, saved models) are checked by pydantic, whose
sentences are about Python. ``EXPECTED`` has a sentence for each of its errors that TOML and JSON can lead to;
``tests/test_expectations.py`` holds it against pydantic's own list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

LONGEST = 60  # characters of a value that an error repeats

TABLE, TEXT, WHOLE_NUMBER = "a table of keys and values", "a text in quotes", "a whole number"
# pydantic's type of an error -> what was expected; {} are numbers and names that the error carries.
EXPECTED: Mapping[str, str] = {
    **dict.fromkeys(("model_type", "model_attributes_type", "dataclass_type", "dict_type", "mapping_type"), TABLE),
    **dict.fromkeys(("string_type", "string_unicode", "url_type", "uuid_type"), TEXT),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), WHOLE_NUMBER),
    **dict.fromkeys(("float_type", "float_parsing", "decimal_type", "decimal_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"), "a list in brackets"),
    **dict.fromkeys(("literal_error", "enum"), "{expected}"),
    **dict.fromkeys(("date_type", "date_parsing", "date_from_datetime_parsing"), "a date such as 2026-01-31"),
    **dict.fromkeys(("datetime_type", "datetime_parsing"), "a date with a time, such as 2026-01-31T12:00:00"),
    **dict.fromkeys(("time_type", "time_parsing"), "a time such as 12:00:00"),
    "missing": "a value",
    "extra_forbidden": "no such key",
    "invalid_key": "a text as the name of a key",
    "none_required": "nothing",
    "finite_number": "a finite number",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "a number below {lt}",
    "less_than_equal": "{le} or less",
    "multiple_of": "a multiple of {multiple_of}",
    "int_parsing_size": "a whole number of fewer digits",
    "too_short": "{min_length} or more entries",
    "too_long": "at most {max_length} entries",
    "string_too_short": "a text of {min_length} or more characters",
    "string_too_long": "a text of at most {max_length} characters",
    "string_pattern_mismatch": "a text that follows the pattern {pattern}",
    "string_not_ascii": "a text of plain English letters, digits and signs",
    "union_tag_invalid": "{expected_tags} as {discriminator}",
    "union_tag_not_found": "a value for {discriminator}",
    "json_invalid": "JSON ({error})",
    "json_type": "JSON",
    "recursion_loop": "fewer tables within each other",
    "recursion_depth_exceeded": "fewer tables within each other",
}
# What else pydantic says is about types that a third party's plugin may use: its verbs, and none of its nouns.
_OF_PYDANTIC = re.compile(r"^[\w ]*?(?:should|must) (?:be |have |contain |match |(?=not ))?(?:an? )?(?:valid )?")


def describe_expectation(kind: str, context: Mapping[str, object], message: str) -> str:
    """Return what was expected of a value, as part of a sentence.

    Args:
        kind: pydantic's type of the error.
        context: what the error carries.
        message: pydantic's own sentence, for errors that neither TOML nor JSON lead to.

    >>> describe_expectation("less_than", {"lt": 1.0}, "Input should be less than 1")
    'a number below 1'
    """
    template = EXPECTED.get(kind)
    if template is None:
        return _OF_PYDANTIC.sub("", message[:1].lower() + message[1:])
    return template.format(**{key: _write_bound(value) for key, value in context.items()})


def describe_problem(problem: ErrorDetails) -> str:
    """Return one error of ``ValidationError.errors()`` behind its place: ``model.mode: is missing``."""
    place = ".".join(map(str, problem["loc"]))
    match problem["type"]:
        case "missing":
            said = "is missing"
        case "extra_forbidden":
            said = "is not expected here"
        case "value_error" | "assertion_error":
            said = own_words(problem["msg"])
        case kind:
            said = f"expected {describe_expectation(kind, problem.get('ctx', {}), problem['msg'])}"
    return f"{place}: {said}" if place else said


def own_words(message: str) -> str:
    """Return what a validator of rft or of a plugin said, without what pydantic puts before it."""
    return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")


def show_value(value: object) -> str:
    """Return a value as an error repeats it: as TOML writes it, cut where it is long.

    >>> show_value(True), show_value("5"), show_value({"a": 1}), show_value([])
    ('true', "the text '5'", 'a table', 'an empty list')
    """
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return f"the text {_cut_text(repr(value))}" if value else "an empty text"
        case dict():
            return "a table"
        case list():
            if value and all(isinstance(entry, dict) for entry in value):
                return "a list of tables"
            return f"the list {_cut_text(repr(value))}" if value else "an empty list"
        case date() | time():
            return f"the time {value.isoformat()}"
        case int() if abs(value) >= 10**LONGEST:
            return f"a number of more than {LONGEST} digits"
    return _cut_text(repr(value))


def _cut_text(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _write_bound(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1 else str(value).removesuffix(".0")
