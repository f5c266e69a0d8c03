"""The sandbox's configuration: what is accepted, and how the rest is refused."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from estsim.server.capacity import Overflow
from estsim.server.config import CapacityConfig, SandboxConfig, TrustCenterConfig
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
    assert config.center.issuer.validity == 86_400
    assert config.center.capacity is None


@pytest.mark.parametrize("config", [{"seed": 7, **FULL}, {"seed": 7, "trust_centers": {"default": FULL}}])
def test_one_trust_center_stands_at_the_top_or_under_its_name(config: dict[str, Any]) -> None:
    """Both forms mean the same."""
    read = SandboxConfig.model_validate(config)
    assert read.seed == 7
    assert read.center.issue.delay == Uniform(2.0, 4.0)
    assert read.center.capacity is not None
    assert read.center.capacity.overflow is Overflow.DEFER_FORGET
    assert read.anchored(Path("/etc/x")).center.clients.bootstrap_cas == [Path("/etc/x/pki/mfg.pem")]
    assert read.anchored(Path("/etc/x")).center.issue == read.center.issue


@pytest.mark.parametrize(
    ("config", "where", "message"),
    [
        ({"trust_centers": {"meters": {}}}, ("trust_centers",), "not supported yet: meters"),
        ({"trust_centers": {}}, ("trust_centers",), "must name"),
        ({"trust_centers": {"default": {}}, "issue": {}}, (), "not both"),
        ({"issue": {"mode": "manual"}}, ("issue", "mode"), "manual is not supported yet"),
        ({"issue": {"mode": "immediate", "share": "20%"}}, ("issue",), "no effect without mode: deferred"),
        ({"issue": {"retry_after": {"kind": "random"}}}, ("issue", "retry_after"), "needs from and to"),
        ({"issue": {"retry_after": {"to": 3}}}, ("issue", "retry_after"), "belong to kind: random"),
        ({"clients": {"refuse_at": "application"}}, ("clients", "refuse_at"), "not supported yet"),
        ({"issuer": {"intermediates": 2}}, ("issuer", "intermediates"), "not supported yet"),
        ({"issuer": {"validity": "500ms"}}, ("issuer", "validity"), "at least 1s"),
        ({"capacity": {"rate": "0/s"}}, ("capacity", "rate"), "greater than 0"),
        ({"capcity": {}}, ("capcity",), "not permitted"),
        (
            {"clients": {"users": {"a": {"password": "b", "schemes": ["digest"]}}}},
            ("clients", "users", "a", "schemes"),
            "digest is not supported yet",
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


@pytest.mark.parametrize("key", ["signers", "sign_time"])
def test_keys_of_later_versions_are_known_by_name(key: str) -> None:
    """The loader tells them from slips of the pen; pydantic refuses them in any case."""
    assert key in CapacityConfig.not_yet
    with pytest.raises(ValidationError):
        CapacityConfig.model_validate({"rate": "1/s", key: 1})


def test_faults_are_known_by_name_in_both_places() -> None:
    """At the top and under a trust center."""
    assert "faults" in SandboxConfig.not_yet
    assert "faults" in TrustCenterConfig.not_yet


def test_a_password_never_shows() -> None:
    """Not in a repr, which lands in logs."""
    assert "secret" not in repr(SandboxConfig.model_validate(FULL))
