"""How numbers are written for readers. No table and no finding is known here.

Thousands are set apart by a narrow space, minus is a minus sign, and what is tiny is written with a power of ten.
An estimate is rounded by the width of its interval: digits that the sample cannot tell apart are not shown.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Literal

NARROW_SPACE = "\u202f"
MINUS = "\u2212"
CONTINUOUS_UNITS = frozenset(
    {
        *("", "fraction", "epsilon", "delta", "probability", "p", "nats", "bits", "seconds"),
        *("errors per word", "errors per character"),
    }
)

_ALL_DIGITS = Context(prec=400)  # of any float
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def format_count(number: int) -> str:
    """Return an integer with its thousands set apart: ``11 689 512``."""
    return f"{number:,}".replace(",", NARROW_SPACE).replace("-", MINUS)


def format_fixed(number: float, decimals: int) -> str:
    """Return a number with so many decimals; one too small for them is written with a power of ten."""
    tiny = number != 0 and abs(number) < 0.5 * 10.0**-decimals
    return format_scientific(number) if tiny else _round_decimals(number, decimals)


def _round_decimals(number: float, decimals: int) -> str:
    shortest = Decimal(repr(float(number)))  # 0.125 is 0.13, as by hand, and not the even 0.12
    rounded = shortest.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP, context=_ALL_DIGITS)
    text = f"{rounded or abs(rounded):,.{decimals}f}"  # no minus in front of a zero
    return text.replace(",", NARROW_SPACE).replace("-", MINUS)


def format_scientific(number: float) -> str:
    """Return ``1.2 × 10⁻⁵``, or ``10⁻⁵`` for a plain power of ten."""
    mantissa, exponent = f"{number:.1e}".split("e")
    power = "10" + str(int(exponent)).translate(_SUPERSCRIPT)
    return power if number == float(f"1e{exponent}") else f"{mantissa.replace('-', MINUS)} × {power}"


def decimals_of(number: float) -> int:
    """Return how many decimals a number without an interval is worth: three below one, fewer above."""
    magnitude = abs(number)
    if magnitude >= 1000:
        return 0
    if magnitude >= 100:
        return 1
    return 2 if magnitude > 1 else 3


def decimals_within(low: float, high: float) -> int:
    """Return the decimals that show two digits of an interval's width; two at least for a share."""
    width = high - low
    if width <= 0:
        return decimals_of(high)
    least = 2 if max(abs(low), abs(high)) <= 1 else 0
    return min(max(1 - math.floor(math.log10(width)), least), 4)


def format_ends(low: float, high: float, gap: float, interval: tuple[float, float] | None) -> list[str]:
    """Return two values with the decimals of their gap, or one more where their difference would not look like it."""
    decimals = decimals_within(*interval) if interval else decimals_of(gap)
    difference = round(high, decimals) - round(low, decimals)
    if format_fixed(difference, decimals) != format_fixed(gap, decimals):
        decimals += 1
    return [format_fixed(value, decimals) for value in (low, high)]


def format_quantity(
    number: float,
    unit: str = "",
    interval: tuple[float, float] | None = None,
    rounding: Literal["nearest", "up", "down"] = "nearest",
) -> str:
    """Return the value of a finding, rounded by its interval where it has one, by its size otherwise.

    An upper bound is rounded up and a lower one down: 3.004 at most is not "3.00 at most".
    """
    if float(number).is_integer() and unit not in CONTINUOUS_UNITS and interval is None:
        return format_count(int(number))
    if unit in ("p", "p-value") and number < 0.001:
        return "< 0.001"
    decimals = decimals_within(*interval) if interval else decimals_of(number)
    return format_fixed(_round_toward(number, decimals, rounding), decimals)


def format_epsilon(epsilon: float) -> str:
    """Return an epsilon, which is an upper bound."""
    return format_quantity(epsilon, rounding="up")


def _round_toward(number: float, decimals: int, rounding: Literal["nearest", "up", "down"]) -> float:
    """Return a number rounded up or down to so many decimals; 3.0000001 is 3: a search may stop that far off."""
    if rounding == "nearest":
        return number
    scaled = round(number * 10.0**decimals, 4)
    return (math.ceil(scaled) if rounding == "up" else math.floor(scaled)) / 10.0**decimals


def format_interval(low: float, high: float, decimals: int | None = None) -> str:
    """Return an interval: ``[0.70, 0.92]``."""
    digits = decimals_within(low, high) if decimals is None else decimals
    return f"[{_round_decimals(low, digits)}, {_round_decimals(high, digits)}]"


def format_plain(number: float) -> str:
    """Return a number as short as it can be written: ticks of an axis, parameters that the user chose."""
    if number != 0 and not 1e-4 <= abs(number) < 1e9:
        return format_scientific(number)
    if float(number).is_integer():
        return format_count(int(number))
    return f"{number:.6g}".replace("-", MINUS)


def format_duration(seconds: float) -> str:
    """Return ``48 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def format_bytes(size: int) -> str:
    """Return a size with its unit, in powers of 1000: ``4.1 kB``, ``12.8 GB``."""
    amount, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while amount >= 999.95 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{size} B" if units[0] == "B" else f"{amount:.1f} {units[0]}"


def format_date(iso: str) -> str:
    """Return ``2025-03-01 12:30 UTC`` for an ISO 8601 time; the text as it stands when it is none."""
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def format_day(day: date) -> str:
    """Return a day as it is read: ``6 March 2025``."""
    return f"{day.day} {day:%B %Y}"
