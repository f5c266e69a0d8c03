"""An exchange that is cut while it waits has the same row whoever drives it, wherever it was cut."""

import json
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import trio
from cut_kit import Cuts
from locust_kit import Place, serving

from estsim.net.blocking_resolver import BlockingResolver
from estsim.net.io import run_through
from estsim.net.io_blocking import BlockingIo
from estsim.net.io_trio import TrioIo
from estsim.net.limit import CutOff
from estsim.net.resolver import Resolver

HERE: Final = Path(__file__).parent
# A challenge that is answered and a key that takes long: two requests, on one connection. TLS 1.2 has no late tickets,
# so that each flight is read at once.
SCENARIO: Final = json.dumps(
    {
        "version": 1,
        "name": "cut",
        "duration": "20s",
        "target": {"timeouts": {"connect": "300ms"}},
        "sandbox": {"clients": {"require_certificate": "never", "users": {"alice": {"password": "secret"}}}},
        "cohorts": {
            "meters": {
                "devices": 20,
                "subject": "CN=meter-{index}",
                "key": "rsa-2048",
                "boot": {"at_once": True},
                "bootstrap": {"kind": "basic", "user": "alice", "password": "secret"},
                "enroll": {"cacerts": "never"},
                "tls": {"versions": "1.2"},
            }
        },
    }
)
WAITS: Final = ["run", "resolve", "receive", "receive", "receive", "receive"]


async def on_trio(place: Place) -> Cuts:
    """Cancel the scope around the exchange."""
    cuts = Cuts(place)
    scope = trio.CancelScope()

    async def cancelled() -> None:
        scope.cancel()
        await trio.lowlevel.checkpoint()

    for io, device in cuts.ios(lambda: TrioIo(Resolver()), cancelled):
        scope = trio.CancelScope()
        with scope:
            await cuts.exchange(io, device)
        assert scope.cancelled_caught is (len(io.waits) == device.index + 1)
    return cuts


async def on_threads(place: Place) -> Cuts:
    """Let the power fail."""

    async def cut_off() -> None:
        raise CutOff("cut off")

    def play() -> Cuts:
        cuts = Cuts(place)
        for io, device in cuts.ios(lambda: BlockingIo(resolver=BlockingResolver()), cut_off):
            try:
                run_through(cuts.exchange(io, device))
            except CutOff:
                assert len(io.waits) == device.index + 1
            else:
                assert len(io.waits) <= device.index
        return cuts

    return await trio.to_thread.run_sync(play)


async def on_gevent(place: Place) -> Cuts:
    """Kill the greenlet, in a process of its own."""
    done = await trio.run_process(
        [sys.executable, "-W", "error", str(HERE / "cut_driver.py"), place.packed()],
        capture_stdout=True,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode()
    told = json.loads(done.stdout)
    assert not told["trio"]
    cuts = Cuts(place)
    cuts.waits, cuts.rows = told["waits"], {int(at): rows for at, rows in told["rows"].items()}
    return cuts


async def test_an_exchange_cut_at_any_wait_has_the_same_row_in_every_driver(tmp_path: Path) -> None:
    """It is abandoned, with what it had come to; what went before has its own row, and nothing stays open."""
    async with serving(SCENARIO, tmp_path) as place:
        played = [await on_trio(place), await on_threads(place), await on_gevent(place)]
    kinds = [[kind for kind, *_ in rows] for _, rows in sorted(played[0].rows.items())]
    assert kinds == [["abandoned"]] * 5 + [["challenged", "abandoned"], ["challenged", "ok"]]
    for cuts in played:
        assert cuts.waits == WAITS
        assert cuts.rows == played[0].rows


async def test_an_attempt_to_connect_is_cut_or_times_out_with_the_same_row_in_every_driver(tmp_path: Path) -> None:
    """Where nobody accepts any more, the wait for the socket ends by the cut, or by the deadline."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        host, port = listener.getsockname()
        async with serving(SCENARIO, tmp_path) as place:
            full = replace(place, url=f"https://{host}:{port}/.well-known/est")
            with socket.create_connection((host, port)):
                played = [await on_trio(full), await on_threads(full), await on_gevent(full)]
    told = [(kind, detail) for _, [[kind, detail, *_]] in sorted(played[0].rows.items())]
    assert told == [("abandoned", "cut by estsim")] * 3 + [("failed", f"{host}:{port}: timed out after 0.3 s")]
    for cuts in played:
        assert cuts.waits == ["run", "resolve", "wait_writable"]
        assert cuts.rows == played[0].rows
