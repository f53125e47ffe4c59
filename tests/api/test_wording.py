"""Errors name arguments, and leave everything else as it is."""

from __future__ import annotations

import pytest

from rft.api.wording import name_arguments
from rft.errors import ConfigError, RftError

KEYS = {"positive": "data.positive", "outputs": "model.outputs"}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("data.positive is 'x'", "positive is 'x'"),
        ("data: label is missing", "label is missing"),
        ("set data.other, or data.positive", "set data.other, or positive"),
        ("remove [model] and [fairness]", 'remove the arguments and plugins["fairness"]'),
        ("[[policy]] names [nothing], in [0, 1] or ['a']", "policy names [nothing], in [0, 1] or ['a']"),
        ("choose with --out; --force replaces, --device cpu", "choose with out; force=True replaces, device cpu"),
        ("metadata: data.positives of metadata.positive", "metadata: data.positives of metadata.positive"),
    ],
)
def test_keys_tables_and_options_become_arguments(message: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught, name_arguments(KEYS):
        raise ConfigError(message, where="model.outputs", remedy=message)
    assert (caught.value.what, caught.value.where, caught.value.remedy) == (expected, "outputs", expected)


def test_what_caused_an_error_stays_known() -> None:
    cause = ValueError("inner")
    with pytest.raises(RftError) as caught, name_arguments(KEYS):
        raise RftError("outer") from cause
    assert caught.value.__cause__ is cause
    with pytest.raises(ZeroDivisionError), name_arguments(KEYS):
        raise ZeroDivisionError
