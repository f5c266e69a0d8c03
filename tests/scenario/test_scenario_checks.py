"""Checks across the file and into other files."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from estsim.errors import ScenarioError, UnitError
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import Demand, FileAuthority, MadeAuthority, Manufacturer, Scenario
from estsim.scenario.target_url import TargetUrl, parse_url

ENCRYPTED = "is encrypted: the key must have no password"
NOBODY = "is not an authority of this scenario, and the file cannot be read: No such file or directory"
NONE = "contains no usable PEM certificate: no certificate found"
HEAD = "version: 1\nduration: 10m\n"
COHORT = "cohorts: {a: {devices: 100, boot: {burst: 5s}, bootstrap: {kind: none}}}\n"
ELSEWHERE = "target: {url: 'https://est.example'}\n"
ONE = "devices: 1, boot: {burst: 0s}"


def _write(folder: Path, text: str) -> Path:
    path = folder / "fleet.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    return path


def _load(folder: Path, text: str) -> Scenario:
    return load_scenario(_write(folder, text))


def _told(folder: Path, text: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        _load(folder, text)
    return str(caught.value).replace(f"{folder}/", "")


def _pki(folder: Path, name: str, encryption: KeySerializationEncryption | None = None) -> None:
    """Write a self-signed CA as NAME.pem and NAME.key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, SHA256())
    )
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    )


def test_authorities_come_from_files_or_are_made(tmp_path: Path) -> None:
    """Paths are relative to the scenario; a cohort's authority is resolved."""
    _pki(tmp_path, "mfg")
    scenario = _load(
        tmp_path,
        "authorities: {new: {made: true}, old: {cert: mfg.pem, key: mfg.key}}\n"
        "sandbox: {clients: {bootstrap_cas: [new, old, mfg.pem]}}\n"
        "defaults: {devices: 1, boot: {burst: 0s}}\n"
        "cohorts:\n  a: {bootstrap: {kind: manufacturer, authority: old}}\n"
        "  b: {bootstrap: {kind: manufacturer, authority: new}}\n",
    )
    old = FileAuthority("old", tmp_path / "mfg.pem", tmp_path / "mfg.key")
    assert scenario.authorities == {"new": MadeAuthority("new"), "old": old}
    assert [cohort.bootstrap for cohort in scenario.cohorts] == [Manufacturer(old), Manufacturer(MadeAuthority("new"))]
    assert scenario.sandbox is not None
    pem = tmp_path / "mfg.pem"
    clients = scenario.sandbox.centers["default"].clients
    assert [str(path) for path in clients.bootstrap_cas] == ["new", str(pem), str(pem)]


def test_files_that_are_missing_or_wrong_are_told_at_their_key(tmp_path: Path) -> None:
    """Missing, no PEM, encrypted, the key of another certificate, trust, and what the sandbox is to trust."""
    _pki(tmp_path, "one")
    _pki(tmp_path, "two")
    _pki(tmp_path, "locked", BestAvailableEncryption(b"x"))
    (tmp_path / "text.pem").write_text("hello", encoding="utf-8")
    authorities = """\
authorities:
  missing: {cert: no.pem, key: no.key}
  text: {cert: text.pem, key: text.pem}
  locked: {cert: locked.pem, key: locked.key}
  mixed: {cert: one.pem, key: two.key}
sandbox: {clients: {bootstrap_cas: [nobody]}}
"""
    told = _told(tmp_path, authorities + COHORT)
    assert told.splitlines() == [
        "fleet.yaml:4:13: authorities.missing.cert: cannot be read: No such file or directory (got no.pem)",
        "fleet.yaml:4:27: authorities.missing.key: cannot be read: No such file or directory (got no.key)",
        f"fleet.yaml:5:10: authorities.text.cert: {NONE} (got text.pem)",
        "fleet.yaml:5:26: authorities.text.key: contains no PEM private key (got text.pem)",
        f"fleet.yaml:6:30: authorities.locked.key: {ENCRYPTED} (got locked.key)",
        "fleet.yaml:7:26: authorities.mixed.key: does not match the certificate one.pem",
        f"fleet.yaml:8:37: sandbox.clients.bootstrap_cas[0]: {NOBODY} (got nobody)",
    ]
    trust = "target: {url: 'https://est.example', trust: {ca: text.pem}}\n"
    assert f"target.trust.ca: {NONE} (got text.pem)" in _told(tmp_path, trust + COHORT)


def test_a_target_is_taken_apart(tmp_path: Path) -> None:
    """Host, port, path, label, trust, deadlines, deferral statuses, and who allowed it."""
    _pki(tmp_path, "root")
    scenario = _load(
        tmp_path,
        "target:\n  url: https://est.example.com:8443/.well-known/est\n  label: meters\n  trust: {ca: root.pem}\n"
        "  timeouts: {connect: 1s, handshake: 2s, answer: 3s}\n  deferral_statuses: [202, 206]\n"
        "  authorised_by: Jo\n" + COHORT,
    )
    assert scenario.target is not None
    assert scenario.target.url == TargetUrl("est.example.com", 8443, "/.well-known/est", "meters")
    assert scenario.target.ca == tmp_path / "root.pem"
    assert scenario.target.authorised_by == "Jo"
    assert (scenario.timeouts.connect_s, scenario.timeouts.handshake_s, scenario.timeouts.answer_s) == (1, 2, 3)
    assert scenario.deferral_statuses == {202, 206}
    assert (scenario.sandbox, scenario.sandbox_text) == (None, "")


def test_timeouts_may_be_set_without_a_url(tmp_path: Path) -> None:
    """The sandbox is then the server; its trust is its own."""
    scenario = _load(tmp_path, "target: {timeouts: {answer: 5s}}\n" + COHORT)
    assert scenario.target is None
    assert scenario.timeouts.answer_s == 5
    told = _told(tmp_path, "target: {authorised_by: me, trust: system}\n" + COHORT)
    assert told.count("requires target.url") == 2


def test_a_threshold_may_be_told_to_end_the_run(tmp_path: Path) -> None:
    """As a mapping, with the time from which on it counts; mistakes in it are reported where they stand."""
    abort = "thresholds:\n  - failures < 1%\n  - {threshold: failures < 5%, abort_on_fail: true, after: 30s}\n"
    plain, aborting = _load(tmp_path, abort + COHORT).thresholds
    assert plain == Demand("failures < 1%")
    assert aborting == Demand("failures < 5%", aborts=True, after_s=30)
    told = _told(tmp_path, "thresholds:\n  - {threshold: failres < 5%, abort_on_fail: true}\n" + COHORT)
    assert "fleet.yaml:4:6: thresholds[0].threshold: unknown metric failres" in told
    told = _told(tmp_path, "thresholds:\n  - {threshold: failures < 5%, after: 30s}\n" + COHORT)
    assert "thresholds[0]: after requires abort_on_fail: true" in told


def test_a_label_without_a_url_is_a_trust_center_of_the_sandbox(tmp_path: Path) -> None:
    """One that is there is taken; another is told the nearest."""
    sandbox = "sandbox: {trust_centers: {default: {}, meters: {capacity: {signers: 2, sign_time: 40ms}}}}\n"
    assert _load(tmp_path, "target: {label: meters}\n" + sandbox + COHORT).sandbox_label == "meters"
    told = _told(tmp_path, "target: {label: metres}\n" + sandbox + COHORT)
    assert "fleet.yaml:3:10: target.label: trust center 'metres' is not defined in sandbox.trust_centers" in told
    assert "did you mean 'meters'?" in told
    assert "trust center 'x' is not defined in sandbox.trust_centers" in _told(
        tmp_path, "target: {label: x}\n" + COHORT
    )


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://h", TargetUrl("h", 443)),
        ("https://h/", TargetUrl("h", 443)),
        ("https://h:8443/.well-known/est/", TargetUrl("h", 8443)),
        ("https://h/.well-known/est/meters", TargetUrl("h", 443, label="meters")),
        ("https://[::1]:9/portal/.well-known/est", TargetUrl("::1", 9, "/portal/.well-known/est")),
        ("https://10.0.0.1", TargetUrl("10.0.0.1", 443)),
        ("https://[fe80::1%lo]", TargetUrl("fe80::1%lo", 443)),
        ("https://h_1.example.", TargetUrl("h_1.example.", 443)),
        ("https://h/ejbca/.well-known/est/alias", TargetUrl("h", 443, "/ejbca/.well-known/est", "alias")),
        ("https://h/a%20b//c/.well-known/est", TargetUrl("h", 443, "/a%20b//c/.well-known/est")),
        ("https://h/.well-known/est/subca/tls/", TargetUrl("h", 443, label="subca/tls")),
        ("https://h/.well-known/est/ca:3", TargetUrl("h", 443, label="ca:3")),
        ("https://h/.well-known/est/ca%3A3", TargetUrl("h", 443, label="ca%3A3")),
        ("https://h/.well-known/est/My%20CA", TargetUrl("h", 443, label="My%20CA")),
        ("https://h/.well-known/est/a!$&'()*+,;=:@b", TargetUrl("h", 443, label="a!$&'()*+,;=:@b")),
        ("https://h/.well-known/est/.well-known/est", TargetUrl("h", 443, label=".well-known/est")),
    ],
)
def test_a_url_is_taken_apart(url: str, parts: TargetUrl) -> None:
    """With and without port, path and label; written back, it means the same."""
    assert parse_url(url) == parts
    assert parse_url(str(parts)) == parts


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://h", "must begin with https://"),
        ("est.example.com", "must begin with https://"),
        ("https://", "requires a host name"),
        ("https://h:0", "the port must be from 1 to 65535"),
        ("https://h:99999", "is not a URL"),
        ("https://[::1", "is not a URL"),
        ("https://a:b@h", "must not contain a user or password"),
        ("https://h/.well-known/est?x=1", "without ? and #"),
        ("https://h/est", "the path must be /.well-known/est"),
        ("https://h/.well-known/estate", "the path must be /.well-known/est"),
        ("https://h/.well-known/est/a//b", "must be a path segment, or several"),
        ("https://h/.well-known/est/a/../b", "must be a path segment, or several"),
        ("https://h/.well-known/est/a%2", "must be a path segment, or several"),
        ("https://h/.well-known/est/a|b", "must be a path segment, or several"),
        ("https://h/.well-known/est/ä", "must be a path segment, or several"),
        ("https://h/{x}/.well-known/est", "in the path as %XX"),
        ("https://h/.well-known/est/a/cacerts", "remove the operation"),
        ("https://h/.well-known/est/c%61certs/tls", "must not be the name of an operation"),
        ("https://a..b", "in ASCII"),
        (f"https://{'a' * 64}.example", "in ASCII"),
        (f"https://{'a.' * 130}example", "in ASCII"),
        ("https://1:2:3", "is not a URL"),
        ("https://[1:2:3]", "is not a URL"),
        ("https://h/.well-known/est/simpleenroll", "remove the operation"),
        ("https://hö", "in ASCII"),
        ("https://h /", "no spaces"),
        (3, "expected a URL"),
    ],
)
def test_a_url_that_cannot_be_one_is_refused(url: object, said: str) -> None:
    """Each with its reason."""
    with pytest.raises(UnitError) as caught:
        parse_url(url)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("boot", "said"),
    [
        ("{burst: 10m}", "burst: the last of 100 devices boots at 10m, after the end of the run, 10m"),
        ("{rate: 6/min, shape: even}", "rate: the last of 100 devices boots at 16m30s, after the end of the run, 10m"),
        ("{rate: 1/min}", "rate: the last of 100 devices boots at"),
        ("{ramp: 0/s..1/min, over: 5m}", "ramp: the last of 100 devices boots at"),
        ("{ramp: 1/s..0/s, over: 1m}", "ramp: stops after 30 of 100 devices have booted"),
        ("{ramp: 1/s, over: 1m}", "ramp: expected two rates such as 0/s..50/s (got 1/s)"),
        ("{ramp: -1/s..1/s, over: 1m}", "ramp: rates must not be negative"),
        ("{steps: [{rate: -3/s, for: 1s}]}", "boot.steps[0].rate: must be at least 0 (got -3/s)"),
        ("{steps: []}", "steps: must not be empty"),
        ("{ramp: 0/s..1/s}", "boot: ramp and over require each other"),
        ("{burst: 1s, over: 1m}", "boot: ramp and over require each other"),
        (
            "{burst: 1s, rate: 1/s}",
            "boot: requires exactly one of burst, at_once, rate, ramp, steps, trace or stations (got burst and rate)",
        ),
        (
            "{}",
            "boot: requires exactly one of burst, at_once, rate, ramp, steps, trace or stations (got none)",
        ),
        ("{burst: 1s, shape: even}", "boot: shape requires rate (got burst)"),
    ],
)
def test_arrivals_that_cannot_be_are_told(tmp_path: Path, boot: str, said: str) -> None:
    """Also those that would still be going on when the run ends."""
    (line,) = _told(tmp_path, f"cohorts: {{a: {{devices: 100, boot: {boot}}}}}\n").splitlines()
    assert said in line


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("renew: {at: 50%, after: 3s}", "renew.after: at and after are mutually exclusive"),
        ("renew: {at: 97%, spread: -5%..5%}", "renew.spread: exceeds the certificate's lifetime"),
        ("renew:", "renew: expected off or a mapping (got nothing)"),
        (
            "deferral: {spread: -5%..5%}",
            "deferral.spread: must be at least 0; use retry_after: {early: 50%} for early polls",
        ),
        ("deferral: {retry_after: {early: 150%}}", "deferral.retry_after: must be at most 100% (got 150%)"),
        ("deferral: {retry_after: soon}", "deferral.retry_after: expected obey, ignore, {early: 50%} or {late: 20%}"),
        ("retry: {base: 10s, cap: 5s}", "retry.cap: must be at least base, 10s (got 5s)"),
        ("retry: {on: [maybe]}", "retry.on[0]: must be connect, handshake, timeout, reset, 5xx or 429 (got maybe)"),
        ("tls: {versions: 1.0}", "tls.versions: expected 1.2, 1.3 or 1.2..1.3 (got 1.0)"),
        ("enroll: {operation: simplereenroll}", "enroll.operation: the first enrolment must use simpleenroll"),
        ("bootstrap: {kind: basic, user: a}", "bootstrap: kind: basic needs user and password"),
        ("bootstrap: {kind: basic, user: 'a:b', password: c}", "bootstrap: a user name cannot contain a colon"),
        ("http_auth: {user: a}", "http_auth.password: is missing"),
        ("http_auth: {user: 'a:b', password: c}", "http_auth.user: a user name cannot contain a colon (got a:b)"),
        ("http_auth: {user: a, password: b, scheme: negotiate}", "http_auth.scheme: must be auto, basic or digest"),
        ("bootstrap: {kind: none, user: a}", "bootstrap: user cannot be used with kind: none"),
        ("devices: 0", "devices: must be greater than 0 (got 0)"),
        ("devices: 20000000", "devices: must be at most 10000000 (got 20000000)"),
        ("sans: dns:a", "sans: must be a list: write [dns:a] (got dns:a)"),
        ("sans: ['dns:a', 'ip:x']", "sans[1]: is not a valid ip name (got x)"),
        ("subject: C=Germany", "subject: C must be a two-letter country code"),
    ],
)
def test_values_that_make_no_sense_are_told(tmp_path: Path, yaml: str, said: str) -> None:
    """In words, at the key that holds them."""
    lines = ["  a:", "    boot: {burst: 0s}", f"    {yaml}"]
    if not yaml.startswith("devices"):
        lines.append("    devices: 3")
    told = _told(tmp_path, "\n".join(["cohorts:", *lines, ""]))
    assert f"fleet.yaml:6:{told.split(':')[2]}: cohorts.a.{said}" in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("cohorts: {}", "fleet.yaml:3:1: cohorts: must not be empty"),
        (f"{COHORT}name: ../x", "name: must match"),
        (f"{COHORT}seed: -1", "seed: must be at least 0 (got -1)"),
        (f"{COHORT}thresholds: [foo]", "thresholds[0]: expected a metric"),
        (f"{COHORT}thresholds: [cohorts.b.failures < 1%]", "thresholds[0]: cohorts.b.failures: there is no cohort 'b'"),
        (f"{COHORT}authorities: {{a: {{}}}}", "authorities.a: requires made: true, or cert and key (got none)"),
        (
            f"{COHORT}authorities: {{../x: {{made: true}}}}",
            "authorities.../x: an authority name must be a letter or digit",
        ),
        (f"{COHORT}generator: {{groups: [x25519, x25519]}}", "generator.groups: duplicate group"),
        (f"{COHORT}target: {{deferral_statuses: [206]}}", "target.deferral_statuses: must include 202"),
        (f"{COHORT}target: {{trust: }}", "target.trust: expected {ca: root.pem} or system (got nothing)"),
        ("cohorts: {'1 a': {devices: 1, boot: {burst: 0s}}}", "a cohort name must be a letter"),
        (
            f"{ELSEWHERE}cohorts: {{a: {{{ONE}}}}}",
            (
                "fleet.yaml:4:11: cohorts.a.bootstrap: is missing: with target.url, say how devices authenticate: "
                '{kind: basic, user: NAME, password: "${EST_PASSWORD}"}, {kind: files, path: DIR}, '
                "{kind: shared, path: PEM}, {kind: manufacturer, authority: NAME} or {kind: none}"
            ),
        ),
        (
            f"{ELSEWHERE}cohorts: {{a: {{{ONE}, http_auth: {{user: u, password: p}}}}}}",
            (
                "cohorts.a.bootstrap: is missing: with target.url, say how devices authenticate: "
                "{kind: files, path: DIR}, {kind: shared, path: PEM}, {kind: manufacturer, authority: NAME}, "
                "or {kind: none} for http_auth alone"
            ),
        ),
        (
            f"{ELSEWHERE}cohorts: {{a: {{{ONE}, bootstrap: {{kind: manufacturer}}}}}}",
            (
                "cohorts.a.bootstrap: with target.url, bootstrap needs `authority`, a CA that the server trusts; "
                'or write {kind: basic, user: NAME, password: "${EST_PASSWORD}"}, {kind: files, path: DIR}, '
                "{kind: shared, path: PEM} or {kind: none}"
            ),
        ),
        (
            f"{ELSEWHERE}cohorts: {{a: {{{ONE}, bootstrap: {{kind: shared}}}}}}",
            (
                "cohorts.a.bootstrap: with target.url, bootstrap needs `authority`, a CA that the server trusts, "
                "or `path`, a PEM file with certificate and key"
            ),
        ),
    ],
)
def test_what_does_not_fit_together_is_told(tmp_path: Path, yaml: str, said: str) -> None:
    """Of the top level and between its parts."""
    assert said in _told(tmp_path, f"{yaml}\n")
