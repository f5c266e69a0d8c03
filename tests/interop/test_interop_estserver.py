"""``estsim run`` against globalsign/est's ``estserver`` (Go): a fleet, and the answers of its error label.

The server lets anybody enroll, issues for a day (so devices renew after a time, not at a share of their certificate's
life), and knows as client CA the root alone: a device must send the intermediate that it was issued by.
"""

import json
import ssl
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from interop_peers import WELL_KNOWN, FinishedRun, ended, peer, pem, run_scenario, wait_until
from interop_pki import HOST, answers, certify, free_port

COMES_WITH = "go install github.com/globalsign/est/cmd/estserver@v1.0.6"
DEVICES = 50

# What is judged here is whether the two understand each other, not this machine's speed: no limit on lag and CPU.
FLEET = """\
version: 1
name: estserver
duration: 30s
until: settled
target: {{url: "{url}", trust: {{ca: "{trust}"}}}}
generator: {{max_lag: 30s, max_cpu: 100%}}
cohorts:
  gophers:
    devices: {devices}
    subject: "CN=gopher-{{index:4}},O=Example"
    sans: ["dns:gopher-{{index:4}}.example.com"]
    bootstrap: {{kind: none}}
    boot: {{burst: 1s}}
    enroll: {{cacerts: once}}
    renew: {{after: 500ms, rekey: true, times: 1, then: leave}}
thresholds: [failures < 1%]
"""

# One device for each answer. Whoever is refused or fails gives up at once; whoever is deferred waits to the end.
ERRORS = """\
version: 1
name: triggererrors
duration: 1s
target: {{url: "{url}", label: triggererrors, trust: {{ca: "{trust}"}}}}
generator: {{max_lag: 30s, max_cpu: 100%}}
defaults:
  devices: 1
  bootstrap: {{kind: none}}
  boot: {{burst: 0s}}
  enroll: {{cacerts: never}}
  renew: off
  retry: {{on: []}}
cohorts:
  deferred: {{subject: "CN=Trigger Error Deferred"}}
  forbidden: {{subject: "CN=Trigger Error Forbidden"}}
  unknown: {{subject: "CN=Trigger Error Unknown"}}
thresholds: [failures < 1%]
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A running ``estserver``."""

    url: str
    trust: Path

    def run(self, folder: Path, scenario: str) -> FinishedRun:
        """Run a scenario against it."""
        return run_scenario(folder, scenario.format(url=self.url, trust=self.trust, devices=DEVICES))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run the server with a PKI made for it."""
    program = peer("estserver", COMES_WITH)
    folder = tmp_path_factory.mktemp("estserver")
    root = certify("Interop Root CA", None)
    issuing = certify("Interop Issuing CA", root)
    own = certify("Interop EST Server", issuing, authority=False)
    (folder / "root.pem").write_bytes(pem(root.certificate))
    (folder / "ca.pem").write_bytes(pem(issuing.certificate) + pem(root.certificate))
    (folder / "ca.key").write_bytes(issuing.key_pem)
    (folder / "server.pem").write_bytes(pem(own.certificate) + pem(issuing.certificate))
    (folder / "server.key").write_bytes(own.key_pem)
    with serving(program, folder) as port:
        yield Server(f"https://{HOST}:{port}{WELL_KNOWN}", folder / "root.pem")


@contextmanager
def serving(program: str, folder: Path) -> Iterator[int]:
    """Run the server on a port that the kernel chose a moment before, and give the port."""
    port = free_port()
    configuration = {
        "mock_ca": {"certificates": str(folder / "ca.pem"), "private_key": str(folder / "ca.key")},
        "tls": {
            "listen_address": f"{HOST}:{port}",
            "certificates": str(folder / "server.pem"),
            "private_key": str(folder / "server.key"),
            "client_cas": [str(folder / "root.pem")],
        },
        "allowed_hosts": [HOST, "localhost"],
        "rate_limit": 0,  # none
        "timeout": 30,
    }
    (folder / "server.json").write_text(json.dumps(configuration), encoding="utf-8")
    errors = folder / "stderr"
    with errors.open("wb") as stderr:
        process = subprocess.Popen([program, "-config", str(folder / "server.json")], stderr=stderr)
    context = ssl.create_default_context(cafile=folder / "root.pem")
    with ended(process):
        wait_until(lambda: answers(port, context), process, errors)
        yield port


def test_a_fleet_enrolls_and_re_enrolls_without_a_failure(server: Server, tmp_path: Path) -> None:
    """Fifty devices get the CA certificates, a certificate, and a second one for a new key; nothing else happens."""
    run = server.run(tmp_path, FLEET)
    assert run.exit_code == 0, run.said
    assert run.summary["verdict"] == "passed"
    assert states_of(run) == {"retired": DEVICES}
    for operation in ("cacerts", "simpleenroll", "simplereenroll"):
        figures = run.summary["operations"][operation]
        assert (figures["requests"], figures["ok"]) == (DEVICES, DEVICES), operation
    assert run.summary["certificates"] == {
        "issued": 2 * DEVICES,
        "verified": 2 * DEVICES,
        "expected_refusals": 0,
        "findings": [],
    }
    assert run.summary["deferral"]["non_conformance"] == {}
    kinds = Counter((row["operation"], row["kind"], row["status"]) for row in run.exchanges())
    assert kinds == {(op, "ok", 200): DEVICES for op in ("cacerts", "simpleenroll", "simplereenroll")}


def test_its_error_label_gives_deferred_rejected_and_server_error(server: Server, tmp_path: Path) -> None:
    """202 with 600 seconds is a deferral, 403 a refusal, 500 the server's fault: in the rows and in the summary."""
    run = server.run(tmp_path, ERRORS)
    seen = {row["cohort"]: (row["kind"], row["status"], row["retry_after_s"]) for row in run.exchanges()}
    assert seen == {
        "deferred": ("deferred", 202, 600.0),
        "forbidden": ("rejected", 403, None),
        "unknown": ("server_error", 500, None),
    }
    assert len(run.exchanges()) == len(seen)
    enroll = run.summary["operations"]["simpleenroll"]
    counted = {kind: enroll[kind] for kind in ("requests", "deferred", "rejected", "server_error", "ok", "failed")}
    assert counted == {"requests": 3, "deferred": 1, "rejected": 1, "server_error": 1, "ok": 0, "failed": 0}
    assert states_of(run) == {"deferred": 1, "gave_up": 2}
    assert run.summary["certificates"]["issued"] == 0
    assert (run.exit_code, run.summary["verdict"]) == (3, "failed")  # two of two enrolments that ended


def test_it_wishes_for_no_csr_attributes(server: Server, tmp_path: Path) -> None:
    """An empty sequence, once for each device; its example is at the label ``csrattrs``, which RFC 7030 forbids."""
    run = server.run(tmp_path, FLEET.replace("cacerts: once", "cacerts: once, csrattrs: obey"))
    assert run.exit_code == 0, run.said
    fetched = [row for row in run.exchanges() if row["operation"] == "csrattrs"]
    assert [(row["kind"], row["status"], row["detail"]) for row in fetched] == [("ok", 200, "")] * DEVICES
    assert run.summary["operations"]["simplereenroll"]["ok"] == DEVICES


def states_of(run: FinishedRun) -> dict[str, int]:
    """Return how many devices a run left in which state, those in none left out."""
    return {state: count for state, count in run.summary["fleet"]["states"].items() if count}
