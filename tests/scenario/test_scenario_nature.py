"""What devices are by nature: each form of each key as the plan has it, each mistake in its place."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from estsim.device.faults import DeviceFault
from estsim.device.policy import AfterExpiry, BootPolicy
from estsim.errors import ScenarioError
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import (
    Close,
    Cohort,
    Files,
    Keys,
    MadeAuthority,
    Network,
    Operational,
    Scenario,
    Shared,
    Tls,
)
from estsim.units import Constant, LogNormal, Normal, Uniform

HEAD = "version: 1\nduration: 10m\n"


def _load(folder: Path, text: str) -> Scenario:
    path = folder / "fleet.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    return load_scenario(path)


def _cohort(folder: Path, keys: str, *, devices: int = 100, top: str = "") -> Cohort:
    boot = "" if " boot:" in f" {keys}" else ", boot: {burst: 5s}"
    return _load(folder, f"cohorts:\n  a: {{{keys}, devices: {devices}{boot}}}\n{top}").cohorts[0]


def _told(folder: Path, keys: str, *, devices: int = 100, top: str = "") -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        _cohort(folder, keys, devices=devices, top=top)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def _pem(path: Path, *, another_key: bool = False) -> None:
    """Write a certificate and a key in one file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, path.stem)])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    certificate = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(key, SHA256())
    kept = ec.generate_private_key(ec.SECP256R1()) if another_key else key
    secret = kept.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(certificate.public_bytes(Encoding.PEM) + secret)


@pytest.mark.parametrize(
    ("yaml", "attribute", "value"),
    [
        ("sans: []", "keys", Keys()),
        ("keys: {prepare: 1000}", "keys", Keys(prepare=1000)),
        ("keys: {reuse: 10}", "keys", Keys(reuse=10)),
        ("keys: {prepare: 0, reuse: 10}", "keys", Keys(reuse=10)),
        ("sans: []", "network", None),
        ("network: {}", "network", Network()),
        ("network: {rtt: 40ms..120ms}", "network", Network(Uniform(0.04, 0.12))),
        ("network: {rtt: {normal: [80ms, 10ms]}}", "network", Network(Normal(0.08, 0.01))),
        ("network: {rtt: {lognormal: [80ms, 0.4]}}", "network", Network(LogNormal(0.08, 0.4))),
        ("network: {rate: 64kbit/s, stall: 0.5%, reset: 99.5%}", "network", Network(None, 64_000.0, 0.005, 0.995)),
        ("clock: {skew: -30s..30s}", "skew_s", Uniform(-30.0, 30.0)),
        ("clock: {}", "skew_s", Constant(0.0)),
        ("sans: []", "skew_s", None),
        ("start: off", "start", None),
        ("start: operational", "start", Operational(Constant(0.0))),
        ("start: {operational: {}}", "start", Operational(Constant(0.0))),
        ("start: {operational: {age: 0%..100%}}", "start", Operational(Uniform(0.0, 1.0))),
        ("faults: {}", "faults", {}),
        (
            "faults: {impatient: 10%, unknown_ca: 90%, wrong_eku: 0%}",
            "faults",
            {DeviceFault.IMPATIENT: 0.1, DeviceFault.UNKNOWN_CA: 0.9},
        ),
        ("tls: {}", "tls", Tls()),
        (
            "tls: {versions: 1.2, resume: true, keep_alive: 30s, close: vanish, send_chain: false}",
            "tls",
            Tls("1.2", "1.2", Close.VANISH, 30.0, resume=True, send_chain=False),
        ),
        ("tls: {versions: 1.2..1.3, close: rst}", "tls", Tls("1.2", "1.3", Close.RST)),
        ("boot: {stations: 8}", "stations", 8),
    ],
)
def test_each_form_is_what_the_plan_has(tmp_path: Path, yaml: str, attribute: str, value: object) -> None:
    """In seconds, bits per second and parts of one."""
    assert getattr(_cohort(tmp_path, yaml), attribute) == value


@pytest.mark.parametrize(
    ("yaml", "boot"),
    [
        ("sans: []", BootPolicy()),
        ("on_boot: []", BootPolicy()),
        ("on_boot: [cacerts]", BootPolicy(cacerts=True)),
        ("on_boot: [{renew_if: 50%}]", BootPolicy(renew_if=0.5)),
        ("on_boot: [{renew_if: 50%}, cacerts]", BootPolicy(renew_if=0.5, cacerts=True)),
    ],
)
def test_what_a_device_does_on_boot(tmp_path: Path, yaml: str, boot: BootPolicy) -> None:
    """In any order, or nothing."""
    assert _cohort(tmp_path, yaml).policy.boot == boot


@pytest.mark.parametrize("way", AfterExpiry)
def test_what_a_device_does_with_an_expired_certificate(tmp_path: Path, way: AfterExpiry) -> None:
    """Each word of the language."""
    renew = _cohort(tmp_path, f"renew: {{expired: {way.value}}}").policy.renew
    assert renew is not None
    assert renew.expired is way


def test_connections_leave_from_the_addresses_that_are_named(tmp_path: Path) -> None:
    """Of either family, as text; anything else is reported."""
    addresses = "generator: {source_addresses: [127.0.0.2, '::1']}\n"
    scenario = _load(tmp_path, f"cohorts: {{a: {{devices: 1, boot: {{burst: 0s}}}}}}\n{addresses}")
    assert scenario.generator.source_addresses == ("127.0.0.2", "::1")
    (line,) = _told(tmp_path, "sans: []", top="generator: {source_addresses: [127.0.0.2, localhost, 127.0.0.4]}\n")
    expected = "expected an IP address such as 127.0.0.2 (got localhost)"
    assert line == f"fleet.yaml:5:43: generator.source_addresses[1]: {expected}"


MISTAKES = [  # the keys, where in them the mistake is, its path, what is said
    ("keys: {prepare: 5, reuse: 5}", "keys", "keys", "prepare and reuse are mutually exclusive"),
    ("keys: {prepare: -1}", "prepare", "keys.prepare", "must be at least 0 (got -1)"),
    ("keys: {reuse: 0}", "reuse", "keys.reuse", "must be greater than 0 (got 0)"),
    ("keys: {resue: 1}", "resue", "keys.resue", "unknown key (did you mean 'reuse'?)"),
    (
        "keys: {reuse: 3}, bootstrap: {kind: none}",
        "reuse",
        "keys.reuse",
        "with bootstrap: {kind: none} the server distinguishes devices only by their keys; use prepare",
    ),
    ("network: {rtt: -1ms}", "rtt", "network.rtt", "must be at least 0 (got -1ms)"),
    ("network: {rate: 0kbit/s}", "rate", "network.rate", "must be greater than 0 (got 0kbit/s)"),
    (
        "network: {rate: 64kb}",
        "rate",
        "network.rate",
        "expected a bit rate such as 64kbit/s or 1Mbit/s",
    ),
    ("network: {stall: 101%}", "stall", "network.stall", "must be at most 100% (got 101%)"),
    ("network: {stall: 60%, reset: 50%}", "network", "network", "stall and reset together exceed 100% (got 110%)"),
    ("network: {delay: 1s}", "delay", "network.delay", "unknown key"),
    ("clock: {skew: 3}", "skew", "clock.skew", "expected a duration such as 500ms, 10s, 5m or 1h30m: missing unit"),
    ("start: soon", "start", "start", "must be a mapping such as {operational: {age: 0%..100%}} (got soon)"),
    ("start: null", "start", "start", "expected off or {operational: {age: 0%..100%}} (got nothing)"),
    ("start: {}", "start", "start.operational", "is missing"),
    ("start: {operational: {age: 50%..101%}}", "age", "start.operational.age", "must be at most 100% (got 50%..101%)"),
    ("start: {operational: {age: -1%..5%}}", "operational", "start.operational", "age must be within 0%..100%"),
    (
        "start: operational, boot: {stations: 3}",
        "start",
        "start",
        "operational and stations are mutually exclusive",
    ),
    ("on_boot: cacerts", "on_boot", "on_boot", "expected a list such as [cacerts, {renew_if: 50%}] (got cacerts)"),
    ("on_boot: [renew]", "on_boot", "on_boot", "expected cacerts or {renew_if: 50%} (got renew)"),
    ("on_boot: [{renew_at: 1%}]", "on_boot", "on_boot", "expected cacerts or {renew_if: 50%} (got a mapping)"),
    ("on_boot: [{renew_if: 5%}, {renew_if: 6%}]", "on_boot", "on_boot", "duplicate entry renew_if"),
    ("on_boot: [{renew_if: 0%}]", "on_boot", "on_boot.renew_if", "must be greater than 0 (got 0%)"),
    ("faults: {unknwn_ca: 1%}", "unknwn", "faults.unknwn_ca", "unknown key (did you mean 'unknown_ca'?)"),
    ("faults: {impatient: 5}", "impatient", "faults.impatient", "expected a share such as 40% or 0.1%: missing unit"),
    (
        "faults: {impatient: 60%, wrong_eku: 60%}",
        "faults",
        "faults",
        "shares must add up to at most 100% (got 120%)",
    ),
    (
        "faults: {expired_bootstrap: 1%}, bootstrap: {kind: none}",
        "expired_bootstrap",
        "faults.expired_bootstrap",
        "requires bootstrap: {kind: manufacturer} (got none)",
    ),
    ("tls: {close: slam}", "close", "tls.close", "must be fin, rst or vanish (got slam)"),
    ("tls: {versions: 1.3..1.2}", "versions", "tls.versions", "expected 1.2, 1.3 or 1.2..1.3 (got 1.3..1.2)"),
    ("tls: {keep_alive: -1s}", "keep_alive", "tls.keep_alive", "must be at least 0 (got -1s)"),
    ("tls: {send_chain: maybe}", "send_chain", "tls.send_chain", "must be true or false (got maybe)"),
    ("renew: {expired: panic}", "expired", "renew.expired", "must be "),
    (
        "bootstrap: {kind: files}",
        "bootstrap",
        "bootstrap",
        "kind: files needs path, a folder with a PEM file per device",
    ),
    ("bootstrap: {kind: files, path: no}", "path", "bootstrap.path", "cannot be read: No such file or directory"),
    ("bootstrap: {kind: shared, path: no}", "path", "bootstrap.path", "cannot be read: No such file or directory"),
    ('bootstrap: {kind: files, path: "a\\0"}', "path", "bootstrap.path", "cannot be read: embedded null byte"),
    ('bootstrap: {kind: shared, path: "a\\0"}', "path", "bootstrap.path", "cannot be read: embedded null byte"),
    ("bootstrap: {kind: shared, authority: x}", "authority", "bootstrap.authority", "there is no authority 'x'"),
    (
        "bootstrap: {kind: shared, path: x.pem, authority: x}",
        "bootstrap",
        "bootstrap",
        "path and authority are mutually exclusive",
    ),
    (
        "bootstrap: {kind: manufacturer, path: x}",
        "bootstrap",
        "bootstrap",
        "path cannot be used with kind: manufacturer",
    ),
]


@pytest.mark.parametrize(("yaml", "where", "path", "message"), MISTAKES)
def test_a_mistake_is_told_in_its_place_and_alone(
    tmp_path: Path, yaml: str, where: str, path: str, message: str
) -> None:
    """At the key that holds it; nothing is reported that only follows from it."""
    (line,) = _told(tmp_path, yaml)
    assert line.startswith(f"fleet.yaml:4:{line_of(yaml).index(where) + 1}: cohorts.a.{path}: {message}")


def line_of(keys: str) -> str:
    """Return the line that holds the keys of a cohort."""
    return f"  a: {{{keys}"


def test_one_firmware_key_lies_in_a_file_or_is_minted(tmp_path: Path) -> None:
    """By an authority, or by the sandbox's manufacturer; certificate and key of a file belong together."""
    _pem(tmp_path / "firmware.pem")
    _pem(tmp_path / "mixed.pem", another_key=True)
    (tmp_path / "text.pem").write_text("hello")
    cohort = _cohort(tmp_path, "bootstrap: {kind: shared, path: firmware.pem}")
    assert cohort.bootstrap == Shared(tmp_path / "firmware.pem")
    assert _cohort(tmp_path, "bootstrap: {kind: shared}").bootstrap == Shared(None, None)
    made = _cohort(tmp_path, "bootstrap: {kind: shared, authority: m}", top="authorities: {m: {made: true}}\n")
    assert made.bootstrap == Shared(None, MadeAuthority("m"))
    (line,) = _told(tmp_path, "bootstrap: {kind: shared, path: text.pem}")
    assert "bootstrap.path: contains no usable PEM certificate: no certificate found (got text.pem)" in line
    (line,) = _told(tmp_path, "bootstrap: {kind: shared, path: mixed.pem}")
    assert "bootstrap.path: contains a key that does not match its first certificate (got mixed.pem)" in line


def test_a_folder_holds_a_file_for_each_device(tmp_path: Path) -> None:
    """More are left alone, too few are reported; other files do not count."""
    folder = tmp_path / "born"
    folder.mkdir()
    for name in ("a.pem", "b.pem", "notes.txt"):
        _pem(folder / name)
    cohort = _cohort(tmp_path, "bootstrap: {kind: files, path: born}", devices=2)
    assert cohort.bootstrap == Files(folder)
    (line,) = _told(tmp_path, "bootstrap: {kind: files, path: born}", devices=3)
    assert (
        "bootstrap.path: must contain NAME.pem, or NAME.crt beside NAME.key, for each of 3 devices (got 2 in born"
        in line
    )


def test_devices_of_another_server_cannot_be_operational(tmp_path: Path) -> None:
    """Only the sandbox's CA is at hand."""
    target = "target: {url: 'https://est.example'}\n"
    (line,) = _told(tmp_path, "start: operational, bootstrap: {kind: none}", top=target)
    assert line.endswith("cohorts.a.start: operational requires the sandbox, whose CA issues the certificates")


@pytest.mark.parametrize(
    "wrong",
    ["boot: {rate: -3/s}", "keys: {prepare: -1}", "bootstrap: {kind: non}", "start: soon", "renew: {at: 0%}"],
)
def test_nothing_is_concluded_from_keys_that_could_not_be_read(tmp_path: Path, wrong: str) -> None:
    """The one mistake is reported, and not that keys will be late or a fault needs a manufacturer."""
    (line,) = _told(tmp_path, f"key: rsa-2048, faults: {{unknown_ca: 1%}}, {wrong}", devices=1000)
    assert f"cohorts.a.{wrong.split(':', maxsplit=1)[0]}" in line
