"""The sandbox's configuration: what is accepted, and how the rest is refused."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from estsim.server.capacity import Overflow
from estsim.server.config import SandboxConfig
from estsim.server.issuing_config import CapacityConfig
from estsim.units import Uniform

FULL: dict[str, Any] = {
    "issuer": {"key": "ec-p384", "intermediates": 1, "validity": "20s"},
    "clients": {
        "require_certificate": "always",
        "bootstrap_cas": ["pki/mfg.pem"],
        "users": {"alice": {"password": "secret", "schemes": ["basic"]}},
        "refuse_at": "handshake",
    },
    "issue": {
        "mode": "deferred",
        "share": "20%",
        "delay": "2s..4s",
        "retry_after": {"kind": "fixed", "seconds": 3, "form": "http-date"},
        "status": 206,
        "early": "throttle",
    },
    "capacity": {"rate": "50/s", "burst": 10, "queue": 5, "overflow": "defer_forget"},
}


def test_an_empty_configuration_is_a_working_sandbox() -> None:
    """Every key has a default."""
    config = SandboxConfig.model_validate({})
    assert config.centers["default"].issuer.validity == 86_400
    assert config.centers["default"].capacity is None


@pytest.mark.parametrize("config", [{"seed": 7, **FULL}, {"seed": 7, "trust_centers": {"default": FULL}}])
def test_one_trust_center_stands_at_the_top_or_under_its_name(config: dict[str, Any]) -> None:
    """Both forms mean the same."""
    read = SandboxConfig.model_validate(config)
    assert read.seed == 7
    assert read.centers["default"].issue.delay == Uniform(2.0, 4.0)
    assert read.centers["default"].capacity is not None
    assert read.centers["default"].capacity.overflow is Overflow.DEFER_FORGET
    assert read.anchored(Path("/etc/x")).centers["default"].clients.bootstrap_cas == [Path("/etc/x/pki/mfg.pem")]
    assert read.anchored(Path("/etc/x")).centers["default"].issue == read.centers["default"].issue


@pytest.mark.parametrize(
    ("config", "where", "message"),
    [
        ({"trust_centers": {"meters": {}}}, ("trust_centers",), "must include one named default"),
        ({"trust_centers": {}}, ("trust_centers",), "(got none)"),
        ({"trust_centers": {"default": {}, "a/b": {}}}, ("trust_centers",), "a label is one path segment"),
        ({"trust_centers": {"default": {}, "cacerts": {}}}, ("trust_centers",), "the name of an operation"),
        ({"trust_centers": {"default": {}}, "issue": {}}, (), "not both"),
        (
            {"issue": {"mode": "manual", "retry_after": {"kind": "next_slot"}}},
            ("issue",),
            "the approval time is unknown",
        ),
        ({"issue": {"mode": "immediate", "share": "20%"}}, ("issue",), "no effect without mode: deferred"),
        ({"issue": {"retry_after": {"kind": "random"}}}, ("issue", "retry_after"), "requires from and to"),
        ({"issue": {"retry_after": {"to": 3}}}, ("issue", "retry_after"), "belong to kind: random"),
        ({"tls": {"versions": "1.1..1.2"}}, ("tls", "versions"), "expected 1.2, 1.3"),
        ({"issuer": {"intermediates": 9}}, ("issuer", "intermediates"), "at most 8"),
        ({"issuer": {"validity": "500ms"}}, ("issuer", "validity"), "at least 1s"),
        ({"capacity": {"rate": "0/s"}}, ("capacity", "rate"), "greater than 0"),
        ({"capacity": {"queue": 5}}, ("capacity",), "either rate, or sign_time"),
        ({"capacity": {"rate": "5/s", "sign_time": "20ms"}}, ("capacity",), "(got both)"),
        ({"capacity": {"rate": "5/s", "signers": 2}}, ("capacity",), "signers requires sign_time"),
        ({"capacity": {"sign_time": "0s"}}, ("capacity",), "greater than 0"),
        (
            {"capacity": {"rate": "5/s", "overflow": "defer", "retry_after": "none"}},
            ("capacity",),
            "a deferral always has",
        ),
        ({"issue": {"retry_after": {"seconds": 5}}}, (), "issue.retry_after would have no effect"),
        ({"issue": {"early": "forbid"}, "capacity": {"rate": "5/s"}}, (), "nothing is deferred ("),
        ({"issuer": {"validity": "8000d"}}, ("issuer", "validity"), "at most 7300d"),
        ({"issue": {"mode": "deferred", "delay": "4000d"}}, ("issue", "delay"), "must be at most 3650d"),
        (
            {"clients": {"users": {"a": {"password": "b", "schemes": []}}}},
            ("clients", "users", "a", "schemes"),
            "least",
        ),
        (
            {"issuer": {"intermediates": 0}, "faults": [{"kind": "chain_missing"}]},
            (),
            "no effect with intermediates: 0",
        ),
        ({"base64": "wrapped", "faults": [{"kind": "wrapped_base64"}]}, (), "no effect with base64: wrapped"),
        (
            {"faults": [{"kind": "wrong_key", "match": {"operation": "cacerts"}}]},
            ("faults", 0),
            "has no effect on cacerts",
        ),
        (
            {"trust_centers": {"default": {}, "meters": {"faults": [{"kind": "wrong_server_name"}]}}},
            (),
            "belongs under default",
        ),
        ({"faults": [{"kind": "explode"}]}, ("faults", 0, "kind"), "'latency'"),
        ({"faults": [{"kind": "reset", "add": "1s"}]}, ("faults", 0), "add belongs to kind: latency"),
        ({"faults": [{"kind": "latency", "for": "1s"}]}, ("faults", 0), "for belongs to kind: stall"),
        ({"faults": [{"kind": "stall", "from": "9s", "to": "9s"}]}, ("faults", 0), "to must be later than from"),
        ({"faults": [{"kind": "wrong_status", "status": 100}]}, ("faults", 0, "status"), "from 200 to 599"),
        (
            {"faults": [{"kind": "wrong_server_name", "match": {"subject": "CN=a"}}]},
            ("faults", 0),
            "before it knows the client",
        ),
        ({"capcity": {}}, ("capcity",), "not permitted"),
        ({"csrattrs": {"hash": "sha384"}}, ("csrattrs",), "hash needs a key"),
        ({"csrattrs": {"key": "ed25519", "hash": "sha384"}}, ("csrattrs",), "hash needs a key"),
        ({"csrattrs": {"subject": "CN"}}, ("csrattrs",), "subject needs form: template"),
        (
            {"csrattrs": {"form": "template", "subject": "XX=1"}},
            ("csrattrs", "subject"),
            "expected attributes of CN, O",
        ),
        ({"csrattrs": {"form": "template", "key": "rsa-2048", "hash": "sha256"}}, ("csrattrs",), "a template has no h"),
        ({"csrattrs": {"extensions": {"mac": "00"}}}, ("csrattrs", "extensions"), "expected an OID"),
        ({"csrattrs": {"extensions": {"1.2.3": "0"}}}, ("csrattrs", "extensions"), "in hex"),
        (
            {"clients": {"users": {"a": {"password": "b", "schemes": ["ntlm"]}}}},
            ("clients", "users", "a", "schemes", 0),
            "digest-sha-512-256",
        ),
        ({"clients": {"users": {"a:b": {"password": "b"}}}}, ("clients", "users"), "colon"),
    ],
)
def test_a_mistake_is_refused_where_it_stands(config: dict[str, Any], where: tuple[str, ...], message: str) -> None:
    """The location leads to the key, the message says what is wrong."""
    with pytest.raises(ValidationError) as refusal:
        SandboxConfig.model_validate(config)
    (mistake,) = refusal.value.errors()
    assert mistake["loc"] == where
    assert message in mistake["msg"]


def test_two_signers_are_a_capacity() -> None:
    """And the queue's length depends on what it is for, unless it is said."""
    capacity = CapacityConfig.model_validate({"signers": 2, "sign_time": "30ms..50ms", "burst": 3})
    assert (capacity.sign_time, capacity.queue_limit) == (Uniform(0.03, 0.05), 1000)
    assert CapacityConfig.model_validate({"rate": "5/s", "overflow": "refuse"}).queue_limit == 0
    assert CapacityConfig.model_validate({"rate": "5/s", "overflow": "refuse", "queue": 7}).queue_limit == 7


def test_relative_paths_are_taken_from_where_the_file_lies_in_every_trust_center() -> None:
    """Under a label too."""
    clients = {"clients": {"bootstrap_cas": ["a.pem"]}}
    config = SandboxConfig.model_validate({"trust_centers": {"default": {}, "meters": clients}})
    assert config.anchored(Path("/etc/x")).centers["meters"].clients.bootstrap_cas == [Path("/etc/x/a.pem")]


def test_a_password_never_shows() -> None:
    """Not in a repr, which lands in logs."""
    assert "secret" not in repr(SandboxConfig.model_validate(FULL))
