"""Values of a column that are probably one and were written in several ways, or that stand for a missing one.

Nothing is joined or left out for it: values are read as they stand, and what looks wrong is said.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rft.data.remarks import Remark, join_names

# What people and programs write where a value is missing; compared as ``normal_form`` gives it.
MISSING = {
    *("na", "n/a", "n.a.", "#n/a", "n\\a", "nan", "<na>", "nat", "null", "nil", "none", "(null)", "\\n", "undefined"),
    *("missing", "(missing)", "unknown", "(unknown)", "unk", "notknown", "notavailable", "notapplicable", "notstated"),
    *("notspecified", "unspecified", "notrecorded", "nodata", "novalue", "blank", "(blank)", "empty", "(empty)"),
    *("-", "--", "---", "?", "??", "???", ".", "..", "...", "_", "/", "*", "x/x"),
}
_WRITTEN_BY_PROGRAMS = {"nan", "<na>", "nat", "n/a", "#n/a", "null", "(null)", ""}  # in a column of labels, these alone

_NUMBER = r"^\+?(-?)0*([0-9]+)(?:\.([0-9]*?)0*)?$"
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−"), "-")
_QUOTES = {ord("’"): "'", ord("‘"): "'", ord("“"): '"', ord("”"): '"'}


def normal_form(name: str) -> str:
    r"""Return what a value and its other spellings have in common.

    Blanks, invisible characters, case, the form of Unicode, typographic dashes and quotes, and the zeros of a number
    do not count.

    >>> normal_form(" New\u00a0York "), normal_form("1.0"), normal_form("01"), normal_form("YES\u200b")
    ('newyork', '1', '1', 'yes')
    """
    plain = unicodedata.normalize("NFKC", name.translate(_DASHES | _QUOTES)).casefold()
    plain = unicodedata.normalize("NFKC", plain)  # casefolding may leave a form that is not normal
    plain = "".join(char for char in plain if not char.isspace() and unicodedata.category(char) not in ("Cf", "Cc"))
    number = re.match(_NUMBER, plain)
    return plain if number is None else f"{number[1]}{number[2]}" + (f".{number[3]}" if number[3] else "")


def find_alike(names: pd.Index | Sequence[str]) -> list[tuple[str, ...]]:
    """Return the sets of two or more distinct names that have one normal form, each sorted."""
    distinct = pd.Index(names)
    texts = pa.array(distinct, pa.string())
    forms = _normal_forms(texts)
    if forms.equals(texts) or pc.count_distinct(forms).as_py() == len(forms):
        return []
    whole = pd.Series(forms.to_pandas())
    sets = defaultdict(list)
    for place in np.flatnonzero(whole.duplicated(keep=False)).tolist():
        sets[whole.iloc[place]].append(str(distinct[place]))
    return sorted(tuple(sorted(names)) for names in sets.values())


def _normal_forms(texts: pa.Array) -> pa.Array:
    """Return ``normal_form`` of (N,) names; those of ASCII, of which there may be millions, without a Python loop."""
    if pc.any(pc.match_substring_regex(texts, r"[\x00-\x20A-Z\x7f]")).as_py():
        forms = pc.ascii_lower(pc.replace_substring_regex(texts, r"[\x00-\x20\x7f]+", ""))
    else:
        forms = texts
    if pc.any(pc.match_substring_regex(forms, r"^[+]?-?0[0-9]|^[+]|[.][0-9]*$")).as_py():
        forms = pc.replace_substring_regex(pc.replace_substring_regex(forms, _NUMBER, r"\1\2.\3"), _POINT, r"\1")
    others = pc.invert(pc.string_is_ascii(texts))
    if not pc.any(others).as_py():
        return forms
    exact = [normal_form(name) for name in texts.filter(others).to_pylist()]
    return pc.replace_with_mask(forms, others, pa.array(exact, pa.string()))


_POINT = r"^(-?[0-9]+)\.$"  # what the rewriting of a whole number leaves


def quote_name(name: str) -> str:
    """Return a name in quotes, with escapes for what a reader could not see or tell apart."""
    return repr(name) if unicodedata.normalize("NFC", name) == name else ascii(name)


def spelling_remarks(
    labels: pd.Categorical | None, groups: Mapping[str, pd.Categorical], units: pd.Categorical | None
) -> Iterator[Remark]:
    """Yield what is unusual about the values of labels, groups and units; ``(N,)`` each, a missing one has code -1."""
    if labels is not None:
        yield from _alike_remark(labels, "alike_labels", "labels", "classes")
    for attribute, values in groups.items():
        yield from _alike_remark(values, f"alike_groups.{attribute}", f"groups by {attribute}", "groups")
    if units is not None:
        yield from _alike_units(units)
    if labels is not None:
        yield from _missing_remark(labels, "missing_labels", "labels", "a class", _WRITTEN_BY_PROGRAMS)
    for attribute, values in groups.items():
        yield from _missing_remark(
            values, f"missing_spellings.{attribute}", f"groups by {attribute}", "a group", MISSING
        )
    if units is not None:
        yield from _missing_remark(units, "missing_units", "units", "one unit", MISSING)


def _alike_remark(values: pd.Categorical, id: str, kind: str, read_as: str) -> Iterator[Remark]:
    sets = find_alike(values.categories)
    if sets:
        named = "; ".join(join_names([quote_name(name) for name in names]) for names in sets[:20])
        more = f"; and {len(sets) - 20} more" if len(sets) > 20 else ""
        yield Remark(
            id=id,
            title=f"{kind[0].upper()}{kind[1:]} that differ only in spelling",
            value=len(sets),
            unit="names",
            n=len(values.categories),
            description=f"These {kind} differ only in blanks, case, Unicode form or the way that a number is written, "
            "and "
            f"were read as {read_as} of their own: {named}{more}.",
        )


def _alike_units(units: pd.Categorical) -> Iterator[Remark]:
    sets = find_alike(units.categories)
    if sets:
        yield Remark(
            id="alike_units",
            title="Units that differ only in spelling",
            value=len(sets),
            unit="names",
            n=len(units.categories),
            description=f"{len(sets)} names of units were written in several ways, which differ only in blanks, case, "
            "Unicode form or the way that a number is written, and were read as units of their own: the rows of one "
            "person may then lie in two splits and count as two people's.",
            names=[" and ".join(quote_name(name) for name in names) for names in sets],
        )


def _missing_remark(values: pd.Categorical, id: str, kind: str, read_as: str, spellings: set[str]) -> Iterator[Remark]:
    texts = pa.array(values.categories, pa.string())
    matching = texts.filter(pc.is_in(_normal_forms(texts), pa.array(sorted(spellings)))).to_pylist()
    if matching:
        codes = values.categories.get_indexer(pd.Index(matching))
        count = int(np.isin(values.codes, codes).sum())
        yield Remark(
            id=id,
            title=f"{kind[0].upper()}{kind[1:]} that may stand for a missing value",
            value=count,
            unit="examples",
            n=len(values),
            description=f"{join_names([quote_name(name) for name in matching])} among the {kind} usually stand for a "
            "missing value, "
            f"and were read as {read_as} like any other. Leave a cell empty where a value is missing.",
            counts_values=True,
        )
