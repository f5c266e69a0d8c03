"""A running sandbox goes on by other values: which may change, and what those who wait see of it."""

import json
import os
import signal
import sqlite3
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from copy import deepcopy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import ec
from server_sandbox import Client, Response, Running, csr_for, new_key, running

from estsim.engine import sandbox as engine_sandbox
from estsim.engine.sandbox import Sandbox, running_sandbox
from estsim.errors import StoreError, UnitError, UsageError
from estsim.server.changes import addressed, changed
from estsim.server.config import SandboxConfig

DEADLINE_S = 30
OPEN = "clients: {require_certificate: never}\n"
ONE: dict[str, Any] = {"seed": 1, "capacity": {"rate": "5/s", "queue": 3}}
SEVERAL: dict[str, Any] = {"trust_centers": {"default": None, "meters": {"capacity": {"rate": "5/s"}}}}
DOTTED: dict[str, Any] = {"trust_centers": {"default": None, "v1": {}, "v1.2": {}}}


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
        (
            DOTTED,
            None,
            {"trust_centers.v1.2.capacity.rate": "9/s", "trust_centers.v1.issue.mode": "manual"},
            {
                "trust_centers": {
                    "default": None,
                    "v1": {"issue": {"mode": "manual"}},
                    "v1.2": {"capacity": {"rate": "9/s"}},
                }
            },
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
        (ONE, None, "issuer.validity", "cannot change while the sandbox runs; only issue, capacity, faults can"),
        (ONE, None, "clients.users", "cannot change while the sandbox runs"),
        (ONE, None, "seed", "cannot change while the sandbox runs"),
        (ONE, None, "", "cannot change while the sandbox runs"),
        (ONE, None, ".", "cannot change while the sandbox runs"),
        (ONE, None, "trust_centers", "cannot change while the sandbox runs"),
        (SEVERAL, None, "trust_centersmeters.capacity", "cannot change while the sandbox runs"),
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


@pytest.mark.parametrize(
    ("label", "path", "path_on_the_wire"),
    [
        (None, "capacity.rate", "capacity.rate"),
        ("meters", "capacity.rate", "trust_centers.meters.capacity.rate"),
        ("meters", "trust_centers.default.faults", "trust_centers.default.faults"),
        ("default", "capacity", "trust_centers.default.capacity"),
    ],
)
def test_a_change_goes_to_the_trust_center_of_the_fleet(label: str | None, path: str, path_on_the_wire: str) -> None:
    """Where it does not name another."""
    assert addressed({path: 1}, label) == {path_on_the_wire: 1}


@asynccontextmanager
async def sandboxed(config: str, results: Path, label: str | None = None) -> AsyncIterator[Sandbox]:
    """Run a sandbox in a process of its own, which takes whoever arrives."""
    with trio.fail_after(DEADLINE_S):
        written = config if label else OPEN + config
        async with running_sandbox(written, {}, keep_log_in=results, label=label) as sandbox:
            yield sandbox


async def enroll(sandbox: Sandbox, name: str, key: ec.EllipticCurvePrivateKey | None = None) -> Response:
    """Ask for a certificate on a connection of its own."""
    context = ssl.create_default_context(cafile=str(sandbox.trust))
    tcp = await trio.open_tcp_stream("127.0.0.1", sandbox.url.port)
    stream = trio.SSLStream(tcp, context, server_hostname="localhost", https_compatible=True)
    try:
        await stream.do_handshake()
        operation = f"{urlsplit(str(sandbox.url)).path}/simpleenroll"
        return await Client(stream).post(csr_for(key or new_key(), name), operation=operation)
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
        with pytest.raises(UsageError, match="cannot change while the sandbox runs"):
            await sandbox.change({"issuer.validity": "2h"})
        assert (await enroll(sandbox, *waiting[1])).status == 429
        await sandbox.change({"capacity.rate": "100000/s"})
        for name, key in waiting[1:]:
            assert (await enroll(sandbox, name, key)).status == 200
    changes = ['{"capacity.overflow": "throttle"}', '{"capacity.rate": "100000/s"}']
    assert logged(tmp_path, "SELECT changes FROM changes ORDER BY id") == changes
    assert logged(tmp_path, "SELECT status FROM exchanges ORDER BY id") == [200, 503, 503, 200, 429, 429, 200, 200]


async def test_what_is_pending_stays_so_whatever_the_mode(tmp_path: Path) -> None:
    """What was deferred waits out its delay, what a person holds waits for that person; newcomers meet the new mode."""
    issue = "issue: {mode: deferred, delay: 1h, retry_after: {seconds: 5}}\n"
    async with sandboxed(issue, tmp_path) as sandbox:
        old, manual = new_key(), new_key()
        assert (await enroll(sandbox, "old", old)).status == 202
        await sandbox.change({"issue": {"mode": "immediate"}})
        with pytest.raises(UsageError) as caught:
            await sandbox.change({"issue.delay": "1s", "capacity.rate": "9/s"})
        assert str(caught.value) == "issue: delay would have no effect without mode: deferred"
        assert (await enroll(sandbox, "new")).status == 200
        assert (await enroll(sandbox, "old", old)).status == 202
        await sandbox.change({"issue": {"mode": "manual"}})
        assert (await enroll(sandbox, "manual", manual)).status == 202
        assert (await enroll(sandbox, "old", old)).status == 202
        await sandbox.change({"issue": {"mode": "immediate"}})
        assert (await enroll(sandbox, "manual", manual)).status == 202
        command = [sys.executable, "-m", "estsim", "pending", "approve", str(sandbox.folder), "all"]
        approved = await trio.run_process(command, capture_stdout=True)
        assert [line for line in approved.stdout.decode().splitlines() if "CN=" in line] == ["approved 2: CN=manual"]
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


async def go_on(sandbox: Running, config: dict[str, object]) -> None:
    """Change a sandbox in this process."""
    await sandbox.here.change(SandboxConfig.model_validate(config), json.dumps(config))


async def test_a_fault_of_the_handshake_comes_and_goes_too(tmp_path: Path) -> None:
    """The wrong server's certificate is shown from the next connection on."""
    async with running(tmp_path) as sandbox:
        await go_on(sandbox, {"faults": [{"kind": "wrong_server_name"}]})
        with pytest.raises(trio.BrokenResourceError):
            await sandbox.get("cacerts")
        await go_on(sandbox, {"faults": []})
        assert (await sandbox.get("cacerts")).status == 200


async def test_windows_of_new_faults_count_from_the_run_s_beginning(tmp_path: Path) -> None:
    """Not from the change."""
    async with running(tmp_path) as sandbox:
        sandbox.here.clock.begin_at(sandbox.here.clock.now_s() - 3600)
        over = {"kind": "wrong_status", "status": 500, "to": "1h"}
        under_way = {"kind": "wrong_status", "status": 503, "from": "1h"}
        await go_on(sandbox, {"faults": [over, under_way]})
        assert (await sandbox.get("cacerts")).status == 503


async def test_who_waits_on_its_connection_keeps_its_slot(tmp_path: Path) -> None:
    """Though nobody behind it gets one within the hour."""
    answers: list[Response] = []

    async def ask(sandbox: Running) -> None:
        answers.append((await sandbox.enroll("waiting"))[0])

    async with running(tmp_path, {"capacity": {"rate": "2/s", "queue": 1}}) as sandbox:
        assert (await sandbox.enroll("first"))[0].status == 200
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, sandbox)
            while (reading := sandbox.here.read()[0]).backlog == 0:
                await trio.lowlevel.checkpoint()
            await go_on(sandbox, {"capacity": {"rate": "1/h", "overflow": "refuse"}})
            behind, _ = await sandbox.enroll("behind")
            assert (reading.backlog, sandbox.here.read()[0].backlog) == (1, 1)
        assert [answer.status for answer in answers] == [200]
        assert (behind.status, int(behind.headers["retry-after"]) > 3500) == (503, True)


async def test_a_change_that_cannot_be_recorded_is_not_made(tmp_path: Path) -> None:
    """Another process holds the store for longer than is waited: whoever reads the log must not be misled."""
    async with running(tmp_path) as sandbox:
        with closing(sqlite3.connect(sandbox.here.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="locked"):
                await go_on(sandbox, {"faults": [{"kind": "wrong_status", "status": 503}]})
            other.execute("ROLLBACK")
        assert (await sandbox.get("cacerts")).status == 200


async def test_another_trust_center_than_the_fleet_s_may_be_named(tmp_path: Path) -> None:
    """Without a name it is the one of the target's label, dots and all."""
    center = "{clients: {require_certificate: never}}"
    config = f"trust_centers: {{default: {{}}, v1.2: {center}}}\n"
    async with sandboxed(config, tmp_path, label="v1.2") as sandbox:
        await sandbox.change({"trust_centers.default.issue.mode": "manual"})
        assert (await enroll(sandbox, "one")).status == 200
        await sandbox.change({"issue.mode": "manual"})
        assert (await enroll(sandbox, "two")).status == 202
    assert logged(tmp_path, "SELECT changes FROM changes ORDER BY id") == [
        '{"trust_centers.default.issue.mode": "manual"}',
        '{"trust_centers.v1.2.issue.mode": "manual"}',
    ]


async def test_a_sandbox_that_does_not_answer_is_not_waited_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run goes on, and says so; one that has ended is not waited for at all."""
    async with sandboxed("", tmp_path) as sandbox:
        os.kill(sandbox.process.pid, signal.SIGSTOP)
        monkeypatch.setattr(engine_sandbox, "CHANGE_S", 0.1)
        with pytest.raises(UsageError, match=r"it did not respond within 0\.1 s"):
            await sandbox.change({"faults": []})
        os.kill(sandbox.process.pid, signal.SIGKILL)
        await sandbox.process.wait()
        with pytest.raises(UsageError, match="it exited with code -9"):
            await sandbox.change({"faults": []})
