"""Whether a server's certificate is for the host that we meant (RFC 7030 §3.6.1, RFC 9525), and how a host is named.

Pure functions over certificates, cached: a fleet asks the same question of the same certificate thousands of times.
"""

import ipaddress
from functools import lru_cache
from typing import Final

from cryptography import x509
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address

HOST_MISMATCH: Final = 62  # X509_V_ERR_HOSTNAME_MISMATCH, for a check that OpenSSL does not make for us

# "id-kp-cmcRA": a certificate of an EST CA's own registration authority (RFC 6402 §2.10).
CMC_RA: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.28")


@lru_cache(maxsize=256)
def check_host(certificate: x509.Certificate, host: str) -> str | None:
    """Return None when the certificate is for ``host`` (a DNS name or an IP literal), else the reason why not."""
    name = reference_name(host)
    try:
        if is_ip_literal(name):
            verify_certificate_ip_address(certificate, name)
        else:
            verify_certificate_hostname(certificate, name)
    except VerificationError:
        return f"the server's certificate is for {_names_in(certificate)}, not for {name}"
    except (CertificateError, ValueError) as error:
        return f"the server's certificate names no host that can be compared with {name}: {error}"
    return None


@lru_cache(maxsize=256)
def has_cmc_ra(certificate: x509.Certificate) -> bool:
    """Say whether the certificate carries id-kp-cmcRA, which stands for the host name under explicit anchors.

    RFC 7030 §3.6.1: with an explicit trust anchor "the certificate" may instead carry "the id-kp-cmcRA
    [RFC6402] extended key usage extension".
    """
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return False
    return CMC_RA in usage.value


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


def _names_in(certificate: x509.Certificate) -> str:
    """Tell the names a certificate is for, for a message."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return "no name"
    told = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    return ", ".join(told[:5]) or "no host"
