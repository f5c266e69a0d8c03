"""Odd requests: each becomes a certificate that OpenSSL and our own client can read, or a 400 that names the part."""

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, x25519
from odd_requests import (
    BMP,
    CHALLENGE_PASSWORD,
    CHANGE_SUBJECT_NAME,
    CN,
    COUNTRY,
    DIRECTORY,
    DNS,
    EC,
    EMAIL,
    EXTENSION_REQUEST,
    IA5,
    IP,
    KEY_USAGE,
    MICROSOFTS,
    NUMERIC,
    ORGANIZATION,
    OTHER,
    P256,
    PRINTABLE,
    REGISTERED,
    SAN_OID,
    TELETEX,
    UNIVERSAL,
    URI,
    UTF8,
    VISIBLE,
    attribute,
    common_name,
    ec_key,
    ec_point,
    ecdsa,
    extension,
    extension_request,
    integer,
    null,
    rdn,
    request,
    rsa_key,
    rsa_request,
    rsa_spki,
    san,
    seq,
    set_of,
    spki,
    spki_of,
)
from server_sandbox import running

from estsim.est.certificate import read_certificate
from estsim.est.certs_only import read_certs_only
from estsim.est.csr import CSRError, read_csr
from estsim.est.der import OCTET_STRING, encode
from estsim.est.der import encoded_oid as oid
from estsim.est.names import read_general_names
from estsim.est.transfer import decode_body
from estsim.server.names import NamesError, requested_names

NAME = san((DNS, b"a.example"))
USAGE = extension(KEY_USAGE, bytes.fromhex("03020780"))
POINT = ec_point()
OFF_CURVE = POINT[:-1] + bytes((POINT[-1] ^ 1,))
MODULUS = rsa_key().public_key().public_numbers().n
# P-256 spelt out, which the library takes for the curve and RFC 5480 §2.1.1 forbids
PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
CURVE_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
GENERATOR = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
SPELT_OUT = seq(
    integer(1),
    seq(oid("1.2.840.10045.1.1"), integer(PRIME)),
    seq(encode(OCTET_STRING, (PRIME - 3).to_bytes(32, "big")), encode(OCTET_STRING, CURVE_B.to_bytes(32, "big"))),
    encode(OCTET_STRING, GENERATOR),
    integer(ORDER),
    integer(1),
)
PLAIN = request()


def subject(*rdns: bytes) -> bytes:
    """Return a request for a Name of these RDNs."""
    return request(subject=seq(*rdns))


def asking(*names: tuple[int, bytes]) -> bytes:
    """Return a request for these alternative names."""
    return request(extension_request(san(*names)))


def rsa_key_of(modulus: int, exponent: int, parameters: bytes | None = None) -> bytes:
    """Return a request for an RSA key of these numbers, whose signature nobody gets to look at."""
    return rsa_request(key=rsa_spki(modulus, exponent, parameters))


REFUSED = {
    # attributes and extensions
    "two extensionRequests": (
        request(extension_request(NAME), extension_request(san((DNS, b"b.example")))),
        "attributes: extensionRequest appears twice",
    ),
    "two extensionRequests, one in Microsoft's way": (
        request(attribute(MICROSOFTS, seq(NAME)), extension_request(NAME)),
        "attributes: extensionRequest appears twice",
    ),
    "two SANs": (
        request(extension_request(NAME, san((DNS, b"b.example")))),
        "extension subjectAltName appears twice",
    ),
    "another extension twice": (request(extension_request(USAGE, USAGE)), "extension 2.5.29.15 appears twice"),
    "no value": (request(attribute(EXTENSION_REQUEST)), "attribute extensionRequest: expected a value"),
    "no value of an unknown one": (request(attribute("1.2.3.4")), "attribute 1.2.3.4: expected a value"),
    "two values": (
        request(attribute(EXTENSION_REQUEST, seq(NAME), seq(USAGE))),
        "attribute extensionRequest: expected one value, got 2",
    ),
    "a value that is no Extensions": (
        request(attribute(EXTENSION_REQUEST, integer(3))),
        "attribute extensionRequest: expected Extensions",
    ),
    "an extension that is none": (request(extension_request(integer(1))), "extensionRequest: expected an Extension"),
    "an extension without value": (
        request(extension_request(seq(oid(SAN_OID)))),
        "extension subjectAltName: expected its value",
    ),
    "FALSE spelt out": (
        request(extension_request(extension(SAN_OID, seq(encode(DNS, b"a.example")), b"\0"))),
        "extension subjectAltName: expected critical to be TRUE or left out",
    ),
    "an OID cut off": (
        request(extension_request(seq(encode(6, b"\x55\x1d\x80"), encode(OCTET_STRING, b"")))),
        "extensionRequest: expected an OID",
    ),
    "an attribute without type": (request(seq(integer(1), set_of(integer(1)))), "attributes: expected a type"),
    "attributes out of order": (
        request(attribute("1.2.3.5", integer(1)), attribute("1.2.3.4", integer(1))),
        "attributes: expected a SET in the order of DER",
    ),
    "two challenge passwords": (
        request(attribute(CHALLENGE_PASSWORD, encode(UTF8, b"a"), encode(UTF8, b"b"))),
        "attribute challengePassword: expected one value, got 2",
    ),
    "a challenge password of no text": (
        request(attribute(CHALLENGE_PASSWORD, encode(UTF8, b"\xff"))),
        "attribute challengePassword: expected a string",
    ),
    "a challenge password that is long": (
        request(attribute(CHALLENGE_PASSWORD, encode(UTF8, b"a" * 256))),
        "attribute challengePassword: expected a string of at most 255",
    ),
    "300 attributes": (
        request(*(attribute(f"1.2.3.{n}", integer(1)) for n in range(128, 428))),
        "attributes: expected at most 256",
    ),
    # the frame
    "a byte behind": (PLAIN + b"\0", "expected no bytes after the request (got 1)"),
    "two requests": (PLAIN * 2, "expected no bytes after the request"),
    "version 1": (request(version=integer(1)), "version: expected 0"),
    "version 0 in two octets": (request(version=encode(2, b"\0\0")), "version: expected 0"),
    "no version": (request(version=b""), "version: expected 0"),
    "no attributes": (request(holder=None), "attributes, which may be empty"),
    "BER": (b"\x30\x80" + PLAIN[3:] + b"\0\0", "which DER requires"),
    "no request": (integer(1), "a CertificationRequest"),
    # subjects
    "Latin-1 in a UTF8String": (request(subject=common_name(b"Ger\xe4t")), "Subject: expected the value of 2.5.4.3"),
    "an at sign in a PrintableString": (request(subject=common_name(b"a@b", PRINTABLE)), "a PrintableString"),
    "Latin-1 in an IA5String": (request(subject=common_name(b"\xe4", IA5)), "to be a IA5String"),
    "letters in a NumericString": (request(subject=common_name(b"abc", NUMERIC)), "a NumericString"),
    "half a character in a BMPString": (request(subject=common_name(b"abc", BMP)), "a BMPString"),
    "surrogates in a BMPString": (request(subject=common_name(b"\xd8\0\xdc\0", BMP)), "a BMPString"),
    "no character in a UniversalString": (request(subject=common_name(b"\xff" * 4, UNIVERSAL)), "a UniversalString"),
    "NUL in a UTF8String": (request(subject=common_name(b"a\0b")), "a UTF8String"),
    "a VisibleString": (request(subject=common_name(b"abc", VISIBLE)), "Subject: expected the value of 2.5.4.3 as"),
    "an OCTET STRING": (request(subject=common_name(b"abc", OCTET_STRING)), "(got tag 0x04)"),
    "a NULL": (request(subject=common_name(b"", 5)), "(got tag 0x05)"),
    "an INTEGER": (request(subject=common_name(b"\1", 2)), "(got tag 0x02)"),
    "a BOOLEAN": (request(subject=common_name(b"\xff", 1)), "(got tag 0x01)"),
    "a BIT STRING": (request(subject=common_name(b"\x09a", 3)), "(got tag 0x03)"),
    "a string in pieces": (request(subject=common_name(encode(UTF8, b"a"), 0x2C)), "(got tag 0x2c)"),
    "an empty RDN": (subject(set_of(), rdn((CN, UTF8, b"x"))), "Subject: expected an RDN to be a SET of one attribute"),
    "an RDN out of order": (subject(rdn((ORGANIZATION, UTF8, b"y"), (CN, UTF8, b"x"))), "in the order of DER"),
    "an attribute twice in an RDN": (subject(rdn((CN, UTF8, b"x"), (CN, UTF8, b"x"))), "once each"),
    "an attribute without value": (subject(set_of(seq(oid(CN)))), "Subject: expected an attribute of type and value"),
    "a type that is no OID": (
        subject(set_of(seq(encode(6, b"\x55\x80"), encode(UTF8, b"a")))),
        "Subject: expected an OID",
    ),
    "a type with a needless octet": (
        subject(set_of(seq(encode(6, b"\x55\x80\x03"), encode(UTF8, b"a")))),
        "Subject: expected an OID",
    ),
    "an RDN that is a SEQUENCE": (
        subject(seq(seq(oid(CN), encode(UTF8, b"a")))),
        "Subject: expected an RDN to be a SET",
    ),
    "40 KB": (request(subject=common_name(b"a" * 40_000)), "Subject: expected at most 8192 bytes"),
    "300 RDNs": (subject(*(rdn((CN, UTF8, b"x")),) * 300), "Subject: expected at most 256"),
    "neither Subject nor SAN": (subject(), "expected a Subject or a SubjectAltName"),
    # alternative names
    "no name at all": (asking(), "subjectAltName: expected at least one GeneralName"),
    "a byte behind the names": (
        request(extension_request(extension(SAN_OID, seq(encode(DNS, b"a")) + b"\0"))),
        "subjectAltName: expected GeneralNames with no trailing bytes",
    ),
    "Latin-1 in a dNSName": (asking((DNS, b"r\xe4z.example")), "visible ASCII in a dNSName"),
    "an empty dNSName": (asking((DNS, b"")), "visible ASCII in a dNSName"),
    "a blank dNSName": (asking((DNS, b" ")), "visible ASCII in a dNSName"),
    "NUL in a dNSName": (asking((DNS, b"a\0b.example")), "visible ASCII in a dNSName"),
    "a line break in a dNSName": (asking((DNS, b"a\nb")), "visible ASCII in a dNSName"),
    "a dNSName in pieces": (
        asking((0xA2, encode(IA5, b"a.example"))),
        "expected a supported kind of name (got tag 0xa2)",
    ),
    "a long dNSName": (asking((DNS, b"a" * 300)), "dNSName of at most 253 octets"),
    "an iPAddress of 3": (asking((IP, b"abc")), "4 or 16 octets in an iPAddress (got 3)"),
    "an iPAddress of 8": (asking((IP, b"\x0a\0\0\0\xff\0\0\0")), "4 or 16 octets in an iPAddress (got 8)"),
    "an iPAddress of 32": (asking((IP, bytes(32))), "4 or 16 octets in an iPAddress (got 32)"),
    "an empty iPAddress": (asking((IP, b"")), "4 or 16 octets in an iPAddress (got 0)"),
    "Latin-1 in an address": (asking((EMAIL, b"\xe4@x")), "visible ASCII in a rfc822Name"),
    "an empty address": (asking((EMAIL, b"")), "visible ASCII in a rfc822Name"),
    "an empty URI": (asking((URI, b"")), "visible ASCII in a uniformResourceIdentifier"),
    "a relative URI": (asking((URI, b"foo")), "an absolute URI"),
    "an odd directoryName": (
        asking((DIRECTORY, common_name(b"\xff"))),
        "subjectAltName: directoryName: expected the value",
    ),
    "a directoryName of no string": (asking((DIRECTORY, common_name(b"", 5))), "directoryName: expected the value"),
    "an empty directoryName": (asking((DIRECTORY, seq())), "a non-empty directoryName"),
    "two directoryNames in one": (asking((DIRECTORY, seq() * 2)), "directoryName: expected a Name"),
    "an empty registeredID": (asking((REGISTERED, b"")), "an OID as a registeredID"),
    "a registeredID cut off": (asking((REGISTERED, b"\x2a\x80")), "an OID as a registeredID"),
    "an otherName without value": (asking((OTHER, oid("1.2.3"))), "an OID and a value in an otherName"),
    "an otherName of an empty INTEGER": (
        asking((OTHER, oid("1.2.3") + encode(0xA0, encode(2, b"")))),
        "as an otherName's value",
    ),
    "an x400Address": (asking((0xA3, seq())), "(got tag 0xa3)"),
    "an ediPartyName": (asking((0xA5, encode(0xA1, encode(UTF8, b"x")))), "(got tag 0xa5)"),
    "a name of no kind": (asking((0x89, b"x")), "(got tag 0x89)"),
    "a BOOLEAN as a name": (asking((0x01, b"\xff")), "(got tag 0x01)"),
    "2000 names": (asking(*((DNS, b"a"),) * 2000), "subjectAltName: expected at most 1024"),
    # keys
    "explicit curve": (request(key=spki(EC, SPELT_OUT, POINT)), "a named curve as its parameters (RFC 5480 §2.1.1"),
    "implicit curve": (request(key=spki(EC, null(), POINT)), "a named curve as its parameters (RFC 5480 §2.1.1"),
    "no curve": (request(key=spki(EC, b"", POINT)), "a named curve as its parameters (RFC 5480 §2.1.1; got none)"),
    "a point off the curve": (request(key=spki(EC, oid(P256), OFF_CURVE)), "the public key of the request cannot be"),
    "the point at infinity": (request(key=spki(EC, oid(P256), b"\0")), "a point in uncompressed or compressed form"),
    "a hybrid point": (
        request(key=spki(EC, oid(P256), bytes((6 | POINT[-1] & 1,)) + POINT[1:])),
        "a point in uncompressed or compressed form",
    ),
    "bits left over": (request(key=spki(EC, oid(P256), POINT, unused=1)), "a BIT STRING of whole octets"),
    "an unknown curve": (request(key=spki(EC, oid("1.3.132.0.99"), POINT)), "1.3.132.0.99"),
    "RSA without NULL": (rsa_key_of(MODULUS, 65537, b""), "NULL as the parameters of an RSA key"),
    "RSA exponent 1": (rsa_key_of(MODULUS, 1), "an odd RSA exponent of 3 or more"),
    "RSA exponent 65536": (rsa_key_of(MODULUS, 65536), "an odd RSA exponent of 3 or more"),
    "RSA exponent -1": (rsa_key_of(MODULUS, -1), "an odd RSA exponent of 3 or more"),
    "RSA exponent as long as the modulus": (rsa_key_of(MODULUS, MODULUS - 2), "of at most 64 bits (got"),
    "an even modulus": (rsa_key_of(MODULUS - 1, 65537), "an odd RSA modulus"),
    "a negative modulus": (rsa_key_of(-MODULUS, 65537), "an odd RSA modulus"),
    "no modulus": (rsa_key_of(0, 65537), "an odd RSA modulus"),
    "RSA of 16384 bits": (rsa_key_of(2**16383 + 1, 65537), "an odd RSA modulus of at most 8192 bits (got 16384 bits"),
    "an RSASSA-PSS key": (
        request(key=spki("1.2.840.113549.1.1.10", b"", seq(integer(MODULUS), integer(65537)))),
        "(got RSASSA-PSS)",
    ),
    "DSA": (request(key=spki_of(dsa.generate_private_key(2048))), "(got DSA)"),
    "X25519": (request(key=spki_of(x25519.X25519PrivateKey.generate())), "(got X25519)"),
    "Ed448": (
        request(key=spki_of(key := ed448.Ed448PrivateKey.generate()), algorithm=seq(oid("1.3.101.113")), sign=key.sign),
        "expected an RSA key of 2048 bits or more",
    ),
    "Ed25519 that is short": (request(key=spki("1.3.101.112", b"", b"abc")), "expected 32 octets"),
    "ML-DSA": (request(key=spki("2.16.840.1.101.3.4.3.17", b"", bytes(1312))), "(got ML-DSA-44)"),
    "an unknown key": (request(key=spki("1.2.3.4", b"", b"")), "(got 1.2.3.4)"),
    "secp256k1": (
        request(key=spki_of(k1 := ec.generate_private_key(ec.SECP256K1())), sign=ecdsa(hashes.SHA256(), k1)),
        "(got secp256k1)",
    ),
    # signatures
    "RSA with SHA-1": (rsa_request("1.2.840.113549.1.1.5", hashes.SHA1()), "signed with SHA-1, which is not accepted"),  # noqa: S303
    "RSA with MD5": (rsa_request("1.2.840.113549.1.1.4", hashes.MD5()), "signed with MD5, which is not accepted"),  # noqa: S303
    "RSA with MD2": (rsa_request("1.2.840.113549.1.1.2"), "signed with MD2, which is not accepted"),
    "ECDSA with SHA-1": (
        request(algorithm=seq(oid("1.2.840.10045.4.1")), sign=ecdsa(hashes.SHA1())),  # noqa: S303
        "signed with SHA-1, which is not accepted",
    ),
    "RSA-PSS with SHA-1": (
        request(
            key=spki_of(rsa_key()),
            algorithm=seq(oid("1.2.840.113549.1.1.10"), seq()),
            sign=lambda info: rsa_key().sign(info, padding.PSS(padding.MGF1(hashes.SHA1()), 20), hashes.SHA1()),  # noqa: S303
        ),
        "signed with SHA-1, which is not accepted",
    ),
    "an unknown algorithm": (request(algorithm=seq(oid("1.2.3.4"))), "signed with the algorithm 1.2.3.4, which is not"),
    "an algorithm of another key": (
        request(algorithm=seq(oid("1.2.840.113549.1.1.11"), null())),
        "signed with SHA-256 with RSA, which does not match its key type",
    ),
    "a wrong signature": (request(sign=lambda _: bytes(70)), "no proof of possession"),
    "no signature": (request(sign=lambda _: b""), "no proof of possession"),
}

SIGNED = {
    "plain": PLAIN,
    "a name": asking((DNS, b"a.example")),
    "Microsoft's extensions": request(attribute(MICROSOFTS, seq(NAME))),
    "every kind of name": asking(
        (EMAIL, b"a@example.com"),
        (DNS, b"*.a_b.example"),
        (URI, b"urn:uuid:1"),
        (IP, bytes(4)),
        (IP, bytes(16)),
        (REGISTERED, oid("1.2.3")[2:]),
        (DIRECTORY, common_name(b"x")),
        (OTHER, oid("1.3.6.1.4.1.311.20.2.3") + encode(0xA0, encode(UTF8, b"u@x"))),
    ),
    "a critical SAN": request(extension_request(extension(SAN_OID, seq(encode(DNS, b"a.example")), b"\xff"))),
    "a SAN alone": request(extension_request(NAME), subject=seq()),
    "extensions without one": request(extension_request()),
    "other extensions": request(extension_request(USAGE, NAME)),
    "unknown attributes": request(attribute("1.2.3.4", integer(1)), attribute("1.2.3.5", integer(1))),
    "an empty CN": request(subject=common_name(b"")),
    "a blank CN": request(subject=common_name(b"  ")),
    "a CN of 65": request(subject=common_name(b"a" * 65)),
    "a CN of 8 KB": request(subject=common_name(b"a" * 8000)),
    "a country of three letters": subject(rdn((COUNTRY, PRINTABLE, b"DEU")), rdn((CN, UTF8, b"x"))),
    "two attributes in an RDN": subject(rdn((CN, UTF8, b"x"), (ORGANIZATION, UTF8, b"y"))),
    "two common names": subject(rdn((CN, UTF8, b"x")), rdn((CN, UTF8, b"y"))),
    "escapes": request(subject=common_name(b"\x1b[31m\n")),
    "right to left": request(subject=common_name("\u202eabc".encode())),
    "Latin-1 in a TeletexString": request(subject=common_name(b"Ger\xe4t", TELETEX)),
    "TeletexString": request(subject=common_name(b"meter", TELETEX)),
    "BMPString": request(subject=common_name("Gerät".encode("utf-16-be"), BMP)),
    "UniversalString": request(subject=common_name("Gerät".encode("utf-32-be"), UNIVERSAL)),
    "NumericString": request(subject=common_name(b"12 3", NUMERIC)),
    "an unknown type": subject(rdn(("1.2.3.4", UTF8, b"x"))),
    "a compressed point": request(key=spki(EC, oid(P256), bytes((2 | POINT[-1] & 1,)) + POINT[1:33])),
    "RSA": rsa_request(),
    "RSA with SHA-224": rsa_request("1.2.840.113549.1.1.14", hashes.SHA224()),
    "Ed25519": request(
        key=spki_of(edwards := ed25519.Ed25519PrivateKey.generate()),
        algorithm=seq(oid("1.3.101.112")),
        sign=edwards.sign,
    ),
    "a change of names that is a first enrolment's": request(attribute(CHANGE_SUBJECT_NAME, seq(common_name(b"n")))),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_odd_request_is_refused_by_its_part(case: str) -> None:
    """The reason names the part, and the RFC where one says so."""
    der, reason = REFUSED[case]
    with pytest.raises((CSRError, NamesError)) as refused:
        requested_names_of(der)
    assert reason in str(refused.value)


def requested_names_of(der: bytes) -> None:
    """Read a request as far as a sandbox does; sizes and kinds of key are looked at behind that."""
    facts = read_csr(der)
    if facts.public_key_der != spki_of(ec_key()):
        from estsim.est.public_keys import public_key  # noqa: PLC0415
        from estsim.pki.keys import weakness_of  # noqa: PLC0415

        weakness = weakness_of(public_key(facts.public_key_der))
        if weakness is not None:
            raise CSRError(weakness)
    requested_names(facts, renewing=False)


@pytest.mark.filterwarnings("ignore:Attribute's length")  # of the library, which the test asks for a second opinion
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
async def test_what_is_signed_is_read_by_everybody(tmp_path: Path) -> None:
    """OpenSSL, the library and our own client read each certificate, with names and key byte for byte."""
    async with running(tmp_path, {"clients": {"require_certificate": "never"}}) as sandbox:
        root, issuing = sandbox.here.trust, tmp_path / "all.pem"
        issuing.write_bytes(root.read_bytes())
        for case, der in SIGNED.items():
            response = await sandbox.post(der)
            assert (case, response.status) == (case, 200), response.text
            issued = read_certificate(read_certs_only(decode_body(response.body)[0])[0][0])
            asked = read_csr(der)
            got = (issued.subject_der, issued.san_der, issued.spki, issued.oddities)
            assert got[:3] == (asked.subject_der, asked.san_der, asked.public_key_der)
            second = x509.load_der_x509_certificate(issued.der)
            assert len(list(second.extensions)) >= 5
            if case != "Latin-1 in a TeletexString":  # which the library alone cannot read
                assert second.subject.public_bytes() == asked.subject_der
            if issued.san_der is not None:
                assert not read_general_names(issued.san_der).unreadable
            file = tmp_path / "issued.der"
            file.write_bytes(issued.der)
            told = openssl("x509", "-inform", "DER", "-in", str(file), "-noout", "-text", "-certopt", "ext_parse")
            assert "<invalid" not in told.lower(), case
            pem = tmp_path / "issued.pem"
            pem.write_text(openssl("x509", "-inform", "DER", "-in", str(file)))
            assert ": OK" in openssl("verify", "-CAfile", str(root), "-untrusted", str(issuing), str(pem)), case
        assert sandbox.here.counts.faults == 0


def openssl(*arguments: str) -> str:
    """Return what OpenSSL says."""
    done = subprocess.run(
        ["openssl", *arguments], capture_output=True, text=True, timeout=20, errors="replace", check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_odd_requests_are_400_and_nothing_else(tmp_path: Path) -> None:
    """Over TLS too: never a 500, no traceback, and the next client is served."""
    async with running(tmp_path, {"clients": {"require_certificate": "never"}}) as sandbox:
        async with sandbox.connect(sandbox.tls()) as client:
            for case, (der, reason) in REFUSED.items():
                response = await client.post(der)
                assert (case, response.status) == (case, 400)
                assert reason in response.text
        assert (await sandbox.post(PLAIN)).status == 200
        assert sandbox.here.counts.faults == 0


@pytest.mark.filterwarnings("error")
async def test_an_empty_common_name_prints_no_warning(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing on stderr, and the exchange is reported all the same."""
    async with running(tmp_path, {"clients": {"require_certificate": "never"}}) as sandbox:
        assert (await sandbox.post(request(subject=common_name(b"")))).status == 200
    assert capfd.readouterr() == ("", "")
