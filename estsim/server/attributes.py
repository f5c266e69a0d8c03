"""What the attributes of a distinguished name are called, in scenarios and in the sandbox's configuration alike.

RFC 4514 §3 and what people write besides; an attribute without a name here is written as its OID.
"""

from typing import Final

from cryptography.x509.oid import NameOID

from estsim.est.der import oid
from estsim.est.names import read_name

ATTRIBUTES: Final = {
    "CN": NameOID.COMMON_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "C": NameOID.COUNTRY_NAME,
    "L": NameOID.LOCALITY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "STREET": NameOID.STREET_ADDRESS,
    "DC": NameOID.DOMAIN_COMPONENT,
    "UID": NameOID.USER_ID,
    "SERIALNUMBER": NameOID.SERIAL_NUMBER,
    "EMAILADDRESS": NameOID.EMAIL_ADDRESS,
    "E": NameOID.EMAIL_ADDRESS,
    "GN": NameOID.GIVEN_NAME,
    "SN": NameOID.SURNAME,
    "TITLE": NameOID.TITLE,
}
_FIRST: Final = {oid(kind.dotted_string): name for name, kind in reversed(ATTRIBUTES.items())}
_LAST: Final = {oid(kind.dotted_string): name for name, kind in ATTRIBUTES.items()}
_SPELLINGS: Final = (_FIRST, _LAST)  # no attribute has more than two names


def spellings(name_der: bytes) -> list[list[str]]:
    """Return a name's parts as scenarios write them, in the order of the encoding: ``CN=meter-1``, ``O=Example``.

    In every way to write them: ``EMAILADDRESS=`` is ``E=`` too.
    """
    return [read_name(name_der).parts(names) for names in _SPELLINGS]
