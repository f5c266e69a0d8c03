"""Values that are words of the scenario language; planned but unsupported ones are refused by name.

Every function takes a value from YAML and returns the model's value; all raise UnitError.
"""

import sys
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final

from estsim.errors import UnitError
from estsim.fields import MOST
from estsim.scenario.scalar_advice import is_no, is_yes
from estsim.spreads import parse_pair
from estsim.units import format_rate, parse_duration, parse_rate, parse_share, shown

MOST_WORKERS: Final = 256


def later(what: str) -> UnitError:
    """Return the refusal of a planned but unsupported value."""
    return UnitError(f"'{what}' is not supported by this version yet")


def no(value: object, refused: object, name: str | None = None) -> object:
    """Return a value, unless it is a planned but unsupported one."""
    if value is refused or (isinstance(refused, str) and value == refused):
        raise later(name or str(refused))
    return value


def off_or_mapping(value: object) -> object:
    """Return None for ``off``; an empty value is a mistake."""
    if value == "off":
        return None
    if value is None:
        raise UnitError("expected off or a mapping (got nothing)")
    if is_no(value):
        raise UnitError(f"expected off or a mapping: write off (got {shown(value)})")
    if is_yes(value):
        raise UnitError(f"expected off or a mapping: remove the key to use the defaults (got {shown(value)})")
    return value


def attributes(value: object) -> object:
    """Return what is done about CSR attributes; ``true`` and ``false`` are aliases of fetch and off."""
    if value is False:
        return "off"
    return "fetch" if value is True else value


def enroll_operation(value: object) -> object:
    """Return the operation of the first enrolment, if it is supported."""
    if value in ("serverkeygen", "fullcmc"):
        raise later(str(value))
    if value == "simplereenroll":
        raise UnitError("the first enrolment must use simpleenroll (got simplereenroll)")
    return value


def behaviour_class(value: object) -> object:
    """Return the name of a class, as ``mypkg.mod:Class``; whether there is one, the loader says."""
    if value is None:
        return None
    module, _, name = value.partition(":") if isinstance(value, str) else ("", "", "")
    if not name.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise UnitError(f"expected a Python class, such as mypkg.mod:Class (got {shown(value)})")
    return value


def ramp(value: object) -> object:
    """Return the two rates of ``0/s..50/s``, per second; a ramp may also go down."""
    if value is None:
        return None
    rates = parse_pair(value, parse_rate, "two rates such as 0/s..50/s")
    if min(rates) < 0 or max(rates) <= 0:
        raise UnitError(f"rates must not be negative, and one of the two must be greater than 0 (got {shown(value)})")
    if max(rates) > MOST:
        raise UnitError(f"must be at most {format_rate(MOST)} (got {shown(value)})")
    return rates


def obedience(value: object) -> object:
    """Return the share of Retry-After that a device waits: ``obey``, ``ignore``, ``{early: 50%}``, ``{late: 20%}``."""
    if value == "obey":
        return 1.0
    if value == "ignore":
        return 0.0
    if isinstance(value, Mapping) and len(value) == 1:
        ((word, share),) = value.items()
        if word == "late":
            return 1.0 + _positive(share)
        if word == "early":
            return 1.0 - _at_most_all(_positive(share), share)
    raise UnitError(f"expected obey, ignore, {{early: 50%}} or {{late: 20%}}{_time_advice(value)} (got {shown(value)})")


def _time_advice(value: object) -> str:
    """Return where a given time belongs, as advice."""
    if is_no(value):
        return ": write ignore"
    if is_yes(value):
        return ": write obey"
    try:
        seconds = parse_duration(value)
    except UnitError:
        return ""
    wait = f"{{seconds: {round(seconds)}}}"
    return f": the server sets the wait, write sandbox: {{issue: {{mode: deferred, retry_after: {wait}}}}}"


def address(value: object) -> str:
    """Return a local address, as text."""
    try:
        return str(ip_address(str(value)))
    except ValueError:
        raise UnitError(f"expected an IP address such as 127.0.0.2 (got {shown(value)})") from None


def retry_reason(value: object) -> object:
    """Return a reason as text: in YAML, 429 is a number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def attempts(value: object) -> object:
    """Return a number of attempts; ``unlimited`` is a number that is never reached."""
    if value == "unlimited":
        return sys.maxsize
    if isinstance(value, int) and value > MOST:
        raise UnitError(f"must be at most {MOST}, or unlimited (got {shown(value)})")
    return value


def workers(value: object) -> object:
    """Return a number of processes, None for ``auto``."""
    if value == "auto":
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_WORKERS:
        return value
    raise UnitError(f"must be auto or a number from 1 to {MOST_WORKERS} (got {shown(value)})")


def _positive(value: object) -> float:
    share = parse_share(value)
    if share <= 0:
        raise UnitError(f"must be greater than 0 (got {shown(value)})")
    return share


def _at_most_all(share: float, value: object) -> float:
    if share > 1:
        raise UnitError(f"must be at most 100% (got {shown(value)})")
    return share
