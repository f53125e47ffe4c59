"""What is made alike in references and hypotheses before they are compared, as ``predictions.normalizer`` says."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping

from rft.config.tables.spellings import NormalizerName
from rft.errors import ConfigError
from rft.runtime.libraries import library_import

Normalizer = Callable[[str], str]
INSTALL = 'pip install "rft[speech]"'
APOSTROPHES = "'’ʼ＇"


def load_normalizer(name: NormalizerName) -> Normalizer:
    """Return the function from a text to what of it is compared.

    Raises:
        ConfigError: the library that has its rules is not installed.
    """
    return _LOADERS[name]()


class _Punctuation(dict[int, str]):
    """What each character becomes: nothing for an apostrophe, a blank for other punctuation and symbols."""

    def __missing__(self, code: int) -> str:
        is_sign = unicodedata.category(chr(code))[0] in "PS"
        self[code] = "" if chr(code) in APOSTROPHES else " " if is_sign else chr(code)
        return self[code]


_PUNCTUATION = _Punctuation()


def simplify_text(text: str) -> str:
    """Return a text in one form of Unicode (NFKC), without case, punctuation, symbols and repeated blanks.

    An apostrophe vanishes, anything else of these parts words.

    >>> simplify_text(" Don't  go -- well-known, OK? ")
    'dont go well known ok'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().translate(_PUNCTUATION).split())


def _keep_text(text: str) -> str:
    return text


def _load_whisper_english() -> Normalizer:
    """Return the rules of OpenAI's Whisper (Radford et al. 2023, appendix C), in a package that keeps them alone.

    transformers has the rules and not the table of spellings, which each checkpoint brings along.
    """
    with library_import("whisper-normalizer", error=ConfigError, where="normalizer", install=INSTALL):
        from whisper_normalizer.english import EnglishTextNormalizer
    normalizer: Normalizer = EnglishTextNormalizer()
    return normalizer


_LOADERS: Mapping[NormalizerName, Callable[[], Normalizer]] = {
    "none": lambda: _keep_text,
    "simple": lambda: simplify_text,
    "whisper_english": _load_whisper_english,
}
