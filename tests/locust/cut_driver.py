"""A process that gevent has patched: exchanges in greenlets that are killed at each of their waits, told as JSON."""

import json
import sys
from collections.abc import Callable

import gevent
import locust  # noqa: F401 - patches the interpreter
from cut_kit import Cuts
from gevent.greenlet import Greenlet
from locust_kit import Place

from estsim.net.blocking_resolver import BlockingResolver
from estsim.net.io import run_through
from estsim.net.io_blocking import BlockingIo


async def killed() -> None:
    """End this greenlet, as Locust ends a user."""
    me = gevent.getcurrent()
    assert isinstance(me, Greenlet)
    me.kill(block=False)
    gevent.sleep(5)


def main() -> None:
    """Play it."""
    cuts = Cuts(Place.unpacked(sys.argv[1]))
    apply: Callable[..., object] = gevent.get_hub().threadpool.apply
    for io, device in cuts.ios(
        lambda: BlockingIo(resolver=BlockingResolver(), elsewhere=apply),  # type: ignore[arg-type]  # gevent says no types
        killed,
    ):
        greenlet = gevent.spawn(run_through, cuts.exchange(io, device))
        greenlet.join(20)
        assert greenlet.exception is None, greenlet.exception
        assert isinstance(greenlet.value, gevent.GreenletExit) is (len(io.waits) == device.index + 1)
    json.dump({"rows": cuts.rows, "waits": cuts.waits, "trio": "trio" in sys.modules}, sys.stdout)


main()
