"""CSR attributes: the RFCs' own examples, what is ignored, what cannot be read, and any bytes."""

from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.est.csr_attributes import EC, P256, P384, RSA, CSRWishes, ExtensionWish, KeyWish, read_csr_attributes
from estsim.est.der import DERError, encode, oid

ECDSA_SHA384 = oid("1.2.840.10045.4.3.3")
MAC_ADDRESS = "1.3.6.1.1.1.1.22"
P384_KEY = KeyWish(EC, curve=P384)
TEMPLATE = (  # RFC 9908 §3.4's example
    "MIGpMIGmBgsqhkiG9w0BCRACPTGBljCBkwIBADAsMQcwBQYDVQQDMQ8wDQYDVQQLDAZteURlcHQxEDAOBgNVBAsMB215R3JvdXCgFTATBgcqhkjOPQIB"
    "BggqhkjOPQMBB6FJMEcGCyqGSIb3DQEJEAI+MTgwNjAdBgNVHREEFjAUghB3d3cubXlTZXJ2ZXIuY29thwAwDgYDVR0PAQH/BAQDAgOIMAUGA1UdJQ=="
)


@pytest.mark.parametrize(
    ("text", "wishes"),
    [
        pytest.param(  # the value of its extensionRequest is no Extensions (RFC 9908 §5.2), and servers send it
            "MEEGCSqGSIb3DQEJBzASBgcqhkjOPQIBMQcGBSuBBAAiMBYGCSqGSIb3DQEJDjEJBgcrBgEBAQEWBggqhkjOPQQDAw==",
            CSRWishes((P384_KEY,), (ECDSA_SHA384,), wants_proof=True, others=("1.2.840.113549.1.9.14",)),
            id="RFC 7030 §4.5.2",
        ),
        pytest.param(
            "MDIGCSqGSIb3DQEJBzASBgcqhkjOPQIBMQcGBSuBBAAiBgcrBgEBAQEWBggqhkjOPQQDAw==",
            CSRWishes((P384_KEY,), (ECDSA_SHA384,), wants_proof=True, others=(MAC_ADDRESS,)),
            id="RFC 9908 §5.2",
        ),
        pytest.param(
            "MCkGCSqGSIb3DQEJBzARBgkqhkiG9w0BAQExBAICEAAGCSqGSIb3DQEBCw==",
            CSRWishes((KeyWish(RSA, bits=4096),), (oid("1.2.840.113549.1.1.11"),), wants_proof=True),
            id="RFC 9908 §5.4",
        ),
        pytest.param(
            "MC4GCSqGSIb3DQEJBzASBgcqhkjOPQIBMQcGBSuBBAAiBgNVBAUGCCqGSM49BAMD",
            CSRWishes((P384_KEY,), (ECDSA_SHA384,), wants_proof=True, others=("2.5.4.5",)),
            id="RFC 9908 §5.5",
        ),
        pytest.param(
            TEMPLATE,
            CSRWishes(
                keys=(KeyWish(EC, curve=P256),),
                extensions=(
                    ExtensionWish(oid("2.5.29.17"), bytes.fromhex("30148210") + b"www.myServer.com" + b"\x87\x00"),
                    ExtensionWish(oid("2.5.29.15"), bytes.fromhex("03020388"), critical=True),
                    ExtensionWish(oid("2.5.29.37"), None),
                ),
                subject=(
                    ((oid("2.5.4.3"), None),),
                    ((oid("2.5.4.11"), b"\x0c\x06myDept"),),
                    ((oid("2.5.4.11"), b"\x0c\x07myGroup"),),
                ),
                is_template=True,
            ),
            id="RFC 9908 §3.4",
        ),
    ],
)
def test_the_examples_of_the_rfcs(text: str, wishes: CSRWishes) -> None:
    """In both forms."""
    assert read_csr_attributes(b64decode(text)) == wishes


def test_who_knows_the_template_uses_it_alone() -> None:
    """RFC 9908 §4: the list beside it is for clients that do not."""
    (template,) = (b64decode(TEMPLATE)[3:],)
    beside = encode(0x06, ECDSA_SHA384)
    both = encode(0x30, beside + template)
    assert read_csr_attributes(both) == read_csr_attributes(b64decode(TEMPLATE))


@pytest.mark.parametrize(
    ("der", "told"),
    [
        ("3100", "expected CsrAttrs, a SEQUENCE"),
        ("30020500", "expected CsrAttrs: an OID or an Attribute"),
        ("30023000", "an Attribute that begins with its OID"),
        ("300b3009060a2a864886f70d01", "extends past"),
        ("3013301106092a864886f70d010101310402021000", None),
        ("3013301106092a864886f70d010101310406021000", "rsaEncryption: the modulus"),
    ],
)
def test_what_cannot_be_read_names_the_part(der: str, told: str | None) -> None:
    """One odd entry makes the whole unreadable: a device that obeys must not guess."""
    if told is None:
        assert read_csr_attributes(bytes.fromhex(der)).keys == (KeyWish(RSA, bits=4096),)
        return
    with pytest.raises(DERError, match=told):
        read_csr_attributes(bytes.fromhex(der))


@pytest.mark.parametrize("entry", [encode(0x06, b"\x2a\x03"), encode(0x30, encode(0x06, b"\x2a\x03") + b"\x31\x00")])
def test_more_entries_than_anybody_needs_are_refused(entry: bytes) -> None:
    """So that reading them takes no time to speak of, for each device anew."""
    assert len(read_csr_attributes(encode(0x30, entry * 256)).others) == 256
    with pytest.raises(DERError, match="expected CsrAttrs: at most 256, got 900"):
        read_csr_attributes(encode(0x30, entry * 900))


NULL_NAME = encode(0x31, encode(0x30, encode(0x06, b"\x55\x04\x03") + b"\x05\x00"))


@pytest.mark.parametrize(
    ("rdn", "told"),
    [(encode(0x31, b""), "an attribute in each RDN"), (NULL_NAME, r"a string as the value of 2\.5\.4\.3")],
)
def test_a_template_s_subject_is_one_that_a_request_can_have(rdn: bytes, told: str) -> None:
    """Or else the request would be blamed on the server that could not read it."""
    template = encode(0x30, b"\x02\x01\x00" + encode(0x30, rdn))
    attribute = encode(0x06, oid("1.2.840.113549.1.9.16.2.61")) + encode(0x31, template)
    with pytest.raises(DERError, match=told):
        read_csr_attributes(encode(0x30, encode(0x30, attribute)))


ALMOST = st.builds(
    lambda at, byte: b64decode(TEMPLATE)[:at] + bytes((byte,)) + b64decode(TEMPLATE)[at + 1 :],
    st.integers(0, 170),
    st.integers(0, 255),
)


@given(st.binary(max_size=200) | ALMOST)
def test_any_bytes_are_wishes_or_refused(der: bytes) -> None:
    """Total, and nothing but a DERError."""
    try:
        wishes = read_csr_attributes(der)
    except DERError as error:
        told = str(error)
    else:
        told = repr(wishes)
    assert "\n" not in told
