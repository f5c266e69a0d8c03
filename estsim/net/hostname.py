"""Whether a server's certificate is for the host that we meant (RFC 7030 §3.6.1, RFC 9525), and how a host is named.

The names are those that our own reader found in the certificate; service-identity says which of them mean the host. A
name that cannot be read, or is no pattern of a host, says nothing and is in nobody's way. Pure functions, cached: a
fleet asks the same question of the same certificate thousands of times.
"""

import ipaddress
from collections.abc import Iterator
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

HOST_MISMATCH: Final = 62  # X509_V_ERR_HOSTNAME_MISMATCH, for a check that OpenSSL does not make for us

# "id-kp-cmcRA": a certificate of an EST CA's own registration authority (RFC 6402 §2.10).
CMC_RA: Final = oid("1.3.6.1.5.5.7.3.28")
_TOLD: Final = 5


@lru_cache(maxsize=256)
def check_host(certificate: Certificate, host: str) -> str | None:
    """Return None when the certificate is for ``host`` (a DNS name or an IP literal), else the reason why not."""
    name = reference_name(host)
    found = alternative_names(certificate.san_der)
    patterns = list(_patterns(found))
    told = ", ".join(found.texts[:_TOLD]) or "no host"
    if not patterns:
        return f"the server's certificate has no name comparable with {name} (it names {told})"
    try:
        meant = IPAddress_ID(name) if is_ip_literal(name) else DNS_ID(name)
        verify_service_identity(patterns, [meant], [])
    except VerificationError:
        return f"the server's certificate is for {told}, not for {name}"
    except ValueError as error:
        return f"the server's certificate has no name comparable with {name}: {error}"
    return None


def has_cmc_ra(certificate: Certificate) -> bool:
    """Say whether the certificate carries id-kp-cmcRA, which stands for the host name under explicit anchors.

    RFC 7030 §3.6.1: with an explicit trust anchor "the certificate" may instead carry "the id-kp-cmcRA
    [RFC6402] extended key usage extension".
    """
    return CMC_RA in (certificate.extensions.purposes or ())


@lru_cache(maxsize=256)
def server_name(host: str) -> bytes | None:
    """Return what goes into the server name indication, None for an IP literal.

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
    """Say whether a name is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _patterns(found: AlternativeNames) -> Iterator[CertificatePattern]:
    """Yield what a certificate says of hosts, as far as it can be compared with one."""
    for read, values in ((DNSPattern.from_bytes, found.dns), (IPAddressPattern.from_bytes, found.addresses)):
        for value in values:
            try:
                yield read(value)
            except (CertificateError, ValueError):  # "*", say, or an address as a DNS name
                continue
