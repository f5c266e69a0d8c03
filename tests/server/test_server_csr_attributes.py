"""CSR attributes of a trust center: what it tells in both forms, and which requests it refuses where they count."""

import base64
from pathlib import Path

import pytest
from server_sandbox import csr_for, new_key, running

from estsim.est.csr import build_csr, read_csr
from estsim.est.csr_attributes import EC, ED25519, P384, RSA, CSRWishes, ExtensionWish, KeyWish, read_csr_attributes
from estsim.est.der import oid
from estsim.est.signing import PrivateKey, extension
from estsim.pki.keys import KeyKind, make_key
from estsim.pki.names import common_name
from estsim.server.csr_attributes import attributes_der, unfulfilled
from estsim.server.csr_attributes_config import CsrAttrsConfig

MAC = "1.3.6.1.1.1.1.22"
VALUE = bytes.fromhex("0c0141")
KEYS = {"ec-p384": KeyWish(EC, curve=P384), "rsa-3072": KeyWish(RSA, bits=3072), "ed25519": KeyWish(ED25519)}


def config(**keys: object) -> CsrAttrsConfig:
    """Return the configuration with some keys."""
    return CsrAttrsConfig.model_validate(keys)


@pytest.mark.parametrize("form", ["list", "template"])
@pytest.mark.parametrize("kind", KEYS)
def test_what_is_told_is_what_a_client_reads(kind: str, form: str) -> None:
    """The device's own reader is held against the RFCs' examples."""
    wishes = read_csr_attributes(attributes_der(config(form=form, key=kind, extensions={MAC: "0c0141"})))
    told = (ExtensionWish(oid(MAC), VALUE),)
    assert wishes == CSRWishes((KEYS[kind],), extensions=told, is_template=form == "template")


def test_a_hash_is_told_as_a_signature_algorithm_and_a_subject_as_a_template() -> None:
    """Each form has something that the other lacks."""
    listed = read_csr_attributes(attributes_der(config(key="rsa-2048", hash="sha512")))
    assert listed.signatures == (oid("1.2.840.113549.1.1.13"),)
    subject = read_csr_attributes(attributes_der(config(form="template", subject="O=Example,CN"))).subject
    assert subject == (((oid("2.5.4.10"), b"\x0c\x07Example"),), ((oid("2.5.4.3"), None),))


@pytest.mark.parametrize(
    ("keys", "key", "hash_name", "extensions", "told"),
    [
        ({"key": "ec-p384"}, KeyKind.EC_P256, None, (), "expected a key of ec-p384 (got ec-p256; see csrattrs)"),
        ({"key": "ec-p384", "hash": "sha512"}, KeyKind.EC_P384, None, (), "a signature with sha512"),
        ({"key": "ec-p384", "hash": "sha512"}, KeyKind.EC_P384, "sha512", (), None),
        ({"extensions": {MAC: "0c0141"}}, KeyKind.EC_P256, None, (), f"expected extension {MAC} with the value told"),
        ({"extensions": {MAC: "0C0141"}}, KeyKind.EC_P256, None, (extension(MAC, VALUE),), None),
        ({"form": "template", "subject": "O=Example,CN"}, KeyKind.EC_P256, None, (), "expected O=Example in the Subj"),
        ({"form": "template", "subject": "CN"}, KeyKind.EC_P256, None, (), None),
        ({"form": "template", "subject": "CN=a+b;c"}, KeyKind.EC_P256, None, (), "expected CN=a+b;c in the Subject"),
    ],
)
def test_a_request_is_held_against_what_was_told(
    keys: dict[str, object], key: KeyKind, hash_name: str | None, extensions: tuple[bytes, ...], told: str | None
) -> None:
    """The reason names what was expected and what came."""
    csr = build_csr(make_key(key), common_name("m"), extensions=extensions, hash_name=hash_name)
    why = unfulfilled(config(**keys), read_csr(csr))
    assert why is None if told is None else told in (why or "")


def test_a_subject_is_compared_by_value() -> None:
    """Not by its text, in which some characters are escaped (RFC 4514)."""
    wished = config(form="template", subject="CN=a+b;c")
    assert unfulfilled(wished, read_csr(build_csr(make_key(KeyKind.EC_P256), common_name("a+b;c")))) is None


@pytest.mark.parametrize("required", [True, False])
async def test_only_what_is_required_is_refused(*, required: bool, tmp_path: Path) -> None:
    """200 with the type and base64 of RFC 7030 §4.5.2; advice alone refuses nobody."""
    async with running(tmp_path, {"csrattrs": {"key": "ec-p384", "required": required}}) as sandbox:
        response = await sandbox.get("csrattrs")
        assert (response.status, response.headers["content-type"]) == (200, "application/csrattrs")
        assert read_csr_attributes(base64.b64decode(response.body)).keys == (KEYS["ec-p384"],)
        statuses = []
        key: PrivateKey
        for key in (new_key(), make_key(KeyKind.EC_P384)):
            csr = build_csr(key, common_name("m"))
            statuses.append((await sandbox.post(csr, identity=sandbox.here.bootstrap)).status)
    assert statuses == ([400, 200] if required else [200, 200])


async def test_without_the_key_there_are_none(tmp_path: Path) -> None:
    """204, as ever."""
    async with running(tmp_path) as sandbox:
        assert (await sandbox.get("csrattrs")).status == 204
        assert (await sandbox.post(csr_for(new_key(), "m"), identity=sandbox.here.bootstrap)).status == 200
