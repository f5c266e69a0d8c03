"""The checks of a server's certificate that OpenSSL does not make: its host name, and a device's own clock."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from net_kit import WORLD, make_credential

from estsim.est.certificate import Certificate, read_certificate
from estsim.net.server_checks import (
    EXPIRED,
    NOT_YET_VALID,
    check_host,
    check_validity,
    has_cmc_ra,
    is_ip_literal,
    reference_name,
    server_name,
)
from estsim.pki.credentials import Credential


def read(credential: Credential) -> Certificate:
    """Return a credential's certificate as estsim reads it."""
    return read_certificate(credential.certificate_der)


@pytest.mark.parametrize(
    ("named", "host", "fits"),
    [
        (("est.example.com",), "est.example.com", True),
        (("est.example.com",), "EST.Example.com", True),
        (("est.example.com",), "est.example.com.", True),
        (("*.example.com",), "est.example.com", True),
        (("*.example.com",), "a.b.example.com", False),
        (("other.example.com",), "est.example.com", False),
        (("192.0.2.1",), "192.0.2.1", True),
        (("192.0.2.1",), "192.0.2.2", False),
        (("2001:db8::1",), "2001:db8::1", True),
        (("2001:db8::1",), "[2001:db8::1]", True),
        (("est.example.com",), "192.0.2.1", False),
        ((), "est.example.com", False),
        (("est.example.com",), "", False),
    ],
)
def test_a_certificate_is_for_the_hosts_it_names(named: tuple[str, ...], host: str, fits: bool) -> None:  # noqa: FBT001 - a column of the table
    """Exact, wildcard and address names count; the common name does not; a reason says why not."""
    certificate = read(make_credential(WORLD.server_ca, host or "nobody", hosts=named))
    reason = check_host(certificate, host)
    assert (reason is None) is fits
    assert reason is None or reference_name(host) in reason


@pytest.mark.parametrize(
    ("host", "indicated"),
    [
        ("est.example.com", b"est.example.com"),
        ("est.example.com.", b"est.example.com"),
        ("192.0.2.1", None),
        ("::1", None),
    ],
)
def test_only_dns_names_are_indicated(host: str, indicated: bytes | None) -> None:
    """RFC 6066 §3."""
    assert server_name(host) == indicated


def test_addresses_are_told_from_names() -> None:
    """Brackets and zones belong to URLs, not to addresses."""
    assert is_ip_literal(reference_name("[fe80::1%eth0]"))
    assert not is_ip_literal("10.example")


def test_the_registration_authority_is_recognised_by_its_usage() -> None:
    """id-kp-cmcRA among the extended key usages."""
    usage = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.28")
    assert has_cmc_ra(read(make_credential(WORLD.server_ca, "RA", usages=(usage,))))
    assert not has_cmc_ra(read(WORLD.server))
    assert not has_cmc_ra(read(WORLD.device))


BEGINS = datetime(2026, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)


def certificate(life: timedelta) -> Certificate:
    """Return a certificate from the beginning of 2026 on."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(BEGINS).not_valid_after(BEGINS + life)
    return read_certificate(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER))


@pytest.mark.parametrize(
    ("days", "code"), [(-0.001, NOT_YET_VALID), (0.0, None), (365.0, None), (365.001, EXPIRED), (4000.0, EXPIRED)]
)
def test_every_certificate_of_a_chain_has_to_be_valid(days: float, code: int | None) -> None:
    """To the second at both ends (RFC 5280 §4.1.2.5: inclusive); the reason says what clock it was."""
    pair = (certificate(9 * YEAR), certificate(YEAR))
    for chain in (pair, pair[::-1]):
        found = check_validity(chain, (BEGINS + timedelta(days=days)).timestamp())
        assert (found and found[1]) == code
        if found is not None:
            assert "the device's clock reads 20" in found[0]
