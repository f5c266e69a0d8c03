"""A fleet through nginx, Apache and HAProxy before the sandbox: the same books on both ends, each word of theirs."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from interop_peers import FinishedRun, Sandbox, run_scenario, serving
from interop_proxies import APACHE, HAPROXY, HEADER, NGINX, PLAIN, Asks, Program, Proxy, proxying

pytestmark = pytest.mark.long  # a sandbox, a proxy and a run each

DEVICES = 200

FROM_PROXIES = f"peer_from_header: {{name: {HEADER}, trusted: [127.0.0.1]}}\n"
USERS = "clients: {require_certificate: never, users: {fleet: {password: secret}}}"
FROM_USERS = f"""\
trust_centers:
  default: {{{USERS}}}
  slow: {{{USERS}, issue: {{mode: deferred, delay: 1s, retry_after: {{seconds: 2}}}}}}
"""

# What is judged is whether the books agree, not this machine's speed: no limit on lag and CPU.
FLEET = """\
version: 1
name: proxied
duration: 60s
until: settled
target: {{url: "{url}", trust: {{ca: "{trust}"}}}}
authorities: {{maker: {{cert: "{maker}", key: "{maker}"}}}}
generator: {{max_lag: 30s, max_cpu: 100%}}
cohorts:
  meters:
    devices: {devices}
    bootstrap: {bootstrap}
    boot: {{burst: 1s}}
    enroll: {{cacerts: {cacerts}}}
    tls: {tls}
    retry: {{on: []}}
    renew: {renew}
"""
BY_CERTIFICATE = "{kind: manufacturer, authority: maker}"
BY_PASSWORD = "{kind: basic, user: fleet, password: secret, preemptive: true}"


@contextmanager
def proxied(program: Program, folder: Path, *, asks: Asks, configuration: str) -> Iterator[tuple[Proxy, Sandbox]]:
    """Run a sandbox and a proxy before it until the block ends."""
    own = folder / "proxy"
    own.mkdir()
    with ExitStack() as running:
        sandbox = running.enter_context(serving(folder, configuration))
        yield running.enter_context(proxying(program, own, sandbox, asks)), sandbox


def fleet(
    proxy: Proxy,
    port: str = PLAIN,
    *,
    devices: int = 1,
    bootstrap: str = BY_PASSWORD,
    cacerts: str = "never",
    tls: str = "{}",
    renew: str = "off",
) -> str:
    """Return a scenario of a fleet that enrolls through a port of a proxy."""
    return FLEET.format(
        url=proxy.url(port), trust=proxy.trust, maker=proxy.maker, devices=devices, bootstrap=bootstrap,
        cacerts=cacerts, tls=tls, renew=renew,
    )  # fmt: skip


def assert_books_agree(run: FinishedRun, sandbox: Sandbox) -> None:
    """Check that what the run says was sent is what the sandbox served, id by id, with the same status."""
    with (
        closing(sqlite3.connect(run.folder / "run.sqlite")) as rows,
        closing(sqlite3.connect(sandbox.folder / "sandbox.sqlite")) as log,
    ):
        sent = Counter(rows.execute("SELECT request_id, status FROM exchanges WHERE sent_ns IS NOT NULL"))
        served = Counter(log.execute("SELECT request_id, status FROM exchanges"))
    assert sent == served
    assert set(sent.values()) == {1}


# -- fleets


@pytest.mark.parametrize("asks", [Asks.WHO_WILL, Asks.EVERYBODY])
@pytest.mark.parametrize("program", [NGINX, APACHE, HAPROXY], ids=lambda program: program.name)
def test_a_fleet_enrolls_and_renews_by_certificates_handed_on(program: Program, asks: Asks, tmp_path: Path) -> None:
    """The sandbox knows each device by its own certificate, and the books agree; sessions are resumed on the way."""
    with proxied(program, tmp_path, asks=asks, configuration=FROM_PROXIES) as (proxy, sandbox):
        scenario = fleet(
            proxy,
            devices=DEVICES,
            bootstrap=BY_CERTIFICATE,
            cacerts="once",
            tls="{resume: true}",
            renew="{after: 1s, times: 1, then: leave}",
        )
        run = run_scenario(tmp_path, scenario)
        assert run.exit_code == 0, run.said
        kinds = Counter((row["operation"], row["kind"], row["status"]) for row in run.exchanges())
        assert kinds == {(name, "ok", 200): DEVICES for name in ("cacerts", "simpleenroll", "simplereenroll")}
        assert_books_agree(run, sandbox)
        names = Counter(row.peer_subject for row in sandbox.log() if row.operation == "simplereenroll")
        assert len(names) == DEVICES
        assert any(row["resumed"] for row in run.exchanges())


@pytest.mark.parametrize("program", [NGINX, APACHE, HAPROXY], ids=lambda program: program.name)
def test_a_fleet_enrolls_by_password_where_no_certificate_is_asked_for(program: Program, tmp_path: Path) -> None:
    """The proxy offers HTTP/2; the fleet speaks HTTP/1.1 to it, on connections that it keeps."""
    with proxied(program, tmp_path, asks=Asks.NOBODY, configuration=FROM_USERS) as (proxy, sandbox):
        run = run_scenario(tmp_path, fleet(proxy, devices=DEVICES, cacerts="once", tls="{keep_alive: 5s}"))
        assert run.exit_code == 0, run.said
        assert_books_agree(run, sandbox)
        assert {row.user for row in sandbox.log() if row.operation == "simpleenroll"} == {"fleet"}
        assert any(row["reused"] for row in run.exchanges())


# -- what proxies do and say


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Run nginx that asks for no certificate, with all its ports."""
    with proxied(NGINX, tmp_path_factory.mktemp("nginx"), asks=Asks.NOBODY, configuration=FROM_USERS) as (proxy, _):
        yield proxy


@pytest.fixture(scope="module")
def apache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Run Apache that asks for no certificate, with all its ports."""
    with proxied(APACHE, tmp_path_factory.mktemp("apache"), asks=Asks.NOBODY, configuration=FROM_USERS) as (proxy, _):
        yield proxy


@pytest.fixture(scope="module")
def haproxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Run HAProxy that asks for no certificate, with all its ports."""
    with proxied(HAPROXY, tmp_path_factory.mktemp("haproxy"), asks=Asks.NOBODY, configuration=FROM_USERS) as (proxy, _):
        yield proxy


def refused_row(proxy: Proxy, port: str, folder: Path, *, cacerts: str = "never") -> dict[str, Any]:
    """Return the row of one device's request for a certificate, refused by a proxy."""
    run = run_scenario(folder, fleet(proxy, port, cacerts=cacerts))
    assert run.exit_code == 3, run.said
    (row,) = (row for row in run.exchanges() if row["operation"] == "simpleenroll")
    return row


def test_what_nginx_refuses_is_in_the_row_in_its_words(nginx: Proxy, tmp_path: Path) -> None:
    """A body that is too large, a client that asks too often, and an EST server that is gone."""
    said = {}
    for port, cacerts in (("too_large", "never"), ("throttled", "once"), ("gone", "never")):
        folder = tmp_path / port
        folder.mkdir()
        row = refused_row(nginx, port, folder, cacerts=cacerts)
        said[port] = (row["kind"], row["status"], row["retry_after_s"])
        assert f"{row['status']} {HTTPStatus(row['status']).phrase}" in row["detail"]
    assert said == {
        "too_large": ("rejected", 413, None),
        "throttled": ("overloaded", 429, 7.0),
        "gone": ("server_error", 502, None),
    }


def test_what_haproxy_refuses_is_in_the_row_in_its_words(haproxy: Proxy, tmp_path: Path) -> None:
    """A rule of its own, and an EST server that is gone."""
    for port, status, words in (
        ("throttled", 429, "You have sent too many requests in a given amount of time."),
        ("gone", 503, "No server is available to handle this request."),
    ):
        folder = tmp_path / port
        folder.mkdir()
        row = refused_row(haproxy, port, folder)
        assert (row["kind"], row["status"]) == ("overloaded", status)
        assert words in row["detail"]


def test_what_apache_refuses_is_in_the_row_in_its_words(apache: Proxy, tmp_path: Path) -> None:
    """An EST server that is gone."""
    row = refused_row(apache, "gone", tmp_path)
    assert (row["kind"], row["status"]) == ("overloaded", 503)
    assert "503 Service Unavailable" in row["detail"]


def test_a_proxy_that_closes_after_each_answer_costs_a_connection_each_and_no_failure(
    nginx: Proxy, tmp_path: Path
) -> None:
    """It says ``Connection: close``, so nothing is sent on a connection that ends."""
    run = run_scenario(tmp_path, fleet(nginx, "once", cacerts="once", tls="{keep_alive: 5s}"))
    assert run.exit_code == 0, run.said
    assert [(row["kind"], row["reused"]) for row in run.exchanges()] == [("ok", 0), ("ok", 0)]


def test_a_proxy_that_ends_idle_connections_without_a_word_fails_nobody(nginx: Proxy, tmp_path: Path) -> None:
    """The poll comes a second after nginx has closed."""
    scenario = fleet(nginx, "brief", cacerts="once", tls="{keep_alive: 30s}")
    run = run_scenario(tmp_path, scenario.replace('/est"', '/est/slow"'))
    assert run.exit_code == 0, run.said
    assert [(row["kind"], row["reused"]) for row in run.exchanges()] == [("ok", 0), ("deferred", 1), ("ok", 0)]


def test_a_308_of_a_proxy_is_followed_within_its_origin(nginx: Proxy, tmp_path: Path) -> None:
    """Everything moves to another path: a row for each step."""
    run = run_scenario(tmp_path, fleet(nginx, "moved", cacerts="once"))
    assert run.exit_code == 0, run.said
    steps = [(row["operation"], row["cause"], row["status"]) for row in run.exchanges()]
    assert steps == [
        ("cacerts", "plan", 308),
        ("cacerts", "redirect", 200),
        ("simpleenroll", "chain", 308),
        ("simpleenroll", "redirect", 200),
    ]


def test_a_308_to_another_port_is_refused_and_says_where_to(apache: Proxy, tmp_path: Path) -> None:
    """Another origin, which the scenario has not allowed."""
    row = refused_row(apache, "moved", tmp_path)
    assert (row["kind"], row["status"]) == ("rejected", 308)
    assert apache.url(PLAIN) in row["detail"]


def test_an_answer_that_a_proxy_compresses_unasked_is_named(apache: Proxy, tmp_path: Path) -> None:
    """The fleet asks for ``identity``; Apache's ``force-gzip`` does not listen."""
    run = run_scenario(tmp_path, fleet(apache, "zipped"))
    (row,) = run.exchanges()
    assert "gzip" in row["detail"]
