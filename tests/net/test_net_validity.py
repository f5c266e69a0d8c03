"""A server's certificates by the clock of a device."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from estsim.est.certificate import Certificate, read_certificate
from estsim.net.validity import EXPIRED, NOT_YET_VALID, check_validity

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
