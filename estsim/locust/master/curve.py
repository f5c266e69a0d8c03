"""How many users Locust is to have as a fleet boots: a pure function of the plan. Imports no Locust."""

from bisect import bisect_right
from collections.abc import Sequence

from estsim.fleet.boots import AHEAD_S, boots_of
from estsim.fleet.orders import orders_of
from estsim.scenario.plan import Scenario

Tick = tuple[int, float]  # users in all, and how many may be spawned in a second

FIRST_TICK: Tick = (1, 1.0)  # a test begins with its first user: before, Locust tells nobody that there is one


def curve_of(scenario: Scenario) -> tuple[float, ...]:
    """Return when each device is meant to begin, ascending (seconds of the run), those that an event joins too."""
    return tuple(at_s for at_s, _ in boots_of(scenario))


def plan_ends_s(scenario: Scenario) -> float:
    """Return when the last thing of the plan itself is due: a boot, an event, what one orders of a device."""
    due = [at_s for at_s, _ in boots_of(scenario)]
    for number, event in enumerate(scenario.events):
        due.append(event.at_s)
        due += [order.at_s for order in orders_of(scenario, number, event.at_s)]
    return max(due, default=0.0)


def users_at(curve: Sequence[float], now_s: float) -> int:
    """Return how many users there are to be now: one for each device that begins before Locust is asked again."""
    return bisect_right(curve, now_s + AHEAD_S)


def tick_to(users: int, before: Tick) -> Tick:
    """Return the tick to so many users, at a rate that has them there at once; the one before where nothing is new.

    There are never fewer users than before: what devices do after their boot is theirs.
    """
    more = users - before[0]
    return (users, float(more)) if more > 0 else before
