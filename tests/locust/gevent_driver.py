"""A process with Locust in it: plays the devices of a place as users, and prints what each did as JSON.

The stage is the test's own; all else is what runs in anyone's locustfile. A second argument is the time in seconds
after which Locust stops the users; without it they go on until nothing is planned any more.
"""

import json
import sys
import types

import gevent
import locust_kit
from locust.env import Environment

from estsim.locust.user import EstDevice

SETTLES_S = 20.0


class Meter(EstDevice):
    """Any device of the place's scenario."""


def main() -> None:
    """Play it."""
    place = locust_kit.Place.unpacked(sys.argv[1])
    boards = locust_kit.Boards(place.host(place.plan()))
    play = types.ModuleType("estsim.locust.users.process_fleet")
    play.fleet_for = lambda _environment, _scenario: boards  # type: ignore[attr-defined]
    sys.modules["estsim.locust.users.process_fleet"] = play
    environment = Environment(user_classes=[Meter])
    requests: list[dict[str, object]] = []
    environment.events.request.add_listener(  # type: ignore[no-untyped-call]  # Locust says no types here
        lambda **told: requests.append({key: _plain(value) for key, value in told.items()})
    )
    runner = environment.create_local_runner()
    devices = len(boards.fleet.devices)
    runner.start(devices, spawn_rate=devices)
    if len(sys.argv) > 2:
        gevent.sleep(float(sys.argv[2]))
    else:
        with gevent.Timeout(SETTLES_S):
            while not boards.is_settled:
                gevent.sleep(0.01)
    runner.quit()
    total = environment.stats.total
    json.dump(
        {
            "story": boards.rows.story(),
            "words": boards.rows.words(),
            "requests": requests,
            "counted": total.num_requests,
            "failures": total.num_failures,
            "given_back": sorted(boards.given_back),
            "open": [each.device for each in boards.rows.left_open],
            "trio": "trio" in sys.modules,
        },
        sys.stdout,
    )


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Exception) else value


main()
