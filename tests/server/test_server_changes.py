"""A running sandbox goes on by other values: which may change, and what those who wait see of it."""

import sqlite3
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import ec
from server_sandbox import Client, Response, csr_for, new_key

from estsim.engine.sandbox import Sandbox, running_sandbox
from estsim.errors import UnitError, UsageError
from estsim.server.changes import changed

DEADLINE_S = 30
OPEN = "clients: {require_certificate: never}\n"
ONE: dict[str, Any] = {"seed": 1, "capacity": {"rate": "5/s", "queue": 3}}
SEVERAL: dict[str, Any] = {"trust_centers": {"default": None, "meters": {"capacity": {"rate": "5/s"}}}}


@pytest.mark.parametrize(
    ("config", "label", "changes", "after"),
    [
        (ONE, None, {}, ONE),
        (ONE, None, {"capacity.rate": "9/s"}, {"seed": 1, "capacity": {"rate": "9/s", "queue": 3}}),
        (ONE, None, {"capacity": {"rate": "9/s"}}, {"seed": 1, "capacity": {"rate": "9/s"}}),
        (ONE, None, {"capacity": None}, {"seed": 1, "capacity": None}),
        (ONE, None, {"faults": [{"kind": "reset"}]}, {**ONE, "faults": [{"kind": "reset"}]}),
        (ONE, None, {"issue.retry_after.seconds": 3}, {**ONE, "issue": {"retry_after": {"seconds": 3}}}),
        (ONE, "default", {"issue.mode": "manual"}, {**ONE, "issue": {"mode": "manual"}}),
        (ONE, None, {"trust_centers.default.issue.mode": "manual"}, {**ONE, "issue": {"mode": "manual"}}),
        ({"issue": None}, None, {"issue.mode": "manual"}, {"issue": {"mode": "manual"}}),
        ({}, None, {"issue.mode": "manual", "issue.status": 206}, {"issue": {"mode": "manual", "status": 206}}),
        (
            SEVERAL,
            "meters",
            {"capacity.rate": "9/s", "trust_centers.default.issue.mode": "manual"},
            {"trust_centers": {"default": {"issue": {"mode": "manual"}}, "meters": {"capacity": {"rate": "9/s"}}}},
        ),
        (
            SEVERAL,
            None,
            {"capacity": {"rate": "9/s"}},
            {"trust_centers": {"default": {"capacity": {"rate": "9/s"}}, "meters": {"capacity": {"rate": "5/s"}}}},
        ),
    ],
)
def test_values_at_dotted_paths_are_replaced(
    config: dict[str, Any], label: str | None, changes: dict[str, object], after: dict[str, Any]
) -> None:
    """In the trust center of the fleet, or in the one that is named; what was there before stays as it was."""
    before = deepcopy(config)
    assert changed(config, changes, label) == after
    assert config == before


@pytest.mark.parametrize(
    ("config", "label", "path", "said"),
    [
        (ONE, None, "issuer.validity", "cannot change while the sandbox runs; issue, capacity, faults can"),
        (ONE, None, "clients.users", "cannot change while the sandbox runs"),
        (ONE, None, "seed", "cannot change while the sandbox runs"),
        (ONE, None, "", "cannot change while the sandbox runs"),
        (ONE, None, ".", "cannot change while the sandbox runs"),
        (ONE, None, "trust_centers", "cannot change while the sandbox runs"),
        (SEVERAL, None, "trust_centers.meters", "cannot change while the sandbox runs"),
        (SEVERAL, None, "trust_centers.meters.issuer.key", "cannot change while the sandbox runs"),
        (SEVERAL, None, "trust_centers.metres.capacity.rate", "the sandbox has no trust center 'metres'"),
        (SEVERAL, "metres", "capacity.rate", "the sandbox has no trust center 'metres'"),
        (ONE, "meters", "capacity.rate", "the sandbox has no trust center 'meters'"),
        (ONE, None, "trust_centers.meters.capacity.rate", "the sandbox has no trust center 'meters'"),
    ],
)
def test_what_cannot_change_is_refused(config: dict[str, Any], label: str | None, path: str, said: str) -> None:
    """Keys, certificates and users are of the beginning; trust centers neither come nor go."""
    with pytest.raises(UnitError) as caught:
        changed(config, {path: 1}, label)
    assert said in str(caught.value)


@asynccontextmanager
async def sandboxed(config: str, results: Path) -> AsyncIterator[Sandbox]:
    """Run a sandbox in a process of its own, which takes whoever comes."""
    with trio.fail_after(DEADLINE_S):
        async with running_sandbox(OPEN + config, {}, keep_log_in=results) as sandbox:
            yield sandbox


async def enroll(sandbox: Sandbox, name: str, key: ec.EllipticCurvePrivateKey | None = None) -> Response:
    """Ask for a certificate on a connection of its own."""
    context = ssl.create_default_context(cafile=str(sandbox.trust))
    tcp = await trio.open_tcp_stream("127.0.0.1", sandbox.url.port)
    stream = trio.SSLStream(tcp, context, server_hostname="localhost", https_compatible=True)
    try:
        await stream.do_handshake()
        return await Client(stream).post(csr_for(key or new_key(), name))
    finally:
        await trio.aclose_forcefully(stream)


def logged(results: Path, query: str) -> list[Any]:
    """Return a column of what the sandbox recorded."""
    with closing(sqlite3.connect(results / "sandbox.sqlite")) as log:
        return [value for (value,) in log.execute(query)]


async def test_a_sandbox_goes_on_by_another_capacity(tmp_path: Path) -> None:
    """Who was turned away gets in when the rate is raised; a nonsense value changes nothing; its log says so."""
    async with sandboxed("capacity: {rate: 1/h, queue: 0, overflow: refuse}\n", tmp_path) as sandbox:
        waiting = [(f"meter-{number}", new_key()) for number in range(3)]
        for name, key in waiting:
            await enroll(sandbox, name, key)
        await sandbox.change({"capacity.overflow": "throttle"})
        assert (await enroll(sandbox, "early", None)).status == 200  # the new bucket is full
        assert (await enroll(sandbox, *waiting[1])).headers["retry-after"] == "3600"
        with pytest.raises(UsageError, match="must be greater than 0"):
            await sandbox.change({"capacity.rate": "-3/s"})
        with pytest.raises(UnitError, match="cannot change while the sandbox runs"):
            await sandbox.change({"issuer.validity": "2h"})
        assert (await enroll(sandbox, *waiting[1])).status == 429
        await sandbox.change({"capacity.rate": "100000/s"})
        for name, key in waiting[1:]:
            assert (await enroll(sandbox, name, key)).status == 200
        assert sandbox.config["capacity"] == {"rate": "100000/s", "queue": 0, "overflow": "throttle"}
    assert logged(tmp_path, "SELECT status FROM exchanges ORDER BY id") == [200, 503, 503, 200, 429, 429, 200, 200]


async def test_what_is_pending_stays_so_whatever_the_mode(tmp_path: Path) -> None:
    """What was deferred waits out what it was told; newcomers meet the new mode; nobody has to approve any more."""
    issue = "issue: {mode: deferred, delay: 1h, retry_after: {seconds: 5}}\n"
    async with sandboxed(issue, tmp_path) as sandbox:
        old, manual = new_key(), new_key()
        assert (await enroll(sandbox, "old", old)).status == 202
        await sandbox.change({"issue": {"mode": "immediate"}})
        assert (await enroll(sandbox, "new")).status == 200
        assert (await enroll(sandbox, "old", old)).status == 202
        await sandbox.change({"issue": {"mode": "manual"}})
        assert (await enroll(sandbox, "manual", manual)).status == 202
        await sandbox.change({"issue": {"mode": "immediate"}})
        assert (await enroll(sandbox, "manual", manual)).status == 200
        assert (await enroll(sandbox, "old", old)).status == 202
    assert logged(tmp_path, "SELECT subject FROM pending") == ["CN=old"]
    assert logged(tmp_path, "SELECT count(*) FROM issued") == [2]


async def test_faults_come_and_go(tmp_path: Path) -> None:
    """Of a running sandbox, from one exchange to the next."""
    async with sandboxed("", tmp_path) as sandbox:
        await sandbox.begin(0.0)
        await sandbox.change({"faults": [{"kind": "wrong_status", "status": 503, "rate": "100%"}]})
        assert (await enroll(sandbox, "one")).status == 503
        await sandbox.change({"faults": []})
        assert (await enroll(sandbox, "two")).status == 200
    assert logged(tmp_path, "SELECT fault FROM exchanges ORDER BY id") == ["wrong_status", None]
