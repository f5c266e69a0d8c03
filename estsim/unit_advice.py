"""What a mistaken duration, rate, share or bit rate was probably meant to be.

Pure. Every function takes a value from YAML or the command line and returns texts that :mod:`estsim.units` reads: the
likeliest reading first, a second one if the value is ambiguous, none if its meaning is unknown.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Final

Readings = tuple[str, ...]
Meant = Callable[[object], Readings]

_LONGEST: Final = 60  # characters; a longer text is not a mistaken value
_LARGEST: Final = 10**15
_TENTH: Final = Fraction(1, 10)
_EXACT: Final = 10**9  # the precision with which units write decimals
_ROUNDED: Final = 10**4
_NUMBER: Final = r"(?:[0-9][0-9_]*(?:[.,][0-9]+)*|\.[0-9]+)(?:e[+]?[0-9]{1,2})?"
_QUOTES: Final = "\"'`\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}\N{LEFT SINGLE QUOTATION MARK}"
_DASHES: Final = "\N{EN DASH}\N{EM DASH}\N{MINUS SIGN}"

_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "ms": ("ms", "msec", "msecs", "milli", "millis", "millisec", "millisecond", "milliseconds"),
    "s": ("s", "sec", "secs", "second", "seconds"),
    "m": ("m", "min", "mins", "minute", "minutes"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "d": ("d", "day", "days"),
}
_SECONDS: Final = {
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
    "d": Fraction(86400),
}
_UNIT_OF: Final = {word: unit for unit, words in _WORDS.items() for word in words}
_OTHER_UNITS: Final = {  # unsupported units, in seconds
    **dict.fromkeys(("us", "\N{MICRO SIGN}s", "usec", "microsecond", "microseconds"), Fraction(1, 1_000_000)),
    **dict.fromkeys(("w", "wk", "wks", "week", "weeks"), Fraction(7 * 86400)),
    **dict.fromkeys(("mo", "month", "months"), Fraction(30 * 86400)),
    **dict.fromkeys(("y", "yr", "yrs", "year", "years"), Fraction(365 * 86400)),
}
_SMALLER: Final = {"d": "h", "h": "m", "m": "s", "s": "ms"}

_PIECE: Final = re.compile(rf"\s*({_NUMBER})\s*([a-z\N{{MICRO SIGN}}]*)\s*(?:and\s)?", re.IGNORECASE)
_CLOCK: Final = re.compile(r"([0-9]{1,3}):([0-9]{2})(?::([0-9]{2}))?")
_ISO: Final = re.compile(rf"P(?:({_NUMBER})D)?(?:T(?:({_NUMBER})H)?(?:({_NUMBER})M)?(?:({_NUMBER})S)?)?", re.IGNORECASE)
_PERCENT: Final = re.compile(rf"%?\s*([+-]?{_NUMBER})\s*(?:%|percent|per\s?cent|pct|prozent)?", re.IGNORECASE)
_FRACTION: Final = re.compile(r"([0-9]{1,6})\s*/\s*([1-9][0-9]{0,5})")
_RATE: Final = re.compile(
    rf"({_NUMBER})\s*(?:[a-z]+\s*)?(?:/|\bper\b|\ban?\b)\s*({_NUMBER})?\s*([a-z]+)", re.IGNORECASE
)
_PER: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PER_NAMES: Final = {"s": "s", "m": "min", "h": "h", "d": "d"}
_SHORT_RATE: Final = re.compile(rf"({_NUMBER})\s*(?:[rtq]p([smh])|hz)", re.IGNORECASE)
_BITRATE: Final = re.compile(
    rf"({_NUMBER})\s*([kmg]?)(?:(bits?|b|bytes?|B|o)?\s*(?:/\s*s(?:ec|econd)?|ps|per second)?)", re.IGNORECASE
)
_BITRATE_PREFIX: Final = {"": "", "k": "k", "m": "M", "g": "G"}
_BETWEEN: Final = re.compile(
    rf"\s*(?:\.\.\.?|\N{{HORIZONTAL ELLIPSIS}})\s*|(?<=[0-9a-z%])\s*(?:-|[{_DASHES}]|\bto\b)\s*(?=[+.0-9-])",
    re.IGNORECASE,
)
_DIGITS: Final = "+-.0123456789"
_ENDS: Final = (("min", "max"), ("from", "to"), ("low", "high"), ("lower", "upper"))
_TAIL: Final = re.compile(r"[^0-9.,\s]+$")


def meant_durations(value: object, *, short: bool = False) -> Readings:
    """Return what was meant for a duration; with ``short``, hundreds of milliseconds are likelier than minutes."""
    text = _clean(value)
    sign, text = ("-", text[1:].lstrip()) if text[:1] == "-" else ("", text.removeprefix("+"))
    if clock := _CLOCK.fullmatch(text):
        return tuple(sign + reading for reading in _clock_readings(clock))
    if (iso := _ISO.fullmatch(text)) and any(iso.groups()):
        parts = zip(("d", "h", "m", "s"), iso.groups(), strict=True)
        numbers = [(number, unit) for unit, n in parts if n for number in _numbers(n)[:1]]
        return _written(sign, sum((number * _SECONDS[unit] for number, unit in numbers), Fraction()))
    if bare := _whole_numbers(text):
        return tuple(sign + reading for number in bare for reading in _bare_durations(number, short=short))
    return tuple(dict.fromkeys(reading for each in _pieces(text) for reading in _of_pieces(sign, each)))


def meant_shares(value: object, *, small: bool = False) -> Readings:
    """Return what was meant for a share: ``0.4`` is 40% or 0.4%, ``1/3`` is 33.3333%.

    ``small`` where few per cent are likelier than most of a whole: then a tenth and more is per cent first.
    """
    text = _clean(value)
    if fraction := _FRACTION.fullmatch(text):
        return (f"{_decimal(Fraction(int(fraction[1]), int(fraction[2])) * 100)}%",)
    match = _PERCENT.fullmatch(text)
    if match is None:
        return ()
    sign, number = ("-" if match[1].startswith("-") else ""), match[1].lstrip("+-")
    as_written = "%" in text or any(c.isalpha() and c not in "eE" for c in text)
    readings: list[str] = []
    for each in _numbers(number):
        parts, per_cent = f"{sign}{_decimal(each * 100)}%", f"{sign}{_decimal(each)}%"
        if as_written or not 0 < each <= 1:
            readings.append(per_cent)
        else:
            readings += [per_cent, parts] if small and each >= _TENTH else [parts, per_cent]
    return tuple(dict.fromkeys(readings))


def meant_rates(value: object) -> Readings:
    """Return what was meant for a rate: ``50`` is 50/s or 50/min, ``50 per second`` is 50/s."""
    text = _clean(value)
    if bare := _whole_numbers(text):
        return tuple(f"{_decimal(number)}/{unit}" for number in bare for unit in ("s", "min"))
    if short := _SHORT_RATE.fullmatch(text):
        return tuple(f"{_decimal(n)}/{_PER_NAMES[(short[2] or 's').lower()]}" for n in _numbers(short[1]))
    match = _RATE.fullmatch(text)
    unit = _UNIT_OF.get(match[3].lower()) if match else None
    if match is None or unit is None:
        return ()
    if match[2] is None and unit in _PER_NAMES:
        return tuple(f"{_decimal(number)}/{_PER_NAMES[unit]}" for number in _numbers(match[1]))
    spans_s = [number * _SECONDS[unit] for number in (_numbers(match[2]) if match[2] else (Fraction(1),)) if number]
    return tuple(_rate(number / span_s) for number in _numbers(match[1]) for span_s in spans_s[:1])


def meant_bitrates(value: object) -> Readings:
    """Return what was meant for a bit rate: ``64`` is 64kbit/s or 64bit/s, ``8kB/s`` is 64kbit/s."""
    match = _BITRATE.fullmatch(_clean(value))
    if match is None:
        return ()
    prefix, what = _BITRATE_PREFIX[match[2].lower()], match[3] or ""
    bits = 8 if what == "B" or what.lower().startswith("byte") or what.lower() == "o" else 1
    bare = not prefix and not what and not any(c.isalpha() for c in match[0])
    readings: list[str] = []
    for number in _numbers(match[1]):
        if bare and number < 1000:  # noqa: PLR2004 - kilo
            readings.append(f"{_decimal(number)}kbit/s")
        readings.append(f"{_decimal(number * bits)}{prefix}bit/s")
    return tuple(readings)


def meant_ranges(value: object, meant: Meant) -> Readings:
    """Return what was meant for a range: ``40..120ms``, ``40ms-120ms``, ``[40ms, 120ms]``, ``{min: …, max: …}``."""
    ends = _ends_of(value)
    if ends is None:
        return ()
    low, high = ends
    units = [_TAIL.search(end) for end in ends]
    if units[0] is None and units[1] is not None:  # 40..120ms: only the end has the unit
        low += units[1][0]
    elif units[1] is None and units[0] is not None:
        high += units[0][0]
    pairs = zip(meant(low), meant(high), strict=False)
    return tuple(f"{a}..{b}" for a, b in pairs if a.lstrip(_DIGITS) == b.lstrip(_DIGITS) or all(units))


def advice(readings: Readings) -> str:
    """Return ``write 40% or 0.4%``, empty without readings."""
    return f"write {' or '.join(readings[:2])}" if readings else ""


def is_bare_number(value: object) -> bool:
    """Whether a value is a number without unit, quoted or not."""
    return bool(_whole_numbers(_clean(value).lstrip("+-")))


def _clean(value: object) -> str:
    """Return the text of a number or text without quotes and odd blanks, empty for other values."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return ""
    text = " ".join(str(value)[: _LONGEST + 1].split()).strip(_QUOTES + " ").rstrip(",;")
    return text if len(text) <= _LONGEST else ""


def _whole_numbers(text: str) -> tuple[Fraction, ...]:
    """Return the readings of a text that is only a number."""
    return _numbers(text) if re.fullmatch(_NUMBER, text, re.IGNORECASE) else ()


def _numbers(text: str) -> tuple[Fraction, ...]:
    """Return what a number may be: ``1,500`` is 1500 or 1.5, ``1,5`` is 1.5 and ``1_000`` is 1000."""
    plain = text.replace("_", "")
    thousands, comma = plain.replace(",", ""), plain.replace(",", ".")
    if re.fullmatch(r"[1-9][0-9]{0,2}(?:,[0-9]{3})+", plain):
        candidates = [thousands, comma] if plain.count(",") == 1 else [thousands]
    else:
        candidates = [comma]
    try:
        numbers = tuple(Fraction(Decimal(each)) for each in candidates)
    except InvalidOperation:  # 1.2.3
        return ()
    return numbers if max(numbers) < _LARGEST else ()


def _clock_readings(clock: re.Match[str]) -> Readings:
    first, second = Fraction(clock[1]), Fraction(clock[2])
    if clock[3] is not None:
        return (_duration(first * 3600 + second * 60 + Fraction(clock[3])),)
    return _duration(first * 60 + second), _duration(first * 3600 + second * 60)


def _bare_durations(number: Fraction, *, short: bool) -> Readings:
    """Return a number's readings: of a latency 800 is ms, of other times 600 is s; thousands are often ms."""
    digits = _decimal(number)
    if short:
        units = ("ms", "s") if number >= 10 else ("s", "ms")  # noqa: PLR2004 - no latency of a test is 10 s
    elif number >= 100:  # noqa: PLR2004 - few mean a hundred minutes
        units = ("ms", "s") if number >= 1000 and number % 60 else ("s", "ms")  # noqa: PLR2004
    else:
        units = ("s", "m")
    return tuple(f"{digits}{unit}" for unit in units) if number else ("0s",)


def _pieces(text: str) -> list[list[tuple[Fraction, str]]]:
    """Return the numbers of a text such as ``1h 30 minutes`` with their units, in each way that they can be read."""
    found: list[tuple[tuple[Fraction, ...], str]] = []
    at = 0
    while at < len(text):
        match = _PIECE.match(text, at)
        if match is None:
            return []
        word = match[2].lower()
        unit = word if word in _OTHER_UNITS else _UNIT_OF.get(word, "")
        if not word and found and match.end() == len(text):  # 1h30
            unit = _SMALLER.get(found[-1][1], "")
        if not unit:
            return []
        numbers = _numbers(match[1])
        if not numbers:
            return []
        found.append((numbers, unit))
        at = match.end()
    if not found:
        return []
    ways = max(len(numbers) for numbers, _ in found)
    return [[(numbers[min(way, len(numbers) - 1)], unit) for numbers, unit in found] for way in range(ways)]


def _of_pieces(sign: str, pieces: list[tuple[Fraction, str]]) -> Readings:
    if len(pieces) == 1 and pieces[0][1] in _SECONDS:
        number, unit = pieces[0]
        return (f"{sign}{_decimal(number)}{unit}",)
    return _written(sign, sum((n * _SECONDS.get(u, _OTHER_UNITS.get(u, Fraction())) for n, u in pieces), Fraction()))


def _written(sign: str, seconds: Fraction) -> Readings:
    return (f"{sign}{_duration(seconds)}",)


def _duration(seconds: Fraction) -> str:
    if 0 < seconds < 1:
        return f"{_decimal(seconds * 1000)}ms"
    text = ""
    for unit in ("d", "h", "m"):
        whole, seconds = divmod(seconds, _SECONDS[unit])
        text += f"{whole}{unit}" if whole else ""
    return text if text and not seconds else f"{text}{_decimal(seconds)}s"


def _rate(per_s: Fraction) -> str:
    """Return a rate in the unit that writes it exactly, otherwise rounded, per hour."""
    for unit, seconds in _PER.items():
        if (per_s * seconds * _ROUNDED).denominator == 1:
            return f"{_decimal(per_s * seconds)}/{_PER_NAMES[unit]}"
    return f"{_decimal(per_s * 3600)}/h"


def _decimal(number: Fraction) -> str:
    """Return a number without exponent, rounded to four decimals if it has no finite form."""
    scale = _EXACT if (number * _EXACT).denominator == 1 else _ROUNDED
    whole, rest = divmod(round(number * scale), scale)
    return f"{whole}.{rest:0{len(str(scale)) - 1}d}".rstrip("0").rstrip(".")


def _ends_of(value: object) -> tuple[str, str] | None:
    ends: Sequence[object] = ()
    if isinstance(value, Mapping):
        ends = next(([value[a], value[b]] for a, b in _ENDS if set(value) == {a, b}), ())
    elif isinstance(value, str):
        ends = _BETWEEN.split(_clean(value))
    elif isinstance(value, Sequence) and not isinstance(value, bytes):
        ends = value
    texts = [_clean(end) for end in ends]
    return (texts[0], texts[1]) if len(texts) == 2 and all(texts) else None  # noqa: PLR2004 - a pair
