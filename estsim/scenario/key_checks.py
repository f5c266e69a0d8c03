"""Whether keys can be generated in time: what the plan needs against what a core makes while it runs a fleet.

A rough estimate in windows of ten seconds: keys of first enrolments, of renewals with a new key, and of orders to
renew, less the prepared ones. Cohorts of one key type share the core. Stations wait for their keys and are left out.
"""

from collections import Counter
from collections.abc import Iterator
from math import ceil
from typing import Final

from estsim.device.policy import RenewPolicy
from estsim.errors import UnitError
from estsim.load.arrivals import boot_times
from estsim.load.choice import count_of
from estsim.pki.keys import KeyKind
from estsim.scenario.boot_model import arrivals_of, trace_of
from estsim.scenario.cohort_model import CohortModel, RenewModel
from estsim.scenario.document import Finding
from estsim.scenario.event_model import WithinModel
from estsim.scenario.parts import Parts
from estsim.server.config import DEFAULT

# Keys per second of one core that also runs a fleet: a fifth of an idle core's. EC keys are made much faster than
# devices can enroll.
_KEYS_PER_S: Final = {KeyKind.RSA_2048: 4.0, KeyKind.RSA_3072: 1.0, KeyKind.RSA_4096: 0.3}
_WINDOW_S: Final = 10
_MOST_ROUNDS: Final = 100  # of renewals that are checked
_FEW: Final = 100
_SHORTEST_S: Final = 0.001  # between two keys, so that the division never overflows
_READ: Final = frozenset({"boot", "bootstrap", "devices", "key", "keys", "renew", "start"})

Windows = Counter[int]  # keys by the ten seconds in which they are needed
Order = tuple[float, WithinModel]  # to renew, with its time


def key_findings(parts: Parts) -> Iterator[Finding]:
    """Yield the key types that cannot be generated in time, at the cohort that needs most of them."""
    lifetime_s = _validity_s(parts)
    orders = _orders(parts)
    for kind, rate in _KEYS_PER_S.items():
        needs = {
            name: _needed(parts, name, cohort, number, lifetime_s) + _ordered(orders.get(name, []), cohort)
            for number, (name, cohort) in enumerate(parts.cohorts.items())
            if cohort.key is kind and _makes_keys(parts, name, cohort)
        }
        late = {name: _unprepared(windows, parts.cohorts[name].keys.prepare) for name, windows in needs.items()}
        together: Windows = Counter()
        for windows in late.values():
            together.update(windows)
        window, busiest = max(together.items(), key=lambda item: item[1], default=(0, 0))
        if busiest > rate * _WINDOW_S:
            name = max(late, key=lambda each: late[each][window])
            yield ("cohorts", name, "key"), _message(parts.cohorts[name], busiest, int(rate * _WINDOW_S), needs[name])


def _message(cohort: CohortModel, needed: int, made: int, windows: Windows) -> str:
    reuse = f" or {{reuse: {_FEW}}}" if cohort.bootstrap.kind.tells_devices_apart else ""
    return (
        f"{needed} devices need a {cohort.key.value} key within {_WINDOW_S} s, about {made} can be generated in that "
        f"time: use keys: {{prepare: {windows.total()}}}{reuse}, or key: ec-p256"
    )


def _makes_keys(parts: Parts, name: str, cohort: CohortModel) -> bool:
    """Whether a cohort's keys are made during the run, and the keys that say when could be read."""
    is_read = _READ.isdisjoint(parts.unread.get(name, frozenset()))
    return is_read and cohort.keys.reuse is None and cohort.boot.stations is None


def _validity_s(parts: Parts) -> float | None:
    """Return the certificates' lifetime; None where another server decides it."""
    if parts.has_url or parts.sandbox is None:
        return None  # an invalid sandbox is reported by the validation
    center = parts.sandbox.centers.get((parts.target.label if parts.target else None) or DEFAULT)
    return None if center is None else center.issuer.validity


def _unprepared(windows: Windows, prepared: int) -> Windows:
    """Subtract the prepared keys, which are used first."""
    late: Windows = Counter()
    for window in sorted(windows):
        used = min(prepared, windows[window])
        prepared -= used
        late[window] = windows[window] - used
    return late


def _needed(parts: Parts, name: str, cohort: CohortModel, number: int, lifetime_s: float | None) -> Windows:
    end_s = parts.duration_s or 0.0
    period_s = _period_s(cohort.renew, lifetime_s)
    if cohort.start is not None:
        return _steady(cohort.devices, period_s, end_s)
    boots = _boots(parts, cohort, number, parts.joins_s.get(name, 0.0))
    if period_s is not None and cohort.renew is not None:
        boots = _renewed(boots, period_s, end_s, cohort.renew.times)
    return boots


def _period_s(renew: RenewModel | None, lifetime_s: float | None) -> float | None:
    """Return the time between two new keys of a device; None where it keeps its key, or it is unknown."""
    if renew is None or not renew.rekey or renew.times == 0:
        return None
    if renew.after is not None:
        return max(_SHORTEST_S, renew.after)
    share = RenewPolicy().at if renew.at is None else renew.at
    return None if lifetime_s is None else max(_SHORTEST_S, share * lifetime_s / renew.lifetime_scale)


def _boots(parts: Parts, cohort: CohortModel, number: int, joins_s: float) -> Windows:
    try:
        trace = trace_of(cohort.boot, parts.folder)
    except UnitError:
        return Counter()  # reported with the boot
    times = boot_times(arrivals_of(cohort.boot, trace), cohort.devices, seed=parts.seed, cohort=number)
    return Counter(int(joins_s + at_s) // _WINDOW_S for at_s in times)


def _renewed(boots: Windows, period_s: float, end_s: float, times: int | None) -> Windows:
    """Return the boots, and the renewals in periods after each until the run ends."""
    rounds = min(int(end_s / period_s), _MOST_ROUNDS if times is None else times, _MOST_ROUNDS)
    needed: Windows = Counter()
    for turn in range(rounds + 1):
        for window, devices in boots.items():
            at_s = window * _WINDOW_S + turn * period_s
            if turn == 0 or at_s < end_s:
                needed[int(at_s) // _WINDOW_S] += devices
    return needed


def _steady(devices: int, period_s: float | None, end_s: float) -> Windows:
    """Return the renewals of devices of all ages: equally many in each window."""
    if period_s is None or period_s >= end_s:
        return Counter()
    windows = min(ceil(end_s / _WINDOW_S), _MOST_ROUNDS)
    return Counter(dict.fromkeys(range(windows), int(devices * _WINDOW_S / period_s)))


def _orders(parts: Parts) -> dict[str, list[Order]]:
    """Return the orders to renew by cohort, with their times."""
    orders: dict[str, list[Order]] = {}
    for event in parts.events.values():
        if event.renew_now is not None:
            for name in event.renew_now.cohorts:
                orders.setdefault(name, []).append((event.at, event.renew_now))
    return orders


def _ordered(orders: list[Order], cohort: CohortModel) -> Windows:
    """Return the keys that orders to renew need."""
    needed: Windows = Counter()
    for at_s, order in orders if cohort.renew is not None and cohort.renew.rekey else ():
        first, last = (int(each_s) // _WINDOW_S for each_s in (at_s, at_s + order.within))
        devices = count_of(order.share, cohort.devices) // (last - first + 1)
        needed.update(dict.fromkeys(range(first, min(last, first + _MOST_ROUNDS) + 1), devices))
    return needed
