"""The checks of a server's certificate that OpenSSL does not make for us: its host name, and a device's own clock.

Host names (RFC 7030 §3.6.1, RFC 9525): service-identity compares the names that our own reader found in the
certificate; names that are unreadable or not a host pattern are ignored. Cached, as a fleet checks the same certificate
thousands of times.

Validity: OpenSSL checks a chain by the true time, for all connections of a context. A device whose own clock is wrong
checks again. A clock that is behind does not make an expired certificate valid: OpenSSL has refused it before.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from service_identity import CertificateError, VerificationError
from service_identity.hazmat import (
    DNS_ID,
    CertificatePattern,
    DNSPattern,
    IPAddress_ID,
    IPAddressPattern,
    verify_service_identity,
)

from estsim.est.certificate import Certificate
from estsim.est.der import oid
from estsim.est.names import AlternativeNames, alternative_names
from estsim.est.validity import utc_text

HOST_MISMATCH: Final = 62  # X509_V_ERR_HOSTNAME_MISMATCH, for a check that OpenSSL does not make for us

# "id-kp-cmcRA": a certificate of an EST CA's own registration authority (RFC 6402 §2.10).
CMC_RA: Final = oid("1.3.6.1.5.5.7.3.28")
_MOST_NAMES: Final = 5
NOT_YET_VALID: Final = 9  # X509_V_ERR_CERT_NOT_YET_VALID
EXPIRED: Final = 10  # X509_V_ERR_CERT_HAS_EXPIRED


@lru_cache(maxsize=256)
def check_host(certificate: Certificate, host: str) -> str | None:
    """Return None if the certificate is for ``host`` (a DNS name or an IP literal), else the reason why not."""
    name = reference_name(host)
    found = alternative_names(certificate.san_der)
    patterns = list(_patterns(found))
    names = ", ".join(found.texts[:_MOST_NAMES]) or "no host"
    if not patterns:
        return f"the server's certificate has no name comparable with {name} (it names {names})"
    try:
        meant = IPAddress_ID(name) if is_ip_literal(name) else DNS_ID(name)
        verify_service_identity(patterns, [meant], [])
    except VerificationError:
        return f"the server's certificate is for {names}, not for {name}"
    except ValueError as error:
        return f"the server's certificate has no name comparable with {name}: {error}"
    return None


def has_cmc_ra(certificate: Certificate) -> bool:
    """Whether the certificate has id-kp-cmcRA, which stands for the host name under explicit anchors.

    RFC 7030 §3.6.1: with an explicit trust anchor "the certificate" may instead carry "the id-kp-cmcRA
    [RFC6402] extended key usage extension".
    """
    return CMC_RA in (certificate.extensions.purposes or ())


@lru_cache(maxsize=256)
def server_name(host: str) -> bytes | None:
    """Return the server name indication, None for an IP literal.

    RFC 6066 §3: "Literal IPv4 and IPv6 addresses are not permitted in "HostName"", and no trailing dot.
    """
    name = reference_name(host)
    return None if is_ip_literal(name) else name.encode("idna")


@lru_cache(maxsize=256)
def reference_name(host: str) -> str:
    """Return the host as certificates name it: no brackets of an IPv6 literal, no zone, no trailing dot."""
    name = host.removeprefix("[").removesuffix("]")
    return name.split("%", 1)[0] if ":" in name else name.removesuffix(".")


@lru_cache(maxsize=256)
def is_ip_literal(name: str) -> bool:
    """Whether a name is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _patterns(found: AlternativeNames) -> Iterator[CertificatePattern]:
    """Yield the names of a certificate that can be compared with a host."""
    for read, values in ((DNSPattern.from_bytes, found.dns), (IPAddressPattern.from_bytes, found.addresses)):
        for value in values:
            try:
                yield read(value)
            except (CertificateError, ValueError):  # "*", say, or an address as a DNS name
                continue


def check_validity(certificates: Iterable[Certificate], wall_s: float) -> tuple[str, int] | None:
    """Return None if all are valid at ``wall_s`` (UNIX seconds), else the reason and OpenSSL's code for it."""
    for each in certificates:
        if wall_s < each.not_before_s:
            return (
                f"the server's certificate is not valid before {utc_text(each.not_before_s)}; {_seen(wall_s)}",
                NOT_YET_VALID,
            )
        if wall_s > each.not_after_s:
            return f"the server's certificate expired at {utc_text(each.not_after_s)}; {_seen(wall_s)}", EXPIRED
    return None


def _seen(wall_s: float) -> str:
    return f"the device's clock reads {utc_text(wall_s)}"
